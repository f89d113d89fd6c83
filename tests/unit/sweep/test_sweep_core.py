import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from start_loads import core as start_loads
from sweep import core

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMITS = core.Limits.at(NOW, {"waiting_minutes": 30, "leftover_minutes": 60})
FILES = tuple(
    start_loads.UploadedFile("b", f"raw/flights/{n}.csv", "v", "e", "00", 1, "2026-11-24T10:00:00Z")
    for n in range(2)
)
[LOAD] = start_loads.plan_loads(FILES)
LOAD_ID = LOAD.load_id
FILE_IDS = {file.file_id for file in FILES}


def version(key: str = "raw/flights/day.csv", **changes: Any) -> dict[str, Any]:
    return {
        "Key": key,
        "VersionId": "v1",
        "ETag": '"e1"',
        "Size": 10,
        "LastModified": NOW - timedelta(hours=1),
        "IsLatest": True,
    } | changes


def execution(status: str, name: str = LOAD_ID, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "executionArn": f"arn:{name}",
        "status": status,
        "stopDate": NOW - timedelta(hours=1),
        "input": LOAD.to_input(),
    } | changes


KEYS = ["raw/flights/a b.csv", "raw/flights/a+b%20.csv", "raw/flights/日本/\U0001f6eb'\n.csv"]


@pytest.mark.parametrize("key", KEYS)
def test_notification_tells_start_loads_of_the_same_file_as_s3_did(key: str) -> None:
    file = core.waiting_file("raw-bucket", version(key), LIMITS)
    assert file is not None
    [(body, count)] = core.notifications([file])

    uploads, skipped = start_loads.read_notification(json.loads(body))

    assert (uploads, skipped, count) == ([file], [], 1)
    told_by_s3 = start_loads.UploadedFile(
        "raw-bucket", key, "v1", "e1", "0055AED6", 10, "2026-11-24T11:00:00.000Z"
    )
    assert uploads[0].file_id == told_by_s3.file_id
    assert uploads[0].sequencer == ""


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        pytest.param({}, True, id="an hour old"),
        pytest.param({"IsLatest": False}, True, id="overwritten since"),
        pytest.param({"LastModified": NOW - timedelta(minutes=29)}, False, id="not old enough"),
        pytest.param({"Key": "raw/flights/", "Size": 0}, False, id="folder marker"),
        pytest.param({"Key": "raw/stray.csv"}, False, id="outside any dataset"),
        pytest.param({"Key": "raw/flights/_SUCCESS"}, False, id="a marker"),
        pytest.param({"Key": "raw/flights/_temporary/0/a.csv"}, False, id="a part file"),
        pytest.param({"VersionId": "null"}, False, id="without a version"),
    ],
)
def test_what_waits(changes: dict[str, Any], waits: bool) -> None:
    assert (core.waiting_file("raw-bucket", version() | changes, LIMITS) is not None) is waits


@pytest.mark.parametrize(
    ("ended", "held"),
    [
        pytest.param(execution("RUNNING", stopDate=None), True, id="running"),
        pytest.param(execution("FAILED", error="OperatorError"), True, id="an operator's"),
        pytest.param(execution("FAILED", error="TransientError"), False, id="transient"),
        pytest.param(execution("FAILED", error="SupportNotTold"), False, id="support not told"),
        pytest.param(execution("FAILED", error="States.Runtime"), False, id="failed by itself"),
        pytest.param(execution("TIMED_OUT"), False, id="timed out"),
        pytest.param(execution("ABORTED"), False, id="aborted"),
        pytest.param(execution("ABORTED", stopDate=NOW), True, id="ended just now"),
    ],
)
def test_verdict(ended: dict[str, Any], held: bool) -> None:
    verdicts = core.Verdicts(LIMITS)
    assert verdicts.wants(ended)
    verdicts.add(ended)

    assert verdicts.held == (FILE_IDS if held else set())
    assert verdicts.interrupted == ({} if held else dict.fromkeys(FILE_IDS, f"arn:{LOAD_ID}"))


def test_newest_load_of_a_file_decides() -> None:
    verdicts = core.Verdicts(LIMITS)
    verdicts.add(execution("ABORTED", name="b-" + "1" * 24))
    verdicts.add(execution("FAILED", error="OperatorError"))

    assert verdicts.held == set()
    assert set(verdicts.interrupted.values()) == {"arn:b-" + "1" * 24}


