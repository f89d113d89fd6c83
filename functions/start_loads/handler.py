"""StartLoadsFunction: starts one execution of the load state machine per batch of files.

Called by: the event source of IngestQueue; by hand with a plain S3 notification.
Input:     an SQS event whose bodies are S3 notifications or {"loads": [batch, …]} (see
           core.Intake), or one such message by itself.
Output:    for SQS, {"batchItemFailures": [{"itemIdentifier": message id}, …]};
           else {"started": [run_id, …], "duplicates": [load_id, …], "skipped": count}.
Errors:    SQS: a message that cannot be read is sent to the dead-letter queue with its reason; one
           whose load cannot be started is a batch item failure. The others go on. Else:
           core.MalformedEventError, core.AttemptsExhaustedError and botocore's errors are raised.
Settings:  STATE_MACHINE_ARN, RAW_BUCKET_NAME, DEAD_LETTER_QUEUE_URL, MAX_FILE_MEGABYTES,
           MAX_LOAD_MEGABYTES, POWERTOOLS_METRICS_NAMESPACE, POWERTOOLS_SERVICE_NAME.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from start_loads import core
from start_loads.shown import shown

# What a dead letter says of its reason, in characters.
MAX_REASON = 1_000
MEGABYTE = 1_048_576

logger = Logger()
metrics = Metrics()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Start the loads that the event asks for; see the module for its shapes."""
    records = event.get("Records")
    if records and records[0].get("eventSource") == "aws:sqs":
        return start_from_queue(records)
    return start_from_message(event)


def start_from_queue(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Start the loads of a batch of SQS messages; answers which messages are to come again."""
    intake = new_intake()
    failed = take_in(messages, intake)
    log_skipped(intake)
    for load in intake.loads():
        try:
            start_load(load)
        except (ClientError, BotoCoreError, core.AttemptsExhaustedError) as error:
            logger.exception(
                "load not started",
                correlation_id=load.load_id,
                dataset=shown(load.dataset),
                reason=str(error),
            )
            failed |= intake.messages_of(load)
    message_ids = [message["messageId"] for message in messages]
    return {"batchItemFailures": [{"itemIdentifier": i} for i in message_ids if i in failed]}


def start_from_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Start the loads of one message; answers what was done."""
    intake = new_intake()
    intake.add("", message)
    log_skipped(intake)
    runs = {load.load_id: start_load(load) for load in intake.loads()}
    return {
        "started": [run_id for run_id in runs.values() if run_id],
        "duplicates": [load_id for load_id, run_id in runs.items() if not run_id],
        "skipped": len(intake.skipped),
    }


def new_intake() -> core.Intake:
    """What takes in messages about the pipeline's own bucket, and of the past."""
    return core.Intake(
        os.environ["RAW_BUCKET_NAME"],
        datetime.now(UTC) + core.CLOCK_TOLERANCE,
        core.Sizes(
            of_file=int(os.environ["MAX_FILE_MEGABYTES"]) * MEGABYTE,
            of_load=int(os.environ["MAX_LOAD_MEGABYTES"]) * MEGABYTE,
        ),
    )


def take_in(messages: list[dict[str, Any]], intake: core.Intake) -> set[str]:
    """Read every message into `intake`; those that cannot be read become dead letters at once.

    Answers the ids of unreadable messages that could not be set aside: they come again.
    """
    remaining = set()
    for message in messages:
        try:
            intake.add(message["messageId"], json.loads(message["body"]))
        # A body of nothing but brackets is a RecursionError to the JSON parser.
        except (ValueError, RecursionError) as error:
            if not set_aside(message, str(error)):
                remaining.add(message["messageId"])
    return remaining


def set_aside(message: Mapping[str, Any], reason: str) -> bool:
    """Send a message to the dead-letter queue; answers whether the queue has it."""
    message_id = message["messageId"]
    logger.error("message not readable", message_id=message_id, reason=reason)
    # As JSON: SQS takes no control character, and the reason may hold what somebody sent.
    told = json.dumps(reason)[:MAX_REASON]
    try:
        client("sqs").send_message(
            QueueUrl=os.environ["DEAD_LETTER_QUEUE_URL"],
            MessageBody=message["body"],
            MessageAttributes={"reason": {"DataType": "String", "StringValue": told}},
        )
    except (ClientError, BotoCoreError):
        logger.exception("message not set aside", message_id=message_id)
        return False
    return True


def log_skipped(intake: core.Intake) -> None:
    """Say of every record that starts no load why it does not, and count what has a metric."""
    for record in intake.skipped:
        logger.info(
            "record skipped",
            bucket=shown(record.bucket),
            key=shown(record.key),
            reason=record.reason,
        )
    counts = Counter(record.metric for record in intake.skipped if record.metric)
    for name, count in counts.items():
        metrics.add_metric(name=name, unit="Count", value=count)
    if counts:
        metrics.flush_metrics()


def start_load(load: core.Load) -> str | None:
    """Start the load's next attempt; answers its run_id, or None where it is a duplicate.

    Raises core.AttemptsExhaustedError, and botocore's ClientError or BotoCoreError.
    """
    document = load.to_input()
    for run_id in load.run_ids():
        taken_by = try_to_start(run_id, document)
        if taken_by is None:
            logger.info(
                "load started",
                correlation_id=load.load_id,
                dataset=shown(load.dataset),
                run_id=run_id,
                # By these a file is found: its line names the load, and that the statement.
                files=[
                    {
                        "file_id": file.file_id,
                        "key": shown(file.key),
                        "version_id": file.version_id,
                    }
                    for file in load.files
                ],
            )
            return run_id
        if core.is_duplicate(load, taken_by):
            reason = f"execution {run_id} is {taken_by['status']}"
            logger.info(
                "duplicate skipped",
                correlation_id=load.load_id,
                dataset=shown(load.dataset),
                reason=reason,
            )
            return None
    raise core.AttemptsExhaustedError(f"{load.load_id} has failed {core.MAX_ATTEMPTS} times")


def try_to_start(run_id: str, document: str) -> Mapping[str, Any] | None:
    """Start an execution; answers None, or the description of the one that has this name."""
    machine = os.environ["STATE_MACHINE_ARN"]
    states = client("stepfunctions")
    try:
        states.start_execution(stateMachineArn=machine, name=run_id, input=document)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
            raise
        execution = f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"
        taken_by: Mapping[str, Any] = states.describe_execution(executionArn=execution)
        return taken_by
    return None


@cache
def client(service: str) -> Any:
    """The client of an AWS service, made at the first use; throttled calls are tried again."""
    return boto3.client(service, config=Config(retries={"mode": "standard"}))
