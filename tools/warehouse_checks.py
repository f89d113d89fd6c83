"""Whether a warehouse of theirs (WorkgroupArn, ClusterArn) can be loaded into.

Each check takes the deployment and gives one result; it changes nothing. Those that log in wake a
serverless workgroup that sleeps, which costs a minute of it.
"""

import json
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from tools.checks import Result, State
from tools.deployments import Deployment
from tools.stacks import StackError

GREEN, AMBER, RED = State.GREEN, State.AMBER, State.RED

# What a client has to find in a secret, and what more AWS's own Redshift secrets hold, which others
# that take a secret's ARN rely on.
FIELDS = ("username", "password")
FURTHER_FIELDS = ("engine", "host", "port", "dbname")
WAIT_SECONDS = 120.0
POLL_SECONDS = 0.5

ASK = """\
select usesuper, trim(database_isolation_level),
    (select count(*) from pg_namespace where nspname in ('etl', 'mart', 'lake'))
from pg_user, svv_redshift_databases
where usename = current_user and database_name = current_database()"""


class LoginError(RuntimeError):
    """The Data API could not ask; the text is its own."""


@dataclass(frozen=True)
class Answers:
    """What the database says of itself and of the secret's user."""

    is_superuser: bool
    isolation: str
    schemas: int


@dataclass(frozen=True)
class Warehouse:
    """A warehouse of theirs, asked at most once for each thing."""

    deployment: Deployment

    @property
    def arn(self) -> str:
        return self.deployment.parameter("WorkgroupArn") or self.deployment.parameter("ClusterArn")

    @property
    def is_cluster(self) -> bool:
        return not self.deployment.parameter("WorkgroupArn")

    @cached_property
    def description(self) -> dict[str, Any]:
        """The workgroup's or the cluster's; empty: there is none. Raises botocore's errors."""
        if self.is_cluster:
            return self._cluster()
        pages = self.deployment.client("redshift-serverless").get_paginator("list_workgroups")
        found = [
            workgroup
            for page in pages.paginate()
            for workgroup in page["workgroups"]
            if workgroup["workgroupArn"] == self.arn
        ]
        return dict(found[0]) if found else {}

    @cached_property
    def role_arns(self) -> list[str]:
        """The roles that the warehouse may take. Raises botocore's errors."""
        if self.is_cluster:
            return [role["IamRoleArn"] for role in self.description.get("IamRoles", [])]
        client = self.deployment.client("redshift-serverless")
        name = self.description["namespaceName"]
        roles = client.get_namespace(namespaceName=name)["namespace"].get("iamRoles", [])
        # AWS answers `IamRole(applyStatus=in-sync, iamRoleArn=arn:...)`.
        return [role.partition("iamRoleArn=")[2].rstrip(")") or role for role in roles]

    @cached_property
    def answers(self) -> Answers:
        """Raises LoginError, StackError when there is no answer in time, and botocore's errors."""
        client = self.deployment.client("redshift-data")
        name = self.arn.split(":")[6] if self.is_cluster else self.arn
        statement = client.execute_statement(
            **{"ClusterIdentifier" if self.is_cluster else "WorkgroupName": name},
            Database=self.deployment.parameter("DatabaseName"),
            SecretArn=self.deployment.parameter("WarehouseSecretArn"),
            Sql=ASK,
        )["Id"]
        _wait(client, statement)
        [[superuser, isolation, schemas]] = client.get_statement_result(Id=statement)["Records"]
        return Answers(superuser["booleanValue"], isolation["stringValue"], schemas["longValue"])

    def _cluster(self) -> dict[str, Any]:
        client = self.deployment.client("redshift")
        try:
            answer = client.describe_clusters(ClusterIdentifier=self.arn.split(":")[6])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ClusterNotFound", "ClusterNotFoundFault"):
                return {}
            raise
        return dict(answer["Clusters"][0])


