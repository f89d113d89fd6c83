"""The deployed pipeline, as its users see it: files go in, figures and mails come out."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.stack import Stack

WEEK = sorted((Path(__file__).parents[2] / "examples" / "flights").glob("flights_*.csv"))
LOAD_TIMEOUT_SECONDS = 40
POLL_SECONDS = 0.1


@dataclass
class Mail:
    subject: str
    message: str


@dataclass
class Pipeline:
    """One deployed stack. Every method waits for what it asks about."""

    stack: Stack
    mailboxes: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for reader in ("Business", "Support"):
            self.mailboxes[reader] = self._subscribe(self.stack.outputs[f"{reader}TopicArn"])

    def upload(self, key: str, body: bytes | Path) -> str:
        content = body.read_bytes() if isinstance(body, Path) else body
        answer = self.stack.s3.put_object(
            Bucket=self.stack.outputs["RawBucketName"], Key=key, Body=content
        )
        return str(answer["VersionId"])

    def next_loads(self, count: int = 1) -> list[dict[str, Any]]:
        """The `count` executions that no earlier call has returned, once they have ended."""
        deadline = time.monotonic() + LOAD_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            new = [e for e in self.stack.executions() if e["executionArn"] not in self.seen]
            if len(new) >= count and all(e["status"] != "RUNNING" for e in new):
                self.seen |= {e["executionArn"] for e in new}
                assert len(new) == count, [e["name"] for e in new]
                return [self.describe(e["executionArn"]) for e in new]
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"{count} loads did not end: {self.stack.executions()}")

    def describe(self, execution_arn: str) -> dict[str, Any]:
        return dict(self.stack.step_functions.describe_execution(executionArn=execution_arn))

    def load(self, *files: tuple[str, bytes | Path]) -> dict[str, Any]:
        """Upload files that share one load, and return the load's execution."""
        for key, body in files:
            self.upload(key, body)
        return self.next_loads()[0]

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        return self.stack.keys(f"{bucket}BucketName", prefix)

    def mails(self, reader: str) -> list[Mail]:
        """The mails that have come for Business or Support since this was last asked."""
        url = self.mailboxes[reader]
        mails = []
        while messages := self.stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages", []
        ):
            for message in messages:
                body = json.loads(message["Body"])
                mails.append(Mail(body.get("Subject", ""), body["Message"]))
                self.stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return mails

    def connect(self, secret: str = "AdminSecretArn") -> "psycopg.Connection[tuple[Any, ...]]":
        return self.stack.warehouse.connect(*self.stack.credentials(secret))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(sql.encode()).fetchall()

    def empty(self) -> None:
        """Take the warehouse's rows, the buckets' objects and the mails away."""
        with self.connect() as connection:
            for table in (
                *("etl.loads", "etl.loaded_files", "etl.rejected_rows"),
                "mart.daily_route_performance_by_file",
            ):
                connection.execute(f"delete from {table}".encode())
        for bucket in ("Raw", "Archive"):
            for key in self.keys(bucket):
                self.stack.s3.delete_object(
                    Bucket=self.stack.outputs[f"{bucket}BucketName"], Key=key
                )
        for reader in self.mailboxes:
            self.mails(reader)

    def _subscribe(self, topic_arn: str) -> str:
        name = f"test-mail-{topic_arn.rsplit(':', 1)[-1]}"[:80]
        url = str(self.stack.sqs.create_queue(QueueName=name)["QueueUrl"])
        arn = self.stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        self.stack.sqs.set_queue_attributes(
            QueueUrl=url,
            Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})},
        )
        self.stack.cloud.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)
        return url


@pytest.fixture(scope="session")
def deployed(deployed_stack: Stack) -> Pipeline:
    return Pipeline(deployed_stack)


@pytest.fixture
def pipeline(deployed: Pipeline) -> Iterator[Pipeline]:
    yield deployed
    deployed.empty()
