"""The sweeper loads what was forgotten, leaves alone what is not its own, and clears up."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.deployed_pipeline import WEEK, Pipeline

COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"
FLIGHTS = WEEK[0].read_bytes().count(b"\n") - 1


@contextmanager
def paused(pipeline: Pipeline) -> Iterator[None]:
    pipeline.pause()
    try:
        yield
    finally:
        pipeline.resume()


def wait_for_staging(pipeline: Pipeline) -> None:
    while not pipeline.keys("Raw", "staging/"):
        time.sleep(0.05)


def partitions(pipeline: Pipeline) -> list[str]:
    pages = pipeline.stack.cloud.client("glue").get_paginator("get_partitions")
    found = pages.paginate(
        DatabaseName=pipeline.stack.outputs["GlueDatabaseName"], TableName="flights"
    )
    return [partition["Values"][0] for page in found for partition in page["Partitions"]]


def test_file_whose_notification_was_lost_is_loaded(pipeline: Pipeline) -> None:
    key = "raw/flights/späti +1/_day 100% (1).csv"
    with paused(pipeline):
        version = pipeline.upload(key, WEEK[0])
        assert len(pipeline.take_notifications()) == 1
    assert pipeline.sweep(waiting_minutes=1)["requeued_files"] == 0

    assert pipeline.sweep()["requeued_files"] == 1
    [execution] = pipeline.next_loads()

    assert execution["status"] == "SUCCEEDED"
    [file] = json.loads(execution["input"])["files"]
    assert (file["key"], file["version_id"], file["sequencer"]) == (key, version, "")
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.versions("raw/") == []


def test_lost_versions_of_one_key_are_loaded_or_superseded(pipeline: Pipeline) -> None:
    with paused(pipeline):
        pipeline.upload("raw/flights/day.csv", WEEK[1])
        # A listing tells times apart by the second.
        time.sleep(1.1)
        pipeline.upload("raw/flights/day.csv", WEEK[0])
        assert len(pipeline.take_notifications()) == 2

    assert pipeline.sweep()["requeued_files"] == 2
    pipeline.next_loads()

    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.query("select status from etl.loaded_files order by status") == [
        ("loaded",),
        ("superseded",),
    ]
    assert pipeline.versions("raw/") == []
    assert len(pipeline.keys("Archive", "archive/")) == 2


def test_file_that_was_deleted_before_it_was_loaded_counts(pipeline: Pipeline) -> None:
    with paused(pipeline):
        pipeline.upload("raw/flights/day.csv", WEEK[0])
        pipeline.stack.s3.delete_object(
            Bucket=pipeline.stack.outputs["RawBucketName"], Key="raw/flights/day.csv"
        )
        pipeline.take_notifications()
    pipeline.sweep()
    pipeline.next_loads()

    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert pipeline.versions("raw/") == []


def test_file_that_waits_for_an_operator_is_left_alone(pipeline: Pipeline) -> None:
    pipeline.load(("raw/unheard_of/day.csv", WEEK[0]))
    pipeline.mails("Support")

    outcome = pipeline.sweep()

    assert (outcome["held"], outcome["requeued_files"], outcome["requeued_loads"]) == (1, 0, 0)
    assert pipeline.mails("Support") == []
    assert pipeline.keys("Raw", "raw/") == ["raw/unheard_of/day.csv"]


def test_aborted_load_is_run_again_as_the_load_it_was(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        pipeline.upload("raw/flights/day.csv", WEEK[0])
        wait_for_staging(pipeline)
        [running] = [e for e in pipeline.stack.executions() if e["status"] == "RUNNING"]
        held = pipeline.sweep()
        assert (held["held"], held["requeued_loads"], held["objects_dropped"]) == (1, 0, 0)
        pipeline.stack.step_functions.stop_execution(executionArn=running["executionArn"])
        mail = pipeline.next_mail("Support")
    assert mail.subject == "redshift-pipeline: flights: load ended unfinished: day.csv (ABORTED)"
    assert "raw/flights/day.csv" in mail.message
    assert running["executionArn"] in mail.message
    pipeline.next_loads()
    assert pipeline.query(COUNT) == [(0,)]
    assert partitions(pipeline) == [running["name"]]

    outcome = pipeline.sweep()
    [again] = pipeline.next_loads()

    assert (outcome["requeued_files"], outcome["requeued_loads"]) == (0, 1)
    assert (outcome["partitions_dropped"], outcome["objects_dropped"]) == (1, 1)
    assert (again["name"], again["status"]) == (f"{running['name']}-2", "SUCCEEDED")
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
    assert partitions(pipeline) == pipeline.keys("Raw") == []
