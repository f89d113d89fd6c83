"""The edge, over fakes that page as the services do: what is asked, how much, and how often."""

import gc
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from start_loads.core import UploadedFile, plan_loads, read_loads
from sweep import core, handler
from sweep.waiting import PAGES_AT_A_TIME

EVENTS = Path(__file__).parents[3] / "events" / "sweep"
LONG_AGO = datetime.now(UTC) - timedelta(hours=2)
PAGE = 1_000


class Row(dict[str, Any]):
    """A row of an answer; counts how many of its kind are held at once."""

    alive = 0
    most_alive = 0

    def __init__(self, **fields: Any) -> None:
        super().__init__(fields)
        Row.alive += 1
        Row.most_alive = max(Row.most_alive, Row.alive)

    def __del__(self) -> None:
        Row.alive -= 1


class Paged:
    """A paginator over rows that are made as they are asked for."""

    def __init__(self, field: str, rows: Any) -> None:
        self.field, self.rows = field, rows

    def paginate(
        self, KeyMarker: str = "", VersionIdMarker: str = "", **_: Any
    ) -> Iterator[dict[str, Any]]:
        page: list[Any] = []
        for row in self.rows(VersionIdMarker) if KeyMarker else self.rows():
            if len(page) == PAGE:
                yield {self.field: page, **self._truncated(page[-1])}
                page = []
            page.append(row)
        yield {self.field: page, "IsTruncated": False}

    def _truncated(self, last: dict[str, Any]) -> dict[str, Any]:
        if self.field != "Versions":
            return {}
        markers = {"NextKeyMarker": last["Key"], "NextVersionIdMarker": last["VersionId"]}
        return {"IsTruncated": True, **markers}


class World:
    """S3, Step Functions, Glue and SQS, as far as a sweep asks them."""

    def __init__(self) -> None:
        self.files = 0
        self.executions: list[dict[str, Any]] = []
        self.waiting_messages = 0
        self.bodies: list[str] = []
        self.files_sent = 0
        self.most_files_held = 0
        self.calls: list[str] = []
        self.seconds_left = 900.0
        self.seconds_per_page = 0.0
        self.objects: dict[str, bytes] = {}
        self.listed: list[str] = []
        self.exceptions = SimpleNamespace(NoSuchKey=KeyError)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        assert Bucket == "archive-bucket"
        self.calls.append("get_object")
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        assert Bucket == "archive-bucket"
        self.objects[Key] = Body

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        assert Bucket == "archive-bucket"
        self.objects.pop(Key, None)

    def get_paginator(self, operation: str) -> Paged:
        self.calls.append(operation)
        rows: dict[str, tuple[str, Any]] = {
            "list_object_versions": ("Versions", self._versions),
            "list_objects_v2": ("Contents", lambda: iter(())),
            "list_executions": ("executions", lambda: iter(self.executions)),
            "get_tables": ("TableList", lambda: iter(())),
        }
        return Paged(*rows[operation])

    def _versions(self, after: str = "v-1") -> Iterator[dict[str, Any]]:
        for number in range(int(after[1:]) + 1, self.files):
            if number % PAGE == 0:
                self.seconds_left -= self.seconds_per_page
            yield Row(
                Key=f"raw/flights/{number:06}.csv",
                VersionId=f"v{number}",
                ETag='"e"',
                Size=7,
                LastModified=LONG_AGO,
            )

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        self.calls.append("describe_execution")
        [found] = [e for e in self.executions if e["executionArn"] == executionArn]
        return found

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.waiting_messages)}}

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:
        assert QueueUrl == "queue"
        assert len(MessageBody.encode()) <= 262_144
        self.bodies.append(MessageBody if len(self.bodies) < 3 else "")
        self.files_sent += len(json.loads(MessageBody).get("Records", []))
        if len(self.bodies) % 250 == 0:
            files = sum(isinstance(thing, UploadedFile) for thing in gc.get_objects())
            self.most_files_held = max(self.most_files_held, files)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(handler, "client", lambda _service: world)
    for name, value in {
        "RAW_BUCKET_NAME": "raw-bucket",
        "ARCHIVE_BUCKET_NAME": "archive-bucket",
        "INGEST_QUEUE_URL": "queue",
        "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:1:stateMachine:load",
        "GLUE_DATABASE_NAME": "database",
        "WAITING_MINUTES": "30",
        "LEFTOVER_MINUTES": "60",
    }.items():
        monkeypatch.setenv(name, value)
    return world


