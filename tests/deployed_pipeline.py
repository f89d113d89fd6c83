"""The deployed pipeline, as its users see it: files go in, figures and mails come out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redshift_connector
from botocore.exceptions import ClientError

from local.stack import Stack
from tests.operating import (
    LOADS_HELD_UP,
    Mail,
    Mailbox,
    empty_bucket,
    enable_queue,
    messages_in,
    received,
    rerun_input,
    sweep,
    wait_until,
)

WEEK = sorted((Path(__file__).parents[1] / "examples" / "flights").glob("flights_*.csv"))
LOAD_TIMEOUT_SECONDS = 40
POLL_SECONDS = 0.1
WINDOW_SECONDS = 1.2


@dataclass
class Pipeline:
    """One deployed stack. Every method waits for what it asks about."""

    stack: Stack
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for reader in ("Business", "Support"):
            self.mailboxes[reader] = Mailbox(self.stack, reader)

    def overlook(self) -> None:
        """Take no notice of the loads and mails of other tests of this stack."""
        self.seen |= {execution["executionArn"] for execution in self.stack.executions()}
        for reader in self.mailboxes:
            self.mails(reader)

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

    def body(self, bucket: str, key: str) -> bytes:
        name = self.stack.outputs[f"{bucket}BucketName"]
        return bytes(self.stack.s3.get_object(Bucket=name, Key=key)["Body"].read())

    def versions(self, prefix: str) -> list[str]:
        """The keys of the object versions in the raw bucket, deleted keys' ones among them."""
        pages = self.stack.s3.get_paginator("list_object_versions").paginate(
            Bucket=self.stack.outputs["RawBucketName"], Prefix=prefix
        )
        return [version["Key"] for page in pages for version in page.get("Versions", [])]

    def all_loads(self) -> list[dict[str, Any]]:
        """The executions that no earlier call has returned, once nothing is under way any more."""
        deadline = time.monotonic() + LOAD_TIMEOUT_SECONDS
        quiet_since = time.monotonic()
        while time.monotonic() < deadline:
            new = [e for e in self.stack.executions() if e["executionArn"] not in self.seen]
            if not new or self.is_busy(new):
                quiet_since = time.monotonic()
            # A message that was taken from the queue has its execution started within this time.
            if time.monotonic() - quiet_since > 1:
                self.seen |= {e["executionArn"] for e in new}
                return [self.describe(e["executionArn"]) for e in new]
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"loads did not end: {self.stack.executions()}")

    def is_busy(self, executions: list[dict[str, Any]]) -> bool:
        return self.messages_waiting() > 0 or any(e["status"] == "RUNNING" for e in executions)

    def first_running(self) -> str:
        """The ARN of an execution that runs a statement."""
        deadline = time.monotonic() + LOAD_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            for execution in self.stack.executions():
                arn = execution["executionArn"]
                if execution["status"] == "RUNNING" and self.has_submitted(arn):
                    return str(arn)
            time.sleep(POLL_SECONDS)
        raise AssertionError("no execution runs a statement")

    def has_submitted(self, execution_arn: str) -> bool:
        history = self.stack.step_functions.get_execution_history(executionArn=execution_arn)
        entered = [e.get("stateEnteredEventDetails", {}).get("name") for e in history["events"]]
        return "WaitForLoad" in entered

    def messages_waiting(self) -> int:
        return messages_in(self.stack, "IngestQueueUrl")

    def pause(self) -> None:
        """Let messages wait in the queue."""
        enable_queue(self.stack, is_on=False)
        # A batch that is being gathered still takes what comes within its window.
        time.sleep(WINDOW_SECONDS)

    def resume(self) -> None:
        enable_queue(self.stack, is_on=True)

    def take_notifications(self) -> list[str]:
        """Take the messages out of the paused queue, but for the one that S3 tries it out with."""
        messages = received(self.stack.sqs, self.stack.outputs["IngestQueueUrl"])
        return [message for message in messages if "s3:TestEvent" not in message]

    def sweep(self, waiting_minutes: float = 0, leftover_minutes: float = 0) -> dict[str, Any]:
        """Run the deployed sweeper now, and return what it says it did."""
        return sweep(self.stack, waiting_minutes, leftover_minutes)

    def rotate(self, secret: str) -> None:
        """Give a database user a new password, as operators do. `secret` is the output's name."""
        old = self.stack.credentials(secret)
        # Told that an earlier rotation is still to be finished: that one is taken up again.
        with suppress(ClientError):
            self.stack.secrets.rotate_secret(SecretId=self.stack.outputs[secret])
        wait_until(lambda: self.stack.credentials(secret) != old)

    def loads_held_up(self) -> int:
        """How many CALLs wait for a lock."""
        return int(self.query(LOADS_HELD_UP)[0][0])

    def run_again(self, execution: dict[str, Any]) -> None:
        """Start the next attempt of a load, as the command in the mail to support does."""
        self.stack.step_functions.start_execution(
            stateMachineArn=self.stack.outputs["LoadStateMachineArn"],
            name=f"{execution['name']}-2",
            input=rerun_input(execution["input"]),
        )

    def status_of_statement(self, statement_id: str) -> str:
        client = self.stack.cloud.client("redshift-data")
        return str(client.describe_statement(Id=statement_id)["Status"])

    def mails(self, reader: str) -> list[Mail]:
        """The mails that have come for Business or Support since this was last asked."""
        return self.mailboxes[reader].new_mails()

    def next_mail(self, reader: str) -> Mail:
        """The one mail that is still to come."""
        deadline = time.monotonic() + LOAD_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if mails := self.mails(reader):
                assert len(mails) == 1, mails
                return mails[0]
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"no mail came for {reader}")

    def connect(self, secret: str = "AdminSecretArn") -> "psycopg.Connection[tuple[Any, ...]]":
        return self.stack.warehouse.connect(*self.stack.credentials(secret))

    def who_logs_in(self, secret: str) -> tuple[str, str]:
        """The user and the database of a client that knows what the secret holds and no more."""
        held = self.stack.secret(secret)
        with redshift_connector.connect(
            host=held["host"],
            port=held["port"],
            database=held["dbname"],
            user=held["username"],
            password=held["password"],
            ssl=False,
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("select current_user, current_database()")
            user, database = cursor.fetchone()
        return str(user), str(database)

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
            empty_bucket(self.stack, f"{bucket}BucketName")
        for reader in self.mailboxes:
            self.mails(reader)


@contextmanager
def statement_fails(pipeline: Pipeline, text: str) -> Iterator[None]:
    """Let loads that hold a flight of the carrier ZZ end with this error."""
    with pipeline.connect() as connection:
        connection.execute(
            "create function public.refuse() returns trigger language plpgsql as"
            f" $$ begin raise exception '{text}'; end $$".encode()
        )
        connection.execute(
            "create trigger refuse before insert on mart.daily_route_performance_by_file"
            " for each row when (new.carrier = 'ZZ') execute function public.refuse()"
        )
    try:
        yield
    finally:
        with pipeline.connect() as connection:
            connection.execute("drop function public.refuse() cascade")
