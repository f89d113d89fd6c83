"""What cannot be loaded: a bad file goes to quarantine, all else waits; support is told of both."""

import gzip
import json
import re

import pytest
from start_loads.shown import shown

from local.sdk_tasks import TaskAnswer, TaskCall
from tests.deployed_pipeline import WEEK, Pipeline
from tests.operating import messages_in, wait_until

DAY = WEEK[0].read_bytes()
HEADER, _, ROWS = DAY.partition(b"\n")
FLIGHTS = DAY.count(b"\n") - 1
COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"


def reordered(names: bytes) -> bytes:
    first, second, *rest = names.split(b",")
    return b",".join([second, first, *rest])


def counted(pipeline: Pipeline) -> list[tuple[int, ...]]:
    """How many loads, files and aggregate rows the warehouse knows of."""
    return [
        pipeline.query(f"select count(*) from {table}")[0]
        for table in ("etl.loads", "etl.loaded_files", "mart.daily_route_performance_by_file")
    ]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("raw/unheard_of/day.csv", id="unknown dataset"),
        pytest.param("raw/Not a name; %/day.csv", id="unknown dataset with a hostile name"),
    ],
)
def test_file_of_an_unknown_dataset_waits_for_an_operator(pipeline: Pipeline, key: str) -> None:
    execution = pipeline.load((key, DAY))

    assert (execution["status"], execution["error"]) == ("FAILED", "OperatorError")
    [mail] = pipeline.mails("Support")
    assert mail.subject.isascii()
    assert len(mail.subject) <= 100
    assert f"Dataset: {shown(key.split('/')[1])}\n" in mail.message
    assert mail.list_under("Files of the load:") == [shown(key)]
    assert "Glue." in mail.message
    assert "Next step: " in mail.message
    assert f"--name {execution['name']}-2 " in mail.message
    assert pipeline.mails("Business") == []
    assert pipeline.keys("Raw", "raw/") == [key]
    assert pipeline.keys("Archive", "archive/") == pipeline.keys("Archive", "quarantine/") == []
    assert counted(pipeline) == [(0,), (0,), (0,)]


def test_message_that_cannot_be_read_is_a_dead_letter_at_once_and_holds_up_nobody(
    pipeline: Pipeline,
) -> None:
    sqs, outputs = pipeline.stack.sqs, pipeline.stack.outputs
    pipeline.pause()
    sqs.send_message(QueueUrl=outputs["IngestQueueUrl"], MessageBody='{"detail-type": "x"}')
    pipeline.upload("raw/flights/day.csv", DAY)
    pipeline.resume()
    [execution] = pipeline.next_loads()

    assert execution["status"] == "SUCCEEDED"
    wait_until(lambda: messages_in(pipeline.stack, "IngestDeadLetterQueueUrl") == 1)
    [letter] = sqs.receive_message(
        QueueUrl=outputs["IngestDeadLetterQueueUrl"], MessageAttributeNames=["reason"]
    )["Messages"]
    sqs.purge_queue(QueueUrl=outputs["IngestDeadLetterQueueUrl"])
    assert letter["Body"] == '{"detail-type": "x"}'
    assert letter["MessageAttributes"]["reason"]["StringValue"] == '"source is missing"'


def test_table_of_another_spelling_is_not_the_datasets(pipeline: Pipeline) -> None:
    def fold(call: TaskCall) -> None:
        """Answer as a Glue would that takes Flights for flights."""
        if call.action == "getTable":
            parameters = {"load_procedure": "load_flights", "same_key": "replace"}
            table = {"Name": "flights", "Parameters": parameters, "StorageDescriptor": {}}
            raise TaskAnswer({"Table": table})

    pipeline.stack.cloud.before_call.append(fold)
    try:
        execution = pipeline.load(("raw/Flights/day.csv", DAY))
    finally:
        pipeline.stack.cloud.before_call.remove(fold)

    assert (execution["status"], execution["error"]) == ("FAILED", "OperatorError")
    [mail] = pipeline.mails("Support")
    assert 'Glue answered with "flights"' in mail.message
    assert mail.line("Next step").startswith("No dataset of this name is deployed.")
    assert pipeline.keys("Raw") == ["raw/Flights/day.csv"]
    assert pipeline.mails("Business") == []


