"""What a neighbour who may start executions or send messages can do: nothing to others' files."""

import json
from typing import Any

from start_loads.core import Load, UploadedFile

from tests.deployed_pipeline import WEEK, Pipeline
from tests.operating import messages_in, wait_until

DAY = WEEK[0].read_bytes()


def start(pipeline: Pipeline, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Start an execution as a neighbour does, and wait for its end."""
    pipeline.stack.step_functions.start_execution(
        stateMachineArn=pipeline.stack.outputs["LoadStateMachineArn"],
        name=name,
        input=json.dumps(document),
    )
    [ended] = pipeline.next_loads()
    return ended


def test_crafted_input_writes_over_no_archive_object(pipeline: Pipeline) -> None:
    loaded = pipeline.load(("raw/flights/day.csv", DAY))
    [archived] = pipeline.keys("Archive", "archive/")
    pipeline.mails("Business")
    pipeline.pause()
    version = pipeline.upload("raw/flights/other.csv", b"".join(DAY.splitlines(True)[:3]))
    file = {**json.loads(loaded["input"])["files"][0], "archive_key": archived}
    etag = pipeline.stack.s3.head_object(
        Bucket=file["bucket"], Key="raw/flights/other.csv", VersionId=version
    )["ETag"].strip('"')
    other = {**file, "key": "raw/flights/other.csv", "version_id": version, "etag": etag}
    other["file_id"] = "f" * 32

    crafted = start(
        pipeline, "x-" + "0" * 24, {"dataset": "flights", "load_id": "x", "files": [other]}
    )

    assert pipeline.body("Archive", archived) == DAY
    assert (crafted["status"], crafted.get("error")) == ("FAILED", "InputRefused")
    assert pipeline.mails("Support") == pipeline.mails("Business") == []
    pipeline.resume()
    pipeline.all_loads()
    assert pipeline.query("select count(*) from etl.loaded_files where status = 'loaded'") == [(2,)]


def test_true_upload_does_not_pass_for_loaded(pipeline: Pipeline) -> None:
    pipeline.pause()
    version = pipeline.upload("raw/flights/day.csv", DAY)
    pipeline.upload("raw/flights/small.csv", b"".join(DAY.splitlines(True)[:2]))
    bucket = pipeline.stack.outputs["RawBucketName"]
    heads = {
        key: pipeline.stack.s3.head_object(Bucket=bucket, Key=key)
        for key in ("raw/flights/day.csv", "raw/flights/small.csv")
    }
    files = {
        key: UploadedFile(
            bucket,
            key,
            head["VersionId"],
            head["ETag"].strip('"'),
            "",
            1,
            "2013-01-02T00:00:00.000Z",
        )
        for key, head in heads.items()
    }
    true, small = (files[key] for key in heads)
    assert true.version_id == version
    # Another's file, under the name of the true one, in the run that the true one would have.
    load = Load("flights", (true,))
    document = json.loads(load.to_input())
    document["files"][0] |= {"key": small.key, "version_id": small.version_id, "etag": small.etag}

    start(pipeline, load.load_id, document)
    pipeline.resume()
    pipeline.all_loads()

    rows = len(DAY.splitlines()) - 1
    assert pipeline.query(
        "select source_rows from etl.loaded_files where object_key = 'raw/flights/day.csv'"
    ) == [(rows,)]


def test_message_from_the_future_is_a_dead_letter_and_corrections_count(pipeline: Pipeline) -> None:
    pipeline.pause()
    pipeline.upload("raw/flights/day.csv", DAY)
    [body] = pipeline.take_notifications()
    notification = json.loads(body)
    notification["Records"][0]["eventTime"] = "2999-01-01T00:00:00.000Z"
    pipeline.stack.sqs.send_message(
        QueueUrl=pipeline.stack.outputs["IngestQueueUrl"], MessageBody=json.dumps(notification)
    )
    pipeline.resume()
    wait_until(
        lambda: (
            messages_in(pipeline.stack, "IngestDeadLetterQueueUrl") or pipeline.stack.executions()
        )
    )

    pipeline.upload("raw/flights/day.csv", b"".join(DAY.splitlines(True)[:3]))
    pipeline.all_loads()

    assert pipeline.query("select sum(flights) from mart.daily_route_performance") == [(2,)]
    assert messages_in(pipeline.stack, "IngestDeadLetterQueueUrl") == 1
    pipeline.stack.sqs.purge_queue(QueueUrl=pipeline.stack.outputs["IngestDeadLetterQueueUrl"])
