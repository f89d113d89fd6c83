"""What the machine makes of the row that a load's procedure returns."""

from typing import Any

import jsonata
import pytest

from tests.statemachine.test_definition import LOAD

RESULT = LOAD["States"]["FetchLoadResult"]["Assign"]["load_result"]
ROW: list[dict[str, Any]] = [
    {"StringValue": "loaded"},
    *({"LongValue": number} for number in (2, 1, 200, 5, 50)),
    {"StringValue": "abc"},
    {"StringValue": "2013-01-01 to 2013-01-07"},
    {"StringValue": "3 dest: missing\n2 distance: above 20000"},
    {"StringValue": "abc:3,def:2"},
    {"StringValue": "abc raw/flights/b.csv"},
]
READ = {
    "status": "loaded",
    "files_loaded": 2,
    "files_skipped": 1,
    "source_rows": 200,
    "rejected_rows": 5,
    "aggregate_rows": 50,
    "empty_file_ids": "abc",
    "dates_covered": "2013-01-01 to 2013-01-07",
    "reject_reasons": "3 dest: missing\n2 distance: above 20000",
    "rejected_files": "abc:3,def:2",
    "same_files": "abc raw/flights/b.csv",
}
NOTHING = {name: "loaded" if name == "status" else type(value)() for name, value in READ.items()}


def read(result: dict[str, Any]) -> Any:
    expression = RESULT.strip().removeprefix("{%").removesuffix("%}")
    return jsonata.Jsonata.jsonata(expression).evaluate(None, {"states": {"result": result}})


def test_row_is_read_by_position() -> None:
    assert read({"Records": [ROW]}) == READ


@pytest.mark.parametrize(
    "field",
    [{}, {"IsNull": True}, {"StringValue": None, "LongValue": None}],
    ids=["empty", "null", "values that are null"],
)
@pytest.mark.parametrize("position", range(len(ROW)))
def test_field_without_a_value_fails_no_load(position: int, field: dict[str, Any]) -> None:
    row = [*ROW[:position], field, *ROW[position + 1 :]]
    name = list(READ)[position]

    assert read({"Records": [row]}) == {**READ, name: NOTHING[name]}


@pytest.mark.parametrize("length", range(len(ROW)))
def test_row_that_is_cut_short_fails_no_load(length: int) -> None:
    expected = {**NOTHING, **dict(list(READ.items())[:length])}

    assert read({"Records": [ROW[:length]]}) == expected


@pytest.mark.parametrize("result", [{}, {"Records": []}, {"Records": [[]]}])
def test_result_without_a_row_fails_no_load(result: dict[str, Any]) -> None:
    assert read(result) == NOTHING
