"""SweepFunction: sends again what waits under raw/, and clears up after ended loads.

Called by: a schedule; by hand with {"waiting_minutes": 0, "leftover_minutes": 0}.
Input:     EventBridge's scheduled event, or by hand an object with one override, both or none;
           they are numbers of minutes.
Output:    {"held", "requeued_files", "requeued_loads", "partitions_dropped", "objects_dropped":
           counts, "is_backlogged": nothing was put on top of a long queue, "is_complete": false
           where time ran out; the next sweep goes on from there}.
Errors:    core.RequestError; botocore's ClientError and BotoCoreError, after their retries. A
           sweep that failed half-way does no harm: whatever was sent is a duplicate to the next.
Settings:  RAW_BUCKET_NAME, ARCHIVE_BUCKET_NAME, INGEST_QUEUE_URL, STATE_MACHINE_ARN,
           GLUE_DATABASE_NAME, WAITING_MINUTES, LEFTOVER_MINUTES.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from sweep import core
from sweep.executions import Executions
from sweep.leftovers import Leftovers
from sweep.place import Place
from sweep.waiting import WaitingFiles

logger = Logger()

# Kept back from the function's time, for the calls under way and the answer.
RESERVED_MILLISECONDS = 60_000
# And for what ended loads have left, however many files wait.
RESERVED_FOR_LEFTOVERS = 240_000


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Sweep once; see the module for the shapes."""
    limits = core.Limits.at(datetime.now(UTC), core.read_minutes(event, default_minutes()))
    is_late = lateness(context, RESERVED_MILLISECONDS)
    # Files first: that none is lost must not hang on what tidies up.
    waiting = requeue_waiting_files(
        limits, lateness(context, RESERVED_MILLISECONDS + RESERVED_FOR_LEFTOVERS)
    )
    leftovers = drop_leftovers(limits, is_late)
    outcome: dict[str, Any] = {
        "held": waiting.held,
        "requeued_files": waiting.requeued_files,
        "requeued_loads": waiting.requeued_loads,
        "partitions_dropped": leftovers.partitions_dropped,
        "objects_dropped": leftovers.objects_dropped,
        "is_backlogged": waiting.is_backlogged,
        "is_complete": (waiting.is_complete or waiting.is_backlogged) and not is_late(),
    }
    logger.info("swept", **outcome)
    return outcome


def drop_leftovers(limits: core.Limits, is_late: Callable[[], bool]) -> Leftovers:
    """Clear up after ended runs; answers what was dropped."""
    leftovers = Leftovers(
        s3=client("s3"),
        glue=client("glue"),
        executions=executions(),
        bucket=os.environ["RAW_BUCKET_NAME"],
        database=os.environ["GLUE_DATABASE_NAME"],
        limits=limits,
        is_late=is_late,
    )
    leftovers.drop()
    return leftovers


def requeue_waiting_files(limits: core.Limits, is_late: Callable[[], bool]) -> WaitingFiles:
    """Send again what waits under raw/; answers what was sent and what is held."""
    waiting = WaitingFiles(
        s3=client("s3"),
        sqs=client("sqs"),
        executions=executions(),
        bucket=os.environ["RAW_BUCKET_NAME"],
        queue_url=os.environ["INGEST_QUEUE_URL"],
        limits=limits,
        is_late=is_late,
        place=Place(client("s3"), os.environ["ARCHIVE_BUCKET_NAME"]),
    )
    waiting.requeue()
    return waiting


def executions() -> Executions:
    """The executions of the load state machine."""
    return Executions(client("stepfunctions"), os.environ["STATE_MACHINE_ARN"])


def default_minutes() -> dict[str, float]:
    """The limits that the deployment has set."""
    return {
        "waiting_minutes": float(os.environ["WAITING_MINUTES"]),
        "leftover_minutes": float(os.environ["LEFTOVER_MINUTES"]),
    }


def lateness(context: LambdaContext, reserved: int) -> Callable[[], bool]:
    """Tells whether less than `reserved` milliseconds are left of the function's time."""
    return lambda: context.get_remaining_time_in_millis() < reserved


@cache
def client(service: str) -> Any:
    """The client of an AWS service, made at its first use. DescribeExecution is throttled at a
    few calls a second, so a sweep after a bad night waits rather than fails."""
    return boto3.client(
        service, config=Config(retries={"mode": "adaptive", "total_max_attempts": 8})
    )
