"""CloudFormation's role (`--role-arn`) is refused what AWS would refuse it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from local.cloud import ACCOUNT, REGION, LaptopCloud

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:loads-*"
MAPPING = f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:*"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*"
SPECTRUM = f"arn:aws:iam::{ACCOUNT}:role/spectrum"
TRANSFORM = f"arn:aws:cloudformation:{REGION}:aws:transform/Serverless-2016-10-31"
QUEUE = {"Queue": {"Type": "AWS::SQS::Queue"}}
Statement = dict[str, Any]


def allow(action: str, resource: str, **condition: dict[str, Any]) -> Statement:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


@pytest.fixture
def role(cloud: LaptopCloud) -> Iterator[str]:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudformation.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam = cloud.client("iam")
    made = iam.create_role(
        RoleName="execution", Path="/delivery/", AssumeRolePolicyDocument=document(trust)
    )
    yield made["Role"]["Arn"]
    for name in iam.list_role_policies(RoleName="execution")["PolicyNames"]:
        iam.delete_role_policy(RoleName="execution", PolicyName=name)
    iam.delete_role(RoleName="execution")


def document(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def grant(cloud: LaptopCloud, statement: Statement) -> None:
    cloud.client("iam").put_role_policy(
        RoleName="execution", PolicyName="p", PolicyDocument=document(statement)
    )


def refusal(cloud: LaptopCloud, role: str, resources: dict[str, Any]) -> str:
    """Why a stack of these resources is not made in the role, or "" where it is; it goes again."""
    client = cloud.client("cloudformation")
    client.create_stack(
        StackName="in-a-role",
        TemplateBody=json.dumps({"Resources": resources}),
        RoleARN=role,
        DisableRollback=True,
    )
    with suppress(WaiterError):
        client.get_waiter("stack_create_complete").wait(
            StackName="in-a-role", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
    [stack] = client.describe_stacks(StackName="in-a-role")["Stacks"]
    return str(stack.get("StackStatusReason", ""))


def take_away(cloud: LaptopCloud) -> str:
    """The status of the stack once it was told to go; a stack that has gone has none."""
    client = cloud.client("cloudformation")
    client.delete_stack(StackName="in-a-role")
    try:
        client.get_waiter("stack_delete_complete").wait(
            StackName="in-a-role", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
    except WaiterError:
        [stack] = client.describe_stacks(StackName="in-a-role")["Stacks"]
        return str(stack["StackStatus"])
    return ""


@pytest.mark.parametrize(
    ("granted", "status"),
    [
        (allow("cloudformation:*", "stack/*"), "FAILED"),
        (allow("cloudformation:CreateChangeSet", TRANSFORM), "CREATE_COMPLETE"),
    ],
    ids=["without", "with"],
)
def test_transform_is_expanded_by_the_role(
    cloud: LaptopCloud, role: str, granted: Statement, status: str
) -> None:
    grant(cloud, granted)
    client = cloud.client("cloudformation")
    template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": QUEUE}
    client.create_change_set(
        StackName="expanded",
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(template),
        RoleARN=role,
    )

    made = client.describe_change_set(StackName="expanded", ChangeSetName="first")
    client.delete_stack(StackName="expanded")
    assert made["Status"] == status
    assert (TRANSFORM in made.get("StatusReason", "")) == (status == "FAILED")


@pytest.mark.parametrize(
    ("granted", "is_made"),
    [
        (allow("lambda:*", FUNCTION), False),
        (allow("lambda:CreateEventSourceMapping", MAPPING), False),
        (
            allow("lambda:*", "*", ArnLike={"lambda:FunctionArn": FUNCTION.replace("loads", "x")}),
            False,
        ),
        (
            allow("lambda:CreateEventSourceMapping", "*", ArnLike={"lambda:FunctionArn": FUNCTION}),
            True,
        ),
    ],
    ids=["its function", "its own kind", "another function", "any, of its function"],
)
def test_event_source_mapping_has_no_name_before_it_is_made(
    cloud: LaptopCloud, role: str, granted: Statement, is_made: bool
) -> None:
    grant(cloud, granted)
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "FunctionName": "loads-StartLoads",
            "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
        },
    }
    reason = refusal(cloud, role, {**QUEUE, "Mapping": mapping})
    take_away(cloud)

    assert ("perform: lambda:CreateEventSourceMapping on resource: *" in reason) != is_made


@pytest.mark.parametrize(
    ("granted", "is_made"),
    [
        (
            allow(
                "iam:PassRole",
                SPECTRUM,
                StringEquals={"iam:PassedToService": ["redshift-serverless.amazonaws.com"]},
            ),
            False,
        ),
        (allow("iam:PassRole", SPECTRUM), True),
    ],
    ids=["for a service", "whatever for"],
)
def test_redshift_serverless_does_not_say_for_whom_its_role_is(
    cloud: LaptopCloud, role: str, granted: Statement, is_made: bool
) -> None:
    grant(cloud, granted)
    namespace = {
        "Type": "AWS::RedshiftServerless::Namespace",
        "Properties": {"NamespaceName": "in-a-role", "IamRoles": [SPECTRUM]},
    }
    reason = refusal(cloud, role, {"Namespace": namespace})
    take_away(cloud)

    assert (f"perform: iam:PassRole on resource: {SPECTRUM}" in reason) != is_made


@pytest.mark.parametrize(
    ("granted", "status"),
    [
        (
            allow(
                "kms:*",
                KEY,
                StringEquals={"aws:ResourceTag/aws:cloudformation:stack-name": "in-a-role"},
            ),
            "DELETE_FAILED",
        ),
        (
            allow("kms:*", KEY, StringEquals={"aws:ResourceTag/pipeline-stack": "another"}),
            "DELETE_FAILED",
        ),
        (allow("kms:*", KEY, StringEquals={"aws:ResourceTag/pipeline-stack": "in-a-role"}), ""),
        (allow("kms:ScheduleKeyDeletion", KEY), ""),
    ],
    ids=["by CloudFormation's tag", "by another's tag", "by the template's tag", "any key"],
)
def test_key_has_the_tags_of_its_template_alone(
    cloud: LaptopCloud, role: str, granted: Statement, status: str
) -> None:
    grant(cloud, granted)
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    administers = {**allow("kms:*", "*"), "Principal": account}
    policy = {"Version": "2012-10-17", "Statement": [administers]}
    tags = [{"Key": "pipeline-stack", "Value": "in-a-role"}]
    key = {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": policy, "Tags": tags}}
    assert refusal(cloud, role, {"Key": key}) == ""

    found = take_away(cloud)
    grant(cloud, allow("kms:ScheduleKeyDeletion", KEY))
    take_away(cloud)
    assert found == status
