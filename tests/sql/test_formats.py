"""Files of other formats than CSV, through the procedures that are written for them."""

import bz2
import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from pyarrow import orc, parquet

from local.stack import Stack
from tests import datasets
from tests.faults.datasets import Dataset
from tests.sql.loading import Answer, Loading
from tools.datasets.reading import read_folder

EVERYTHING = """
select sensor, place, measured_at, celsius, is_open from mart.sensor_rows order by measured_at
"""


def of_format(name: str, same_key: str) -> Dataset:
    """As much of a dataset as Loading wants of it to load files."""
    return Dataset(
        name,
        same_key,
        header="",
        row=lambda _: [],
        read=lambda _: ((), ()),
        grain_columns=0,
        view="",
        aggregates="",
        by_file="",
    )


@pytest.fixture(scope="module")
def sensors_loading(deployed_stack: Stack) -> Iterator[Loading]:
    datasets.install(deployed_stack, "sensors")
    yield Loading(deployed_stack, of_format("sensors", "append"))
    datasets.remove(deployed_stack, "sensors")


@pytest.fixture(scope="module", params=["parquet", "orc"])
def shipments_loading(
    deployed_stack: Stack, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loading]:
    text = (datasets.FOLDER / "shipments" / "dataset.yaml").read_text()
    folder = tmp_path_factory.mktemp(request.param) / "shipments"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(text.replace("type: parquet", f"type: {request.param}"))
    datasets.install_folder(deployed_stack, read_folder(folder))
    yield Loading(deployed_stack, of_format("shipments", "replace"))
    datasets.remove(deployed_stack, "shipments")


@pytest.fixture
def shipments(shipments_loading: Loading) -> Iterator[Loading]:
    yield shipments_loading
    shipments_loading.empty()


@pytest.fixture
def write(request: pytest.FixtureRequest) -> Callable[[pa.Table, Any], None]:
    """What writes a file of the dataset's format."""
    form: str = request.node.callspec.params["shipments_loading"]
    return orc.write_table if form == "orc" else parquet.write_table


@pytest.fixture
def sensors(sensors_loading: Loading) -> Iterator[Loading]:
    yield sensors_loading
    sensors_loading.empty()


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def report(minute: int = 0, **more: object) -> dict[str, object]:
    device = {"id": "s1", "at": {"room": 'the "C:\\temp" room, ü', "floor": 1}}
    return {
        "device": device,
        "measured_at": f"2026-11-24T10:{minute:02}:00Z",
        "celsius": 21.5,
        "is_open": True,
        **more,
    }


def load(loading: Loading, body: bytes, name: str = "a.jsonl", number: int = 1) -> Answer:
    return loading.load(loading.version(number, name, body=body))


def rejected(loading: Loading) -> list[tuple[str, str]]:
    return loading.query("select reason, value from etl.rejected_rows order by 1")


def test_nested_values_are_taken_by_their_paths(sensors: Loading) -> None:
    body = lines(report(0), report(1, celsius=None, is_open="no", more=[1]), {**report(2)})

    answer = load(sensors, body)

    assert (answer.status, answer.source_rows, answer.rejected_rows) == ("loaded", 3, 0)
    place = 'the "C:\\temp" room, ü'
    assert sensors.query(EVERYTHING)[:2] == [
        ("s1", place, datetime(2026, 11, 24, 10, 0), Decimal("21.50"), True),
        ("s1", place, datetime(2026, 11, 24, 10, 1), None, False),
    ]
    assert sensors.query("select * from mart.sensor_range") == [
        ("s1", 3, Decimal("21.50"), Decimal("21.50"))
    ]


@pytest.mark.parametrize(
    ("name", "squeeze"), [("a.jsonl.gz", gzip.compress), ("a.json.bz2", bz2.compress)]
)
def test_compressed_lines_are_read(
    sensors: Loading, name: str, squeeze: Callable[[bytes], bytes]
) -> None:
    assert load(sensors, squeeze(lines(report())), name).source_rows == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1, 2]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"device": ', "not a JSON object"),
        (b"{'device': 1}", "not a JSON object"),
        (b'{"measured_at": "2026-11-24"} {}', "not a JSON object"),
        (b"sensor,measured_at", "not a JSON object"),
        (b"\\N", "longer than 65,535 bytes, or \\N"),
        (lines(report(celsius="mild"))[:-1], "celsius: not a number of 3 digits and 2 decimals"),
        (lines(report(celsius=99))[:-1], "celsius: outside -90 to 60"),
        (lines(report(device="s1"))[:-1], "sensor: empty"),
        (lines(report(is_open={"a": 1}))[:-1], "is_open: not true or false"),
        (lines(report(measured_at=20261124))[:-1], "measured_at: not a time"),
    ],
)
def test_row_is_rejected_with_its_reason(sensors: Loading, line: bytes, reason: str) -> None:
    answer = load(sensors, lines(report()) + line + b"\r\n\n" + lines(report(1)))

    assert (answer.source_rows, answer.rejected_rows) == (3, 1)
    [(told, _)] = rejected(sensors)
    assert told.startswith(reason)


def test_line_that_no_column_holds_fails_its_file(sensors: Loading) -> None:
    with pytest.raises(psycopg.Error, match="longer than the length defined"):
        load(sensors, lines(report(), report(1, more="x" * 65_536)))