@pytest.mark.parametrize(
    ("key", "body", "reason"),
    [
        pytest.param(
            "raw/flights/wrong.csv",
            b"a,b,c\n1,2,3\n",
            "found 0; no row of it names any of these columns",
            id="wrong header",
        ),
        pytest.param(
            "raw/flights/reordered.csv",
            reordered(HEADER) + b"\n" + ROWS,
            "all of these names, but in another order",
            id="reordered header",
        ),
        pytest.param("raw/flights/headless.csv", ROWS, "expected one header row", id="no header"),
        pytest.param("raw/flights/twice.csv", DAY + DAY, "found 2", id="two headers"),
        pytest.param(
            "raw/flights/narrow.csv",
            b"".join(b",".join(line.split(b",")[:12]) + b"\n" for line in DAY.splitlines()),
            "expected one header row",
            id="too few columns",
        ),
        pytest.param(
            "raw/flights/short.csv",
            HEADER + b"\n2013,1,1\n2013,1,2\n",
            'none of its rows can be read, for example "too few fields, not 19"',
            id="too few columns below the header",
        ),
        pytest.param(
            "raw/flights/broken.csv.gz",
            gzip.compress(DAY)[:-200],
            "failed to inflate",
            id="corrupt gzip",
        ),
        pytest.param("raw/flights/plain.csv.gz", DAY, "failed to inflate", id="gzip in name only"),
    ],
)
def test_bad_file_goes_to_quarantine_with_its_reason(
    pipeline: Pipeline, key: str, body: bytes, reason: str
) -> None:
    execution = pipeline.load((key, body))

    assert (execution["status"], execution["error"]) == ("FAILED", "DataError")
    [quarantined, reason_key] = pipeline.keys("Archive")
    assert quarantined.startswith("quarantine/flights/")
    assert quarantined.endswith(key.removeprefix("raw/flights"))
    assert reason_key == f"{quarantined}.reason.json"
    assert pipeline.body("Archive", quarantined) == body
    noted = json.loads(pipeline.body("Archive", reason_key))
    [file] = json.loads(execution["input"])["files"]
    assert noted["key"] == key
    assert noted["version_id"] == file["version_id"]
    assert (noted["dataset"], noted["error_class"]) == ("flights", "data")
    assert noted["execution"] == execution["executionArn"]
    assert reason in noted["message"]
    assert pipeline.status_of_statement(noted["statement_id"]) == "FAILED"

    [mail] = pipeline.mails("Support")
    name = re.sub("[^0-9A-Za-z_.-]", "_", key.rpartition("/")[2])
    assert mail.subject == f"redshift-pipeline: flights: file refused: {name} (data)"
    assert f"File at fault:\n  {key}\n" in mail.message
    folder = quarantined.rpartition("/")[0]
    assert f"/{folder}/\n" in mail.message
    assert reason in mail.message
    assert pipeline.mails("Business") == []
    assert pipeline.versions("raw/") == []
    assert pipeline.keys("Raw") == []
    assert counted(pipeline) == [(0,), (0,), (0,)]


def test_good_files_load_although_some_of_their_batch_are_bad(pipeline: Pipeline) -> None:
    bad = {f"raw/flights/bad {number}.csv": b"no\nheader\n" for number in (1, 2)}
    good = {f"raw/flights/good {number}.csv": DAY for number in range(5)}
    for key, body in [*bad.items(), *good.items()]:
        pipeline.upload(key, body)
    executions = pipeline.all_loads()

    by_files = [
        {file["key"] for file in json.loads(execution["input"])["files"]}
        for execution in executions
    ]
    assert max(len(files) for files in by_files) == len(bad) + len(good)
    refused = [e for e in executions if e["status"] == "FAILED"]
    assert [e["error"] for e in refused] == ["DataError"] * len(bad)
    assert pipeline.query(COUNT) == [(FLIGHTS * len(good),)]
    assert pipeline.versions("raw/") == []
    assert len(pipeline.keys("Archive", "archive/")) == len(good)
    assert sorted(
        key.rsplit("/", 1)[-1] for key in pipeline.keys("Archive", "quarantine/")
    ) == sorted(
        name
        for key in bad
        for name in (key.rsplit("/", 1)[-1], f"{key.rsplit('/', 1)[-1]}.reason.json")
    )
    mails = pipeline.mails("Support")
    assert len(mails) == len(bad)
    announced = "".join(mail.message for mail in pipeline.mails("Business"))
    assert all(key in announced for key in good)
    assert not any(key in announced for key in bad)


def test_refused_file_that_comes_again_makes_no_noise(pipeline: Pipeline) -> None:
    refused = pipeline.load(("raw/flights/bad.csv", b"no\nheader\n"))
    assert len(pipeline.mails("Support")) == 1
    before = pipeline.keys("Archive")

    pipeline.run_again(refused)
    [again] = pipeline.next_loads()

    assert again["status"] == "SUCCEEDED"
    assert json.loads(again["output"]) == {"status": "refused before"}
    assert pipeline.mails("Support") == pipeline.mails("Business") == []
    assert pipeline.keys("Archive") == before


def test_bad_file_is_refused_although_a_corrected_one_came_with_it(pipeline: Pipeline) -> None:
    pipeline.pause()
    bad = pipeline.upload("raw/flights/day.csv", b"no\nheader\n")
    pipeline.upload("raw/flights/day.csv", DAY)
    pipeline.resume()
    pipeline.all_loads()

    [archived] = pipeline.keys("Archive", "archive/")
    assert pipeline.body("Archive", archived) == DAY
    quarantined, reason_key = pipeline.keys("Archive", "quarantine/")
    assert pipeline.body("Archive", quarantined) == b"no\nheader\n"
    assert json.loads(pipeline.body("Archive", reason_key))["version_id"] == bad
    assert pipeline.query("select status, count(*) from etl.loaded_files group by 1") == [
        ("loaded", 1)
    ]
    assert pipeline.query(COUNT) == [(FLIGHTS,)]
