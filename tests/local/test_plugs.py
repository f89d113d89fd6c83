"""Each plug, asked for on the laptop cloud and on a MiniStack without it.

A test that fails for `stock` says that MiniStack can do it by now: the plug may go.
"""

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.exceptions import ClientError, WaiterError
from botocore.parsers import ResponseParserError

from local.cloud import ACCESS_KEY, REGION, SECRET_KEY, LaptopCloud

pytestmark = pytest.mark.long

Client = Callable[[str], Any]

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["states.amazonaws.com", "lambda.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}
CODE = """
import json
def handler(event, context):
    print("BATCH", len(event["Records"]))
"""


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A MiniStack without plugs."""
    folder = tmp_path_factory.mktemp("ministack")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "SFN_WAIT_SCALE": "0",
        "S3_DATA_DIR": str(folder),
        "TMPDIR": str(folder),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env={**kept, **settings}, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: answers(f"{url}/_ministack/health"), 30)
        yield lambda service: boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=["laptop", "stock"])
def plugged(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "laptop")


@pytest.fixture
def client(plugged: bool, request: pytest.FixtureRequest) -> Client:
    """Makes clients of the laptop cloud, or of the stock MiniStack."""
    if not plugged:
        return request.getfixturevalue("stock")
    cloud: LaptopCloud = request.getfixturevalue("cloud")
    return cloud.client


def answers(url: str) -> bool:
    try:
        return urlopen(url).status == 200
    except OSError:
        return False


def wait_for(found: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return value


def create_stack(client: Client, name: str, resources: Any, outputs: Any) -> dict[str, str]:
    formation = client("cloudformation")
    template = {
        "Resources": resources,
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    formation.create_stack(
        StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )
    waiter = formation.get_waiter("stack_create_complete")
    waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    described = formation.describe_stacks(StackName=name)["Stacks"][0]
    return {item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])}


def create_role(client: Client, name: str, actions: list[str], trust: Any = TRUST) -> str:
    iam = client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    statement = {"Effect": "Allow", "Action": actions or ["s3:ListAllMyBuckets"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=policy)
    return str(role["Arn"])


def run_task(
    client: Client, name: str, task: Any, actions: list[str], trust: Any = TRUST
) -> dict[str, Any]:
    """Run a state machine of one task, whose role may do `actions`; return the execution."""
    states = client("stepfunctions")
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Call",
        "States": {"Call": {"Type": "Task", "End": True, **task}},
    }
    machine = states.create_state_machine(
        name=name,
        definition=json.dumps(definition),
        roleArn=create_role(client, name, actions, trust),
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]

    def ended() -> Any:
        answer = states.describe_execution(executionArn=execution)
        return answer if answer["status"] != "RUNNING" else None

    return dict(wait_for(ended))


def test_data_api_is_served(client: Client, plugged: bool) -> None:
    with pytest.raises(ClientError) as caught:
        client("redshift-data").describe_statement(Id="00000000-0000-0000-0000-000000000000")

    assert (caught.value.response["Error"]["Code"] == "ResourceNotFoundException") == plugged


def test_data_api_asks_iam(cloud: LaptopCloud) -> None:
    role = create_role(cloud.client, "no-data-api", [])
    credentials = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
    session = credentials["Credentials"]
    denied = boto3.client(
        "redshift-data",
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )

    with pytest.raises(ClientError, match="not authorized to perform: redshift-data:"):
        denied.describe_statement(Id="00000000-0000-0000-0000-000000000000")


def test_namespace_and_workgroup_are_provisioned(client: Client, plugged: bool) -> None:
    secret = "{{resolve:secretsmanager:${Secret}:SecretString:password}}"
    resources = {
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "GenerateSecretString": {
                    "SecretStringTemplate": '{"username": "admin"}',
                    "GenerateStringKey": "password",
                    "ExcludePunctuation": True,
                }
            },
        },
        "Namespace": {
            "Type": "AWS::RedshiftServerless::Namespace",
            "Properties": {
                "NamespaceName": "plugs",
                "AdminUsername": "admin",
                "AdminUserPassword": {"Fn::Sub": secret},
            },
        },
        "Workgroup": {
            "Type": "AWS::RedshiftServerless::Workgroup",
            "Properties": {"WorkgroupName": "plugs", "NamespaceName": {"Ref": "Namespace"}},
        },
    }
    outputs = {
        "Arn": {"Fn::GetAtt": ["Workgroup", "Workgroup.WorkgroupArn"]},
        "Port": {"Fn::GetAtt": ["Workgroup", "Workgroup.Endpoint.Port"]},
    }

    if not plugged:
        with pytest.raises((ClientError, WaiterError)):
            create_stack(client, "warehouse", resources, outputs)
        return

    values = create_stack(client, "warehouse", resources, outputs)
    assert ":workgroup/" in values["Arn"]
    with socket.create_connection(("127.0.0.1", int(values["Port"]))):
        pass
    client("cloudformation").delete_stack(StackName="warehouse")
    wait_for(lambda: not is_open(int(values["Port"])))


def test_generated_secret_has_each_kind_of_character(client: Client, plugged: bool) -> None:
    asked = {"PasswordLength": 4, "ExcludePunctuation": True}
    names = [f"generated-{number}" for number in range(20)]
    resources = {
        f"Secret{number}": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"Name": name, "GenerateSecretString": asked},
        }
        for number, name in enumerate(names)
    }
    create_stack(client, "generated", resources, {})

    secrets = client("secretsmanager")
    values = [secrets.get_secret_value(SecretId=name)["SecretString"] for name in names]

    kinds = [r"[a-z]", r"[A-Z]", r"[0-9]"]
    assert all(re.search(kind, value) for kind in kinds for value in values) == plugged
    client("cloudformation").delete_stack(StackName="generated")


def test_topic_policy_for_two_topics_is_refused(client: Client, plugged: bool) -> None:
    topics = [{"Ref": "One"}, {"Ref": "Other"}]
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": topics,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    resources = {
        "One": {"Type": "AWS::SNS::Topic"},
        "Other": {"Type": "AWS::SNS::Topic"},
        "Policy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": topics, "PolicyDocument": policy},
        },
    }

    if not plugged:
        create_stack(client, "topics", resources, {})
        return

    with pytest.raises(WaiterError):
        create_stack(client, "topics", resources, {})
    events = client("cloudformation").describe_stack_events(StackName="topics")["StackEvents"]
    assert any(
        "must apply to a single resource" in event.get("ResourceStatusReason", "")
        for event in events
    )


def test_clusters_are_asked_for(client: Client, plugged: bool) -> None:
    # Stock, the answer is none that the service gives.
    with pytest.raises(ClientError if plugged else (ClientError, ResponseParserError)) as refused:
        client("redshift").describe_clusters(ClusterIdentifier="sales")

    assert ("ClusterNotFound" in str(refused.value)) == plugged


def test_condition_knows_an_empty_list(client: Client, plugged: bool) -> None:
    template = {
        "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": ""}},
        "Conditions": {
            "IsEmpty": {"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Names"}]}, ""]},
        },
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic", "Condition": "IsEmpty"},
            "Queue": {"Type": "AWS::SQS::Queue"},
        },
    }
    formation = client("cloudformation")
    formation.create_stack(StackName="conditions", TemplateBody=json.dumps(template))
    waiter = formation.get_waiter("stack_create_complete")
    waiter.wait(StackName="conditions", WaiterConfig={"Delay": 1, "MaxAttempts": 20})

    made = formation.list_stack_resources(StackName="conditions")["StackResourceSummaries"]
    assert ("Topic" in {item["LogicalResourceId"] for item in made}) is plugged


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_secrets_are_referred_to_by_arn_and_heed_excluded_punctuation(
    client: Client, plugged: bool
) -> None:
    generate = {"PasswordLength": 64, "ExcludePunctuation": True}
    resources = {
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"GenerateSecretString": generate},
        }
    }

    arn = create_stack(client, "secret", resources, {"Ref": {"Ref": "Secret"}})["Ref"]

    secret = client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    assert arn.startswith("arn:aws:secretsmanager:") == plugged
    assert secret.isalnum() == plugged


ROTATING_CODE = """
import json, boto3
def handler(event, context):
    print("STEP", json.dumps(event))
    if event["Step"] == "createSecret":
        boto3.client("secretsmanager").put_secret_value(
            SecretId=event["SecretId"], ClientRequestToken=event["ClientRequestToken"],
            SecretString="new", VersionStages=["AWSPENDING"])
    if event["Step"] == "setSecret" and not context.function_name.endswith("sound"):
        raise RuntimeError
"""


def create_rotated_secret(client: Client, name: str, *, is_allowed: bool = True) -> str:
    """A secret whose value is "old", with a function of this name for its rotation."""
    function = client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Code={"ZipFile": zipped("index.py", ROTATING_CODE)},
        Role=create_role(client, name, ["secretsmanager:*", "logs:*"]),
    )["FunctionArn"]
    if is_allowed:
        client("lambda").add_permission(
            FunctionName=name,
            StatementId="Rotate",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
        )
    secret = client("secretsmanager").create_secret(Name=name, SecretString="old")["ARN"]
    client("secretsmanager").rotate_secret(
        SecretId=secret, RotationLambdaARN=function, RotateImmediately=False
    )
    return str(secret)


def zipped(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def steps_of(client: Client, name: str) -> list[dict[str, str]]:
    try:
        events = client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    except ClientError:
        return []
    lines = [line for event in events for line in event["message"].splitlines()]
    return [json.loads(line[5:]) for line in lines if line.startswith("STEP ")]


def test_rotation_calls_the_function_for_each_step(client: Client, plugged: bool) -> None:
    secret = create_rotated_secret(client, "sound")
    version = client("secretsmanager").rotate_secret(SecretId=secret)["VersionId"]
    if not plugged:
        time.sleep(1)
        assert steps_of(client, "sound") == []
        return

    wait_for(lambda: len(steps_of(client, "sound")) == 4, 20)

    steps = steps_of(client, "sound")
    assert [s["Step"] for s in steps] == ["createSecret", "setSecret", "testSecret", "finishSecret"]
    assert {(s["SecretId"], s["ClientRequestToken"]) for s in steps} == {(secret, version)}
    # This function's last step switches nothing, and nobody else does.
    value = client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    assert value == "old"


def test_rotation_that_failed_is_taken_up_again_with_its_version(cloud: LaptopCloud) -> None:
    secret = create_rotated_secret(cloud.client, "broken")
    cloud.client("secretsmanager").rotate_secret(SecretId=secret)
    wait_for(lambda: len(steps_of(cloud.client, "broken")) == 2, 20)

    with pytest.raises(ClientError, match="A previous rotation isn't complete"):
        cloud.client("secretsmanager").rotate_secret(SecretId=secret)
    wait_for(lambda: len(steps_of(cloud.client, "broken")) == 4, 20)

    steps = steps_of(cloud.client, "broken")
    assert [step["Step"] for step in steps] == ["createSecret", "setSecret"] * 2
    assert len({step["ClientRequestToken"] for step in steps}) == 1


def test_rotation_needs_a_function_that_lets_secrets_manager_in(cloud: LaptopCloud) -> None:
    with pytest.raises(ClientError, match="no function that may be called"):
        create_rotated_secret(cloud.client, "closed", is_allowed=False)


def test_definition_may_be_yaml(client: Client, plugged: bool) -> None:
    client("s3").create_bucket(Bucket="definitions")
    text = "StartAt: Done\nStates:\n  Done: {Type: Succeed}\n"
    client("s3").put_object(Bucket="definitions", Key="machine.yaml", Body=text.encode())
    resources = {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "DefinitionS3Location": {"Bucket": "definitions", "Key": "machine.yaml"},
                "RoleArn": create_role(client, "yaml", []),
            },
        }
    }

    arn = create_stack(client, "yaml", resources, {"Arn": {"Ref": "Machine"}})["Arn"]

    stored = client("stepfunctions").describe_state_machine(stateMachineArn=arn)["definition"]
    assert stored.startswith("{") == plugged


def test_every_parameter_of_a_task_arrives(client: Client, plugged: bool) -> None:
    client("s3").create_bucket(Bucket="parameters")
    client("s3").put_object(Bucket="parameters", Key="a", Body=b"a")
    task = {
        "Resource": "arn:aws:states:::aws-sdk:s3:copyObject",
        "Arguments": {
            "Bucket": "parameters",
            "Key": "b",
            "CopySource": "parameters/a",
            "CopySourceIfMatch": '"another"',
        },
    }

    execution = run_task(client, "parameters", task, ["s3:*"])

    if plugged:
        assert execution["error"] == "S3.S3Exception"
        assert "(Service: S3, Status Code: 412, Request ID: " in execution["cause"]
    else:
        assert execution["status"] == "SUCCEEDED"


def test_task_needs_the_permission(client: Client, plugged: bool) -> None:
    topic = client("sns").create_topic(Name="permission")["TopicArn"]
    task = {
        "Resource": "arn:aws:states:::sns:publish",
        "Arguments": {"TopicArn": topic, "Message": "m"},
    }

    execution = run_task(client, "permission", task, [])

    assert (execution["status"] == "FAILED") == plugged


def test_execution_ends_at_its_machine_s_timeout(client: Client, plugged: bool) -> None:
    states = client("stepfunctions")
    poll = {"Type": "Wait", "Seconds": 0.1, "Next": "Poll"}
    definition = {"StartAt": "Poll", "States": {"Poll": poll}, "TimeoutSeconds": 20}
    machine = states.create_state_machine(
        name="timeout", definition=json.dumps(definition), roleArn=create_role(client, "times", [])
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]

    def status() -> str:
        return str(states.describe_execution(executionArn=execution)["status"])

    if plugged:
        wait_for(lambda: status() == "TIMED_OUT")
        return
    time.sleep(2)
    assert status() == "RUNNING"
    states.stop_execution(executionArn=execution)


def test_aborted_execution_makes_no_further_call(client: Client, plugged: bool) -> None:
    queue = client("sqs").create_queue(QueueName="aborted")["QueueUrl"]
    call = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": queue, "MessageBody": "called"},
        "End": True,
    }
    items = 2_000
    machine = client("stepfunctions").create_state_machine(
        name="aborted",
        roleArn=create_role(client, "aborted", ["sqs:SendMessage"]),
        definition=json.dumps(
            {
                "QueryLanguage": "JSONata",
                "StartAt": "Each",
                "States": {
                    "Each": {
                        "Type": "Map",
                        "Items": list(range(items)),
                        "MaxConcurrency": 1,
                        "ItemProcessor": {"StartAt": "Call", "States": {"Call": call}},
                        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
                        "End": True,
                    },
                    "Failed": {"Type": "Fail"},
                },
            }
        ),
    )["stateMachineArn"]
    execution = client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]

    def called() -> int:
        name = "ApproximateNumberOfMessages"
        answer = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        return int(answer["Attributes"][name])

    wait_for(called)
    if not plugged:  # MiniStack's own goes on to the end, which it may have come to before this
        with suppress(ClientError):
            client("stepfunctions").stop_execution(executionArn=execution)
        wait_for(lambda: called() == items, seconds=90)
        return
    client("stepfunctions").stop_execution(executionArn=execution)
    before = -1
    while before != (before := called()):
        time.sleep(0.5)
    assert called() < items
    described = client("stepfunctions").describe_execution(executionArn=execution)
    assert described["status"] == "ABORTED"


def test_batch_delete_of_versions_needs_its_own_permission(client: Client, plugged: bool) -> None:
    client("s3").create_bucket(Bucket="versions")
    client("s3").put_bucket_versioning(
        Bucket="versions", VersioningConfiguration={"Status": "Enabled"}
    )
    version = client("s3").put_object(Bucket="versions", Key="a", Body=b"a")["VersionId"]
    role = create_role(client, "versions", ["s3:DeleteObject"])
    session = client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    denied = boto3.client(
        "s3",
        endpoint_url=client("s3").meta.endpoint_url,
        region_name=REGION,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    objects = {"Objects": [{"Key": "a", "VersionId": version}]}

    answer = denied.delete_objects(Bucket="versions", Delete=objects)

    assert [error["Code"] for error in answer.get("Errors", [])] == ["AccessDenied"] * plugged


def test_role_may_ask_for_the_source_account(client: Client, plugged: bool) -> None:
    account = client("sts").get_caller_identity()["Account"]
    guarded = {
        "Version": "2012-10-17",
        "Statement": [
            {
                **TRUST["Statement"][0],
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            }
        ],
    }
    role = create_role(client, "guarded", [], guarded)

    try:
        client("sts").assume_role(RoleArn=role, RoleSessionName="test")
        assumed = True
    except ClientError:
        assumed = False

    assert assumed == plugged


def test_role_may_ask_for_the_source_arn(client: Client, plugged: bool) -> None:
    task = {
        "Resource": "arn:aws:states:::aws-sdk:sts:getCallerIdentity",
        "Output": {},
        "Retry": [],
    }
    pattern = "arn:aws:states:us-east-1:000000000000:stateMachine:guarded-*"
    condition = {"ArnLike": {"aws:SourceArn": pattern}}
    trust = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Condition": condition}]}
    outcomes = {
        name: run_task(client, name, task, [], trust)["status"] for name in ("guarded-a", "other-a")
    }

    # Stock machines call services as nobody, whatever their role's trust.
    expected = ("SUCCEEDED", "FAILED" if plugged else "SUCCEEDED")
    assert (outcomes["guarded-a"], outcomes["other-a"]) == expected


def test_wildcard_of_a_policy_matches_a_line_break(client: Client, plugged: bool) -> None:
    client("s3").create_bucket(Bucket="lines")
    client("s3").put_object(Bucket="lines", Key="a\nb", Body=b"")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lines/*"}
    role = create_role(client, "lines", [])
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("iam").put_role_policy(
        RoleName="lines", PolicyName="policy", PolicyDocument=json.dumps(policy)
    )
    credentials = client("sts").assume_role(RoleArn=role, RoleSessionName="lines")["Credentials"]
    s3 = boto3.client(
        "s3",
        region_name=REGION,
        endpoint_url=client("s3").meta.endpoint_url,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )

    try:
        s3.head_object(Bucket="lines", Key="a\nb")
        is_allowed = True
    except ClientError:
        is_allowed = False

    assert is_allowed == plugged


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("x-amz-storage-class", {"StorageClass": "GLACIER"}),
        (
            "x-amz-server-side-encryption-aws-kms-key-id",
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "another"},
        ),
        (
            "x-amz-server-side-encryption-customer-algorithm",
            {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32},
        ),
    ],
)
def test_bucket_policy_denies_to_root_by_how_an_object_is_stored(
    client: Client, plugged: bool, name: str, how: dict[str, str]
) -> None:
    client("s3").create_bucket(Bucket="stored")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::stored/raw/*",
        "Condition": {"Null": {f"s3:{name}": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("s3").put_bucket_policy(Bucket="stored", Policy=json.dumps(policy))

    def is_taken(key: str, **how: str) -> bool:
        try:
            client("s3").put_object(Bucket="stored", Key=key, **how)
        except ClientError:
            return False
        return True

    assert is_taken("raw/plain")
    assert is_taken("elsewhere", **how)
    assert is_taken("raw/a", **how) != plugged


def test_versions_of_keys_that_xml_cannot_spell_are_listed(client: Client, plugged: bool) -> None:
    keys = ["a\x07 +%\uffff/b", "c"]
    client("s3").create_bucket(Bucket="odd-keys")
    for key in keys:
        client("s3").put_object(Bucket="odd-keys", Key=key)

    try:
        listed = client("s3").list_object_versions(Bucket="odd-keys", Prefix="", MaxKeys=1)
        rest = client("s3").list_object_versions(
            Bucket="odd-keys", KeyMarker=listed["NextKeyMarker"]
        )
        found = [version["Key"] for version in [*listed["Versions"], *rest["Versions"]]]
    except ClientError:
        found = []

    assert (found == keys) == plugged


def test_messages_are_batched_within_the_window(client: Client, plugged: bool) -> None:
    actions = ["sqs:*", "logs:*"]
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": "batches",
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Code": {"ZipFile": CODE},
                "Role": create_role(client, "batches", actions),
            },
        },
        "Source": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
                "FunctionName": {"Ref": "Function"},
                "BatchSize": 100,
                "MaximumBatchingWindowInSeconds": 1,
            },
        },
    }
    queue = create_stack(client, "batches", resources, {"Url": {"Ref": "Queue"}})["Url"]
    for number in range(15):
        client("sqs").send_message(QueueUrl=queue, MessageBody=str(number))

    def batches() -> list[int]:
        try:
            events = client("logs").filter_log_events(logGroupName="/aws/lambda/batches")["events"]
        except ClientError:
            return []
        lines = [event["message"].split() for event in events]
        return [int(words[1]) for words in lines if words and words[0] == "BATCH"]

    wait_for(lambda: sum(batches()) == 15, 20)
    assert (batches() == [15]) == plugged


def test_made_up_names_are_cut_as_cloudformation_does(client: Client, plugged: bool) -> None:
    stack, rule = "cut-" + "s" * 40, "R" * 40
    pattern = {"source": ["test"]}
    resources = {rule: {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": pattern}}}
    made = create_stack(client, stack, resources, {"Rule": {"Ref": rule}})["Rule"]

    assert made.startswith(f"{stack[:25]}-{'R' * 25}-") == plugged
    assert len(made) <= 64


def test_change_set_with_a_bad_name_fails(client: Client, plugged: bool) -> None:
    formation = client("cloudformation")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "Upper"}}
    formation.create_change_set(
        StackName="bad-name",
        ChangeSetName="c",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Bucket": bucket}}),
    )
    made = formation.describe_change_set(StackName="bad-name", ChangeSetName="c")

    assert (made["Status"] == "FAILED") == plugged
