import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest
from botocore.exceptions import ClientError
from start_loads import handler

STATE_MACHINE_ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:redshift-pipeline-load"
RAW_BUCKET_NAME = "redshift-pipeline-raw-000000000000-us-east-1"
DEAD_LETTER_QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"
EVENTS = Path(__file__).parents[3] / "events" / "start_loads"
# SendMessage: what XML 1.0 does not know.
UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class FakeStates:
    """The two calls of Step Functions that are made, with their documented rules."""

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}
        self.statuses: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.asked: dict[str, str] = {}
        self.refused_names: tuple[str, ...] = ()

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:
        assert stateMachineArn == STATE_MACHINE_ARN
        assert re.fullmatch(r"[0-9A-Za-z_-]{1,80}", name)
        assert len(input.encode()) <= 262_144
        if self.refused_names and name.startswith(self.refused_names):
            raise _client_error("ThrottlingException", "StartExecution")
        self.asked[name] = input
        is_same = self.statuses.get(name) == "RUNNING" and self.inputs[name] == input
        if name in self.statuses and not is_same:
            raise _client_error("ExecutionAlreadyExists", "StartExecution")
        self.inputs[name] = input
        self.statuses[name] = "RUNNING"
        return {"executionArn": f"{_execution_prefix()}{name}"}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        name = executionArn.removeprefix(_execution_prefix())
        output = {"output": self.outputs[name]} if name in self.outputs else {}
        # Where a test takes a name and says no input, it is the one that is asked for.
        given = self.inputs[name] or self.asked[name]
        return {"status": self.statuses[name], "input": given, **output}

    def take_name(self, name: str, status: str, output: str = "", given: str = "") -> None:
        self.inputs[name] = given
        self.statuses[name] = status
        if output:
            self.outputs[name] = output

    def loads(self) -> list[dict[str, Any]]:
        return [json.loads(document) for document in self.inputs.values() if document]


class FakeQueues:
    """SendMessage to the dead letters, with the rules of SQS for texts."""

    def __init__(self) -> None:
        self.dead_letters: list[tuple[str, str]] = []

    def send_message(
        self, *, QueueUrl: str, MessageBody: str, MessageAttributes: dict[str, dict[str, str]]
    ) -> dict[str, Any]:
        assert QueueUrl == DEAD_LETTER_QUEUE_URL
        reason = MessageAttributes["reason"]["StringValue"]
        if not MessageBody:
            raise _client_error("MissingParameter", "SendMessage")
        if not reason or UNSENDABLE.search(MessageBody + reason):
            raise _client_error("InvalidMessageContents", "SendMessage")
        self.dead_letters.append((MessageBody, reason))
        return {"MessageId": "1"}


@pytest.fixture
def queues() -> FakeQueues:
    return FakeQueues()


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch, queues: FakeQueues) -> FakeStates:
    fake = FakeStates()
    clients = {"stepfunctions": fake, "sqs": queues}
    monkeypatch.setattr(handler, "client", lambda service: clients[service])
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", DEAD_LETTER_QUEUE_URL)
    monkeypatch.setattr(handler.metrics, "namespace", "the-stack")
    monkeypatch.setattr(handler.metrics, "service", "start_loads")
    monkeypatch.setenv("STATE_MACHINE_ARN", STATE_MACHINE_ARN)
    monkeypatch.setenv("RAW_BUCKET_NAME", RAW_BUCKET_NAME)
    monkeypatch.setenv("MAX_FILE_MEGABYTES", "1024")
    monkeypatch.setenv("MAX_LOAD_MEGABYTES", "10240")
    return fake


@pytest.fixture
def invoke(states: FakeStates) -> Callable[[dict[str, Any]], dict[str, Any]]:
    context = SimpleNamespace(
        function_name="StartLoadsFunction",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:StartLoadsFunction",
        aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    )
    return lambda event: handler.handler(event, context)


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    stream = io.StringIO()
    monkeypatch.setattr(handler.logger.registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """Makes a record of an S3 notification; a field given as None is left out."""

    def make(key: str = "raw/flights/day.csv", /, **changes: Any) -> dict[str, Any]:
        notification = json.loads((EVENTS / "s3_notification.json").read_text())
        made: dict[str, Any] = notification["Records"][0]
        made["s3"]["object"]["key"] = quote_plus(key, safe="/")
        for name, value in changes.items():
            place = made if name in made else made["s3"]["object"]
            place[name] = value
            if value is None:
                del place[name]
        return made

    return make


@pytest.fixture
def messages() -> Callable[..., dict[str, Any]]:
    """Makes an SQS event; a body that is no text is turned into JSON. Ids: m0, m1, …"""

    def make(*bodies: object) -> dict[str, Any]:
        return {
            "Records": [
                {
                    "messageId": f"m{number}",
                    "body": body if isinstance(body, str) else json.dumps(body),
                    "eventSource": "aws:sqs",
                }
                for number, body in enumerate(bodies)
            ]
        }

    return make


@pytest.fixture
def event() -> Callable[[str], dict[str, Any]]:
    def read(name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
        return content

    return read


def _execution_prefix() -> str:
    return STATE_MACHINE_ARN.replace(":stateMachine:", ":execution:") + ":"


def _client_error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as asked"}}, operation)
