"""What the targets share that show, change and delete a stack."""

import tomllib
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import WaiterError

SAMCONFIG = Path(__file__).parents[1] / "samconfig.toml"
# Until an hour has passed, as boto3 does, but without its half minute between two looks.
PATIENCE = {"Delay": 5, "MaxAttempts": 720}
STARTS = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}


class StackError(RuntimeError):
    """The stack is not as it was meant to be; the text says why."""


def name_of(environment: str) -> str:
    """The name of the stack of an environment of samconfig.toml. Raises StackError."""
    sections = tomllib.loads(SAMCONFIG.read_text())
    try:
        return str(sections[environment]["deploy"]["parameters"]["stack_name"])
    except (KeyError, TypeError):
        known = ", ".join(name for name in sections if name not in ("version", "default"))
        raise StackError(
            f"samconfig.toml has no environment {environment!r}, but {known}."
        ) from None


def outputs_of(stack: str) -> dict[str, str]:
    """A deployed stack's outputs by name. Raises botocore's errors."""
    [found] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])}


def wait(client: Any, waiter: str, stack_id: str) -> None:
    """Wait for one of CloudFormation's waiters. Raises StackError, with the failed resources."""
    try:
        # By its id, since a deleted stack has no name any more.
        client.get_waiter(waiter).wait(StackName=stack_id, WaiterConfig=PATIENCE)
    except WaiterError as error:
        raise StackError(reasons(client, stack_id)) from error


def reasons(client: Any, stack_id: str) -> str:
    """What failed since the latest operation on the stack began, the first failure first."""
    lines: list[str] = []
    pages = client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    for event in (event for page in pages for event in page["StackEvents"]):
        if event["ResourceStatus"].endswith("_FAILED"):
            lines.append(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}")
        if event["PhysicalResourceId"] == stack_id and event["ResourceStatus"] in STARTS:
            break
    return "\n".join(reversed(lines))
