"""The stack that is verified, as CloudFormation and the environment's credentials show it."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3

from tools.stacks import StackError

# The ends of the host names under which AWS answers; ours to know, as no service tells.
AWS_DOMAINS = ("amazonaws.com", "amazonaws.com.cn", "api.aws", "api.amazonwebservices.com.cn")
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,126}")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")


@dataclass
class Deployed:
    """A stack by its name: outputs and parameters by theirs. Reading raises botocore's errors."""

    name: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(service)
        return self._clients[service]

    @cached_property
    def description(self) -> dict[str, Any]:
        [stack] = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return dict(stack)

    @cached_property
    def outputs(self) -> dict[str, str]:
        found = self.description.get("Outputs", [])
        return {item["OutputKey"]: item["OutputValue"] for item in found}

    @cached_property
    def parameters(self) -> dict[str, str]:
        found = self.description.get("Parameters", [])
        return {item["ParameterKey"]: item["ParameterValue"] for item in found}

    @property
    def region(self) -> str:
        return str(self.client("cloudformation").meta.region_name)

    @property
    def kind(self) -> str:
        """Which kind of warehouse it loads into."""
        if self.parameters.get("ClusterArn"):
            return "a provisioned cluster of yours"
        if self.parameters.get("WorkgroupArn"):
            return "a serverless workgroup of yours"
        return "the stack's own serverless workgroup"

    @property
    def capacity(self) -> int:
        """The size of the stack's own workgroup in RPU. Of yours it is not known here; 8 stands
        for a serverless one, 0 for a cluster, which costs the same busy or not."""
        if self.parameters.get("ClusterArn"):
            return 0
        return 8 if self.parameters.get("WorkgroupArn") else int(self.parameters["BaseCapacity"])

    @property
    def target(self) -> dict[str, str]:
        """What names warehouse and database to the Data API."""
        kind = "ClusterIdentifier" if self.parameters.get("ClusterArn") else "WorkgroupName"
        return {kind: self.outputs["WorkgroupName"], "Database": self.outputs["DatabaseName"]}

    @property
    def glue_database(self) -> str:
        """Fit to stand in SQL. Raises StackError."""
        return _fit(_IDENTIFIER, self.outputs["GlueDatabaseName"])

    @property
    def spectrum_role(self) -> str:
        """Fit to stand in SQL. Raises StackError."""
        return _fit(_ROLE, self.outputs["SpectrumRoleArn"])

    def stranger(self, service: str = "stepfunctions") -> str:
        """Who answers in place of AWS; "" where it is AWS."""
        host = urlsplit(self.client(service).meta.endpoint_url).hostname or ""
        if any(host.endswith(f".{domain}") for domain in AWS_DOMAINS):
            return ""
        return f"{host} is not AWS"


def _fit(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise StackError(f"{value!r} is not fit to stand in SQL.")
    return value
