"""What is counted of an ended load."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from measure_loads import core

STARTED = datetime(2013, 1, 2, 4, 5, tzinfo=UTC)
LOADED = {
    "status": "loaded",
    "files_loaded": 2,
    "files_skipped": 1,
    "source_rows": 200,
    "rejected_rows": 5,
    "aggregate_rows": 50,
    "empty_file_ids": "",
}
FILES = [
    {"size": 10, "uploaded_at": "2013-01-02T04:00:00.000Z"},
    {"size": 32, "uploaded_at": "2013-01-02T04:04:30.000Z"},
]


def execution(status: str = "SUCCEEDED", output: Any = None, **more: Any) -> dict[str, Any]:
    found = {
        "status": status,
        "startDate": STARTED,
        "stopDate": STARTED + timedelta(seconds=30),
        "input": json.dumps({"dataset": "flights", "files": FILES}),
        **more,
    }
    return found | ({"output": json.dumps(output)} if output else {})


def values(measurement: core.Measurement) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for metric in measurement.metrics:
        found.setdefault(metric.name, []).append(metric.value)
    return found


def test_load_is_measured_with_all_its_files() -> None:
    measurement = core.measure(execution(output=LOADED))

    assert measurement.dataset == "flights"
    assert values(measurement) == {
        "FilesLoaded": [2],
        "FilesSkipped": [1],
        "RowsRead": [200],
        "RowsRejected": [5],
        "RejectedPercent": [2.5],
        "BytesLoaded": [42],
        "LoadSeconds": [30],
        "FileAgeSeconds": [330, 60],
    }


def test_load_without_a_row_has_no_share_of_rejected_ones() -> None:
    measurement = core.measure(execution(output={**LOADED, "source_rows": 0, "rejected_rows": 0}))

    assert "RejectedPercent" not in values(measurement)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("split", "LoadsSplit"),
        ("requeued", "LoadsRequeued"),
        ("refused before", "LoadsRepeated"),
        ("reverted", "LoadsRepeated"),
    ],
)
def test_load_that_brought_nothing_is_counted(status: str, name: str) -> None:
    measurement = core.measure(execution(output={"status": status}))

    assert values(measurement) == {name: [1]}


@pytest.mark.parametrize(
    ("status", "error", "name", "dataset"),
    [
        ("FAILED", "DataError", "FilesRefused", "flights"),
        # There may be no dataset of that name: each name of a dimension is paid for.
        ("FAILED", "OperatorError", "OperatorErrors", ""),
        ("FAILED", "TransientError", "TransientErrors", ""),
        ("FAILED", "SupportNotTold", "UnfinishedLoads", ""),
        ("FAILED", "States.Runtime", "UnfinishedLoads", ""),
        ("TIMED_OUT", "", "UnfinishedLoads", ""),
        ("ABORTED", "", "UnfinishedLoads", ""),
    ],
)
def test_failure_is_counted_by_its_class(status: str, error: str, name: str, dataset: str) -> None:
    measurement = core.measure(execution(status, error=error))

    assert (measurement.dataset, values(measurement)) == (dataset, {name: [1]})


def detail(**changes: Any) -> dict[str, Any]:
    """An event's account of an execution that has ended half a minute after its start."""
    stopped = int(1000 * (STARTED + timedelta(seconds=30)).timestamp())
    return {"executionArn": "arn", "status": "SUCCEEDED", "stopDate": stopped, **changes}


RUNNING = {key: value for key, value in execution("RUNNING").items() if key != "stopDate"}


def test_event_tells_how_a_load_ended_before_its_description_does() -> None:
    succeeded = core.ended(RUNNING, detail(output=json.dumps(LOADED), error=None))
    failed = core.ended(RUNNING, detail(status="FAILED", error="DataError", output=None))

    assert values(core.measure(succeeded))["LoadSeconds"] == [30]
    assert values(core.measure(failed)) == {"FilesRefused": [1]}


def test_what_the_event_leaves_out_the_description_tells() -> None:
    described = execution(output=LOADED, error="DataError")

    assert core.ended(described, detail(output=None))["output"] == described["output"]
    assert core.ended(described, detail(status="FAILED"))["error"] == "DataError"


def test_load_whose_output_nobody_tells_yet_is_measured_later() -> None:
    with pytest.raises(core.LaggingDescriptionError, match="arn has no output yet"):
        core.ended(RUNNING, detail(output=None))
