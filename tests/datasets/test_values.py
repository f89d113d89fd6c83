"""What a text becomes under a column's spec: a value, or the reason that its row is rejected."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.datasets import bare
from tools.datasets.expressions import Cell, literal
from tools.datasets.spec import Dataset

CSV = {"type": "csv"}
GERMAN = {"type": "csv", "delimiter": ";", "decimal_mark": ",", "group_mark": "."}
SWISS = {"type": "csv", "group_mark": "'"}

INTEGER = {"type": "integer"}
DECIMAL = {"type": "decimal", "precision": 6, "scale": 2}
DOUBLE = {"type": "double"}
TEXT = {"type": "text", "max_length": 5}
BOOLEAN = {"type": "boolean"}
GERMAN_BOOLEAN = {"type": "boolean", "true": ["ja", "1"], "false": ["nein", "0"]}
DATE = {"type": "date"}
TIMESTAMP = {"type": "timestamp"}
BERLIN = {**TIMESTAMP, "zone": "Europe/Berlin"}

NO_NUMBER = "c: not a whole number"
NO_DECIMAL = "c: not a number of 4 digits and 2 decimals at most"
NO_DOUBLE = "c: not a number"
NO_DATE = "c: not a date"
NO_TIME = "c: not a time"


def formatted(kind: dict[str, Any], text: str) -> dict[str, Any]:
    return {**kind, "format": text}


# (format of the file, column, text, value or reason)
CASES: list[tuple[dict[str, Any], dict[str, Any], str, Any]] = [
    (CSV, INTEGER, "17", 17),
    (CSV, INTEGER, "-17", -17),
    (CSV, INTEGER, "+17", 17),
    (CSV, INTEGER, " 17\t", 17),
    (CSV, INTEGER, "17\r", 17),
    (CSV, INTEGER, "", None),
    (CSV, INTEGER, "  ", None),
    (CSV, INTEGER, "9" * 18, 10**18 - 1),
    (CSV, INTEGER, "1" + "0" * 18, NO_NUMBER),
    (CSV, INTEGER, "1.0", NO_NUMBER),
    (CSV, INTEGER, "1e3", NO_NUMBER),
    (CSV, INTEGER, "0x11", NO_NUMBER),
    (CSV, INTEGER, "NA", NO_NUMBER),
    (CSV, INTEGER, "\u0661\u0667", NO_NUMBER),
    (CSV, INTEGER, "1 7", NO_NUMBER),
    (CSV, INTEGER, "17\n", NO_NUMBER),
    (CSV, {**INTEGER, "null": ["NA"]}, "NA", None),
    (CSV, {**INTEGER, "null": ["NA"]}, "na", NO_NUMBER),
    (CSV, {**INTEGER, "null": ["NA", "-", "O'Neill", "\\N"]}, "\\N", None),
    (CSV, {**INTEGER, "null": ["NA", "-", "O'Neill", "\\N"]}, "O'Neill", None),
    (CSV, {**INTEGER, "required": True}, "", "c: empty"),
    (CSV, {**INTEGER, "required": True, "null": ["NA"]}, "NA", "c: empty"),
    (CSV, {**INTEGER, "min": 0, "max": 9}, "9", 9),
    (CSV, {**INTEGER, "min": 0, "max": 9}, "10", "c: outside 0 to 9"),
    (CSV, {**INTEGER, "min": 0, "max": 9}, "-1", "c: outside 0 to 9"),
    (CSV, {**INTEGER, "min": 0}, "-1", "c: less than 0"),
    (CSV, {**INTEGER, "max": 9}, "10", "c: greater than 9"),
    (CSV, {**INTEGER, "max": 9}, "", None),
    (GERMAN, INTEGER, "1.234.567", 1234567),
    (GERMAN, INTEGER, "1.23", NO_NUMBER),
    (GERMAN, INTEGER, "1234.567", NO_NUMBER),
    (SWISS, INTEGER, "1'234", 1234),
    (CSV, DECIMAL, "1234.56", Decimal("1234.56")),
    (CSV, DECIMAL, "-0.5", Decimal("-0.50")),
    (CSV, DECIMAL, "7", Decimal("7.00")),
    (CSV, DECIMAL, "7.", Decimal("7.00")),
    (CSV, DECIMAL, "12345.6", NO_DECIMAL),
    (CSV, DECIMAL, "1.234", NO_DECIMAL),
    (CSV, DECIMAL, "1,5", NO_DECIMAL),
    (CSV, DECIMAL, "1e2", NO_DECIMAL),
    (GERMAN, DECIMAL, "1234,56", Decimal("1234.56")),
    (GERMAN, DECIMAL, "1.234,56", Decimal("1234.56")),
    (GERMAN, DECIMAL, "1,234.56", NO_DECIMAL),
    (GERMAN, DECIMAL, "12.345,6", NO_DECIMAL),
    (CSV, DOUBLE, "1.5e3", 1500.0),
    (CSV, DOUBLE, ".5", 0.5),
    (CSV, DOUBLE, "5.", 5.0),
    (CSV, DOUBLE, "1e400", NO_DOUBLE),
    (CSV, DOUBLE, "NaN", NO_DOUBLE),
    (CSV, DOUBLE, "inf", NO_DOUBLE),
    (CSV, DOUBLE, ".", NO_DOUBLE),
    (GERMAN, DOUBLE, "1,5", 1.5),
    (CSV, TEXT, "Düss.", "Düss."),
    (CSV, TEXT, "sechs6", "c: longer than 5 characters"),
    (CSV, TEXT, "a\\b", "a\\b"),
    (CSV, TEXT, "", None),
    (CSV, {**TEXT, "null": []}, "", ""),
    (CSV, {**TEXT, "pattern": "[A-Z]{2}"}, "DE", "DE"),
    (CSV, {**TEXT, "pattern": "[A-Z]{2}"}, "DEU", "c: not of the pattern [A-Z]{2}"),
    (CSV, {**TEXT, "pattern": "a|b"}, "ab", "c: not of the pattern a|b"),
    (CSV, {**TEXT, "pattern": "\\d+"}, "12", "12"),
    (CSV, BOOLEAN, "TRUE", True),
    (CSV, BOOLEAN, "n", False),
    (CSV, BOOLEAN, "ja", "c: not true or false"),
    (CSV, GERMAN_BOOLEAN, "Ja", True),
    (CSV, GERMAN_BOOLEAN, "0", False),
    (CSV, GERMAN_BOOLEAN, "true", "c: not true or false"),
    (CSV, DATE, "2024-02-29", date(2024, 2, 29)),
    (CSV, DATE, "2023-02-29", NO_DATE),
    (CSV, DATE, "2024-2-29", NO_DATE),
    (CSV, DATE, "2024-02-29 10:00", NO_DATE),
    (CSV, DATE, "29.02.2024", NO_DATE),
    (CSV, {**DATE, "min": "2024-01-01"}, "2023-12-31", "c: less than 2024-01-01"),
    (CSV, formatted(DATE, "DD.MM.YYYY"), "29.02.2024", date(2024, 2, 29)),
    (CSV, formatted(DATE, "DD.MM.YYYY"), "02.29.2024", "c: not a date as DD.MM.YYYY"),
    (CSV, formatted(DATE, "DD.MM.YYYY"), "9.2.2024", "c: not a date as DD.MM.YYYY"),
    (CSV, formatted(DATE, "M/D/YYYY"), "2/9/2024", date(2024, 2, 9)),
    (CSV, formatted(DATE, "M/D/YYYY"), "02/09/2024", date(2024, 2, 9)),
    (CSV, formatted(DATE, "YYYYMMDD"), "20240229", date(2024, 2, 29)),
    (CSV, formatted(DATE, "YYYYMMDD"), "20240231", "c: not a date as YYYYMMDD"),
    (CSV, TIMESTAMP, "2024-02-29T10:00:00Z", datetime(2024, 2, 29, 10)),
    (CSV, TIMESTAMP, "2024-02-29 10:00", datetime(2024, 2, 29, 10)),
    (CSV, TIMESTAMP, "2024-02-29T10:00:00+02:00", datetime(2024, 2, 29, 8)),
    (CSV, TIMESTAMP, "2024-02-29T10:00:00-0530", datetime(2024, 2, 29, 15, 30)),
    (CSV, TIMESTAMP, "2024-02-29T10:00:00.25", datetime(2024, 2, 29, 10, 0, 0, 250000)),
    (CSV, TIMESTAMP, "2024-02-29", NO_TIME),
    (CSV, TIMESTAMP, "2024-02-30T10:00:00", NO_TIME),
    (CSV, TIMESTAMP, "2024-02-29T25:00:00", NO_TIME),
    (CSV, BERLIN, "2024-07-01T10:00:00", datetime(2024, 7, 1, 8)),
    (CSV, BERLIN, "2024-01-01T10:00:00", datetime(2024, 1, 1, 9)),
    (CSV, BERLIN, "2024-07-01T10:00:00Z", datetime(2024, 7, 1, 10)),
    (CSV, BERLIN, "no time", NO_TIME),
    (
        CSV,
        formatted(TIMESTAMP, "DD.MM.YYYY HH:MI"),
        "29.02.2024 10:30",
        datetime(2024, 2, 29, 10, 30),
    ),
    (
        CSV,
        formatted(TIMESTAMP, "YYYYMMDDTHHMISS"),
        "20240229T103059",
        datetime(2024, 2, 29, 10, 30, 59),
    ),
    (CSV, formatted(BERLIN, "DD.MM.YYYY HH:MI"), "01.07.2024 10:30", datetime(2024, 7, 1, 8, 30)),
    (CSV, formatted(TIMESTAMP, "epoch"), "1709200800", datetime(2024, 2, 29, 10)),
    (
        CSV,
        formatted(TIMESTAMP, "epoch_ms"),
        "1709200800250",
        datetime(2024, 2, 29, 10, 0, 0, 250000),
    ),
    (CSV, formatted(TIMESTAMP, "epoch"), "1.5", "c: not a time as epoch"),
]


def judging(cell: Cell, text: str) -> str:
    """The query for a text's value, and the reason to reject its row, as a load finds them."""
    faults = "".join(
        f" when {condition} then {literal(f'{cell.column.name}: {fault}')}"
        for _, condition, fault in sorted(cell.faults(), key=lambda fault: fault[0])
    )
    blanks = "' ' || chr(9) || chr(13)"
    reason = f"case{faults} end" if faults else "cast(null as varchar(1024))"
    reason, cleaned = (sql.replace("v_blanks", blanks) for sql in (reason, cell.cleaned))
    return (
        f"with source as (select cast({text} as varchar(65535)) as c__raw),"
        f" cells as (select c__raw, {cleaned} as c__text from source),"
        f" typed as (select c__raw, {cell.value} as c from cells)"
        f" select {reason} as reason, c from typed"
    )


def judged(connection: psycopg.Connection, cell: Cell, text: str) -> Any:
    """The value of a text, or the reason to reject its row."""
    [(found, value)] = bare.run(connection, judging(cell, literal(text)))
    return value if found is None else found


@pytest.mark.parametrize(
    ("form", "column", "text", "expected"),
    CASES,
    ids=[
        f"{number} {column['type']} {text!a}" for number, (_, column, text, _) in enumerate(CASES)
    ],
)
def test_text_is_a_value_or_a_reason(
    connection: psycopg.Connection,
    form: dict[str, Any],
    column: dict[str, Any],
    text: str,
    expected: Any,
) -> None:
    dataset = Dataset.model_validate(
        {
            "description": "Values.",
            "same_key": "append",
            "format": form,
            "columns": [{"name": "c", **column}],
            "tables": {"t": {"rows": "all"}},
        }
    )

    found = judged(connection, Cell(dataset, dataset.columns[0]), text)

    assert (found, type(found)) == (expected, type(expected))
