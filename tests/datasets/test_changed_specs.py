"""What a changed spec means for the tables that are there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.datasets import bare
from tools.datasets.reading import Folder
from tools.datasets.rendering import Rendering
from tools.datasets.spec import Dataset

DAYS = "days"
COLUMNS = {"id": "integer", "day": "date", "amount": "decimal", "note": "text"}
MEASURES: dict[str, Any] = {"orders": "count", "turnover": {"sum": "amount"}}


def spec(
    measures: dict[str, Any] | None = None,
    rows: list[str] | None = None,
    grain: list[Any] | None = None,
    **types: dict[str, Any],
) -> Dataset:
    """A dataset with aggregates and rows."""
    columns = [
        {"name": name, "type": kind, **types.get(name, {})} for name, kind in COLUMNS.items()
    ]
    return Dataset.model_validate(
        {
            "description": "Orders.",
            "same_key": "append",
            "format": {"type": "csv"},
            "columns": columns,
            "tables": {
                DAYS: {"grain": grain or ["day"], "measures": measures or MEASURES},
                "lines": {"rows": rows or ["id", "amount"]},
            },
        }
    )


@pytest.fixture
def deployed(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Version 1 of the dataset is there, with a row in each table."""
    deploy(connection, spec())
    bare.run(
        connection,
        "insert into mart.days_by_file (file_id, day, orders, turnover)"
        " values ('f', '2026-11-24', 2, 5);"
        " insert into mart.lines_by_file (file_id, id, amount) values ('f', 1, 5)",
    )
    yield connection
    bare.run(
        connection,
        "drop view mart.days; drop view mart.lines; drop table mart.days_by_file;"
        " drop table mart.lines_by_file; delete from etl.dataset_tables",
    )


def deploy(connection: psycopg.Connection, dataset: Dataset) -> None:
    """Apply the files of tables and views, as a deployment does: what is written, by its kind."""
    files = Rendering(Folder(Path("orders"), dataset)).files()
    tables = [name for name in files if name.startswith(("create_", "extend_"))]
    for name in [*tables, "days.sql", "lines.sql"]:
        bare.run(connection, files[name])


def columns_of(connection: psycopg.Connection, table: str) -> list[str]:
    rows = bare.run(
        connection,
        "select column_name from svv_columns where table_schema = 'mart'"
        f" and table_name = '{table}' order by ordinal_position",
    )
    return [str(name) for (name,) in rows]


def test_same_spec_changes_nothing(deployed: psycopg.Connection) -> None:
    before = columns_of(deployed, "days_by_file")

    deploy(deployed, spec())

    assert columns_of(deployed, "days_by_file") == before


def test_measures_and_columns_at_the_end_are_added(deployed: psycopg.Connection) -> None:
    further = {"first_id": {"min": "id"}, "large": {"count_if": "amount > 100"}}

    deploy(deployed, spec(MEASURES | further, ["id", "amount", "note"]))

    added = ["file_id", "day", "orders", "turnover", "first_id", "large"]
    assert columns_of(deployed, "days_by_file") == added
    assert columns_of(deployed, "days") == added[1:]
    assert columns_of(deployed, "lines_by_file") == ["file_id", "id", "amount", "note"]
    # What was loaded before stays counted as it was.
    assert bare.run(deployed, "select orders, turnover, first_id, large from mart.days") == [
        (2, 5, None, None)
    ]
    assert bare.run(deployed, "select id, amount, note from mart.lines") == [(1, 5, None)]


REFUSED = {
    "renamed": (
        spec({"orders": "count", "revenue": {"sum": "amount"}}),
        'column 4 of mart.days_by_file is "turnover decimal(38, 2)" in the warehouse and'
        ' "revenue decimal(38, 2)" in dataset.yaml',
    ),
    "retyped": (
        spec(amount={"scale": 4}),
        'column 4 of mart.days_by_file is "turnover decimal(38, 2)" in the warehouse and'
        ' "turnover decimal(38, 4)" in dataset.yaml',
    ),
    "of another grain": (
        spec(grain=["note"]),
        'column 2 of mart.days_by_file is "day date" in the warehouse and "note varchar(1024)"'
        " in dataset.yaml",
    ),
    "reordered": (
        spec(rows=["amount", "id"]),
        'column 2 of mart.lines_by_file is "id bigint" in the warehouse and'
        ' "amount decimal(18, 2)" in dataset.yaml',
    ),
    "taken away": (
        spec({"orders": "count"}),
        'column 4 of mart.days_by_file is "turnover decimal(38, 2)" in the warehouse and ""'
        " in dataset.yaml",
    ),
    "added in the middle": (
        spec(grain=["day", "note"]),
        'column 3 of mart.days_by_file is "orders bigint" in the warehouse and'
        ' "note varchar(1024)" in dataset.yaml',
    ),
}


@pytest.mark.parametrize(("changed", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_any_other_change_is_refused_with_what_to_do(
    deployed: psycopg.Connection, changed: Dataset, reason: str
) -> None:
    with pytest.raises(psycopg.errors.RaiseException) as caught:
        deploy(deployed, changed)

    said = str(caught.value.diag.message_primary)
    assert said == (
        f"dataset orders: {reason}; only columns at its end can be added:"
        ' see docs/datasets.md, "A spec that changes"'
    )
