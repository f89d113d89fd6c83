"""A key that changes between a file's event and its staging: the event's version is what counts."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployed_pipeline import WEEK, Pipeline

pytestmark = pytest.mark.long

KEY = "raw/flights/day.csv"
COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"
FLIGHTS = [path.read_bytes().count(b"\n") - 1 for path in WEEK]


@pytest.fixture(autouse=True)
def _queue_is_paused(pipeline: Pipeline) -> Iterator[None]:
    pipeline.pause()
    yield
    pipeline.resume()


def deliver(pipeline: Pipeline, message: str) -> dict[str, Any]:
    """Hand over one notification that was taken, and return the load that it makes."""
    pipeline.stack.sqs.send_message(
        QueueUrl=pipeline.stack.outputs["IngestQueueUrl"], MessageBody=message
    )
    pipeline.resume()
    [execution] = pipeline.next_loads()
    pipeline.pause()
    return execution


def statuses(pipeline: Pipeline) -> dict[str, str]:
    return dict(pipeline.query("select version_id, status from etl.loaded_files"))


def archived(pipeline: Pipeline) -> list[bytes]:
    return [pipeline.body("Archive", key) for key in pipeline.keys("Archive", "archive/")]


def test_key_overwritten_before_its_staging_gives_each_event_its_own_version(
    pipeline: Pipeline,
) -> None:
    old = pipeline.upload(KEY, WEEK[0])
    [first] = pipeline.take_notifications()
    new = pipeline.upload(KEY, WEEK[1])
    [second] = pipeline.take_notifications()

    assert deliver(pipeline, first)["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS[0],)]
    assert archived(pipeline) == [WEEK[0].read_bytes()]
    # The newer version is what lies under the key, and stays until it is loaded.
    assert pipeline.body("Raw", KEY) == WEEK[1].read_bytes()

    assert deliver(pipeline, second)["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS[1],)]
    assert statuses(pipeline) == {old: "replaced", new: "loaded"}
    assert sorted(archived(pipeline)) == sorted(path.read_bytes() for path in WEEK[:2])
    assert pipeline.versions("raw/") == []


def test_versions_of_a_key_in_one_batch_are_loaded_once(pipeline: Pipeline) -> None:
    old, new = pipeline.upload(KEY, WEEK[0]), pipeline.upload(KEY, WEEK[1])
    pipeline.resume()
    [execution] = pipeline.next_loads()

    assert execution["status"] == "SUCCEEDED"
    assert statuses(pipeline) == {old: "superseded", new: "loaded"}
    assert pipeline.query(COUNT) == [(FLIGHTS[1],)]
    assert len(archived(pipeline)) == 2
    assert pipeline.versions("raw/") == []


def test_key_deleted_before_its_staging_is_loaded_all_the_same(pipeline: Pipeline) -> None:
    version = pipeline.upload(KEY, WEEK[0])
    pipeline.stack.s3.delete_object(Bucket=pipeline.stack.outputs["RawBucketName"], Key=KEY)
    [message] = pipeline.take_notifications()

    assert deliver(pipeline, message)["status"] == "SUCCEEDED"
    assert statuses(pipeline) == {version: "loaded"}
    assert pipeline.query(COUNT) == [(FLIGHTS[0],)]
    assert archived(pipeline) == [WEEK[0].read_bytes()]
    assert pipeline.versions("raw/") == []
    assert len(pipeline.mails("Business")) == 1
    assert pipeline.mails("Support") == []


def test_version_destroyed_before_its_staging_is_told_of_and_holds_up_no_other(
    pipeline: Pipeline,
) -> None:
    destroyed = pipeline.upload(KEY, WEEK[0])
    kept = pipeline.upload("raw/flights/other.csv", WEEK[1])
    pipeline.stack.s3.delete_object(
        Bucket=pipeline.stack.outputs["RawBucketName"], Key=KEY, VersionId=destroyed
    )
    pipeline.resume()
    loads = pipeline.all_loads()

    # The batch of both is split; the lost version ends up alone.
    assert sorted(load["status"] for load in loads) == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert statuses(pipeline) == {kept: "loaded"}
    assert pipeline.query(COUNT) == [(FLIGHTS[1],)]
    [mail] = pipeline.mails("Support")
    assert KEY in mail.message
    assert "this version is no longer in the raw bucket and was never loaded" in mail.message
    [reason] = pipeline.keys("Archive", "quarantine/")
    assert json.loads(pipeline.body("Archive", reason))["version_id"] == destroyed
    assert pipeline.versions("raw/") == []


def test_version_destroyed_after_it_was_loaded_makes_no_noise(pipeline: Pipeline) -> None:
    pipeline.upload(KEY, WEEK[0])
    [message] = pipeline.take_notifications()
    first = deliver(pipeline, message)
    pipeline.mails("Business")
    other = pipeline.upload("raw/flights/other.csv", WEEK[1])
    [second] = pipeline.take_notifications()
    # In one batch with another file it is another load, which finds nothing to stage of it.
    both = {"Records": [json.loads(text)["Records"][0] for text in (message, second)]}

    again = deliver(pipeline, json.dumps(both))

    assert (first["status"], again["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert len(json.loads(again["input"])["files"]) == 2
    assert statuses(pipeline)[other] == "loaded"
    assert pipeline.query(COUNT) == [(FLIGHTS[0] + FLIGHTS[1],)]
    assert pipeline.mails("Support") == []
