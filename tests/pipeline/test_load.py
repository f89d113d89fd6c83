"""What loads, loads exactly: the view equals another engine's computation over the same files."""

import gzip
from pathlib import Path

import duckdb
import pytest
from start_loads.shown import shown

from tests.deployed_pipeline import WEEK, Pipeline

VIEW = """
    select flight_date, carrier, origin, destination, flights, cancelled, delayed_departures,
           departure_delay_minutes, arrival_delay_minutes, distance_miles
    from mart.daily_route_performance
    order by flight_date, carrier, origin, destination
"""
INDEPENDENT = """
    select make_date(year, month, day), carrier, origin, dest, count(*),
           count(*) filter (where dep_time is null),
           count(*) filter (where dep_delay > 15),
           coalesce(sum(dep_delay), 0)::bigint, coalesce(sum(arr_delay), 0)::bigint,
           sum(distance)::bigint
    from read_csv(?, header = true, nullstr = 'NA')
    group by all
    order by all
"""


def independently(files: list[Path]) -> list[tuple[object, ...]]:
    return duckdb.execute(INDEPENDENT, [[str(path) for path in files]]).fetchall()


def rows_of(files: list[Path]) -> int:
    return sum(path.read_bytes().count(b"\n") - 1 for path in files)


def test_week_equals_an_independent_computation(pipeline: Pipeline) -> None:
    execution = pipeline.load(*((f"raw/flights/{path.name}", path) for path in WEEK))

    assert execution["status"] == "SUCCEEDED"
    expected = independently(WEEK)
    assert len(expected) > 1000
    assert pipeline.query(VIEW) == expected
    assert pipeline.keys("Raw") == []
    assert sorted(key.rsplit("/", 1)[-1] for key in pipeline.keys("Archive")) == [
        path.name for path in WEEK
    ]
    assert pipeline.query(
        "select files_loaded, files_skipped, source_rows, rejected_rows from etl.loads"
    ) == [(len(WEEK), 0, rows_of(WEEK), 0)]
    [mail] = pipeline.mails("Business")
    assert mail.subject == f"flights: {rows_of(WEEK):,} rows from {len(WEEK)} files loaded"
    assert pipeline.mails("Support") == []


def crlf(body: bytes) -> bytes:
    return body.replace(b"\n", b"\r\n")


def quoted(body: bytes) -> bytes:
    lines = body.decode().splitlines()
    return "".join(
        ",".join(f'"{field}"' for field in line.split(",")) + "\n" for line in lines
    ).encode()


def without_last_line_end(body: bytes) -> bytes:
    return body.removesuffix(b"\n")


@pytest.mark.parametrize(
    ("suffix", "written"),
    [
        pytest.param(".csv.gz", gzip.compress, id="gzip"),
        pytest.param(".csv", crlf, id="CRLF line ends"),
        pytest.param(".csv", quoted, id="quoted fields"),
        pytest.param(".CSV", without_last_line_end, id="no last line end"),
    ],
)
def test_form_of_the_file_does_not_matter(pipeline: Pipeline, suffix: str, written: object) -> None:
    assert callable(written)
    pipeline.load((f"raw/flights/day{suffix}", written(WEEK[0].read_bytes())))

    assert pipeline.query(VIEW) == independently(WEEK[:1])


def test_two_days_in_one_batch_equal_an_independent_computation(pipeline: Pipeline) -> None:
    pipeline.load(("raw/flights/1.csv", WEEK[1]), ("raw/flights/2.csv", WEEK[2]))

    assert pipeline.query(VIEW) == independently(WEEK[1:3])


