"""EventBridge, roles and schedules as SAM makes them of a template's Events and Role."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import LaptopCloud
from tests.local.test_plugs import wait_for

STATES = "states.amazonaws.com"
SOURCE = "def handler(event, context):\n    return event\n"


def machine(definition: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::Serverless::StateMachine",
        "Properties": {
            "Definition": {"QueryLanguage": "JSONata", **definition},
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            **properties,
        },
    }


def role(action: str, resource: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    trust = {"Effect": "Allow", "Principal": {"Service": STATES}, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "p", "PolicyDocument": policy}],
        },
    }


TASK = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:glue:getDatabases", "Arguments": {}}
WORK = {
    "StartAt": "Wait",
    "States": {
        "Wait": {
            "Type": "Wait",
            "Seconds": "{% $states.input.seconds %}",
            "Next": "Ask",
        },
        "Ask": {**TASK, "Next": "End"},
        "End": {"Type": "Fail", "Error": "Failed", "Cause": "as asked"},
    },
}
WATCH = {
    "StartAt": "Ask",
    "States": {"Ask": {**TASK, "Output": "{% $states.input %}", "End": True}},
}
PATTERN = {
    "source": ["aws.states"],
    "detail-type": ["Step Functions Execution Status Change"],
    "detail": {
        "status": ["ABORTED", "TIMED_OUT", "FAILED"],
        "stateMachineArn": [{"Ref": "Work"}],
    },
}
TEMPLATE = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Role": role("glue:GetDatabases", "*"),
        "Work": machine({**WORK, "TimeoutSeconds": 40}),
        "Watch": machine(
            WATCH,
            Events={"Ended": {"Type": "EventBridgeRule", "Properties": {"Pattern": PATTERN}}},
        ),
        "Sweep": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "InlineCode": SOURCE,
                "Events": {
                    "Often": {"Type": "Schedule", "Properties": {"Schedule": "rate(15 minutes)"}}
                },
            },
        },
    },
    "Outputs": {
        "Work": {"Value": {"Ref": "Work"}},
        "Watch": {"Value": {"Ref": "Watch"}},
        "Sweep": {"Value": {"Ref": "Sweep"}},
        "TargetRole": {"Value": {"Ref": "WatchEndedRole"}},
    },
}


@pytest.fixture(scope="module")
def outputs(cloud: LaptopCloud) -> Iterator[dict[str, str]]:
    formation = cloud.client("cloudformation")
    formation.create_stack(
        StackName="events",
        TemplateBody=json.dumps(TEMPLATE),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName="events", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    [stack] = formation.describe_stacks(StackName="events")["Stacks"]
    yield {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
    formation.delete_stack(StackName="events")


def start(cloud: LaptopCloud, machine: str, seconds: float) -> str:
    client = cloud.client("stepfunctions")
    document = json.dumps({"seconds": seconds})
    return str(client.start_execution(stateMachineArn=machine, input=document)["executionArn"])


def watched(cloud: LaptopCloud, outputs: dict[str, str], execution: str) -> list[dict[str, Any]]:
    """The executions of Watch that were started for an execution of Work."""
    client = cloud.client("stepfunctions")
    found = client.list_executions(stateMachineArn=outputs["Watch"])["executions"]
    described = [client.describe_execution(executionArn=one["executionArn"]) for one in found]
    inputs = [json.loads(one["input"]).get("detail", {}) for one in described]
    return [
        one
        for one, detail in zip(described, inputs, strict=True)
        if detail.get("executionArn") == execution and one["status"] != "RUNNING"
    ]


@pytest.mark.parametrize("status", ["ABORTED", "FAILED", "TIMED_OUT"])
def test_end_of_an_execution_starts_the_machine_that_watches(
    cloud: LaptopCloud, outputs: dict[str, str], status: str
) -> None:
    execution = start(cloud, outputs["Work"], 0 if status == "FAILED" else 100)
    if status == "ABORTED":
        cloud.client("stepfunctions").stop_execution(executionArn=execution)

    [watch] = wait_for(lambda: watched(cloud, outputs, execution))

    event = json.loads(watch["input"])
    assert watch["status"] == "SUCCEEDED"
    assert event["detail-type"] == "Step Functions Execution Status Change"
    assert event["source"] == "aws.states"
    assert event["resources"] == [execution]
    assert event["detail"]["status"] == status
    assert event["detail"]["stateMachineArn"] == outputs["Work"]
    assert json.loads(event["detail"]["input"])["seconds"] in (0, 100)
    assert json.loads(watch["output"]) == event


def test_target_s_role_must_allow_to_start_the_machine(
    cloud: LaptopCloud, outputs: dict[str, str]
) -> None:
    iam = cloud.client("iam")
    [name] = iam.list_role_policies(RoleName=outputs["TargetRole"])["PolicyNames"]
    policy = iam.get_role_policy(RoleName=outputs["TargetRole"], PolicyName=name)
    iam.delete_role_policy(RoleName=outputs["TargetRole"], PolicyName=name)
    try:
        execution = start(cloud, outputs["Work"], 100)
        cloud.client("stepfunctions").stop_execution(executionArn=execution)
        time.sleep(1)
        assert watched(cloud, outputs, execution) == []
    finally:
        iam.put_role_policy(
            RoleName=outputs["TargetRole"],
            PolicyName=name,
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )


def test_schedule_of_a_function_is_deployed(cloud: LaptopCloud, outputs: dict[str, str]) -> None:
    events = cloud.client("events")
    function = cloud.client("lambda").get_function(FunctionName=outputs["Sweep"])
    arn = function["Configuration"]["FunctionArn"]
    [rule] = events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]

    assert events.describe_rule(Name=rule)["ScheduleExpression"] == "rate(15 minutes)"
