"""What a life of the pipeline leaves behind holds no secret, and no row beyond where rows belong.

Words are planted in rows and read out of secrets; then all that is kept of the life is searched:
logs, histories, mails, messages, statements, metrics, and what the archive says of refused files.
There are no traces on the laptop. What the functions log is searched in their unit tests too,
since the laptop shows but a part of it.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import ACCOUNT, REGION
from local.sdk_tasks import RoleClients
from tests.deployed_pipeline import WEEK, Pipeline, statement_fails
from tests.security.grants import logical_ids

pytestmark = pytest.mark.long

HEADER, ROW, *_ = WEEK[0].read_bytes().splitlines(keepends=True)
# In a row that counts, in one that cannot be read, in a file that is refused by its header, in one
# of which no row can be read, and in an error of the warehouse.
COUNTED, REJECTED, REFUSED = "ZQCOUNTED", "ZQREJECTED", "ZQREFUSED"
UNREADABLE, QUOTED = "ZQUNREADABLE", "ZQQUOTED"
ROWS = (COUNTED, REJECTED, REFUSED, UNREADABLE)
TAILNUM, DEP_DELAY, CARRIER = 11, 5, 9
SECRETS = {"LoaderSecretArn": "etl_loader", "AdminSecretArn": "etl_admin"}


def row(column: int, value: str) -> bytes:
    fields = ROW.split(b",")
    fields[column] = value.encode()
    return b",".join(fields)


@pytest.fixture(scope="module")
def words(deployed: Pipeline) -> dict[str, str]:
    """Passwords by what they are, those before the rotation and after; and their verifiers."""
    found: dict[str, str] = {}
    for secret, user in SECRETS.items():
        note(found, deployed, secret, user, "old")
    live(deployed)
    for secret, user in SECRETS.items():
        note(found, deployed, secret, user, "new")
    return found


def note(found: dict[str, str], pipeline: Pipeline, secret: str, user: str, age: str) -> None:
    _, password = pipeline.stack.credentials(secret)
    verifier = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    found |= {f"{age} password of {user}": password, f"{age} verifier of {user}": verifier}


def live(pipeline: Pipeline) -> None:
    rows = [HEADER, row(TAILNUM, COUNTED), row(DEP_DELAY, REJECTED)]
    bring(pipeline, "rows", b"".join(rows))
    bring(pipeline, "refused", f"another,header\n{REFUSED},2\n".encode())
    bring(pipeline, "unreadable", HEADER + row(DEP_DELAY, UNREADABLE))
    with statement_fails(pipeline, f'invalid input syntax for type integer: "{QUOTED}"'):
        bring(pipeline, "quoted", HEADER + row(CARRIER, "ZZ"))
    with statement_fails(pipeline, f'nobody has seen this about "{QUOTED}"'):
        bring(pipeline, "unknown", HEADER + row(CARRIER, "ZZ"))
    for secret in SECRETS:
        pipeline.rotate(secret)
    bring(pipeline, "after", HEADER + row(TAILNUM, COUNTED))


def bring(pipeline: Pipeline, name: str, body: bytes) -> None:
    """Upload a file, and wait for all that comes of it."""
    pipeline.upload(f"raw/flights/{name}.csv", body)
    pipeline.all_loads()


@pytest.fixture(scope="module")
def left_behind(deployed: Pipeline, words: dict[str, str]) -> Iterator[dict[str, str]]:
    """All that is kept, as text, by where it is."""
    yield {where: text for where, text in found(deployed) if text}
    deployed.empty()


def found(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    cloud, states = pipeline.stack.cloud, pipeline.stack.step_functions
    for reader in pipeline.mailboxes:
        yield f"mails to {reader}", repr(pipeline.mails(reader))
    for machine in ("LoadStateMachineArn", "AbandonedLoadStateMachineArn"):
        arn = pipeline.stack.outputs[machine]
        for execution in states.list_executions(stateMachineArn=arn)["executions"]:
            name = execution["executionArn"]
            pages = states.get_paginator("get_execution_history").paginate(executionArn=name)
            yield f"history of {name}", whole([page["events"] for page in pages])
    yield from logs(cloud.client("logs"))
    yield "metrics", whole(cloud.client("cloudwatch").list_metrics()["Metrics"])
    alarms = cloud.client("cloudwatch").describe_alarms()
    yield "alarms", whole([alarms["MetricAlarms"], alarms["CompositeAlarms"]])
    dead = pipeline.stack.outputs["IngestDeadLetterQueueUrl"]
    yield "dead letters", whole(pipeline.stack.sqs.receive_message(QueueUrl=dead))
    stack = cloud.client("cloudformation")
    yield "events of the stack", whole(stack.describe_stack_events(StackName=pipeline.stack.name))
    yield "outputs", whole(pipeline.stack.outputs)
    for key in pipeline.keys("Archive"):
        if key.endswith(".reason.json") or key.startswith("incidents/"):
            yield key, pipeline.body("Archive", key).decode()
    for function in cloud.client("lambda").list_functions()["Functions"]:
        yield f"settings of {function['FunctionName']}", whole(function)


def logs(client: Any) -> Iterator[tuple[str, str]]:
    for group in client.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        for stream in client.describe_log_streams(logGroupName=name)["logStreams"]:
            events = client.get_log_events(
                logGroupName=name, logStreamName=stream["logStreamName"], startFromHead=True
            )
            yield f"logs of {name}", whole(events["events"])


def whole(value: Any) -> str:
    return json.dumps(value, default=str)


def statements(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Those of the loads, as their role sees them. The functions' unit tests look at theirs."""
    client = as_role(pipeline, "LoadRole", "redshift-data")
    answer = client.list_statements(Status="ALL", RoleLevel=True, MaxResults=100)
    return [client.describe_statement(Id=one["Id"]) for one in answer["Statements"]]


