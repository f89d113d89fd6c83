"""What AWS refuses at creation: each rule, broken once. The deployed template breaks none."""

import copy
from typing import Any

import pytest

from local import refusals

TOPIC = "arn:aws:sns:us-east-1:000000000000:support"


def topic_policy(resource: Any) -> dict[str, Any]:
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": resource,
    }
    return {"Topics": [TOPIC], "PolicyDocument": {"Statement": [statement]}}


VALID: dict[str, Any] = {
    "AWS::SNS::TopicPolicy": topic_policy(TOPIC),
}
REFUSED = [
    pytest.param(
        "AWS::SNS::TopicPolicy",
        topic_policy([TOPIC, f"{TOPIC}-too"]),
        "Policy statement must apply to a single resource!",
        id="topic policy with two topics",
    ),
    pytest.param(
        "AWS::SNS::TopicPolicy",
        topic_policy(f"{TOPIC}-too"),
        "Invalid resource",
        id="topic policy of another topic",
    ),
]


@pytest.mark.parametrize("kind", VALID)
def test_what_aws_takes_is_taken(kind: str) -> None:
    refusals.check(kind, copy.deepcopy(VALID[kind]))


@pytest.mark.parametrize(("kind", "properties", "text"), REFUSED)
def test_what_aws_refuses_is_refused(kind: str, properties: dict[str, Any], text: str) -> None:
    with pytest.raises(refusals.Refused, match=text):
        refusals.check(kind, properties)
