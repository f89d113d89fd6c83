"""What people and schedules do to a deployed stack: its queue, its sweeper, its mails."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.mails import received, subscribe
from local.stack import Stack

WAIT_SECONDS = 40.0
POLL_SECONDS = 0.05
LOADS_HELD_UP = """
    select count(*) from pg_stat_activity
    where usename = 'etl_loader' and wait_event_type = 'Lock'
"""


@contextmanager
def short_deadline(stack: Stack, minutes: float = 0.01) -> Iterator[None]:
    """Loads that begin now have no time, as if LoadTimeoutMinutes could be a hundredth of one."""
    machine = {"stateMachineArn": stack.outputs["LoadStateMachineArn"]}
    definition = stack.step_functions.describe_state_machine(**machine)["definition"]
    shorter = definition.replace("60 * 60000", f"{minutes} * 60000")
    assert shorter != definition
    stack.step_functions.update_state_machine(**machine, definition=shorter)
    try:
        yield
    finally:
        stack.step_functions.update_state_machine(**machine, definition=definition)


@contextmanager
def denied(stack: Stack, role: str, action: str, keys: str) -> Iterator[None]:
    """Let a role (its logical id) lose an action on these keys of the raw bucket."""
    iam = stack.cloud.client("iam")
    resource = stack.cloud.client("cloudformation").describe_stack_resource(
        StackName=stack.name, LogicalResourceId=role
    )["StackResourceDetail"]
    name = {"RoleName": resource["PhysicalResourceId"], "PolicyName": "Denied"}
    bucket = stack.outputs["RawBucketName"]
    statement = {"Effect": "Deny", "Action": action, "Resource": f"arn:aws:s3:::{bucket}/{keys}"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(**name, PolicyDocument=json.dumps(policy))
    try:
        yield
    finally:
        iam.delete_role_policy(**name)


@contextmanager
def anything_let_in(stack: Stack) -> Iterator[None]:
    """Take uploads that cannot be read, as a bucket holds them from a time before its policy, or
    by a lifecycle rule."""
    bucket = {"Bucket": stack.outputs["RawBucketName"]}
    policy = stack.s3.get_bucket_policy(**bucket)["Policy"]
    stack.s3.delete_bucket_policy(**bucket)
    try:
        yield
    finally:
        stack.s3.put_bucket_policy(**bucket, Policy=policy)


def rerun_input(document: str) -> str:
    """The input that the command in a mail to support makes of a load's."""
    return document if "is_rerun" in document else document.replace("{", '{"is_rerun":true,', 1)


def wait_until(is_so: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Mail:
    """`attributes` are those of the message, as texts by name."""

    subject: str
    message: str
    attributes: dict[str, str] = field(default_factory=dict)

    def line(self, title: str) -> str:
        """What follows `title: ` on a line of its own; "" where there is none."""
        start = f"{title}: "
        lines = [line for line in self.message.splitlines() if line.startswith(start)]
        return lines[0].removeprefix(start) if lines else ""

    def list_under(self, title: str) -> list[str]:
        """The indented lines after the line that begins with `title`."""
        lines = self.message.splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith(title)]
        found = []
        for line in lines[starts[-1] + 1 :] if starts else []:
            if not line.startswith("  "):
                break
            found.append(line[2:])
        return found


class Mailbox:
    """A reader's mails: a queue that is subscribed to the topic, `Business` or `Support`.

    `wanted` is the subscription's filter policy; readers of one topic have different names.
    """

    def __init__(
        self, stack: Stack, topic: str, name: str = "mail", wanted: dict[str, Any] | None = None
    ) -> None:
        self._sqs = stack.sqs
        self._url = subscribe(stack, topic, f"{stack.name}-{topic}-{name}", wanted)

    def new_mails(self) -> list[Mail]:
        """Those that have come since this was last asked, in that order."""
        bodies = (json.loads(message) for message in received(self._sqs, self._url))
        return [
            Mail(
                body.get("Subject", ""),
                body["Message"],
                {name: item["Value"] for name, item in body.get("MessageAttributes", {}).items()},
            )
            for body in bodies
        ]


def messages_in(stack: Stack, queue: str) -> int:
    """How many messages the queue of this output holds, being handled and held back ones too."""
    names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
    attributes = stack.sqs.get_queue_attributes(
        QueueUrl=stack.outputs[queue], AttributeNames=names
    )["Attributes"]
    return sum(int(attributes[name]) for name in names)


def enable_queue(stack: Stack, *, is_on: bool) -> None:
    """Let messages be handled, or wait in the queue."""
    client = stack.cloud.client("lambda")
    name = stack.outputs["StartLoadsFunctionName"]
    [mapping] = client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=is_on)


def empty_bucket(stack: Stack, bucket: str, prefix: str = "") -> None:
    """Delete every version under a prefix in the bucket of this output for good."""
    name = stack.outputs[bucket]
    pages = stack.s3.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=name, Prefix=prefix):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            stack.s3.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])


def sweep(stack: Stack, waiting_minutes: float = 0, leftover_minutes: float = 0) -> dict[str, Any]:
    """Run the deployed sweeper, to which nothing is too young; answers what it did."""
    minutes = {"waiting_minutes": waiting_minutes, "leftover_minutes": leftover_minutes}
    answer = stack.cloud.client("lambda").invoke(
        FunctionName=stack.outputs["SweepFunctionName"], Payload=json.dumps(minutes)
    )
    outcome: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, outcome
    assert outcome["is_complete"]
    return outcome
