"""A load is measured: the figures that dashboards and alarms are about."""

import json
import time
from collections.abc import Iterator
from typing import Any

from tests.deployed_pipeline import WEEK, Pipeline

WAIT_SECONDS = 20


def log_lines(pipeline: Pipeline, function: str) -> Iterator[dict[str, Any]]:
    """The JSON lines that a function of the stack has logged."""
    logs = pipeline.stack.cloud.client("logs")
    resources = pipeline.stack.cloud.client("cloudformation").describe_stack_resource(
        StackName=pipeline.stack.name, LogicalResourceId=f"{function}LogGroup"
    )
    group = resources["StackResourceDetail"]["PhysicalResourceId"]
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
        for event in page["events"]:
            for line in event["message"].splitlines():
                if line.startswith("{"):
                    yield json.loads(line)


def test_load_is_measured(pipeline: Pipeline) -> None:
    started_at = 1000 * time.time()
    pipeline.load(*((f"raw/flights/{path.name}", path) for path in WEEK[:2]))

    deadline = time.monotonic() + WAIT_SECONDS
    lines: list[dict[str, Any]] = []
    while not lines and time.monotonic() < deadline:
        lines = [
            line
            for line in log_lines(pipeline, "MeasureLoads")
            if "_aws" in line and line["_aws"]["Timestamp"] > started_at and "FilesLoaded" in line
        ]
        time.sleep(0.2)

    [line] = lines
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == pipeline.stack.name
    assert (line["service"], line["dataset"]) == ("measure_loads", "flights")
    assert line["FilesLoaded"] == [2]
    rows = sum(path.read_bytes().count(b"\n") - 1 for path in WEEK[:2])
    assert line["RowsRead"] == [rows]
    assert line["BytesLoaded"] == [sum(path.stat().st_size for path in WEEK[:2])]
    assert len(line["FileAgeSeconds"]) == 2
