"""What the product and its tests ask of the laptop cloud."""

import io
import json
import subprocess
import sys
import time
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import CloudError, LaptopCloud
from local.deploy import PROJECT
from local.sdk_tasks import TaskAnswer, TaskCall, TaskError, service_error

CODE = """
import boto3

def handler(event, context):
    try:
        boto3.client("glue").get_databases()
        return "allowed"
    except Exception as error:
        return str(error)
"""


def role(cloud: LaptopCloud, name: str, service: str, actions: list[str]) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    iam = cloud.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]
    if actions:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(statement))
    return str(made["Arn"])


def document(statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def run(cloud: LaptopCloud, machine: str) -> dict[str, Any]:
    states = cloud.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    while (answer := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.05)
    return dict(answer)


@pytest.fixture(scope="module")
def machine(cloud: LaptopCloud) -> str:
    """A state machine that lists Glue databases in its state `List`, without retries."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:glue:getDatabases",
        "Arguments": {"MaxResults": 1},
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "List", "States": {"List": task}}
    return str(
        cloud.client("stepfunctions").create_state_machine(
            name="hooks",
            definition=json.dumps(definition),
            roleArn=role(cloud, "hooks", "states.amazonaws.com", ["glue:GetDatabases"]),
        )["stateMachineArn"]
    )


def test_a_process_has_one_cloud(cloud: LaptopCloud) -> None:
    with pytest.raises(CloudError, match="one per process"):
        LaptopCloud().start()


def test_cloud_does_not_start_with_settings_that_nothing_reads() -> None:
    early = "import ministack.app; from local.cloud import LaptopCloud; LaptopCloud().start()"
    done = subprocess.run(
        [sys.executable, "-c", early], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert "CloudError: MiniStack was imported before" in done.stderr


def test_function_acts_in_its_own_role(cloud: LaptopCloud) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("index.py", CODE)
    functions = cloud.client("lambda")
    functions.create_function(
        FunctionName="own-role",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role(cloud, "own-role", "lambda.amazonaws.com", []),
        Code={"ZipFile": archive.getvalue()},
    )

    answer = functions.invoke(FunctionName="own-role")["Payload"].read().decode()

    assert "assumed-role/own-role/" in answer
    assert "not authorized to perform: glue:GetDatabases" in answer


def test_calls_are_seen_by_hooks(cloud: LaptopCloud, machine: str) -> None:
    calls: list[TaskCall] = []
    cloud.after_call.append(calls.append)
    try:
        execution = run(cloud, machine)
    finally:
        cloud.after_call.remove(calls.append)

    assert execution["status"] == "SUCCEEDED"
    assert [(c.service, c.action, c.state, c.parameters) for c in calls] == [
        ("glue", "getDatabases", "List", {"MaxResults": 1})
    ]
    assert calls[0].role.endswith(":role/hooks")
    assert calls[0].execution == execution["executionArn"]


@pytest.mark.parametrize("moment", ["before_call", "after_call"])
def test_hooks_inject_faults(cloud: LaptopCloud, machine: str, moment: str) -> None:
    def fail(call: TaskCall) -> None:
        raise TaskError("Glue.ThrottlingException", "Rate exceeded")

    hooks = getattr(cloud, moment)
    hooks.append(fail)
    try:
        execution = run(cloud, machine)
    finally:
        hooks.remove(fail)

    assert execution["status"] == "FAILED"
    assert (execution["error"], execution["cause"]) == ("Glue.ThrottlingException", "Rate exceeded")


def test_hook_answers_in_place_of_the_service(cloud: LaptopCloud, machine: str) -> None:
    after: list[TaskCall] = []

    def answer(call: TaskCall) -> None:
        raise TaskAnswer({"DatabaseList": [{"Name": "made up"}]})

    cloud.before_call.append(answer)
    cloud.after_call.append(after.append)
    try:
        execution = run(cloud, machine)
    finally:
        cloud.before_call.remove(answer)
        cloud.after_call.remove(after.append)

    assert json.loads(execution["output"]) == {"DatabaseList": [{"Name": "made up"}]}
    assert after == []


@pytest.mark.parametrize(
    ("service", "code", "status", "name"),
    [
        ("glue", "ThrottlingException", 400, "Glue.ThrottlingException"),
        ("redshiftdata", "AccessDeniedException", 400, "RedshiftData.RedshiftDataException"),
        ("sns", "Throttled", 429, "Sns.ThrottledException"),
        ("sqs", "RequestThrottled", 403, "Sqs.RequestThrottledException"),
        ("s3", "SlowDown", 503, "S3.S3Exception"),
    ],
)
def test_error_of_a_service_as_a_task_sees_it(
    service: str, code: str, status: int, name: str
) -> None:
    error = service_error(service, code, "Why.", status, "A1")

    assert error.error == name
    assert error.cause.startswith("Why. (Service: ")
    assert error.cause.endswith(f", Status Code: {status}, Request ID: A1)")


def test_unknown_parameter_of_a_task_is_refused(cloud: LaptopCloud) -> None:
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:glue:getDatabases",
        "Arguments": {"maxResults": 1},
        "End": True,
    }
    machine = cloud.client("stepfunctions").create_state_machine(
        name="misspelt",
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": task}}),
        roleArn=role(cloud, "misspelt", "states.amazonaws.com", ["glue:*"]),
    )["stateMachineArn"]

    execution = run(cloud, machine)

    assert execution["error"] == "States.Runtime"
    assert "'maxResults' is not supported" in execution["cause"]


def test_notification_names_the_version_and_conditional_delete_heeds_it(cloud: LaptopCloud) -> None:
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    queue = sqs.create_queue(QueueName="notified")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:notified"
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": document(allow)})
    s3.create_bucket(Bucket="notifies")
    s3.put_bucket_versioning(Bucket="notifies", VersioningConfiguration={"Status": "Enabled"})
    configuration = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    s3.put_bucket_notification_configuration(
        Bucket="notifies", NotificationConfiguration=configuration
    )
    key = "raw/späti +1.csv"
    versions = [s3.put_object(Bucket="notifies", Key=key, Body=body) for body in (b"1", b"2")]

    objects = []
    while len(objects) < len(versions):
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            records = json.loads(message["Body"]).get("Records", [])  # the test event has none
            objects += [record["s3"]["object"] for record in records]

    objects.sort(key=lambda item: item["sequencer"])
    assert [item["versionId"] for item in objects] == [made["VersionId"] for made in versions]
    assert [f'"{item["eTag"]}"' for item in objects] == [made["ETag"] for made in versions]
    assert {item["key"] for item in objects} == {"raw/sp%C3%A4ti+%2B1.csv"}

    with pytest.raises(ClientError) as caught:
        s3.delete_object(Bucket="notifies", Key=key, IfMatch=versions[0]["ETag"])
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.delete_object(Bucket="notifies", Key=key, IfMatch=versions[1]["ETag"])["DeleteMarker"]
