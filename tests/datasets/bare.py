"""A warehouse alone, for what of a dataset's SQL needs no files: values, and tables that change."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from local.dialect import split, translate
from local.warehouse import Warehouse

ROOT = Path(__file__).parents[2]
NEEDED = """
create schema etl;
create schema mart;
create role mart_reader;
create table etl.dataset_tables (dataset varchar(256), table_name varchar(127));
"""


@contextmanager
def warehouse(folder: Path) -> Iterator[psycopg.Connection]:
    """The administrator's session in a started warehouse that has what tables need."""
    started = Warehouse(folder / "warehouse", "dev", "admin", "secret", scan_endpoint="http://none")
    started.start()
    try:
        with started.connect("admin", "secret") as connection:
            connection.autocommit = True
            run(connection, NEEDED)
            run(connection, (ROOT / "sql/procedures/check_columns.sql").read_text(encoding="utf-8"))
            yield connection
    finally:
        started.stop()


def run(connection: psycopg.Connection, sql: str) -> list[tuple[object, ...]]:
    """The rows of the last of the statements, which go through the gate."""
    rows: list[tuple[object, ...]] = []
    for statement in split(sql):
        cursor = connection.execute(translate(statement).encode())
        rows = cursor.fetchall() if cursor.description else []
    return rows
