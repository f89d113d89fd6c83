"""Whatever comes twice counts once, and what failed can be run again."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.sdk_tasks import TaskAnswer, TaskCall, service_error
from tests.deployed_pipeline import WEEK, Pipeline
from tests.faults.inject import Fault, Injector, Kind
from tests.operating import short_deadline

COUNT = "select sum(flights) from mart.daily_route_performance"
FLIGHTS = WEEK[0].read_bytes().count(b"\n") - 1


def message_of(execution: dict[str, Any]) -> str:
    """The queue message that S3 sent for the file of a load."""
    [file] = json.loads(execution["input"])["files"]
    entity = {
        "key": file["key"],
        "size": file["size"],
        "eTag": file["etag"],
        "versionId": file["version_id"],
        "sequencer": file["sequencer"],
    }
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": file["uploaded_at"],
        "s3": {"bucket": {"name": file["bucket"]}, "object": entity},
    }
    return json.dumps({"Records": [record]})


def deliver_again(pipeline: Pipeline, execution: dict[str, Any]) -> None:
    pipeline.stack.sqs.send_message(
        QueueUrl=pipeline.stack.outputs["IngestQueueUrl"], MessageBody=message_of(execution)
    )


def wait_until_the_queue_is_empty(pipeline: Pipeline) -> None:
    while pipeline.messages_waiting():
        time.sleep(0.1)


@contextmanager
def loader_locked_out(pipeline: Pipeline) -> Iterator[None]:
    procedure = "etl.load_flights"
    with pipeline.connect() as connection:
        connection.execute(f"revoke execute on procedure {procedure} from etl_loader".encode())
    try:
        yield
    finally:
        with pipeline.connect() as connection:
            connection.execute(f"grant execute on procedure {procedure} to etl_loader".encode())


def test_second_delivery_of_an_event_makes_no_load_and_no_noise(pipeline: Pipeline) -> None:
    execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    assert len(pipeline.mails("Business")) == 1
    before = len(pipeline.stack.executions())

    deliver_again(pipeline, execution)
    wait_until_the_queue_is_empty(pipeline)

    assert len(pipeline.stack.executions()) == before
    assert pipeline.mails("Business") == pipeline.mails("Support") == []
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


def test_file_that_comes_again_in_another_batch_is_skipped(pipeline: Pipeline) -> None:
    execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    pipeline.mails("Business")

    deliver_again(pipeline, execution)
    again = pipeline.load(("raw/flights/other.csv", WEEK[1]))

    assert len(json.loads(again["input"])["files"]) == 2
    assert again["status"] == "SUCCEEDED"
    assert pipeline.query("select files_loaded, files_skipped from etl.loads order by 2") == [
        (1, 0),
        (1, 1),
    ]
    assert pipeline.query(COUNT) == [(FLIGHTS + WEEK[1].read_bytes().count(b"\n") - 1,)]
    assert len(pipeline.keys("Archive")) == 2


def test_delivery_after_a_failure_is_the_next_attempt(pipeline: Pipeline) -> None:
    with loader_locked_out(pipeline):
        failed = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    assert failed["status"] == "FAILED"

    deliver_again(pipeline, failed)
    [second] = pipeline.next_loads()

    assert (second["name"], second["status"]) == (f"{failed['name']}-2", "SUCCEEDED")
    assert second["input"] == failed["input"]


def test_command_of_the_mail_to_support_runs_the_load_again(pipeline: Pipeline) -> None:
    with loader_locked_out(pipeline):
        failed = pipeline.load(("raw/flights/späti +1/_day 1.csv", WEEK[0]))
    [mail] = pipeline.mails("Support")
    assert "permission denied for procedure load_flights" in mail.message
    command = re.search(
        r"^  (aws stepfunctions start-execution .*?)\n\n", mail.message, re.M | re.S
    )
    assert command is not None

    binaries = Path(sys.executable).parent
    environment = pipeline.stack.cloud.environment()
    environment["PATH"] = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command[1]], env=environment, check=True, capture_output=True)
    [second] = pipeline.next_loads()

    assert (second["name"], second["status"]) == (f"{failed['name']}-2", "SUCCEEDED")
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.keys("Raw", "raw/") == []
    assert len(pipeline.mails("Business")) == 1


def test_rerun_of_a_load_that_is_in_the_ledger_gives_its_recorded_answer(
    pipeline: Pipeline,
) -> None:
    first = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    pipeline.run_again(first)
    [second] = pipeline.next_loads()

    assert second["status"] == "SUCCEEDED"
    assert json.loads(second["output"]) == json.loads(first["output"])
    assert json.loads(second["output"])["source_rows"] == FLIGHTS
    assert pipeline.query("select count(*) from etl.loads") == [(1,)]


def test_newer_version_uploaded_during_the_load_is_not_deleted(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        pipeline.upload("raw/flights/day.csv", WEEK[1])
        wait_until_running(pipeline)
        # Its notification is held back: only the first version's load may touch the key.
        pipeline.pause()
        pipeline.upload("raw/flights/day.csv", WEEK[0])
    [first] = pipeline.next_loads()

    assert first["status"] == "SUCCEEDED"
    assert pipeline.keys("Raw", "raw/") == ["raw/flights/day.csv"]

    pipeline.resume()
    [second] = pipeline.next_loads()
    assert second["status"] == "SUCCEEDED"
    assert pipeline.keys("Raw", "raw/") == []
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


def wait_until_running(pipeline: Pipeline) -> None:
    while not any(e["status"] == "RUNNING" for e in pipeline.stack.executions()):
        time.sleep(0.1)


def test_older_version_that_comes_late_is_superseded(pipeline: Pipeline) -> None:
    pipeline.pause()
    pipeline.upload("raw/flights/day.csv", WEEK[1])
    [held_back] = pipeline.take_notifications()
    pipeline.resume()
    pipeline.load(("raw/flights/day.csv", WEEK[0]))

    pipeline.stack.sqs.send_message(
        QueueUrl=pipeline.stack.outputs["IngestQueueUrl"], MessageBody=held_back
    )
    [late] = pipeline.next_loads()

    assert late["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.query("select status from etl.loaded_files order by status") == [
        ("loaded",),
        ("superseded",),
    ]
    assert len(pipeline.keys("Archive")) == 2


def test_load_that_outlives_its_deadline_is_cancelled(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection, short_deadline(pipeline.stack):
        connection.execute("lock table mart.daily_route_performance_by_file")
        execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert (execution["status"], execution["error"]) == ("FAILED", "OperatorError")
    assert execution["cause"].startswith("CancelLoad: LoadTimedOut: ")
    [mail] = pipeline.mails("Support")
    assert "ran longer than 60 minutes and was cancelled" in mail.message
    assert pipeline.keys("Raw", "raw/") == ["raw/flights/day.csv"]
    running = pipeline.query("select count(*) from pg_stat_activity where query like 'call etl.%'")
    assert running == [(0,)]


def test_load_that_waits_for_its_turn_is_tried_again_and_mails_nobody(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        with short_deadline(pipeline.stack):
            waited = pipeline.load(("raw/flights/day.csv", WEEK[0]))
            wait_until_running(pipeline)
    [second] = pipeline.next_loads()

    assert (waited["status"], json.loads(waited["output"])) == ("SUCCEEDED", {"status": "requeued"})
    assert (second["name"], second["status"]) == (f"{waited['name']}-2", "SUCCEEDED")
    assert second["input"] == waited["input"]
    assert pipeline.mails("Support") == []
    assert len(pipeline.mails("Business")) == 1
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.keys("Raw", "raw/") == []


def test_waiting_load_whose_cancelling_is_not_heard_of_is_tried_again(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        with short_deadline(pipeline.stack), Injector(pipeline.stack.cloud).active() as injector:
            injector.add(Fault("load", "CancelLoad", Kind.ANSWER_LOST, runs="flights-"))
            waited = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    pipeline.next_loads()

    assert json.loads(waited["output"]) == {"status": "requeued"}
    assert pipeline.mails("Support") == []
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


def test_load_whose_statement_has_not_begun_is_tried_again(pipeline: Pipeline) -> None:
    def hide_beginning(call: TaskCall) -> None:
        if call.state == "DescribeLoad" and not call.execution.endswith("-2"):
            raise TaskAnswer({"Status": "SUBMITTED"})

    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        pipeline.stack.cloud.before_call.append(hide_beginning)
        try:
            with short_deadline(pipeline.stack):
                waited = pipeline.load(("raw/flights/day.csv", WEEK[0]))
        finally:
            pipeline.stack.cloud.before_call.remove(hide_beginning)
    [second] = pipeline.next_loads()

    assert json.loads(waited["output"]) == {"status": "requeued"}
    assert second["status"] == "SUCCEEDED"
    assert pipeline.mails("Support") == []


@contextmanager
def full_warehouse(pipeline: Pipeline, state: str, spared: str = " ") -> Iterator[None]:
    """Let a state's statements be refused as too many, but in runs whose names end so."""
    text = "The number of active statements exceeds the limit of 500."
    code = "ActiveStatementsExceededException"
    refusal = service_error("redshiftdata", code, text, 400, "A1")

    def refuse(call: TaskCall) -> None:
        if call.state == state and not call.execution.endswith(spared):
            raise refusal

    pipeline.stack.cloud.before_call.append(refuse)
    try:
        yield
    finally:
        pipeline.stack.cloud.before_call.remove(refuse)