@pytest.mark.parametrize(
    "body", [b"[\n" + lines(report())[:-1] + b",\n]\n", b"a,b\n1,2\n"], ids=["array", "csv"]
)
def test_file_of_another_text_is_refused(sensors: Loading, body: bytes) -> None:
    with pytest.raises(psycopg.Error, match="not a JSON object"):
        load(sensors, body)


SHIPMENT = {
    "id": 1,
    "pieces": 2,
    "weight": 0.5,
    "price": Decimal("19.90"),
    "is_sent": True,
    "sent_on": date(2026, 11, 24),
    "seen_at": datetime(2026, 11, 24, 10, 30),
    "to": " Ümit ",
    "code": "none",
}
SHIPMENT_TYPES = {
    "id": pa.int64(),
    "pieces": pa.int32(),
    "weight": pa.float64(),
    "price": pa.decimal128(9, 2),
    "is_sent": pa.bool_(),
    "sent_on": pa.date32(),
    "seen_at": pa.timestamp("us"),
    "to": pa.string(),
    "code": pa.string(),
}


def shipped(
    write: Callable[[pa.Table, Any], None],
    *rows: dict[str, Any],
    types: dict[str, Any] = SHIPMENT_TYPES,
) -> bytes:
    sink = io.BytesIO()
    write(pa.Table.from_pylist(list(rows), pa.schema(list(types.items()))), sink)
    return sink.getvalue()


def test_columns_with_types_keep_their_values(
    shipments: Loading, write: Callable[[pa.Table, Any], None]
) -> None:
    second = {**dict.fromkeys(SHIPMENT), "id": 2, "code": "7"}
    answer = load(shipments, shipped(write, SHIPMENT, second), "a.snappy.parquet")

    assert (answer.status, answer.source_rows, answer.rejected_rows) == ("loaded", 2, 0)
    assert shipments.query("select * from mart.shipment_rows order by id") == [
        (*list(SHIPMENT.values())[:7], "Ümit", None),
        (2, *[None] * 7, 7),
    ]
    assert shipments.query(
        "select shipments, pieces, value from mart.shipment_sums where is_sent"
    ) == [(1, 2, Decimal("19.90"))]


@pytest.mark.parametrize(
    ("damage", "reason", "value"),
    [
        ({"id": None}, "id: empty", None),
        ({"pieces": 1001}, "pieces: outside 0 to 1000", "1001"),
        ({"weight": float("nan")}, "weight: outside 0 to 1000000", "NaN"),
        ({"sent_on": date(1970, 1, 1)}, "sent_on: less than 2000-01-01", "1970-01-01"),
        ({"to": "a longer name"}, "consignee: longer than 10 characters", "a longer name"),
        ({"code": "x1"}, "code: not a whole number", "x1"),
    ],
)
def test_row_with_types_is_rejected_with_its_reason(
    shipments: Loading,
    write: Callable[[pa.Table, Any], None],
    damage: dict[str, Any],
    reason: str,
    value: str | None,
) -> None:
    answer = load(shipments, shipped(write, SHIPMENT, {**SHIPMENT, **damage}))

    assert (answer.source_rows, answer.rejected_rows) == (2, 1)
    assert rejected(shipments) == [(reason, value)]


def test_column_that_the_file_lacks_is_without_a_value(
    shipments: Loading, write: Callable[[pa.Table, Any], None]
) -> None:
    kept = {name: type_ for name, type_ in SHIPMENT_TYPES.items() if name != "weight"}
    shorter = {name: value for name, value in SHIPMENT.items() if name != "weight"}

    assert load(shipments, shipped(write, shorter, types=kept)).rejected_rows == 0
    assert shipments.query("select id, weight from mart.shipment_rows") == [(1, None)]


def test_file_with_another_type_is_refused(
    shipments: Loading, write: Callable[[pa.Table, Any], None]
) -> None:
    body = shipped(write, SHIPMENT, types={**SHIPMENT_TYPES, "pieces": pa.int64()})

    with pytest.raises(psycopg.Error, match=r"incompatible \w+ schema for column .*pieces"):
        load(shipments, body)


@pytest.mark.parametrize("body", [b"id,pieces\n1,2\n", b"PK\x03\x04", lines({"id": 1})])
def test_file_of_no_such_format_is_refused(shipments: Loading, body: bytes) -> None:
    with pytest.raises(psycopg.Error, match=r"invalid version number|not an ORC file"):
        load(shipments, body)


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("dataset", "same_key", "view", "rows"),
    [
        ("weather", "append", "hourly_weather", 498),
        ("planes", "replace", "planes", 3_322),
    ],
)
def test_every_row_of_the_examples_loads(
    deployed_stack: Stack, dataset: str, same_key: str, view: str, rows: int
) -> None:
    loading = Loading(deployed_stack, of_format(dataset, same_key))
    files = sorted((EXAMPLES / dataset).glob("*.jsonl")) or [EXAMPLES / dataset / "planes.parquet"]
    try:
        answers = [
            load(loading, file.read_bytes(), file.name, number) for number, file in enumerate(files)
        ]

        assert sum(answer.source_rows for answer in answers) == rows
        assert sum(answer.rejected_rows for answer in answers) == 0
        assert loading.query(f"select count(*) from mart.{view}") == [(rows,)]
    finally:
        loading.empty()
