"""The stack's dashboard after three busy minutes on a laptop cloud, as a picture.

What AWS's services would measure of themselves is taken from where it can be seen: the queues'
attributes, the executions. Redshift's capacity cannot.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.demo import example_files
from local.picture import Metric, Point, Span, draw
from local.stack import Stack
from tools.datasets.choosing import first

MINUTES = 3
PERIOD_SECONDS = 10
UPLOAD_SECONDS = 4.0
SAMPLE_SECONDS = 1.0
# What is measured for executions, and which of their statuses it counts.
ENDS = {
    "ExecutionsSucceeded": "SUCCEEDED",
    "ExecutionsFailed": "FAILED",
    "ExecutionsTimedOut": "TIMED_OUT",
    "ExecutionsAborted": "ABORTED",
}
QUEUED = {
    "ApproximateNumberOfMessagesVisible": "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible": "ApproximateNumberOfMessagesNotVisible",
}


@dataclass
class Measured:
    """Points by metric."""

    points: defaultdict[Metric, list[Point]] = field(default_factory=lambda: defaultdict(list))

    def add(self, metric: Metric, moment: float, value: float) -> None:
        self.points[metric].append((moment, value))


def picture(stack: Stack) -> str:
    """Keep the stack busy, and draw its dashboard as an SVG."""
    measured = Measured()
    start = time.time()
    with _sampled(stack, measured):
        _keep_busy(stack, start + 60 * MINUTES)
        _wait_until_quiet(stack)
    _add_executions(stack, measured)
    _add_own_metrics(stack, measured)
    body = stack.cloud.client("cloudwatch").get_dashboard(DashboardName=stack.name)
    span = Span(start, time.time(), PERIOD_SECONDS)
    return draw(json.loads(body["DashboardBody"]), measured.points, span)


def _keep_busy(stack: Stack, until: float) -> None:
    """Files of CSV, some together, one twice, one that is refused, and rows that are."""
    dataset = first("csv").name
    files = [path.read_bytes() for path in example_files(dataset)]
    number = 0
    while time.time() < until:
        lines = files[number % len(files)].splitlines(keepends=True)
        body = b"".join(lines[: 1 + len(lines) // (1 + number % 3)])
        if number % 11 == 5:
            body = b"not,its,header\n"
        if number % 7 == 3:
            body += b",".join([b"x"] * (1 + lines[0].count(b","))) + b"\n"
        for copy in range(1 + number % 4):
            stack.s3.put_object(
                Bucket=stack.outputs["RawBucketName"],
                Key=f"raw/{dataset}/{number}-{copy}.csv",
                Body=body,
            )
        number += 1
        time.sleep(UPLOAD_SECONDS)


def _wait_until_quiet(stack: Stack) -> None:
    while stack.keys("RawBucketName", "raw/") or any(
        execution["status"] == "RUNNING" for execution in stack.executions()
    ):
        time.sleep(SAMPLE_SECONDS)


@contextmanager
def _sampled(stack: Stack, measured: Measured) -> Iterator[None]:
    """Look at the queue once a second meanwhile."""
    is_over = threading.Event()
    url = stack.outputs["IngestQueueUrl"]

    def sample() -> None:
        while not is_over.wait(SAMPLE_SECONDS):
            seen = stack.sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=list(QUEUED.values())
            )["Attributes"]
            for name, attribute in QUEUED.items():
                metric = ("AWS/SQS", name, "QueueName", url.rsplit("/", 1)[-1])
                measured.add(metric, time.time(), float(seen[attribute]))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _add_executions(stack: Stack, measured: Measured) -> None:
    machine = ("StateMachineArn", stack.outputs["LoadStateMachineArn"])
    for execution in stack.executions():
        started, ended = execution["startDate"].timestamp(), execution["stopDate"].timestamp()
        measured.add(("AWS/States", "ExecutionsStarted", *machine), started, 1)
        for name, status in ENDS.items():
            happened = execution["status"] == status
            measured.add(("AWS/States", name, *machine), ended, float(happened))


def _add_own_metrics(stack: Stack, measured: Measured) -> None:
    """What MeasureLoadsFunction has written in the embedded metric format."""
    for line in _log_lines(stack, "MeasureLoadsLogGroup"):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = [part for name in names for part in (name, line[name])]
                for metric in directive["Metrics"]:
                    key = (directive["Namespace"], metric["Name"], *dimensions)
                    for value in line[metric["Name"]]:
                        measured.add(key, line["_aws"]["Timestamp"] / 1000, value)


def _log_lines(stack: Stack, log_group: str) -> Iterator[dict[str, Any]]:
    resource = stack.cloud.client("cloudformation").describe_stack_resource(
        StackName=stack.name, LogicalResourceId=log_group
    )["StackResourceDetail"]
    pages = stack.cloud.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(logGroupName=resource["PhysicalResourceId"]):
        for event in page["events"]:
            for line in event["message"].splitlines():
                if line.startswith('{"_aws"'):
                    yield json.loads(line)