def test_only_the_newest_attempt_at_a_load_is_looked_at() -> None:
    verdicts = core.Verdicts(LIMITS)

    assert verdicts.wants(execution("ABORTED", name=f"{LOAD_ID}-3"))
    assert not verdicts.wants(execution("FAILED", name=f"{LOAD_ID}-2"))
    assert not verdicts.wants(execution("FAILED"))


def test_load_that_succeeded_in_the_end_holds_nothing() -> None:
    verdicts = core.Verdicts(LIMITS)

    assert not verdicts.wants(execution("SUCCEEDED", name=f"{LOAD_ID}-2"))
    assert not verdicts.wants(execution("FAILED", error="OperatorError"))


@pytest.mark.parametrize("document", [None, "", "[]", '{"comment": "by hand"}'])
def test_execution_that_is_no_load_says_nothing(document: str | None) -> None:
    verdicts = core.Verdicts(LIMITS)
    verdicts.add(execution("ABORTED", input=document))

    assert (verdicts.held, verdicts.interrupted) == (set(), {})


def test_messages_stay_within_what_sqs_takes() -> None:
    long_key = "raw/flights/" + "ä" * 500
    files = [
        core.waiting_file("raw-bucket", version(long_key, VersionId=str(number)), LIMITS)
        for number in range(250)
    ]

    messages = list(core.notifications(file for file in files if file is not None))

    assert sum(count for _, count in messages) == 250
    assert all(count <= 100 for _, count in messages)
    assert all(len(body.encode()) <= 262_144 for body, _ in messages)
    assert len(messages) > 3


@pytest.mark.parametrize("letter", ["x", "ä", "日", "\U0001f6eb", "\uffff", "\x01", '"'])
def test_message_of_the_fullest_load_is_the_load_it_was_and_fits(letter: str) -> None:
    name = letter * (1_000 // len(letter.encode()))
    for names in (name, name[:20], ""):
        [load, *_] = start_loads.plan_loads(
            replace(
                FILES[0], key=f"raw/flights/{n:03}{names}", uploaded_at="2026-11-24T10:00:00.000Z"
            )
            for n in range(100)
        )

        body = core.load_message(load)

        assert start_loads.read_loads(json.loads(body)) == [load]
        # SQS refuses some characters that keys may hold.
        assert body.isascii()
        assert len(body) <= 262_144


@pytest.mark.parametrize(
    ("staged_key", "run_id"),
    [
        ("staging/flights/run_id=flights-1a-2/0f.csv", "flights-1a-2"),
        ("staging/a\nb/run_id=a_b-1a/0f", "a_b-1a"),
        ("staging/flights/stray.csv", None),
        ("staging/flights/run_id=x/deeper/0f.csv", None),
    ],
)
def test_run_of_a_staged_file(staged_key: str, run_id: str | None) -> None:
    assert core.run_id_of(staged_key) == run_id


@pytest.mark.parametrize(
    ("run", "made_at", "expected"),
    [
        pytest.param(execution("RUNNING", stopDate=None), NOW, False, id="running"),
        pytest.param(execution("FAILED"), NOW, True, id="ended long ago"),
        pytest.param(
            execution("FAILED", stopDate=NOW - timedelta(minutes=59)), NOW, False, id="ended lately"
        ),
        pytest.param(None, NOW - timedelta(minutes=59), False, id="unknown and new"),
        pytest.param(None, NOW - timedelta(minutes=60), True, id="unknown and old"),
    ],
)
def test_leftover(run: dict[str, Any] | None, made_at: datetime, expected: bool) -> None:
    assert core.is_leftover(run, made_at, LIMITS) is expected


def test_minutes_of_the_event_take_the_place_of_the_settings() -> None:
    defaults = {"waiting_minutes": 30, "leftover_minutes": 60}

    assert core.read_minutes({}, defaults) == defaults
    assert core.read_minutes({"waiting_minutes": 0}, defaults) == defaults | {"waiting_minutes": 0}
    assert core.read_minutes({"detail-type": "Scheduled Event", "detail": {}}, defaults) == defaults


@pytest.mark.parametrize("value", [-1, "0", None, True])
def test_minutes_that_are_no_number_are_refused(value: object) -> None:
    with pytest.raises(core.RequestError, match="waiting_minutes"):
        core.read_minutes({"waiting_minutes": value}, {"waiting_minutes": 30})
