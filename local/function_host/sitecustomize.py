"""Python runs this when it starts, in the process of each function on the laptop.

The functions answer CloudFormation at an address of S3's, over TLS, and at no other. Where that
leads is settled here, as a resolver would: to the laptop cloud, under the same path. The functions
know nothing of it.
"""

import os
import urllib.request
from http.client import HTTPResponse
from urllib.parse import urlsplit

ANSWERS = "cloudformation-custom-resource-response-"


class AnswersToTheLaptop(urllib.request.HTTPSHandler):
    """Leads what goes to CloudFormation's bucket to the laptop cloud."""

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        address = urlsplit(request.full_url)
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        if not endpoint or not (address.hostname or "").startswith(ANSWERS):
            return super().https_open(request)
        url = f"{endpoint}{address.path}{'?' if address.query else ''}{address.query}"
        method, headers = request.get_method(), dict(request.header_items())
        headers.pop("Host", None)
        led = urllib.request.Request(url, request.data, headers, method=method)
        answer: HTTPResponse = self.parent.open(led, timeout=request.timeout)
        return answer


urllib.request.install_opener(urllib.request.build_opener(AnswersToTheLaptop()))
