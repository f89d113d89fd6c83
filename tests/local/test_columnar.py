import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import orc, parquet

from local.columnar import ORC, PARQUET, Columnar
from local.serde import FormatError, Handling

FAILING = Handling.from_properties(
    {"data_cleansing_enabled": "true", "surplus_char_handling": "FAIL"}
)


def written(library: str, table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    write: Callable[..., None] = {ORC: orc.write_table, PARQUET: parquet.write_table}[library]
    write(table, sink, **options)
    return sink.getvalue()


def copied(
    library: str, data: bytes, columns: dict[str, str], key: str = "staging/a.parquet"
) -> list[list[str]]:
    glue = [{"Name": name, "Type": hive_type} for name, hive_type in columns.items()]
    reader = Columnar.from_columns(library, glue, FAILING)
    text = b"".join(reader.rows([data[:5], data[5:]], key, ["more"]))
    return [line.split("\t") for line in text.decode().split("\n")[:-1]]


VALUES: list[tuple[str, Any, Any, str]] = [
    ("int", pa.int32(), -7, "-7"),
    ("smallint", pa.int16(), 7, "7"),
    ("bigint", pa.int64(), 2**62, str(2**62)),
    ("float", pa.float32(), 0.5, "0.5"),
    ("double", pa.float64(), float("nan"), "nan"),
    ("double", pa.float64(), float("-inf"), "-Infinity"),
    ("boolean", pa.bool_(), False, "f"),
    ("string", pa.string(), 'ä\t"\\N"\n', 'ä\\t"\\\\N"\\n'),
    ("string", pa.string(), "", ""),
    ("date", pa.date32(), date(2026, 11, 24), "2026-11-24"),
    ("timestamp", pa.timestamp("us"), datetime(2026, 11, 24, 10), "2026-11-24 10:00:00"),
    ("decimal(9,2)", pa.decimal128(9, 2), Decimal("-0.10"), "-0.10"),
]


@pytest.mark.parametrize(("hive_type", "type_", "value", "text"), VALUES)
@pytest.mark.parametrize("library", [PARQUET, ORC])
def test_values_and_nulls_are_read(
    library: str, hive_type: str, type_: Any, value: Any, text: str
) -> None:
    table = pa.table({"other": [1, 2], "a": pa.array([value, None], type_)})
    assert copied(library, written(library, table), {"a": hive_type}) == [
        [text, "more"],
        ["\\N", "more"],
    ]


def test_columns_are_found_by_name_and_missing_ones_are_null() -> None:
    table = pa.table({"b": ["x"], "a": ["y"]})

    assert copied(PARQUET, written(PARQUET, table), {"a": "string", "c": "int", "b": "string"}) == [
        ["y", "\\N", "x", "more"]
    ]


def test_times_of_a_zone_are_in_utc() -> None:
    moment = datetime(2026, 11, 24, 10, tzinfo=UTC)
    table = pa.table({"a": pa.array([moment], pa.timestamp("ms", "Europe/Berlin"))})

    assert copied(PARQUET, written(PARQUET, table), {"a": "timestamp"})[0][0] == (
        "2026-11-24 10:00:00"
    )


def test_times_of_int96_are_read() -> None:
    moment = datetime(2026, 11, 24, 10, 0, 0, 123456)
    table = pa.table({"a": pa.array([moment], pa.timestamp("us"))})
    data = written(PARQUET, table, use_deprecated_int96_timestamps=True)

    assert copied(PARQUET, data, {"a": "timestamp"})[0][0] == "2026-11-24 10:00:00.123456"


@pytest.mark.parametrize("compression", ["snappy", "gzip", "zstd", "none"])
def test_what_is_compressed_inside_is_read(compression: str) -> None:
    data = written(PARQUET, pa.table({"a": ["x"] * 20_001}), compression=compression)

    assert len(copied(PARQUET, data, {"a": "string"})) == 20_001


def test_category_is_a_text() -> None:
    table = pa.table({"a": pa.array(["x", None]).dictionary_encode()})

    assert [row[0] for row in copied(PARQUET, written(PARQUET, table), {"a": "string"})] == [
        "x",
        "\\N",
    ]


@pytest.mark.parametrize(
    ("hive_type", "type_", "value"),
    [
        ("int", pa.int64(), 1),
        ("bigint", pa.int32(), 1),
        ("double", pa.float32(), 1.0),
        ("string", pa.int32(), 1),
        ("int", pa.string(), "1"),
        ("decimal(9,2)", pa.decimal128(10, 2), Decimal(1)),
        ("string", pa.list_(pa.string()), ["a"]),
        ("timestamp", pa.timestamp("ns"), datetime(2026, 11, 24)),
    ],
)
def test_another_type_is_refused_as_redshift_words_it(
    hive_type: str, type_: Any, value: Any
) -> None:
    data = written(PARQUET, pa.table({"a": pa.array([value], type_)}))

    with pytest.raises(FormatError, match=r"has an incompatible Parquet schema for column '.*\.a'"):
        copied(PARQUET, data, {"a": hive_type})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a,b\n1,2\n", r"invalid version number: 1,2\\n"),
        (b"PK\x03\x04 and more", "invalid version number: more"),
        (b"PAR1", "PAR1|footer|size"),
    ],
)
def test_file_that_is_no_parquet_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        copied(PARQUET, data, {"a": "string"})


def test_file_cut_short_or_of_the_other_format_is_refused() -> None:
    table = pa.table({"a": ["x"]})

    with pytest.raises(FormatError, match="invalid version number"):
        copied(PARQUET, written(PARQUET, table)[:-10], {"a": "string"})
    with pytest.raises(FormatError, match="not an ORC file: it begins with PAR1"):
        copied(ORC, written(PARQUET, table), {"a": "string"})


@pytest.mark.parametrize("value", ["x" * 65_536, "a\0b"])
def test_text_that_no_column_holds_is_refused(value: str) -> None:
    with pytest.raises(FormatError, match=r"longer than|NUL"):
        copied(PARQUET, written(PARQUET, pa.table({"a": [value]})), {"a": "string"})


def test_name_in_other_letters_is_refused_instead_of_null() -> None:
    with pytest.raises(FormatError, match="calls the column tailnum TailNum"):
        copied(PARQUET, written(PARQUET, pa.table({"TailNum": ["x"]})), {"tailnum": "string"})


def test_types_and_compressions_that_are_not_done_are_refused() -> None:
    data = written(PARQUET, pa.table({"a": ["x"]}))

    with pytest.raises(FormatError, match="array<string>"):
        copied(PARQUET, data, {"a": "array<string>"})
    with pytest.raises(FormatError, match="compress inside"):
        copied(PARQUET, data, {"a": "string"}, key="a.parquet.gz")
