"""Files that are too large, or inflate to too much, and keys that XML cannot spell.

Their neighbours load, and nothing is left behind.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.deployed_pipeline import WEEK, Pipeline
from tests.operating import short_deadline, wait_until

DAY = WEEK[0].read_bytes()
FLIGHTS = DAY.count(b"\n") - 1
COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"
GOOD = [f"raw/flights/good {number}.csv" for number in range(3)]
# Twice what a load may take: once until it is asked whether it has its turn, and once more.
BOMB_DEADLINE_MINUTES = 0.15
BOMB_ROWS = 3_000_000


@contextmanager
def small_files_only(pipeline: Pipeline, most: int) -> Iterator[None]:
    """Let loads that begin now take files of so many bytes, as if a megabyte were as small."""
    machine = {"stateMachineArn": pipeline.stack.outputs["LoadStateMachineArn"]}
    states = pipeline.stack.step_functions
    definition = states.describe_state_machine(**machine)["definition"]
    smaller = definition.replace("1024 * 1048576", str(most))
    assert smaller != definition
    states.update_state_machine(**machine, definition=smaller)
    try:
        yield
    finally:
        states.update_state_machine(**machine, definition=definition)


def put_together(pipeline: Pipeline, files: dict[str, bytes]) -> None:
    """Upload files so that they share a load."""
    pipeline.pause()
    for key, body in files.items():
        pipeline.upload(key, body)
    pipeline.resume()


def keys_of(execution: dict[str, Any]) -> list[str]:
    return sorted(file["key"] for file in json.loads(execution["input"])["files"])


def bomb() -> bytes:
    """A megabyte or so that holds hundreds of them: the same rows, over and over."""
    header, *rows = DAY.splitlines(keepends=True)
    # Deflate sees 32 KiB back.
    block = b"".join(rows[:20])
    compress = zlib.compressobj(1, wbits=31)
    parts = [compress.compress(header)]
    parts += [compress.compress(block) for _ in range(BOMB_ROWS // 20)]
    return b"".join([*parts, compress.flush()])


def test_file_over_the_limit_is_refused_and_its_neighbours_load(pipeline: Pipeline) -> None:
    large = "raw/flights/large.csv"
    with small_files_only(pipeline, len(DAY)):
        put_together(pipeline, {**dict.fromkeys(GOOD, DAY), large: DAY + b"\n"})
        executions = pipeline.all_loads()

    assert sorted(map(keys_of, executions)) == sorted([GOOD, [large], sorted([*GOOD, large])])
    [refused] = [e for e in executions if keys_of(e) == [large]]
    assert refused["error"] == "DataError"
    assert pipeline.query(COUNT) == [(FLIGHTS * len(GOOD),)]
    assert pipeline.versions("raw/") == []
    kept = [key for key in pipeline.keys("Archive", "quarantine/") if key.endswith("large.csv")]
    assert len(kept) == 1
    [mail] = pipeline.mails("Support")
    assert mail.list_under("File at fault:") == [large]
    assert f"{len(DAY) + 1:,} bytes; {len(DAY):,} are the limit" in mail.line("Reason")
    assert "MB at most" in mail.line("Next step")
    assert "refused: large.csv" in mail.subject


def test_file_that_no_copy_takes_stays_and_is_told_of(pipeline: Pipeline) -> None:
    huge = "raw/flights/huge.csv"
    pipeline.pause()
    pipeline.upload(huge, DAY)
    # No computer here has room for what its notification tells of.
    [told] = pipeline.take_notifications()
    notification = json.loads(told)
    notification["Records"][0]["s3"]["object"]["size"] = 6 * 1024**3
    pipeline.resume()
    pipeline.stack.cloud.client("lambda").invoke(
        FunctionName=pipeline.stack.outputs["StartLoadsFunctionName"],
        Payload=json.dumps(notification),
    )
    [failed] = pipeline.next_loads()

    assert failed["error"] == "OperatorError"
    assert pipeline.versions("raw/") == [huge]
    [mail] = pipeline.mails("Support")
    assert mail.list_under("File at fault:") == [huge]
    assert "6,442,450,944 bytes" in mail.line("Reason")
    assert mail.line("Next step").startswith("Cut it into files of 1024 MB at most")


def test_keys_that_xml_cannot_spell_are_loaded_together_and_deleted(pipeline: Pipeline) -> None:
    odd = [f"raw/flights/odd {character}.csv" for character in ("\x07", "\r", "\x1f", "\x0b")]
    put_together(pipeline, dict.fromkeys([*odd, GOOD[0]], DAY))
    [load] = pipeline.next_loads()

    assert load["status"] == "SUCCEEDED"
    assert pipeline.query(COUNT) == [(FLIGHTS * 5,)]
    assert pipeline.versions("raw/") == []
    assert pipeline.mails("Support") == []


def test_key_that_no_message_can_hold_is_deleted(pipeline: Pipeline) -> None:
    load = pipeline.load(("raw/flights/odd \uffff.csv", DAY))

    assert load["status"] == "SUCCEEDED"
    assert pipeline.versions("raw/") == []


@pytest.mark.long
def test_bomb_ends_its_own_load_and_no_other(pipeline: Pipeline) -> None:
    explosive = "raw/flights/bomb.csv.gz"
    body = bomb()
    assert len(body) < 10_000_000 < 200_000_000 < BOMB_ROWS * len(DAY) / FLIGHTS
    with short_deadline(pipeline.stack, BOMB_DEADLINE_MINUTES):
        put_together(pipeline, {**dict.fromkeys(GOOD, DAY), explosive: body})
        wait_until(lambda: pipeline.query(COUNT) == [(FLIGHTS * len(GOOD),)], 200)
        wait_until(lambda: not pipeline.is_busy(pipeline.stack.executions()), 200)
        executions = pipeline.all_loads()

    [failed] = [e for e in executions if e["status"] == "FAILED"]
    assert keys_of(failed) == [explosive]
    assert failed["cause"].startswith("CancelLoad: LoadTimedOut: ")
    # The good ones may have waited for the bomb's turn to end, and come again.
    loads = {tuple(keys_of(execution)) for execution in executions}
    assert loads == {(explosive, *GOOD), (explosive,), tuple(GOOD)}
    assert pipeline.versions("raw/") == [explosive]
    [mail] = pipeline.mails("Support")
    assert "inflates to more than it should" in mail.message
