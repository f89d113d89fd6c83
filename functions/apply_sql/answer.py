"""What a custom resource says to CloudFormation, and how: one PUT to the request's ResponseURL."""

import json
import re
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

# CloudFormation takes no more than 4,096 bytes.
MAX_ANSWER_BYTES = 4_096
SEND_TIMEOUT_SECONDS = 10
RETRY_DELAYS_SECONDS = (1, 2)
# CloudFormation's own bucket, one a region, whose hyphens it leaves out. Source: AWS CloudFormation
# user guide, on VPC endpoints.
BUCKET = "cloudformation-custom-resource-response-{}"
S3_HOST = r"\.s3(?:[.-][a-z0-9-]+)*\.amazonaws\.(?:com|com\.cn|eu)"


class AddressError(ValueError):
    """A request that is to be answered to somebody who is not CloudFormation."""


def check_address(url: str, region: str) -> None:
    """Raises AddressError where a URL is not one of CloudFormation's bucket in this region."""
    address = urlsplit(url)
    bucket = re.escape(BUCKET.format(region.replace("-", "")))
    if address.scheme != "https" or not re.fullmatch(bucket + S3_HOST, address.netloc):
        # Without the URL, which may hold a signature.
        raise AddressError(f"the answer would go to {address.hostname!r}, not to CloudFormation")


def success(
    request: Mapping[str, Any], physical_id: str, data: Mapping[str, str]
) -> dict[str, Any]:
    """The answer to a request that was fulfilled; `data` is what `!GetAtt` gives."""
    return {"Status": "SUCCESS", "Data": dict(data), **_identity(request, physical_id)}


def failure(request: Mapping[str, Any], physical_id: str, reason: str) -> dict[str, Any]:
    """The answer to a request that was not; `reason` loses its end where it is too long."""
    answer = {"Status": "FAILED", "Reason": reason, **_identity(request, physical_id)}
    while len(encode(answer)) > MAX_ANSWER_BYTES and len(answer["Reason"]) > 1:
        answer["Reason"] = answer["Reason"][: len(answer["Reason"]) * 9 // 10]
    return answer


def encode(answer: Mapping[str, Any]) -> bytes:
    """The answer's body: JSON in UTF-8."""
    return json.dumps(answer, ensure_ascii=False).encode(errors="replace")


def send(url: str, answer: Mapping[str, Any]) -> None:
    """PUT the answer. Raises OSError when the last attempt fails too."""
    body = encode(answer)
    for delay in RETRY_DELAYS_SECONDS:
        try:
            _put(url, body)
        except OSError:
            time.sleep(delay)
        else:
            return
    _put(url, body)


def _identity(request: Mapping[str, Any], physical_id: str) -> dict[str, Any]:
    return {
        "PhysicalResourceId": physical_id,
        "StackId": request.get("StackId", ""),
        "RequestId": request.get("RequestId", ""),
        "LogicalResourceId": request.get("LogicalResourceId", ""),
    }


def _put(url: str, body: bytes) -> None:
    # The URL is signed for an empty content type; urllib would fill in another one.
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(request, timeout=SEND_TIMEOUT_SECONDS):
        pass
