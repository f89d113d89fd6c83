"""delivery/github.yaml and the workflow that logs in with it agree with the pipeline."""

import itertools
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from tests.security.grants import listed
from tests.template.test_combinations import deployed
from tools.names import LONGEST

ROOT = Path(__file__).parents[2]
RESOURCES = yaml_parse((ROOT / "delivery" / "github.yaml").read_text())["Resources"]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())["jobs"]
LOGGING_IN = {name: job for name, job in JOBS.items() if "id-token" in job.get("permissions", {})}
HANDLERS = yaml.safe_load((Path(__file__).parent / "handlers.yaml").read_text())
# CloudFormation's names of services, where IAM has another.
PREFIXES = {
    "Custom": "lambda",
    "RedshiftServerless": "redshift-serverless",
    "StepFunctions": "states",
}
# What AWS takes of a managed policy, and of all inline policies of a role, without white space.
POLICY_CHARACTERS, INLINE_CHARACTERS = 6_144, 10_240


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(statement) for statement in policy["PolicyDocument"]["Statement"]]


def execution_statements() -> list[dict[str, Any]]:
    """All that the role has, of itself and attached."""
    [own] = RESOURCES["ExecutionRole"]["Properties"]["Policies"]
    [attached] = RESOURCES["ExecutionRole"]["Properties"]["ManagedPolicyArns"]
    return [*statements(own), *statements(RESOURCES[attached["Ref"]]["Properties"])]


def test_execution_role_knows_each_kind_of_resource() -> None:
    known = {a.split(":")[0] for s in execution_statements() for a in listed(s["Action"])}
    types = [body["Type"].split("::") for body in deployed({})["Resources"].values()]

    assert {PREFIXES.get(part[-2], part[-2].lower()) for part in types} <= known


@pytest.mark.parametrize("kind", HANDLERS["declared"])
def test_execution_role_may_do_what_the_handlers_declare(kind: str) -> None:
    granted = [action for s in execution_statements() for action in listed(s["Action"])]
    withheld = {action for entry in HANDLERS["withheld"] for action in entry["actions"]}
    missing = [
        action
        for action in HANDLERS["declared"][kind]
        if not any(fnmatchcase(action, pattern) for pattern in granted)
    ]

    assert set(missing) <= withheld
    assert not withheld & set(granted)


def test_roles_can_only_be_made_with_the_boundary() -> None:
    boundary = {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}}
    granting = {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"}
    for statement in execution_statements():
        actions = set(listed(statement["Action"]))
        assert not actions & {"iam:*", "iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary"}
        if actions & granting:
            assert statement["Condition"] == boundary


def test_key_is_used_through_the_services_of_every_partition() -> None:
    """Whether kms:ViaService ends in .cn in China is said nowhere: both forms are let through."""
    patterns = {
        value["Fn::Sub"].replace("${AWS::Region}", "region")
        for value in found(RESOURCES, "kms:ViaService")
    }
    services = {pattern.split(".")[0] for pattern in patterns}

    assert {"s3", "secretsmanager", "sns", "sqs"} <= services
    for service, suffix in itertools.product(services, ("amazonaws.com", "amazonaws.com.cn")):
        name = f"{service}.region.{suffix}"
        assert any(fnmatchcase(name, pattern) for pattern in patterns), name


def test_tokens_are_for_the_partition_s_sts() -> None:
    audience = {"Fn::Sub": "sts.${AWS::URLSuffix}"}
    given = {
        step["with"]["audience"]
        for job in LOGGING_IN.values()
        for step in job["steps"]
        if "configure-aws-credentials" in step.get("uses", "")
    }

    assert RESOURCES["GitHub"]["Properties"]["ClientIdList"] == [audience]
    assert list(found(RESOURCES, "token.actions.githubusercontent.com:aud")) == [audience] * 2
    assert given == {
        "${{ startsWith(vars.AWS_REGION, 'cn-') && 'sts.amazonaws.com.cn' || 'sts.amazonaws.com' }}"
    }


def found(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, anywhere; of a list each."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from listed(part) if name == key else found(part, key)
    if isinstance(value, list):
        for part in value:
            yield from found(part, key)


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("Boundary", POLICY_CHARACTERS),
        ("MakeChangeSets", POLICY_CHARACTERS),
        ("MakeWhatIsTagged", POLICY_CHARACTERS),
        ("ExecutionRole", INLINE_CHARACTERS),
    ],
)
def test_policy_is_not_too_long(name: str, characters: int) -> None:
    properties = RESOURCES[name]["Properties"]
    policies = properties.get("Policies", [properties])
    text = json.dumps([p["PolicyDocument"] for p in policies], separators=(",", ":"))
    names = {"StackName": LONGEST, "AWS::Region": 14, "AWS::AccountId": 12, "AWS::Partition": 10}
    for parameter, length in names.items():
        text = text.replace(f"${{{parameter}}}", "x" * length)

    assert len(text) < characters


def test_no_job_but_those_with_an_environment_logs_in() -> None:
    assert {name: job["environment"] for name, job in LOGGING_IN.items()} == {
        "dev": "dev",
        "prod-changes": "prod-changes",
        "prod": "prod",
    }


def test_prod_is_what_was_shown_and_nothing_else() -> None:
    [command] = [step["run"] for step in JOBS["prod"]["steps"] if "run" in step]
    [given] = [step["env"] for step in JOBS["prod"]["steps"] if "run" in step]

    assert command == 'make execute ENV=prod CHANGE_SET="$CHANGE_SET"'
    assert given == {"CHANGE_SET": "${{ needs.prod-changes.outputs.change_set }}"}
    assert JOBS["prod"]["if"] == "needs.prod-changes.outputs.change_set != ''"
    assert JOBS["prod-changes"]["needs"] == "dev"
    assert JOBS["dev"]["needs"] == "check"
