"""A first deployment that fails leaves nothing behind, whichever resource it fails at."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.cloud import LaptopCloud
from local.stack import Stack
from tests.operating import wait_until
from tests.template.test_combinations import deployed

pytestmark = pytest.mark.long

NAME = "first"
# With these every resource of the template is made.
PARAMETERS = {
    "BusinessEmail": "business@example.com",
    "SupportEmail": "support@example.com",
}
REASON = "The test lets it fail."
# A whole deployment, on a busy machine.
PATIENCE = 300.0

# What goes with another resource: there is no list of it in the account.
PARTS = {
    "AWS::Lambda::Alias",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::S3::BucketPolicy",
    "AWS::SecretsManager::RotationSchedule",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "Custom::AppliedSql",
}
Census = dict[str, set[str]]


def stem(logical_id: str) -> str:
    """SAM ends a version's id with a hash of the code."""
    return re.sub(r"(?<=Version)[0-9a-f]{10}$", "", logical_id)


def template_resources() -> dict[str, str]:
    """The types of what SAM makes of the template, by id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        resources = deployed(PARAMETERS)["Resources"]
    return {stem(name): str(body["Type"]) for name, body in resources.items()}


RESOURCES = template_resources()


def listed(client: Any, operation: str, *path: str, **arguments: Any) -> Iterator[Any]:
    """The items of a list that a service answers in pages or in one answer."""
    if client.can_paginate(operation):
        pages = client.get_paginator(operation).paginate(**arguments)
    else:
        pages = [getattr(client, operation)(**arguments)]
    for page in pages:
        yield from page.get(path[0], [])


def named(service: str, operation: str, member: str, name: str = "") -> Callable[[Any], set[str]]:
    def names(cloud: LaptopCloud) -> set[str]:
        items = listed(cloud.client(service), operation, member)
        return {str(item[name]) if name else str(item) for item in items}

    return names


def usable_keys(cloud: LaptopCloud) -> set[str]:
    """A key is deleted days after it was asked for, and costs nothing till then."""
    client = cloud.client("kms")
    keys = [key["KeyId"] for key in listed(client, "list_keys", "Keys")]
    return {
        key
        for key in keys
        if client.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "PendingDeletion"
    }


def glue_tables(cloud: LaptopCloud) -> set[str]:
    client = cloud.client("glue")
    return {
        f"{database['Name']}.{table['Name']}"
        for database in listed(client, "get_databases", "DatabaseList")
        for table in listed(client, "get_tables", "TableList", DatabaseName=database["Name"])
    }


CENSUS: dict[str, Callable[[LaptopCloud], set[str]]] = {
    "AWS::CloudWatch::Alarm": named("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "AWS::CloudWatch::CompositeAlarm": named(
        "cloudwatch", "describe_alarms", "CompositeAlarms", "AlarmName"
    ),
    "AWS::CloudWatch::Dashboard": named(
        "cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"
    ),
    "AWS::Events::Rule": named("events", "list_rules", "Rules", "Name"),
    "AWS::Glue::Database": named("glue", "get_databases", "DatabaseList", "Name"),
    "AWS::Glue::Table": glue_tables,
    "AWS::IAM::Role": named("iam", "list_roles", "Roles", "RoleName"),
    "AWS::KMS::Key": usable_keys,
    "AWS::Lambda::EventSourceMapping": named(
        "lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"
    ),
    "AWS::Lambda::Function": named("lambda", "list_functions", "Functions", "FunctionName"),
    "AWS::Logs::LogGroup": named("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "AWS::RedshiftServerless::Namespace": named(
        "redshift-serverless", "list_namespaces", "namespaces", "namespaceName"
    ),
    "AWS::RedshiftServerless::Workgroup": named(
        "redshift-serverless", "list_workgroups", "workgroups", "workgroupName"
    ),
    "AWS::S3::Bucket": named("s3", "list_buckets", "Buckets", "Name"),
    "AWS::SNS::Subscription": named(
        "sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"
    ),
    "AWS::SNS::Topic": named("sns", "list_topics", "Topics", "TopicArn"),
    "AWS::SQS::Queue": named("sqs", "list_queues", "QueueUrls"),
    "AWS::SecretsManager::Secret": named("secretsmanager", "list_secrets", "SecretList", "ARN"),
    "AWS::StepFunctions::StateMachine": named(
        "stepfunctions", "list_state_machines", "stateMachines", "name"
    ),
}


def census(cloud: LaptopCloud) -> Census:
    return {kind: count(cloud) for kind, count in CENSUS.items()}


@contextmanager
def failing(cloud: LaptopCloud, logical_id: str) -> Iterator[list[str]]:
    """Let CloudFormation fail to make a resource; lists it once it has."""
    failed: list[str] = []

    def fail(_kind: str, making: str) -> None:
        if stem(making) == logical_id:
            failed.append(making)
            raise ValueError(REASON)

    cloud.before_resource.append(fail)
    try:
        yield failed
    finally:
        cloud.before_resource.remove(fail)


@pytest.fixture(scope="module")
def template_url(deployed_stack: Stack) -> str:
    """The template as SAM has packaged and translated it."""
    client = deployed_stack.cloud.client("cloudformation")
    answer = client.get_template(StackName=deployed_stack.name, TemplateStage="Processed")
    bucket, key = "first-deployment-templates", "template.json"
    deployed_stack.s3.create_bucket(Bucket=bucket)
    body = json.dumps(answer["TemplateBody"]).encode()
    deployed_stack.s3.put_object(Bucket=bucket, Key=key, Body=body)
    return f"{deployed_stack.cloud.endpoint_url}/{bucket}/{key}"


def create(cloud: LaptopCloud, template_url: str) -> str:
    """Begin to make the stack; its id."""
    client = cloud.client("cloudformation")
    answer = client.create_stack(
        StackName=NAME,
        TemplateURL=template_url,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in PARAMETERS.items()
        ],
    )
    return str(answer["StackId"])


def status(cloud: LaptopCloud, stack_id: str) -> str:
    [stack] = cloud.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    return str(stack["StackStatus"])


def test_each_type_of_the_template_is_counted() -> None:
    assert set(RESOURCES.values()) == CENSUS.keys() | PARTS


@pytest.mark.parametrize("logical_id", RESOURCES)
def test_nothing_is_left(cloud: LaptopCloud, template_url: str, logical_id: str) -> None:
    before = census(cloud)

    with failing(cloud, logical_id) as failed:
        stack_id = create(cloud, template_url)
        try:
            wait_until(lambda: not status(cloud, stack_id).endswith("_IN_PROGRESS"), PATIENCE)

            assert failed
            assert status(cloud, stack_id) == "ROLLBACK_COMPLETE"
            assert census(cloud) == before
        finally:
            cloud.client("cloudformation").delete_stack(StackName=stack_id)
            wait_until(lambda: status(cloud, stack_id) == "DELETE_COMPLETE", PATIENCE)
