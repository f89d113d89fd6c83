"""Each permission of the state machine is needed: without it the load fails at its task."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.deployed_pipeline import WEEK, Pipeline


@contextmanager
def without(pipeline: Pipeline, sid: str, action: str) -> Iterator[None]:
    """Take one action out of one statement of the machine's role, and put it back."""
    iam = pipeline.stack.cloud.client("iam")
    machine = pipeline.stack.step_functions.describe_state_machine(
        stateMachineArn=pipeline.stack.outputs["LoadStateMachineArn"]
    )
    role = machine["roleArn"].rsplit("/", 1)[-1]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    reduced = json.loads(json.dumps(document))
    [statement] = [entry for entry in reduced["Statement"] if entry["Sid"] == sid]
    actions = (
        statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    )
    assert action in actions
    rest = [other for other in actions if other != action]
    if rest:
        statement["Action"] = rest
    else:
        reduced["Statement"].remove(statement)
    put = {"RoleName": role, "PolicyName": name}
    iam.put_role_policy(**put, PolicyDocument=json.dumps(reduced))
    try:
        yield
    finally:
        iam.put_role_policy(**put, PolicyDocument=json.dumps(document))


def failed_state(pipeline: Pipeline, execution: dict[str, Any]) -> str:
    """The last state that was entered before the failure route."""
    events = pipeline.stack.step_functions.get_execution_history(
        executionArn=execution["executionArn"], maxResults=1000
    )["events"]
    entered = [
        event["stateEnteredEventDetails"]["name"]
        for event in events
        if "stateEnteredEventDetails" in event
    ]
    return str(entered[entered.index("ClassifyFailure") - 1])


@pytest.mark.parametrize(
    ("sid", "action", "state"),
    [
        ("KeepPartitions", "glue:GetTable", "ReadTable"),
        # A file that cannot be staged stands aside: what fails is a batch of which none was.
        ("PinRawFiles", "s3:GetObjectVersion", "IsEachFileStaged"),
        ("StageFiles", "s3:PutObject", "IsEachFileStaged"),
        ("KeepPartitions", "glue:CreatePartition", "RegisterPartition"),
        ("SubmitLoad", "redshift-data:ExecuteStatement", "SubmitLoad"),
        ("LogInAsLoader", "secretsmanager:GetSecretValue", "SubmitLoad"),
        ("FollowLoad", "redshift-data:DescribeStatement", "DescribeLoad"),
        ("FollowLoad", "redshift-data:GetStatementResult", "FetchLoadResult"),
        ("ArchiveFiles", "s3:PutObject", "ArchiveFiles"),
        # S3 answers for each object: the call itself succeeds.
        ("PinRawFiles", "s3:DeleteObjectVersion", "IsRawDeleted"),
        ("KeepPartitions", "glue:DeletePartition", "DropPartition"),
    ],
)
def test_load_fails_at_the_task_that_lacks_its_permission(
    pipeline: Pipeline, sid: str, action: str, state: str
) -> None:
    with without(pipeline, sid, action):
        execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert (execution["status"], execution["error"]) == ("FAILED", "OperatorError")
    assert failed_state(pipeline, execution) == state
    [mail] = pipeline.mails("Support")
    assert "raw/flights/day.csv" in mail.message
    is_announced = state in ("IsRawDeleted", "DropPartition")
    assert len(pipeline.mails("Business")) == is_announced


def test_machine_that_may_not_publish_still_fails(pipeline: Pipeline) -> None:
    with without(pipeline, "Notify", "sns:Publish"):
        execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert (execution["status"], execution["error"]) == ("FAILED", "SupportNotTold")
    assert "NotifyBusiness: Sns." in execution["cause"]
    # The machine that looks after such loads keeps trying, and may publish again by now.
    mail = pipeline.next_mail("Support")
    assert mail.subject == "redshift-pipeline: flights: load ended unfinished: day.csv (FAILED)"
    assert "Error: SupportNotTold\nReason: NotifyBusiness: Sns." in mail.message