def sweep(world: World, event: dict[str, Any] | None = None) -> dict[str, Any]:
    context = SimpleNamespace(
        function_name="SweepFunction",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:SweepFunction",
        aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        get_remaining_time_in_millis=lambda: world.seconds_left * 1000,
    )
    return handler.handler(event or {}, context)


@pytest.mark.parametrize("name", ["schedule", "now"])
def test_quiet_system_is_asked_once_for_each_kind_of_thing(world: World, name: str) -> None:
    outcome = sweep(world, json.loads((EVENTS / f"{name}.json").read_text()))

    assert outcome["is_complete"]
    assert sorted(world.calls) == [
        *("get_object", "get_tables", "list_object_versions", "list_objects_v2")
    ]
    assert world.bodies == []


def test_hundred_thousand_files_are_sent_again_in_bounded_memory(world: World) -> None:
    world.files = 100_000
    Row.most_alive = 0

    outcome = sweep(world)

    assert outcome["requeued_files"] == world.files_sent == 100_000
    assert len(world.bodies) == 1_000
    # The page that is read and the one before it; the files of some pages, and of one message.
    assert PAGE < Row.most_alive <= 2 * PAGE + 2
    assert world.most_files_held <= PAGES_AT_A_TIME * PAGE + 200
    assert world.objects == {}


def test_interrupted_load_of_many_files_is_sent_once(world: World) -> None:
    world.files = 2
    now = datetime.now(UTC)
    files = [
        core.waiting_file("raw-bucket", version, core.Limits(now, now))
        for version in world._versions()
    ]
    [load] = plan_loads(file for file in files if file)
    world.executions = [
        {
            "name": "flights-" + "0" * 24,
            "executionArn": "arn",
            "status": "ABORTED",
            "startDate": LONG_AGO,
            "stopDate": LONG_AGO,
            "input": load.to_input(),
        }
    ]

    outcome = sweep(world)

    assert (outcome["requeued_files"], outcome["requeued_loads"]) == (0, 1)
    assert [read_loads(json.loads(body)) for body in world.bodies] == [[load]]


def test_executions_older_than_the_oldest_file_are_not_looked_at(world: World) -> None:
    world.files = 1
    world.executions = [
        {
            "name": f"flights-{number:024}",
            "executionArn": f"arn{number}",
            "status": "FAILED",
            "startDate": LONG_AGO - timedelta(hours=1),
            "stopDate": LONG_AGO - timedelta(hours=1),
        }
        for number in range(3)
    ]

    assert sweep(world)["requeued_files"] == 1
    assert "describe_execution" not in world.calls


def test_nothing_is_put_on_top_of_a_long_queue(world: World) -> None:
    world.files = 5
    world.waiting_messages = 10_001

    outcome = sweep(world)

    assert outcome["is_backlogged"]
    assert world.bodies == []


def test_sweeps_that_run_out_of_time_go_on_where_the_last_one_stopped(world: World) -> None:
    world.files = 60_000
    world.seconds_per_page = 25
    sent = []
    while not sent or world.objects:
        world.seconds_left = 900
        outcome = sweep(world)
        sent.append(outcome["requeued_files"])
        assert world.seconds_left > 0
        assert outcome["is_complete"] == (not world.objects)

    assert len(sent) > 2
    assert sum(sent) == world.files_sent == 60_000


def test_time_is_left_for_what_ended_loads_left_however_many_files_wait(world: World) -> None:
    world.files = 60_000
    world.seconds_per_page = 25

    sweep(world)

    assert "get_tables" in world.calls
    assert world.seconds_left > handler.RESERVED_MILLISECONDS / 1000


@pytest.mark.parametrize(
    "place",
    [
        b"",
        b"[",
        b"[" * 100_000,
        b"[]",
        b'{"KeyMarker": 1, "VersionIdMarker": ""}',
        b"\xff",
        b"null",
    ],
)
def test_place_that_cannot_be_read_is_the_beginning(world: World, place: bytes) -> None:
    world.files = 3
    world.objects["sweep/place.json"] = place

    assert sweep(world)["requeued_files"] == 3


def test_backlog_moves_no_place(world: World) -> None:
    place = json.dumps({"KeyMarker": "raw/flights/000000.csv", "VersionIdMarker": "v0"}).encode()
    world.files, world.waiting_messages = 3, 10_001
    world.objects["sweep/place.json"] = place

    sweep(world)

    assert world.objects == {"sweep/place.json": place}
