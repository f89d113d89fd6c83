"""What is about to be deployed: a stack's name, its parameters, and what there is of it already."""

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tools.stacks import SAMCONFIG, StackError

# The template's, for what is asked for here; tests/unit/test_preflight.py compares.
DEFAULTS = {"DatabaseName": "dev"}
OVERRIDE = re.compile(
    r"(?:ParameterKey=)?(?P<name>\w+)(?:,ParameterValue)?=(?P<value>.*)", re.DOTALL
)
# In these a stack has no resources that it would keep.
UNMADE = {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"}
# A check that cannot reach AWS says so after seconds, not minutes.
CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})


@dataclass(frozen=True)
class Deployment:
    """A stack that is to be deployed. `given` are the parameters that are said for it."""

    environment: str
    stack: str
    session: boto3.Session
    given: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.session.client(service, config=CONFIG)
        return self._clients[service]

    @property
    def region(self) -> str:
        return self.session.region_name or ""

    @cached_property
    def caller(self) -> str:
        """The ARN of whose credentials these are. Raises botocore's errors."""
        return str(self.client("sts").get_caller_identity()["Arn"])

    @property
    def account(self) -> str:
        return self.caller.split(":")[4]

    @cached_property
    def existing(self) -> dict[str, Any]:
        """CloudFormation's description of the stack; empty: there is none. Raises ClientError."""
        try:
            answer = self.client("cloudformation").describe_stacks(StackName=self.stack)
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return {}
            raise
        return dict(answer["Stacks"][0])

    @property
    def status(self) -> str:
        return str(self.existing.get("StackStatus", ""))

    @property
    def is_first(self) -> bool:
        return not self.existing or self.status in UNMADE

    @cached_property
    def resources(self) -> dict[str, str]:
        """Physical by logical ids of what the stack holds. Raises ClientError."""
        if self.is_first:
            return {}
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        return {
            item["LogicalResourceId"]: item.get("PhysicalResourceId", "")
            for page in pages.paginate(StackName=self.stack)
            for item in page["StackResourceSummaries"]
        }

    @property
    def outputs(self) -> dict[str, str]:
        return {o["OutputKey"]: o["OutputValue"] for o in self.existing.get("Outputs", [])}

    def parameter(self, name: str) -> str:
        """What a parameter is going to be: as given, as it is, or its default."""
        if name in self.given:
            return self.given[name]
        if not self.is_first:
            for known in self.existing.get("Parameters", []):
                if known["ParameterKey"] == name:
                    return str(known["ParameterValue"])
        return DEFAULTS.get(name, "")

    def listed(self, name: str) -> list[str]:
        """A parameter that is a list."""
        return [item.strip() for item in self.parameter(name).split(",") if item.strip()]

    @property
    def makes_warehouse(self) -> bool:
        return not (self.parameter("WorkgroupArn") or self.parameter("ClusterArn"))


def of_environment(
    environment: str,
    stack: str = "",
    region: str = "",
    profile: str = "",
    overrides: Sequence[str] = (),
) -> Deployment:
    """The deployment of an environment of samconfig.toml, bettered by options of `sam deploy`.

    Raises StackError, and ProfileNotFound.
    """
    settings = _settings(environment)
    stack = stack or str(settings.get("stack_name", ""))
    if not stack:
        raise StackError(f"samconfig.toml names no stack for {environment!r}: give --stack-name.")
    session = boto3.Session(
        profile_name=profile or settings.get("profile"),
        region_name=region or settings.get("region"),
    )
    configured = settings.get("parameter_overrides", [])
    words = shlex.split(configured) if isinstance(configured, str) else list(configured)
    given = dict(_override(word) for word in (*words, *overrides))
    return Deployment(environment, stack, session, given)


def _override(word: str) -> tuple[str, str]:
    """Name and value, in either spelling of `sam deploy`. Raises StackError."""
    match = OVERRIDE.fullmatch(word)
    if not match:
        raise StackError(f"--parameter-overrides takes NAME=VALUE, not {word!r}.")
    return match["name"], match["value"].strip("\"'")


@cache
def _samconfig() -> dict[str, Any]:
    return tomllib.loads(SAMCONFIG.read_text())


def _settings(environment: str) -> dict[str, Any]:
    sections = _samconfig()
    if environment not in sections:
        known = ", ".join(name for name in sections if name not in ("version", "default"))
        raise StackError(f"samconfig.toml has no environment {environment!r}, but {known}.")
    section = sections[environment]
    of_all = section.get("global", {}).get("parameters", {})
    return {**of_all, **section.get("deploy", {}).get("parameters", {})}
