"""What the roles of the template, and those of a deployed stack, are granted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import yaml_parse

from local.grants import Grant
from local.stack import Stack

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
EXCEPTIONS = yaml.safe_load((Path(__file__).parent / "exceptions.yaml").read_text())


@dataclass(frozen=True)
class Statement:
    """A statement of a role's policy, as the template has it."""

    role: str
    sid: str
    actions: tuple[str, ...]
    resources: tuple[Any, ...]
    condition: dict[str, Any] = field(default_factory=dict, hash=False)
    is_optional: bool = False


@dataclass(frozen=True)
class Unused:
    """An exception: these actions of the statements of this name are used by no recorded call."""

    sid: str
    actions: tuple[str, ...]
    reason: str

    def covers(self, sid: str, action: str) -> bool:
        return sid == self.sid and action in self.actions


def unused() -> list[Unused]:
    return _exceptions("unused")


def excused() -> list[Unused]:
    """Those of which no call is recorded: unused ones, and ones of other stacks."""
    return [*unused(), *_exceptions("elsewhere")]


def _exceptions(section: str) -> list[Unused]:
    return [
        Unused(entry["sid"], tuple(entry["actions"]), entry["reason"])
        for entry in EXCEPTIONS[section]
    ]


def roles() -> list[str]:
    return [name for name, body in RESOURCES.items() if body["Type"] == "AWS::IAM::Role"]


def statements(role: str) -> Iterator[Statement]:
    for policy in RESOURCES[role]["Properties"]["Policies"]:
        for entry in policy["PolicyDocument"]["Statement"]:
            statement = entry["Fn::If"][1] if "Fn::If" in entry else entry
            yield Statement(
                role,
                statement["Sid"],
                listed(statement["Action"]),
                listed(statement["Resource"]),
                statement.get("Condition", {}),
                "Fn::If" in entry,
            )


def logical_ids(stack: Stack) -> dict[str, str]:
    """The logical ids of a stack's resources by physical id."""
    client = stack.cloud.client("cloudformation")
    found = client.describe_stack_resources(StackName=stack.name)["StackResources"]
    return {item["PhysicalResourceId"]: item["LogicalResourceId"] for item in found}


def deployed_grants(stack: Stack) -> Iterator[Grant]:
    """All that the policies of a stack's roles allow, under the roles' names."""
    cloudformation = stack.cloud.client("cloudformation")
    iam = stack.cloud.client("iam")
    found = cloudformation.describe_stack_resources(StackName=stack.name)["StackResources"]
    for role in (r["PhysicalResourceId"] for r in found if r["ResourceType"] == "AWS::IAM::Role"):
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        assert not attached, f"{role} has policies that are not of the template: {attached}"
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for statement in document["Statement"]:
                yield from _grants(role, statement)


def _grants(role: str, statement: dict[str, Any]) -> Iterator[Grant]:
    services = statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService", "")
    for action in listed(statement["Action"]):
        for resource in listed(statement["Resource"]):
            for service in listed(services):
                yield Grant(role, statement["Sid"], action, resource, service)


def listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)
