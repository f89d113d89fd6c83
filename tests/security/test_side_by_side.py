"""Two environments in one account: no role of one gets at anything of the other.

Both are deployed, the second under a name that goes on from the first's, which is where a pattern
such as `<stack>-*` would reach too far. Each role then tries its hand, with calls of its own.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import deploy
from local.cloud import ACCOUNT, REGION, LaptopCloud
from local.sdk_tasks import RoleClients
from local.stack import Stack
from tests.conftest import STACK_NAME
from tests.security.grants import logical_ids, roles

pytestmark = pytest.mark.long

Client = Callable[[str], Any]
Outputs = dict[str, str]
DENIALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "403"}


def execution(outputs: Outputs) -> str:
    return outputs["LoadStateMachineArn"].replace(":stateMachine:", ":execution:") + ":one"


# What a role of this product, or whoever has got hold of it, might try at another stack.
CALLS: dict[str, Callable[[Client, Outputs], Any]] = {
    "read a raw file": lambda client, its: client("s3").get_object(
        Bucket=its["RawBucketName"], Key="raw/flights/a.csv"
    ),
    "list raw files": lambda client, its: client("s3").list_objects_v2(Bucket=its["RawBucketName"]),
    "list versions": lambda client, its: client("s3").list_object_versions(
        Bucket=its["RawBucketName"], Prefix="raw/"
    ),
    "write a staged file": lambda client, its: client("s3").put_object(
        Bucket=its["RawBucketName"], Key="staging/flights/run_id=a/a.csv", Body=b""
    ),
    "delete a staged file": lambda client, its: client("s3").delete_object(
        Bucket=its["RawBucketName"], Key="staging/flights/run_id=a/a.csv"
    ),
    "write into the archive": lambda client, its: client("s3").put_object(
        Bucket=its["ArchiveBucketName"], Key="archive/flights/a.csv", Body=b""
    ),
    "move the sweeper on": lambda client, its: client("s3").put_object(
        Bucket=its["ArchiveBucketName"], Key="sweep/place.json", Body=b""
    ),
    "send a message": lambda client, its: client("sqs").send_message(
        QueueUrl=its["IngestQueueUrl"], MessageBody="{}"
    ),
    "take messages": lambda client, its: client("sqs").receive_message(
        QueueUrl=its["IngestQueueUrl"]
    ),
    "set a message aside": lambda client, its: client("sqs").send_message(
        QueueUrl=its["IngestDeadLetterQueueUrl"], MessageBody="{}"
    ),
    "start a load": lambda client, its: client("stepfunctions").start_execution(
        stateMachineArn=its["LoadStateMachineArn"], input="{}"
    ),
    "look after a load": lambda client, its: client("stepfunctions").start_execution(
        stateMachineArn=its["AbandonedLoadStateMachineArn"], input="{}"
    ),
    "list loads": lambda client, its: client("stepfunctions").list_executions(
        stateMachineArn=its["LoadStateMachineArn"]
    ),
    "look at a load": lambda client, its: client("stepfunctions").describe_execution(
        executionArn=execution(its)
    ),
    "read the loader's password": lambda client, its: client("secretsmanager").get_secret_value(
        SecretId=its["LoaderSecretArn"]
    ),
    "read the administrator's": lambda client, its: client("secretsmanager").get_secret_value(
        SecretId=its["AdminSecretArn"]
    ),
    "change a password": lambda client, its: client("secretsmanager").put_secret_value(
        SecretId=its["LoaderSecretArn"], SecretString="{}"
    ),
    "mail to business": lambda client, its: client("sns").publish(
        TopicArn=its["BusinessTopicArn"], Message="x"
    ),
    "mail to support": lambda client, its: client("sns").publish(
        TopicArn=its["SupportTopicArn"], Message="x"
    ),
    "read a table": lambda client, its: client("glue").get_table(
        DatabaseName=its["GlueDatabaseName"], Name="flights"
    ),
    "make a partition": lambda client, its: client("glue").create_partition(
        DatabaseName=its["GlueDatabaseName"],
        TableName="flights",
        PartitionInput={"Values": ["a"]},
    ),
    "run SQL": lambda client, its: client("redshift-data").execute_statement(
        WorkgroupName=its["WorkgroupName"],
        Database=its["DatabaseName"],
        SecretArn=its["LoaderSecretArn"],
        Sql="select 1",
    ),
    "invoke a function": lambda client, its: client("lambda").invoke(
        FunctionName=its["SweepFunctionName"], Payload=b"{}"
    ),
}


@pytest.fixture(scope="module")
def stacks(cloud: LaptopCloud, deployed_stack: Stack, build_folder: Any) -> dict[str, Stack]:
    parameters = {"BatchWindowSeconds": "1"}
    longer = deploy.deploy(cloud, f"{STACK_NAME}-prod", build_folder, parameters)
    return {"shorter": deployed_stack, "longer": longer}


def clients_of(stack: Stack, role: str) -> Client:
    """Clients with the rights of a role of the stack."""
    names = {logical: physical for physical, logical in logical_ids(stack).items()}
    source = {
        "LoadRole": stack.outputs["LoadStateMachineArn"],
        "RuleRole": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{stack.name}-load-ended",
    }.get(role, "")
    clients = RoleClients(stack.cloud.endpoint_url, REGION)
    arn = f"arn:aws:iam::{ACCOUNT}:role/{names[role]}"
    return lambda service: clients.client(service, arn, source or arn)


def allowed(client: Client, outputs: Outputs) -> list[str]:
    """The calls that are not refused for a permission, whatever else becomes of them."""
    return [what for what, call in CALLS.items() if not is_denied(call, client, outputs)]


def is_denied(call: Callable[[Client, Outputs], Any], client: Client, outputs: Outputs) -> bool:
    try:
        call(client, outputs)
    except ClientError as error:
        return error.response["Error"]["Code"] in DENIALS
    return False


@pytest.mark.parametrize(
    ("own", "other", "role"),
    [
        pytest.param(own, other, role, id=f"{role} of the {own}")
        for (own, other), role in product(
            [("shorter", "longer"), ("longer", "shorter")], sorted(roles())
        )
    ],
)
def test_role_gets_at_nothing_of_the_other_stack(
    stacks: dict[str, Stack], own: str, other: str, role: str
) -> None:
    client = clients_of(stacks[own], role)

    assert f"{stacks[own].name}-{role}" in client("sts").get_caller_identity()["Arn"]
    assert allowed(client, stacks[other].outputs) == []


@pytest.mark.parametrize(
    ("role", "what"),
    [
        ("LoadRole", "read a raw file"),
        ("LoadRole", "read a table"),
        ("LoadRole", "look at a load"),
        ("SweepRole", "list versions"),
        ("SweepRole", "list loads"),
        ("ApplySqlRole", "read the administrator's"),
        ("RotateSecretRole", "run SQL"),
        ("SpectrumRole", "read a table"),
    ],
)
def test_role_gets_at_its_own(stacks: dict[str, Stack], role: str, what: str) -> None:
    """Or else the above would show nothing."""
    for stack in stacks.values():
        assert not is_denied(CALLS[what], clients_of(stack, role), stack.outputs)
