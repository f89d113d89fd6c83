"""What a custom resource says to CloudFormation, and how: one PUT to the request's ResponseURL."""

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

# CloudFormation takes no more than 4,096 bytes.
MAX_ANSWER_BYTES = 4_096
SEND_TIMEOUT_SECONDS = 10
RETRY_DELAYS_SECONDS = (1, 2)


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
