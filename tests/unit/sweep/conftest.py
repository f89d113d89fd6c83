import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from start_loads.core import Load, UploadedFile, plan_loads, read_notification
from sweep import handler

from local.cloud import LaptopCloud

MACHINE_ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:redshift-pipeline-load"
EXECUTION_PREFIX = MACHINE_ARN.replace(":stateMachine:", ":execution:") + ":"
_numbers = count(1)


class FakeStates:
    """Step Functions behind a real client: its answers, by its documented rules.

    Executions of any time and outcome, which nothing on a laptop gives.
    """

    def __init__(self) -> None:
        self.executions: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.page_size = 2
        self.client = boto3.client(
            "stepfunctions",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.client.meta.events.register("before-send.sfn", self._answer)

    def add(
        self,
        run_id: str,
        status: str,
        document: str,
        ended_at: datetime | None = None,
        error: str | None = None,
        started_at: datetime | None = None,
    ) -> str:
        start = started_at or (ended_at or datetime.now(UTC)) - timedelta(minutes=1)
        execution = {
            "executionArn": EXECUTION_PREFIX + run_id,
            "stateMachineArn": MACHINE_ARN,
            "name": run_id,
            "status": status,
            "startDate": start.timestamp(),
            "input": document,
        }
        if ended_at:
            execution["stopDate"] = ended_at.timestamp()
        if error:
            execution |= {"error": error, "cause": "SubmitLoad: it was so"}
        self.executions[run_id] = execution
        return EXECUTION_PREFIX + run_id

    def described(self) -> list[str]:
        """The names of the executions that were described, in order."""
        calls = [request for action, request in self.calls if action == "DescribeExecution"]
        return [request["executionArn"].removeprefix(EXECUTION_PREFIX) for request in calls]

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        action = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        arguments = json.loads(request.body)
        self.calls.append((action, arguments))
        status, content = getattr(self, f"_{action}")(**arguments)
        response = AWSResponse(request.url, status, {}, None)
        response._content = json.dumps(content).encode()
        return response

    def _ListExecutions(
        self, stateMachineArn: str, maxResults: int = 100, nextToken: str = "0"
    ) -> tuple[int, dict[str, Any]]:
        assert stateMachineArn == MACHINE_ARN
        assert 1 <= maxResults <= 1_000
        # "Running executions are sorted by their startDate or redriveDate, and other executions
        # are sorted by their stopDate", the most recent first.
        found = sorted(
            self.executions.values(),
            key=lambda execution: -execution.get("stopDate", execution["startDate"]),
        )
        start, end = int(nextToken), int(nextToken) + min(maxResults, self.page_size)
        shown = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate")
        answer: dict[str, Any] = {
            "executions": [{k: e[k] for k in shown if k in e} for e in found[start:end]]
        }
        return 200, answer | ({"nextToken": str(end)} if end < len(found) else {})

    def _DescribeExecution(self, executionArn: str) -> tuple[int, dict[str, Any]]:
        run_id = executionArn.removeprefix(EXECUTION_PREFIX)
        if not re.fullmatch(r"[0-9A-Za-z_-]{1,80}", run_id):
            return 400, {"__type": "InvalidArn"}
        execution = self.executions.get(run_id)
        if execution is None:
            return 400, {"__type": "ExecutionDoesNotExist"}
        return 200, execution


@dataclass
class Account:
    """What a sweep touches: S3, SQS and Glue of the laptop cloud, and a fake Step Functions."""

    cloud: LaptopCloud
    states: FakeStates
    bucket: str
    queue_url: str
    database: str
    clients: dict[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def client(self, service: str) -> Any:
        if service == "stepfunctions":
            return self.states.client
        if service not in self.clients:
            self.clients[service] = client = self.cloud.client(service)
            client.meta.events.register(
                "before-call.*", lambda model, **_: self.calls.append(model.name)
            )
        return self.clients[service]

    def upload(self, key: str = "raw/flights/day.csv", body: bytes = b"x") -> UploadedFile:
        """Put an object; answers the file as S3's event would tell of it."""
        s3 = self.client("s3")
        put = s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return UploadedFile(
            bucket=self.bucket,
            key=key,
            version_id=put["VersionId"],
            etag=put["ETag"].strip('"'),
            sequencer="0055",
            size=len(body),
            uploaded_at="2013-01-02T04:00:00.000Z",
        )

    def show_pages_of(self, count: int) -> None:
        """Have versions listed so many at a time, as S3 may."""
        self.client("s3").meta.events.register(
            "provide-client-params.s3.ListObjectVersions",
            lambda params, **_: params | {"MaxKeys": count},
        )

    def make_older(self, file: UploadedFile, minutes: int) -> None:
        """Have a file listed as uploaded by so much earlier."""

        def change(parsed: dict[str, Any], **_: Any) -> None:
            for version in parsed.get("Versions", ()):
                if version["VersionId"] == file.version_id:
                    version["LastModified"] -= timedelta(minutes=minutes)

        self.client("s3").meta.events.register("after-call.s3.ListObjectVersions", change)

    def run(
        self,
        load: Load,
        status: str,
        error: str | None = None,
        *,
        attempt: int = 1,
        minutes_ago: float = 60,
    ) -> str:
        """Let there be an execution of a load that was started, or has ended, so long ago."""
        run_id = list(load.run_ids())[attempt - 1]
        moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        times = {"started_at": moment} if status == "RUNNING" else {"ended_at": moment}
        self.states.add(run_id, status, load.to_input(), error=error, **times)
        return run_id

    def messages(self) -> list[dict[str, Any]]:
        """What the queue holds; it is empty afterwards."""
        sqs, found = self.client("sqs"), []
        while batch := sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=600
        ).get("Messages"):
            found += [json.loads(message["Body"]) for message in batch]
        return found

    def requeued_files(self) -> list[UploadedFile]:
        """The files that the queue's messages tell of, all of which are notifications."""
        return [file for message in self.messages() for file in read_notification(message)[0]]

    def stage(self, run_id: str, name: str = "0a.csv", dataset: str = "flights") -> str:
        key = f"staging/{dataset}/run_id={run_id}/{name}"
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=b"x")
        return key

    def staged(self) -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def make_table(self, name: str, partition_key: str = "run_id") -> None:
        table = {
            "Name": name,
            "PartitionKeys": [{"Name": partition_key, "Type": "string"}],
            "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "string"}]},
        }
        self.client("glue").create_table(DatabaseName=self.database, TableInput=table)

    def register(self, run_id: str, table: str = "flights") -> None:
        self.client("glue").create_partition(
            DatabaseName=self.database, TableName=table, PartitionInput={"Values": [run_id]}
        )

    def partitions(self, table: str = "flights") -> list[str]:
        answer = self.client("glue").get_partitions(DatabaseName=self.database, TableName=table)
        return [partition["Values"][0] for partition in answer["Partitions"]]


