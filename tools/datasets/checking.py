"""What is wrong with a dataset as a whole, where each of its parts is right."""

import re
from collections.abc import Iterable, Iterator

from tools.datasets import references
from tools.datasets.formats import stored_fault, with_article
from tools.datasets.spec import (
    MAX_DIGITS,
    Column,
    Csv,
    Dataset,
    JsonLines,
    Measure,
    Orc,
    Parquet,
    Table,
    Value,
)
from tools.datasets.text import Location

# More rows than a view is expected to sum. What fits a type for so many never breaks a view.
MAX_ROWS_OF_A_VIEW = 10**12
MAX_BIGINT = 2**63 - 1
MAX_SUMMED_DIGITS = MAX_DIGITS - 12
MAX_DOUBLE = 1e290
# Source: Amazon Redshift, JSON_EXTRACT_PATH_TEXT.
MAX_PATH_LEVELS = 5
IDENTIFIER = "[a-z_][a-z0-9_]*"

# sql/views/rejected_rows.sql
REJECTED_ROWS = "rejected_rows"

Problem = tuple[Location, str]
NUMBERS = ("integer", "decimal", "double")


def problems(dataset: Dataset) -> Iterator[Problem]:
    """(where, what) of each problem, in the order of the file."""
    yield from _format_problems(dataset)
    yield from _column_problems(dataset)
    yield from _derived_problems(dataset)
    if dataset.dates is not None:
        yield from _dates_problems(dataset)
    if dataset.load == "generated" and not dataset.tables:
        yield (), "tables is missing: what shall be kept of the rows?"
    for name, table in dataset.tables.items():
        if name == REJECTED_ROWS:
            yield ("tables", name), "is the view in which analysts see the rejects of all datasets"
        yield from _table_problems(dataset, ("tables", name), table)


def _format_problems(dataset: Dataset) -> Iterator[Problem]:
    if not isinstance(dataset.format, Csv):
        return
    names = [column.name for column in dataset.columns]
    for name in dataset.format.aliases:
        if name not in names:
            yield ("format", "header", "aliases", name), _unknown(name, names)
    headings = [column.heading for column in dataset.columns]
    for index, earlier in enumerate(dataset.format.accepts):
        if not earlier or earlier != headings[: len(earlier)] or len(earlier) == len(headings):
            yield (
                ("format", "accepts", index),
                "must be the beginning of the present header, and shorter: only columns that were"
                " added at the end can be told apart; write another dataset for other files",
            )
        for column in dataset.columns[len(earlier) :]:
            if column.required:
                yield (
                    ("format", "accepts", index),
                    f"{column.name} is required, and files with this header lack it",
                )
    if dataset.format.accepts and not dataset.format.has_header:
        yield ("format", "accepts"), "files without a header cannot tell which columns they have"


def _column_problems(dataset: Dataset) -> Iterator[Problem]:
    is_columnar = isinstance(dataset.format, Parquet | Orc)
    for index, column in enumerate(dataset.columns):
        where = ("columns", index)
        if is_columnar and column.stored is None:
            yield (
                where,
                f"{column.name} needs stored, its type in the file: int, bigint, double, string …",
            )
        elif is_columnar:
            yield from ((where, problem) for problem in _stored_problems(column))
        elif column.stored is not None:
            yield (*where, "stored"), "is for Parquet and ORC; text has no types"
        if isinstance(dataset.format, JsonLines):
            yield from (((*where, "source"), problem) for problem in _path_problems(column))


def _stored_problems(column: Column) -> Iterator[str]:
    fault = stored_fault(str(column.stored), column.type, column.precision, column.scale)
    if fault:
        yield f"{column.name}: {fault}"
    if not re.fullmatch(IDENTIFIER, column.heading):
        yield (
            f"the file calls {column.name} {column.heading}; Spectrum finds columns of Parquet and"
            " ORC by names of small letters, digits and underscores"
        )


def _path_problems(column: Column) -> Iterator[str]:
    names = column.heading.split(".")
    if not all(names):
        yield f'"{column.heading}" is a path of JSON with an empty name in it'
    if len(names) > MAX_PATH_LEVELS:
        yield f"Redshift follows a path of JSON through {MAX_PATH_LEVELS} levels at most"


def _derived_problems(dataset: Dataset) -> Iterator[Problem]:
    names = [column.name for column in dataset.columns]
    for name, derived in dataset.derived.items():
        if name in names:
            yield ("derived", name), f"a column is called {name} already"
        # All of them are computed at once, so that none is of another.
        for fault in references.faults(derived.sql, names):
            yield ("derived", name, "sql"), fault


def _dates_problems(dataset: Dataset) -> Iterator[Problem]:
    name = str(dataset.dates)
    if name not in dataset.values:
        yield ("dates",), _unknown(name, dataset.values)
    elif dataset.values[name].type not in ("date", "timestamp"):
        kind = with_article(dataset.values[name].type)
        yield ("dates",), f"{name} is {kind}, not a date or timestamp"


def _table_problems(dataset: Dataset, where: Location, table: Table) -> Iterator[Problem]:
    for index, (_, column) in enumerate(table.grouped):
        if column not in dataset.values:
            yield (*where, "grain", index), _unknown(column, dataset.values)
    for index, column in enumerate(table.rows if isinstance(table.rows, list) else ()):
        if column not in dataset.values:
            yield (*where, "rows", index), _unknown(column, dataset.values)
    for name, measure in table.measures.items():
        if isinstance(measure, Measure):
            here = (*where, "measures", name)
            yield from ((here, problem) for problem in _measure_problems(dataset, measure))
    kept = [*(name for name, _ in table.grouped), *table.measures]
    for name, sql in table.computed.items():
        yield from (((*where, "computed", name), fault) for fault in references.faults(sql, kept))


def _measure_problems(dataset: Dataset, measure: Measure) -> Iterator[str]:
    if measure.kind == "count_if":
        yield from references.faults(measure.argument, dataset.values)
        return
    name = measure.argument
    if name not in dataset.values:
        yield _unknown(name, dataset.values)
        return
    value = dataset.values[name]
    if measure.kind == "sum":
        yield from _sum_problems(name, value)
    elif measure.kind in ("min", "max") and value.type == "boolean":
        yield f"{measure.kind} of a boolean, which Redshift lacks; write count_if: {name}"


def _sum_problems(name: str, value: Value) -> Iterator[str]:
    if value.type not in NUMBERS:
        kind = with_article(value.type)
        yield f"sum of {name}, which is {kind}; count_if counts rows by a condition"
    if value.type == "decimal" and value.precision > MAX_SUMMED_DIGITS:
        yield (
            f"sum of {name} could leave its type: {value.precision} digits;"
            f" give {name} a precision of {MAX_SUMMED_DIGITS} or less"
        )
    if value.type == "double" and not (value.greatest is not None and value.greatest <= MAX_DOUBLE):
        yield f"sum of {name} could leave its type; give {name} min and max, within 1e290"


def fits_bigint(value: Value, rows: int = MAX_ROWS_OF_A_VIEW) -> bool:
    """Whether the sum of so many values is a bigint whatever they are."""
    return value.greatest is not None and value.greatest * rows <= MAX_BIGINT


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"no column is called {name}; there are {', '.join(known)}"
