"""The deployed pipeline, as its users see it: files go in, figures and mails come out."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.cloud import LaptopCloud

WEEK = sorted((Path(__file__).parents[2] / "examples" / "flights").glob("flights_*.csv"))
ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


@dataclass
class Mail:
    subject: str
    message: str


@dataclass
class Pipeline:
    """One deployed stack. Every method waits for what it asks about."""

    cloud: LaptopCloud
    outputs: dict[str, str]
    mailboxes: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.s3 = self.cloud.client("s3")
        self.states = self.cloud.client("stepfunctions")
        for reader in ("Business", "Support"):
            self.mailboxes[reader] = self._subscribe(self.outputs[f"{reader}TopicArn"])

    def upload(self, key: str, body: bytes | Path) -> str:
        content = body.read_bytes() if isinstance(body, Path) else body
        answer = self.s3.put_object(Bucket=self.outputs["RawBucketName"], Key=key, Body=content)
        return str(answer["VersionId"])

    def executions(self) -> list[dict[str, Any]]:
        pages = self.states.get_paginator("list_executions").paginate(
            stateMachineArn=self.outputs["LoadStateMachineArn"]
        )
        return [execution for page in pages for execution in page["executions"]]

    def next_loads(self, count: int = 1, within_seconds: float = 40) -> list[dict[str, Any]]:
        """The `count` executions that no earlier call has returned, once they have ended."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            new = [e for e in self.executions() if e["executionArn"] not in self.seen]
            if len(new) >= count and all(e["status"] in ENDED for e in new):
                self.seen |= {e["executionArn"] for e in new}
                assert len(new) == count, [e["name"] for e in new]
                return [self.states.describe_execution(executionArn=e["executionArn"]) for e in new]
            time.sleep(0.1)
        raise AssertionError(f"{count} loads did not end: {self.executions()}")

    def load(self, *files: tuple[str, bytes | Path]) -> dict[str, Any]:
        """Upload files that share one load, and return the load's execution."""
        for key, body in files:
            self.upload(key, body)
        return self.next_loads()[0]

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.outputs[f"{bucket}BucketName"], Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def mails(self, reader: str) -> list[Mail]:
        """The mails that have come for Business or Support since this was last asked."""
        sqs = self.cloud.client("sqs")
        mails = []
        while messages := sqs.receive_message(
            QueueUrl=self.mailboxes[reader], MaxNumberOfMessages=10
        ).get("Messages", []):
            for message in messages:
                body = json.loads(message["Body"])
                mails.append(Mail(body.get("Subject", ""), body["Message"]))
                sqs.delete_message(
                    QueueUrl=self.mailboxes[reader], ReceiptHandle=message["ReceiptHandle"]
                )
        return mails

    def credentials(self, secret: str = "Admin") -> dict[str, str]:
        value = self.cloud.client("secretsmanager").get_secret_value(
            SecretId=self.outputs[f"{secret}SecretArn"]
        )["SecretString"]
        return dict(json.loads(value))

    def connect(self, secret: str = "Admin") -> "psycopg.Connection[tuple[Any, ...]]":
        credentials = self.credentials(secret)
        return self.cloud.warehouse(self.outputs["WorkgroupName"]).connect(
            credentials["username"], credentials["password"]
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(sql.encode()).fetchall()

    def empty(self) -> None:
        """Take the warehouse's rows, the buckets' objects and the mails away."""
        with self.connect() as connection:
            for table in ("etl.loads", "etl.loaded_files", "etl.rejected_rows"):
                connection.execute(f"delete from {table}".encode())
            connection.execute("delete from mart.daily_route_performance_by_file")
        for bucket in ("Raw", "Archive"):
            name = self.outputs[f"{bucket}BucketName"]
            for key in self.keys(bucket):
                self.s3.delete_object(Bucket=name, Key=key)
        for reader in self.mailboxes:
            self.mails(reader)

    def _subscribe(self, topic: str) -> str:
        sqs = self.cloud.client("sqs")
        queue = sqs.create_queue(QueueName=f"mailbox-{topic.rsplit(':', 1)[-1]}"[:80])["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        self.cloud.client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"]
        )
        return str(queue)


@pytest.fixture(scope="session")
def deployed(cloud: LaptopCloud, stack: dict[str, str]) -> Pipeline:
    return Pipeline(cloud, stack)


@pytest.fixture
def pipeline(deployed: Pipeline) -> Iterator[Pipeline]:
    yield deployed
    deployed.empty()


@pytest.fixture
def replace_day() -> Callable[[bytes, str], bytes]:
    """Give a day's rows another day, so that a test has dates of its own."""
    return lambda body, day: body.replace(b"\n2013,1,1,", f"\n2013,12,{day},".encode())