def _wait(client: Any, statement: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = client.describe_statement(Id=statement)
        if answer["Status"] == "FINISHED":
            return
        if answer["Status"] in ("FAILED", "ABORTED"):
            raise LoginError(answer.get("Error", answer["Status"]))
        if time.monotonic() > deadline:
            raise StackError(f"no answer within {WAIT_SECONDS:.0f} seconds")
        time.sleep(POLL_SECONDS)


def your_warehouse(warehouse: Warehouse) -> Result:
    """What can be seen without asking anybody but for the account."""
    deployment = warehouse.deployment
    name = "your warehouse"
    if deployment.parameter("WorkgroupArn") and deployment.parameter("ClusterArn"):
        return Result(name, RED, "WorkgroupArn and ClusterArn are given.", "Give one of them.")
    if not deployment.parameter("WarehouseSecretArn"):
        step = "Give a secret with an administrator's username and password."
        return Result(name, RED, "WarehouseSecretArn is not given.", step)
    _, _, _, region, account, *_ = warehouse.arn.split(":")
    if (region, account) != (deployment.region, deployment.account):
        here = f"{deployment.account}, {deployment.region}"
        text = f"It is in {account}, {region}; the stack would be in {here}."
        return Result(name, RED, text, "Deploy into its account and region.")
    return _status(warehouse)


def _status(warehouse: Warehouse) -> Result:
    name = "your warehouse"
    found = warehouse.description
    status = str(found.get("ClusterStatus") or found.get("status") or "in a state not said")
    if not found:
        step = "Look the ARN up: the name alone is not it."
        return Result(name, RED, "There is none of that ARN.", step, _listing(warehouse))
    if status.lower() == "paused":
        identifier = warehouse.arn.split(":")[6]
        command = f"aws redshift resume-cluster --cluster-identifier {identifier}"
        return Result(name, RED, "The cluster is paused.", "Resume it.", command)
    if status.lower() != "available":
        return Result(name, AMBER, f"It is {status.lower()}.", "Wait until it is available.")
    return Result(name, GREEN, "Available, in this account and region.")


def _listing(warehouse: Warehouse) -> str:
    if warehouse.is_cluster:
        return "aws redshift describe-clusters --query Clusters[].ClusterIdentifier"
    return "aws redshift-serverless list-workgroups --query workgroups[].workgroupArn"


def secret(warehouse: Warehouse) -> Result:
    deployment = warehouse.deployment
    arn = deployment.parameter("WarehouseSecretArn")
    client = deployment.client("secretsmanager")
    step = "Put them into the secret, as JSON."
    try:
        text = client.get_secret_value(SecretId=arn)["SecretString"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return Result("secret", RED, "There is none of WarehouseSecretArn.", "Look its ARN up.")
    values = _json_object(text)
    missing = [field for field in FIELDS if not values.get(field)]
    if missing:
        return Result("secret", RED, f"It lacks {' and '.join(missing)}.", step)
    if warehouse.is_cluster:
        named = values.get("dbClusterIdentifier")
        identifier = warehouse.arn.split(":")[6]
        if named and named != identifier:
            text = f"Its dbClusterIdentifier is {named}, the cluster {identifier}."
            return Result("secret", RED, text, "The Data API refuses that: make them equal.")
    other_key = _other_key(client, arn, deployment.parameter("KmsKeyArn"))
    if other_key:
        text = "It is under a key that the stack's roles may not use."
        step = "Put it under the key KmsKeyArn, or one that AWS manages."
        return Result("secret", RED, text, step, f"aws kms describe-key --key-id {other_key}")
    further = [field for field in FURTHER_FIELDS if field not in values]
    if further:
        text = f"Enough for the pipeline; other clients may miss {', '.join(further)}."
        return Result("secret", AMBER, text, "Add them, as AWS's own Redshift secrets have them.")
    return Result("secret", GREEN, f"Has {', '.join(FIELDS)} and what other clients want.")


def _json_object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _other_key(client: Any, secret_arn: str, key_arn: str) -> str:
    """The customer's key that a secret is under, unless it is the given one."""
    key = client.describe_secret(SecretId=secret_arn).get("KmsKeyId", "")
    if not key or "alias/aws/" in key or key.split("/")[-1] == key_arn.rsplit("/", maxsplit=1)[-1]:
        return ""
    return str(key)


def login(warehouse: Warehouse) -> Result:
    try:
        answers = warehouse.answers
    except LoginError as error:
        step = "See that DatabaseName exists in it, and that user and password log in there."
        return Result("login", RED, f"The Data API says: {error}.", step)
    if not answers.is_superuser:
        step = "Give the secret of one who may CREATE USER: a superuser."
        return Result("login", RED, "The secret's user is no administrator.", step)
    if answers.schemas and warehouse.deployment.is_first:
        text = "Logs in; another pipeline has schemas etl, mart or lake there."
        step = "One pipeline a warehouse: this one takes them over, with its users."
        return Result("login", AMBER, text, step)
    return Result("login", GREEN, "The Data API logs in, as an administrator.")


def isolation_level(warehouse: Warehouse) -> Result:
    name = "isolation level"
    try:
        level = warehouse.answers.isolation
    except LoginError:
        return Result(name, AMBER, "Could not ask: nobody could log in.")
    if level.lower().startswith("snapshot"):
        return Result(name, GREEN, f"{level}.")
    database = warehouse.deployment.parameter("DatabaseName")
    return Result(
        name,
        AMBER,
        f"{level}: loads of two datasets at once fail with error 1023, and are tried again.",
        "From another database, while nobody is connected to this one, run: "
        f"alter database {database} isolation level snapshot",
    )


def spectrum_role(warehouse: Warehouse) -> Result:
    name = "spectrum role"
    deployment = warehouse.deployment
    role = deployment.outputs.get("SpectrumRoleArn", "")
    if not role:
        return Result(
            name,
            AMBER,
            "The deployment makes it, and cannot attach it.",
            "Attach it before the first file: docs/first-day.md, Attach the role.",
        )
    if role in warehouse.role_arns:
        return Result(name, GREEN, "Attached.")
    if warehouse.is_cluster:
        command = (
            "aws redshift modify-cluster-iam-roles --cluster-identifier "
            f"{warehouse.arn.split(':')[6]} --add-iam-roles {role}"
        )
    else:
        # The call replaces the list, so those that are attached stand in it again.
        command = (
            "aws redshift-serverless update-namespace --namespace-name "
            f"{warehouse.description['namespaceName']} --iam-roles "
            f"{' '.join([*warehouse.role_arns, role])}"
        )
    return Result(name, RED, "Not attached: every load fails.", "Attach it.", command)
