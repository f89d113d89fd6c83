"""What was loaded can be taken back, and loaded again."""

import json

import pytest
from psycopg import errors

from tests.deployed_pipeline import WEEK, Pipeline

COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"
FLIGHTS = WEEK[0].read_bytes().count(b"\n") - 1


def call(pipeline: Pipeline, statement: str) -> tuple[int, ...]:
    with pipeline.connect() as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row


def test_load_revert_and_load_again_give_the_same_view(pipeline: Pipeline) -> None:
    view = "select * from mart.daily_route_performance order by 1, 2, 3, 4"
    first = pipeline.load(("raw/flights/day.csv", WEEK[0]))
    loaded = pipeline.query(view)
    [file] = json.loads(first["input"])["files"]

    files, rows = call(pipeline, f"call etl.revert_file('{file['file_id']}', 0, 0)")
    assert (files, rows) == (1, len(loaded))
    assert pipeline.query(COUNT) == [(0,)]
    assert pipeline.query("select status from etl.loads") == [("reverted",)]
    with pytest.raises(errors.RaiseException, match="its status is reverted"):
        call(pipeline, f"call etl.revert_file('{file['file_id']}', 0, 0)")

    pipeline.load(("raw/flights/day.csv", WEEK[0]))
    assert pipeline.query(view) == loaded


def test_load_of_two_files_is_taken_back_whole(pipeline: Pipeline) -> None:
    execution = pipeline.load(("raw/flights/1.csv", WEEK[0]), ("raw/flights/2.csv", WEEK[1]))
    load_id = json.loads(execution["input"])["load_id"]

    assert call(pipeline, f"call etl.revert_load('{load_id}', 0, 0)")[0] == 2
    assert call(pipeline, f"call etl.revert_load('{load_id}', 0, 0)") == (0, 0)
    assert pipeline.query(COUNT) == [(0,)]


def test_unknown_file_and_load_are_errors(pipeline: Pipeline) -> None:
    for name in ("file", "load"):
        with pytest.raises(errors.RaiseException, match="not in the ledger"):
            call(pipeline, f"call etl.revert_{name}('unknown', 0, 0)")