@pytest.fixture
def states() -> FakeStates:
    return FakeStates()


@pytest.fixture
def account(
    cloud: LaptopCloud, states: FakeStates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    number = next(_numbers)
    queue_url = cloud.client("sqs").create_queue(QueueName=f"sweep-{number}")["QueueUrl"]
    account = Account(cloud, states, f"sweep-{number}", queue_url, f"sweep_{number}")
    s3, glue = account.client("s3"), account.client("glue")
    s3.create_bucket(Bucket=account.bucket)
    s3.put_bucket_versioning(Bucket=account.bucket, VersioningConfiguration={"Status": "Enabled"})
    glue.create_database(DatabaseInput={"Name": account.database})
    account.make_table("flights")
    for name, value in {
        "RAW_BUCKET_NAME": account.bucket,
        "ARCHIVE_BUCKET_NAME": account.bucket,
        "INGEST_QUEUE_URL": queue_url,
        "STATE_MACHINE_ARN": MACHINE_ARN,
        "GLUE_DATABASE_NAME": account.database,
        "WAITING_MINUTES": "30",
        "LEFTOVER_MINUTES": "60",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(handler, "client", account.client)
    account.calls.clear()
    yield account
    glue.delete_database(Name=account.database)
    cloud.client("sqs").delete_queue(QueueUrl=queue_url)


@dataclass
class FakeContext:
    """Lambda's context. The time runs out with the call of that number."""

    function_name: str = "SweepFunction"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:SweepFunction"
    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    remaining_millis: Callable[[], int] = lambda: 900_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_millis()


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


@pytest.fixture
def sweep(context: FakeContext) -> Callable[..., dict[str, Any]]:
    """Sweeps all that is there, whatever its age, unless limits are given."""
    now = {"waiting_minutes": 0, "leftover_minutes": 0}
    return lambda **limits: handler.handler(now | limits, context)


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    stream = io.StringIO()
    monkeypatch.setattr(handler.logger.registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def load_of() -> Callable[..., Load]:
    """Makes the one load of these files."""

    def make(*files: UploadedFile) -> Load:
        [load] = plan_loads(files)
        return load

    return make