def as_role(pipeline: Pipeline, logical_id: str, service: str) -> Any:
    """A client with the rights of a role of the stack, as the machine of loads has it."""
    names = {logical: physical for physical, logical in logical_ids(pipeline.stack).items()}
    role = f"arn:aws:iam::{ACCOUNT}:role/{names[logical_id]}"
    machine = pipeline.stack.outputs["LoadStateMachineArn"]
    return RoleClients(pipeline.stack.cloud.endpoint_url, REGION).client(service, role, machine)


def places_of(word: str, left_behind: dict[str, str]) -> list[str]:
    return sorted(where for where, text in left_behind.items() if word in text)


def test_life_left_something_behind(left_behind: dict[str, str]) -> None:
    """Or else nothing would be found in nothing."""
    everything = " ".join(left_behind.values())

    assert "raw/flights/rows.csv" in left_behind["mails to Business"]
    assert "raw/flights/refused.csv" in left_behind["mails to Support"]
    assert any(where.startswith("history of") for where in left_behind)
    assert "etl.load_flights" in everything


def test_no_password_and_no_verifier_is_left_behind(
    words: dict[str, str], left_behind: dict[str, str]
) -> None:
    assert {what: places_of(word, left_behind) for what, word in words.items()} == {
        what: [] for what in words
    }


def test_no_secret_is_in_a_statement_of_a_load(deployed: Pipeline, words: dict[str, str]) -> None:
    text = whole(statements(deployed))

    assert "flights" in text
    assert [what for what, word in words.items() if word in text] == []


@pytest.mark.parametrize("word", ROWS)
def test_no_row_is_left_outside_the_warehouse_and_the_buckets(
    left_behind: dict[str, str], word: str
) -> None:
    assert places_of(word, left_behind) == []


def test_no_row_is_in_a_statement(deployed: Pipeline, left_behind: dict[str, str]) -> None:
    assert left_behind
    text = whole(statements(deployed))

    assert [word for word in ROWS if word in text] == []


def test_row_that_the_warehouse_quotes_goes_no_further_than_its_answer(
    deployed: Pipeline, left_behind: dict[str, str]
) -> None:
    """The Data API's answer is in the history of the load's execution: none could leave it out."""
    places = places_of(QUOTED, left_behind)

    assert "raw/flights/quoted.csv" in left_behind["mails to Support"]
    assert all(place.startswith("history of ") for place in places)
    machine = {"stateMachineArn": deployed.stack.outputs["LoadStateMachineArn"]}
    failed = deployed.stack.step_functions.list_executions(**machine, statusFilter="FAILED")
    causes = [deployed.describe(one["executionArn"])["cause"] for one in failed["executions"]]
    assert any("(left out)" in cause for cause in causes)
    assert [cause for cause in causes if QUOTED in cause] == []
