"""Whatever stands in a cell: what counts is what was written, and all else has its reason."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.dialect import translate
from tests.datasets.test_values import judging
from tools.datasets.expressions import Cell
from tools.datasets.spec import Dataset

LEAST, GREATEST = -(10**18) + 1, 10**18 - 1
BLANKS = " \t\r"
NULLS = ("", "\\N")

# Numbers as senders write them, numbers that no type holds, NULL as databases write it, and noise.
texts = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.integers(LEAST - 10, LEAST + 10).map(str),
    st.integers(GREATEST - 10, GREATEST + 10).map(str),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["\\N", "\\n", "\\", "\\\\N", "N", "NA", "NULL", "0x1F", "1_000", "1e3", "\u0661"]
    ),
    st.text("0123456789+-.,eENx\\ \t\r", max_size=24),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), max_size=8),
)
padded = st.tuples(st.text(BLANKS, max_size=2), texts, st.text(BLANKS, max_size=2)).map("".join)
anything = settings(
    max_examples=200, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip

Read = Callable[[str], Any]


@pytest.fixture
def read(connection: psycopg.Connection) -> Callable[[dict[str, Any]], Read]:
    """What a text comes to under a column's spec: a value, or the reason of its row."""

    def reading(column: dict[str, Any]) -> Read:
        dataset = Dataset.model_validate(
            {
                "description": "Any text.",
                "same_key": "append",
                "format": {"type": "csv"},
                "columns": [{"name": "c", **column}],
                "tables": {"t": {"rows": "all"}},
            }
        )
        sql = translate(judging(Cell(dataset, dataset.columns[0]), "$1")).encode()

        def answer(text: str) -> Any:
            with psycopg.RawCursor(connection) as cursor:
                row = cursor.execute(sql, (text,)).fetchone()
            assert row is not None
            return row[1] if row[0] is None else row[0]

        return answer

    return reading


@anything
@given(text=padded)
def test_integer_counts_as_it_is_written(read: Callable[[dict[str, Any]], Read], text: str) -> None:
    found = read({"type": "integer"})(text)
    written = text.strip(BLANKS)

    if written in NULLS:
        assert found is None
    elif re.fullmatch("[+-]?[0-9]{1,18}", written):
        assert found == int(written)
    else:
        assert found == "c: not a whole number"


@anything
@given(text=padded)
def test_integer_outside_its_bounds_does_not_count(
    read: Callable[[dict[str, Any]], Read], text: str
) -> None:
    found = read({"type": "integer", "required": True, "min": -5, "max": 20_000})(text)

    assert found in range(-5, 20_001) or found in (
        "c: empty", "c: not a whole number", "c: outside -5 to 20000"
    )  # fmt: skip


@anything
@given(text=padded)
def test_decimal_counts_without_rounding(read: Callable[[dict[str, Any]], Read], text: str) -> None:
    found = read({"type": "decimal", "precision": 20, "scale": 2})(text)
    written = text.strip(BLANKS)

    if written in NULLS:
        assert found is None
    elif isinstance(found, Decimal):
        assert found == Decimal(written)
    else:
        assert found == "c: not a number of 18 digits and 2 decimals at most"
        assert not re.fullmatch(r"[+-]?[0-9]{1,18}([.][0-9]{1,2})?", written)


@anything
@given(text=padded)
def test_text_counts_as_it_is_written(read: Callable[[dict[str, Any]], Read], text: str) -> None:
    found = read({"type": "text", "max_length": 12})(text)
    written = text.strip(BLANKS)

    if written in NULLS:
        assert found is None
    elif len(written) <= 12:
        assert found == written
    else:
        assert found == "c: longer than 12 characters"
