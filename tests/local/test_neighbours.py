"""What AWS checks of other resources when it makes one: each check, broken once."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from local.cloud import LaptopCloud
from tests.operating import wait_until

pytestmark = pytest.mark.long

Resources = dict[str, dict[str, Any]]
NAME = "neighbours"
BUCKET = "neighbours-raw"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def service(name: str, *actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": name}, "Action": list(actions), **more}


def role(name: str, *actions: str) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": policy(service(name, "sts:AssumeRole")),
            "Policies": [{"PolicyName": "One", "PolicyDocument": policy(allowed)}],
        },
    }


def arn(logical_id: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


ROOT = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
    "Action": "kms:*",
    "Resource": "*",
}
S3_USES_KEY = service("s3.amazonaws.com", "kms:GenerateDataKey", "kms:Decrypt", Resource="*")
LOGS_USE_KEY = service("logs.us-east-1.amazonaws.com", "kms:GenerateDataKey*", Resource="*")
LOGS_USE_KEY["Condition"] = {
    "ArnLike": {
        "kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:us-east-1:000000000000:log-group:neigh*"
    }
}
SEND = service("s3.amazonaws.com", "sqs:SendMessage", Resource=arn("Queue"))
VALID: Resources = {
    "Key": {
        "Type": "AWS::KMS::Key",
        "Properties": {"KeyPolicy": policy(ROOT, S3_USES_KEY, LOGS_USE_KEY)},
    },
    "DeadLetters": {"Type": "AWS::SQS::Queue"},
    "Queue": {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "KmsMasterKeyId": arn("Key"),
            "VisibilityTimeout": 60,
            "RedrivePolicy": {"deadLetterTargetArn": arn("DeadLetters"), "maxReceiveCount": 5},
        },
    },
    "QueuePolicy": {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": policy(SEND)},
    },
    "Bucket": {
        "Type": "AWS::S3::Bucket",
        "DependsOn": "QueuePolicy",
        "Properties": {
            "BucketName": BUCKET,
            "NotificationConfiguration": {
                "QueueConfigurations": [{"Event": "s3:ObjectCreated:*", "Queue": arn("Queue")}]
            },
        },
    },
    "LogGroup": {"Type": "AWS::Logs::LogGroup", "Properties": {"KmsKeyId": arn("Key")}},
    "FunctionRole": role(
        "lambda.amazonaws.com",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "xray:PutTraceSegments",
        "kms:Decrypt",
    ),
    "Function": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ZipFile": "def handler(event, context): pass"},
            "Handler": "index.handler",
            "Runtime": "python3.13",
            "Role": arn("FunctionRole"),
            "Timeout": 60,
            "TracingConfig": {"Mode": "Active"},
        },
    },
    "Mapping": {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {"EventSourceArn": arn("Queue"), "FunctionName": {"Ref": "Function"}},
    },
    "MachineRole": role("states.amazonaws.com", "logs:*"),
    "Machine": {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "DefinitionString": '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}',
            "RoleArn": arn("MachineRole"),
            "LoggingConfiguration": {
                "Level": "ALL",
                "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": arn("LogGroup")}}],
            },
        },
    },
    "Alarm": {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": "neighbours-one",
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            "MetricName": "Errors",
            "Namespace": "AWS/Lambda",
            "Period": 300,
            "Statistic": "Sum",
            "Threshold": 1,
        },
    },
    "Composite": {
        "Type": "AWS::CloudWatch::CompositeAlarm",
        "DependsOn": "Alarm",
        "Properties": {
            "AlarmName": "neighbours-all",
            "AlarmDescription": "All of them.",
            "AlarmRule": "ALARM(neighbours-one)",
            "AlarmActions": [],
        },
    },
}


def properties(resources: Resources, logical_id: str) -> Any:
    return resources[logical_id]["Properties"]


def queue_policy_lets_nobody_send(resources: Resources) -> None:
    properties(resources, "QueuePolicy")["PolicyDocument"]["Statement"][0]["Effect"] = "Deny"


def policy_comes_after_the_bucket(resources: Resources) -> None:
    del resources["Bucket"]["DependsOn"]
    resources["QueuePolicy"]["DependsOn"] = "Bucket"


def key_lets_s3_not_use_it(resources: Resources) -> None:
    properties(resources, "Key")["KeyPolicy"]["Statement"].remove(S3_USES_KEY)


def key_is_for_other_log_groups(resources: Resources) -> None:
    properties(resources, "LogGroup")["LogGroupName"] = "others"


def dead_letters_are_elsewhere(resources: Resources) -> None:
    redrive = properties(resources, "Queue")["RedrivePolicy"]
    redrive["deadLetterTargetArn"] = "arn:aws:sqs:us-east-1:000000000000:elsewhere"


def role_is_another_service_s(resources: Resources) -> None:
    resources["FunctionRole"] = role("states.amazonaws.com", "xray:*", "sqs:*")


def role_may_not_trace(resources: Resources) -> None:
    resources["FunctionRole"] = role("lambda.amazonaws.com", "sqs:*")


def role_may_not_poll(resources: Resources) -> None:
    resources["FunctionRole"] = role("lambda.amazonaws.com", "xray:*", "sqs:DeleteMessage")


def function_works_longer_than_messages_hide(resources: Resources) -> None:
    properties(resources, "Queue")["VisibilityTimeout"] = 30


def machine_s_role_is_another_service_s(resources: Resources) -> None:
    resources["MachineRole"] = role("lambda.amazonaws.com", "logs:*")


def machine_s_role_may_not_log(resources: Resources) -> None:
    resources["MachineRole"] = role("states.amazonaws.com", "logs:PutLogEvents")


def composite_comes_before_its_alarm(resources: Resources) -> None:
    del resources["Composite"]["DependsOn"]
    resources["Alarm"]["DependsOn"] = "Composite"


BROKEN: dict[Callable[[Resources], None], str] = {
    queue_policy_lets_nobody_send: "Unable to validate the following destination configurations",
    policy_comes_after_the_bucket: "Unable to validate the following destination configurations",
    key_lets_s3_not_use_it: "Unable to validate the following destination configurations",
    key_is_for_other_log_groups: "is not allowed to be used with LogGroup",
    dead_letters_are_elsewhere: "Dead letter target does not exist",
    role_is_another_service_s: "cannot be assumed by Lambda",
    role_may_not_trace: "does not have permissions to call PutTraceSegments on XRAY",
    role_may_not_poll: "does not have permissions to call ReceiveMessage on SQS",
    function_works_longer_than_messages_hide: "30 seconds is less than Function timeout: 60",
    machine_s_role_is_another_service_s: "authorized to assume the provided role",
    machine_s_role_may_not_log: "not authorized to access the Log Destination",
    composite_comes_before_its_alarm: "these alarms do not exist: neighbours-one",
}


def deployed(cloud: LaptopCloud, resources: Resources) -> tuple[str, list[str]]:
    """How a stack of these ends, and why; it is gone afterwards."""
    client = cloud.client("cloudformation")
    stack_id = client.create_stack(
        StackName=NAME,
        TemplateBody=json.dumps({"Resources": resources}),
        Capabilities=["CAPABILITY_IAM"],
    )["StackId"]

    def status() -> str:
        return str(client.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"])

    wait_until(lambda: not status().endswith("_IN_PROGRESS"))
    ended = status()
    events = client.describe_stack_events(StackName=stack_id)["StackEvents"]
    client.delete_stack(StackName=stack_id)
    wait_until(lambda: status() == "DELETE_COMPLETE")
    return ended, [
        event.get("ResourceStatusReason", "")
        for event in events
        if event["ResourceStatus"] == "CREATE_FAILED"
    ]


def test_neighbours_that_fit_are_taken(cloud: LaptopCloud) -> None:
    assert deployed(cloud, VALID) == ("CREATE_COMPLETE", [])


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda breaking: breaking.__name__)
def test_neighbour_that_does_not_fit_is_refused(
    cloud: LaptopCloud, breaking: Callable[[Resources], None]
) -> None:
    resources = copy.deepcopy(VALID)
    breaking(resources)

    status, reasons = deployed(cloud, resources)
    assert status == "ROLLBACK_COMPLETE"
    assert any(BROKEN[breaking] in reason for reason in reasons), reasons