@pytest.mark.parametrize(
    "key",
    [
        "raw/flights/späti +1/_day 1 (2).csv",
        "raw/flights/100%25.csv",
        "raw/flights/.hidden~",
        'raw/flights/o\'clock; drop table "x".csv',
    ],
)
def test_any_key_loads_like_any_other(pipeline: Pipeline, key: str) -> None:
    execution = pipeline.load((key, WEEK[0]))

    assert execution["status"] == "SUCCEEDED"
    assert pipeline.query(VIEW) == independently(WEEK[:1])
    assert pipeline.query("select object_key, status from etl.loaded_files") == [(key, "loaded")]
    [archived] = pipeline.keys("Archive")
    assert archived.endswith("/" + key.rsplit("/", 1)[-1])
    assert pipeline.keys("Raw") == []
    assert shown(key) in pipeline.mails("Business")[0].list_under("Files:")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(WEEK[0].read_bytes().split(b"\n")[0] + b"\n", id="header only"),
        pytest.param(gzip.compress(b""), id="gzip of nothing"),
    ],
)
def test_file_without_a_row_is_loaded_and_named(pipeline: Pipeline, body: bytes) -> None:
    key = "raw/flights/empty.csv" + (".gz" if body[:2] == b"\x1f\x8b" else "")
    execution = pipeline.load((key, body))

    assert execution["status"] == "SUCCEEDED"
    [mail] = pipeline.mails("Business")
    assert mail.subject == "flights: 0 rows from 1 file loaded"
    assert mail.message.endswith(f"Files without a row:\n  {key}")
    assert pipeline.query("select status, source_rows from etl.loaded_files") == [("loaded", 0)]
    assert len(pipeline.keys("Archive")) == 1


@pytest.mark.parametrize("comes_together", [False, True], ids=["alone", "with its file"])
def test_stub_of_a_gateway_takes_no_row_away_and_sends_no_mail(
    pipeline: Pipeline, comes_together: bool
) -> None:
    key = "raw/flights/day.csv"
    pipeline.load((key, WEEK[0]))
    pipeline.mails("Business")

    pipeline.upload(key, b"")
    if not comes_together:
        pipeline.upload("raw/flights/marker.csv", WEEK[1])
        assert [load["status"] for load in pipeline.next_loads()] == ["SUCCEEDED"]
        assert pipeline.query(VIEW) == independently(WEEK[:2])
        assert pipeline.sweep()["requeued_files"] == 0
    pipeline.load((key, WEEK[2]))

    assert pipeline.query("select count(*) from etl.loaded_files where source_rows = 0") == [(0,)]
    assert all("Files without a row" not in mail.message for mail in pipeline.mails("Business"))
    assert pipeline.mails("Support") == []
    assert pipeline.sweep()["requeued_files"] == 0


def test_rows_that_cannot_be_read_are_counted_and_kept(pipeline: Pipeline) -> None:
    lines = WEEK[0].read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace("2013,1,1,", "2013,2,30,", 1)
    lines[3] = "2013,1,1\n"
    lines[4] = lines[4].replace(",B6,", ",,").replace(",AA,", ",,").replace(",UA,", ",,")
    pipeline.load(("raw/flights/some.csv", "".join(lines).encode()))

    assert pipeline.query("select reason, line from etl.rejected_rows order by reason")[1:] == [
        ("flight_date: cannot be computed", lines[2].rstrip("\n")),
        ("too few fields, not 19", "2013,1,1,,,,,,,,,,,,,,,,"),
    ]
    assert pipeline.query("select source_rows, rejected_rows from etl.loaded_files") == [
        (len(lines) - 1, 3)
    ]
    assert pipeline.query("select sum(flights) from mart.daily_route_performance") == [
        (len(lines) - 4,)
    ]
    [mail] = pipeline.mails("Business")
    assert "Rows rejected: 3 (see mart.rejected_rows)" in mail.message


def test_at_most_1000_rejected_rows_are_kept_and_all_are_counted(pipeline: Pipeline) -> None:
    lines = WEEK[0].read_text().splitlines(keepends=True)
    pipeline.load(("raw/flights/many.csv", "".join([*lines, *["x\n"] * 1200]).encode()))

    assert pipeline.query("select count(*) from etl.rejected_rows") == [(1000,)]
    assert pipeline.query("select rejected_rows from etl.loaded_files") == [(1200,)]


def test_corrected_file_takes_the_place_of_the_earlier_one(pipeline: Pipeline) -> None:
    pipeline.load(("raw/flights/day.csv", WEEK[1]))
    pipeline.load(("raw/flights/day.csv", WEEK[0]))

    assert pipeline.query(VIEW) == independently(WEEK[:1])
    assert pipeline.query(
        "select status, count(*) from etl.loaded_files group by status order by status"
    ) == [("loaded", 1), ("replaced", 1)]
    assert len(pipeline.keys("Archive")) == 2