def test_load_that_a_full_warehouse_refuses_is_tried_again_and_mails_nobody(
    pipeline: Pipeline,
) -> None:
    with full_warehouse(pipeline, "SubmitLoad", spared="-2"):
        refused = pipeline.load(("raw/flights/day.csv", WEEK[0]))
        [second] = pipeline.next_loads()

    assert json.loads(refused["output"]) == {"status": "requeued"}
    assert (second["name"], second["status"]) == (f"{refused['name']}-2", "SUCCEEDED")
    assert pipeline.mails("Support") == []
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


@pytest.mark.long
def test_load_that_a_full_warehouse_refuses_for_hours_is_told_of(pipeline: Pipeline) -> None:
    loaded = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    with full_warehouse(pipeline, "SubmitLoad"):
        pipeline.stack.step_functions.start_execution(
            stateMachineArn=pipeline.stack.outputs["LoadStateMachineArn"],
            name=f"{loaded['name']}-24",
            input=loaded["input"],
        )
        [last] = pipeline.next_loads()

    assert last["error"] == "TransientError"
    assert "ActiveStatementsExceededException" in last["cause"]
    assert len(pipeline.mails("Support")) == 1


@pytest.mark.long
def test_load_whose_question_a_full_warehouse_refuses_is_tried_again(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection, short_deadline(pipeline.stack):
        connection.execute("lock table etl.flights_lock")
        with full_warehouse(pipeline, "AskForTurn"):
            waited = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    pipeline.next_loads()

    assert json.loads(waited["output"]) == {"status": "requeued"}
    assert pipeline.mails("Support") == []
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


def test_load_of_which_nobody_knows_whether_it_waits_is_told_of(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection, short_deadline(pipeline.stack):
        connection.execute("lock table etl.flights_lock")
        with Injector(pipeline.stack.cloud).active() as injector:
            injector.add(Fault("load", "AskForTurn", Kind.DENIED, runs="flights-"))
            execution = pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert execution["cause"].startswith("CancelLoad: LoadTimedOut: ")
    assert len(pipeline.mails("Support")) == 1


@pytest.fixture(autouse=True)
def _event_source_is_on(pipeline: Pipeline) -> Iterator[None]:
    yield
    pipeline.resume()
