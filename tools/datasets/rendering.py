"""The files that follow from a dataset.yaml: the SQL beside it, and its part of template.yaml."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tools.datasets.checking import fits_bigint
from tools.datasets.expressions import Cell, derived_faults, literal
from tools.datasets.reading import Folder
from tools.datasets.spec import Csv, Dataset, JsonLines, Measure, Table, Value

SURPLUS = "row__surplus"
LINE = "row__line"
# What a rejected row of a file with types is told as; a character has four bytes at most.
MAX_LINE_CHARACTERS = 12_000
# A file's part of a table has at most as many rows.
MAX_ROWS_OF_A_FILE = 10**9

# As functions/apply_sql/core.py has it.
MAX_STATEMENT_BYTES = 100_000

# The first line of each file that is written here.
MARK = "-- Written by `make datasets` from dataset.yaml"

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,
)


@dataclass(frozen=True)
class Grouped:
    """A part of a table's grain."""

    name: str
    column: str
    value: Value


@dataclass(frozen=True)
class Kept:
    """A measure as a table by file has it: its type, a file's part, and the total over files."""

    name: str
    stored_type: str
    part: str
    total: str


@dataclass(frozen=True)
class View:
    """A table of the spec, as the templates need it."""

    name: str
    table: Table
    dataset: Dataset

    @property
    def description(self) -> str:
        return self.table.description or f"{self.name}: what analysts read."

    @property
    def is_rows(self) -> bool:
        return self.table.rows is not None

    @property
    def kept(self) -> list[str]:
        """The columns of a table of rows."""
        if self.table.rows == "all":
            return list(self.dataset.values)
        return list(self.table.rows or ())

    @cached_property
    def grouped(self) -> list[Grouped]:
        values = self.dataset.values
        return [Grouped(name, column, values[column]) for name, column in self.table.grouped]

    @cached_property
    def measures(self) -> list[Kept]:
        return [self._kept(name, measure) for name, measure in self.table.measures.items()]

    @property
    def computed(self) -> dict[str, str]:
        return self.table.computed

    @property
    def counts_rows(self) -> bool:
        """Whether it has a column of its own for the rows that a row stands for."""
        return not self.is_rows and "count" not in self.table.measures.values()

    @property
    def counted(self) -> str:
        """SQL of how many source rows the table stands for."""
        if self.is_rows:
            return "count(*)"
        names = [name for name, measure in self.table.measures.items() if measure == "count"]
        return f"nvl(sum({(names or ['source_rows'])[0]}), 0)"

    @property
    def dates(self) -> str | None:
        """Its column that says what dates a load covers, if it has that."""
        dates = self.dataset.dates_column
        if dates in self.kept:
            return dates
        return next((part.name for part in self.grouped if part.column == dates), None)

    @property
    def stored_columns(self) -> list[tuple[str, str]]:
        """(name, type) of each column of the table by file."""
        values = self.dataset.values
        return [
            ("file_id", "varchar(32)"),
            *((name, values[name].sql_type) for name in self.kept),
            *((part.name, part.value.sql_type) for part in self.grouped),
            *((measure.name, measure.stored_type) for measure in self.measures),
            *([("source_rows", "bigint")] if self.counts_rows else []),
        ]

    @property
    def grain(self) -> str:
        if self.is_rows:
            return "one row per row of a file."
        return f"one row per {_listed([part.name for part in self.grouped])}."

    @property
    def grain_by_file(self) -> str:
        if self.is_rows:
            return "one row per file and row of it"
        return f"one row per {_listed(['file', *(part.name for part in self.grouped)])}"

    @property
    def used(self) -> set[str]:
        """Words that may be names of columns that the table needs."""
        used = {*self.kept, *(part.column for part in self.grouped)}
        for measure in self.table.measures.values():
            if isinstance(measure, Measure):
                used |= words(measure.argument)
        return used

    def _kept(self, name: str, measure: str | Measure) -> Kept:
        if not isinstance(measure, Measure):
            return Kept(name, "bigint", "count(*)", f"cast(sum({name}) as bigint)")
        if measure.kind == "count_if":
            part = f"sum(case when {measure.argument} then 1 else 0 end)"
            return Kept(name, "bigint", part, f"cast(sum({name}) as bigint)")
        value = self.dataset.values[measure.argument]
        if measure.kind == "sum":
            return _sum(name, measure.argument, value)
        function = f"{measure.kind}({{}})"
        return Kept(name, value.sql_type, function.format(measure.argument), function.format(name))


def _sum(name: str, column: str, value: Value) -> Kept:
    """Sums of files never leave their type, nor does the sum of these in the view."""
    part, total = f"nvl(sum({column}), 0)", f"sum({name})"
    if value.type == "double":
        return Kept(name, "double precision", part, total)
    if value.type == "decimal":
        wide = f"decimal(38, {value.scale})"
        return Kept(name, wide, part, f"cast({total} as {wide})")
    stored = "bigint" if fits_bigint(value, MAX_ROWS_OF_A_FILE) else "decimal(38, 0)"
    summed = "bigint" if fits_bigint(value) else "decimal(38, 0)"
    if stored != "bigint":
        part = f"nvl(sum(cast({column} as decimal(38, 0))), 0)"
    return Kept(name, stored, part, f"cast({total} as {summed})")


@dataclass(frozen=True)
class Fault:
    """A reason to reject a row, as SQL."""

    condition: str
    reason: str


@dataclass(frozen=True)
class Rendering:
    """A dataset's files."""

    folder: Folder
    # Columns have numbers for names until they have values, and lines begin at the margin.
    is_numbered: bool = False

    @property
    def dataset(self) -> Dataset:
        return self.folder.dataset

    @cached_property
    def tables(self) -> list[View]:
        return [View(name, table, self.dataset) for name, table in self.dataset.tables.items()]

    @cached_property
    def cells(self) -> list[Cell]:
        return [
            Cell(self.dataset, column, number if self.is_numbered else None)
            for number, column in enumerate(self.dataset.columns, 1)
        ]

    def files(self) -> dict[str, str]:
        """The texts of the files beside the dataset.yaml, by name."""
        if self.dataset.load == "by_hand":
            return {}
        name = self.folder.name
        files = {f"{name}_lock.sql": self._text("lock"), f"load_{name}.sql": self._load()}
        for table in self.tables:
            files[f"create_{table.name}_by_file.sql"] = self._text("create_table", table=table)
            files[f"extend_{table.name}_by_file.sql"] = self._text("extend_table", table=table)
            files[f"{table.name}.sql"] = self._text("view", table=table)
        return files

    def size_fault(self) -> str:
        """What to do about SQL that the Data API does not take; empty where it takes all."""
        for name, text in self.files().items():
            size = len(text.encode())
            if size > MAX_STATEMENT_BYTES:
                return (
                    f"{name} would have {size:,} bytes for {len(self.cells)} columns, and the Data"
                    f" API takes {MAX_STATEMENT_BYTES:,} in a statement: shorten names (the file's"
                    " is the source), take out bounds, keep fewer columns under rows, or write the"
                    " load by hand (docs/datasets.md)"
                )
        return ""

    def _load(self) -> str:
        """The load procedure, as short as it has to be."""
        text = self._text("load")
        if self.is_numbered:
            head, body, tail = text.split("$$")
            return "$$".join((head, re.sub(r"\n +", "\n", body), tail))
        if len(text.encode()) <= MAX_STATEMENT_BYTES:
            return text
        return replace(self, is_numbered=True)._load()

    def _text(self, template: str, **more: Any) -> str:
        return TEMPLATES.get_template(f"{template}.sql.j2").render(
            name=self.folder.name,
            dataset=self.dataset,
            tables=self.tables,
            cells=self.cells,
            derived=self.dataset.derived,
            values=self._values(),
            faults=list(self._faults()),
            surplus=SURPLUS if isinstance(self.dataset.format, Csv) else "",
            dates=self.dataset.dates_column,
            dated=next((table for table in self.tables if table.dates), None),
            header=literal(self._header()),
            has_header=bool(self._header()),
            **self._row(),
            **more,
        )

    def _header(self) -> str:
        """What the header row of a file reads; empty where there is none."""
        form = self.dataset.format
        if not isinstance(form, Csv) or not form.has_header:
            return ""
        return form.delimiter.join(column.heading for column in self.dataset.columns)

    def _values(self) -> list[Cell]:
        """The columns whose values are kept of a row: for the tables, or to judge it by them."""
        used = {word for table in self.tables for word in table.used} | {self.dataset.dates_column}
        for derived in self.dataset.derived.values():
            used |= words(derived.sql)
        return [
            cell for cell in self.cells if cell.column.type != "text" or cell.column.name in used
        ]

    def _faults(self) -> Iterator[Fault]:
        """In the order in which they are told: the kind of fault, then the column."""
        found = [
            (rank, cell.column.name, condition, fault)
            for cell in self.cells
            for rank, condition, fault in cell.faults()
        ]
        found += [
            (rank, name, condition, fault)
            for name, derived in self.dataset.derived.items()
            for rank, condition, fault in derived_faults(name, derived)
        ]
        for _, name, condition, fault in sorted(found, key=lambda item: item[0]):
            yield Fault(condition, literal(f"{name}: {fault}"))

    def _row(self) -> dict[str, Any]:
        """How a row is read: its columns at the source, its text, its kind and its shape."""
        if isinstance(self.dataset.format, Csv):
            return self._csv_row(self.dataset.format)
        if isinstance(self.dataset.format, JsonLines):
            return _json_row()
        return self._typed_row()

    def _typed_row(self) -> dict[str, Any]:
        """Of a file with types: its rows are all rows of data."""
        width = min(256, MAX_LINE_CHARACTERS // len(self.cells))
        texts = " || ', ' || ".join(
            f"nvl(left(cast({cell.raw} as varchar(65535)), {width}), '')" for cell in self.cells
        )
        return {
            "source_columns": [f"{cell.quoted} as {cell.raw}" for cell in self.cells],
            "raw_columns": [(cell.raw, cell.raw_type) for cell in self.cells],
            "line": texts,
            "kind": "'row'",
            "shape_fault": "cast(null as varchar(64))",
        }

    def _csv_row(self, form: Csv) -> dict[str, Any]:
        raws = [cell.raw for cell in self.cells]
        delimiter = literal(form.delimiter)
        joined = f" || {delimiter} || ".join(f"nvl({raw}, '')" for raw in raws)
        # From left to right: most rows are told by their first field.
        blank = " and ".join(f"{_trimmed(raw)} = ''" for raw in [*raws, SURPLUS])
        widths = [len(raws), *(len(earlier) for earlier in form.accepts)]
        headers = "".join(self._header_kinds(form, width) for width in widths if form.has_header)
        return {
            "source_columns": [
                *(f"{cell.column.name} as {cell.raw}" for cell in self.cells),
                SURPLUS,
            ],
            "raw_columns": [(raw, "varchar(65535)") for raw in [*raws, SURPLUS]],
            "line": f"{joined} || nvl({delimiter} || {SURPLUS}, '')",
            "kind": f"case when {blank} then 'blank'{headers} else 'row' end",
            "shape_fault": self._shape_fault(form, widths),
        }

    def _header_kinds(self, form: Csv, width: int) -> str:
        """The branches of a case that tell a header of so many columns."""
        is_header = _is_header(form, self.cells[:width])
        if width < len(self.cells):
            return f" when {is_header} and {self.cells[width].raw} is null then 'header'"
        return (
            f" when {is_header} then"
            f" case when {_trimmed(SURPLUS)} = '' and {SURPLUS} is not null"
            " then 'padded' else 'header' end"
        )

    def _shape_fault(self, form: Csv, widths: list[int]) -> str:
        """SQL of what is wrong with the number of a row's fields."""
        full = self._width_fault(len(self.cells))
        if len(widths) == 1:
            return full
        branches = "".join(f" when {width} then {self._width_fault(width)}" for width in widths[1:])
        found = "".join(
            f" when {_is_header(form, self.cells[:width])}"
            f" and {self.cells[width].raw} is null then {width}"
            for width in widths[1:]
        )
        # Its header says how many fields the rows of a file have.
        return f"case max(case{found} end) over (partition by file_id){branches} else {full} end"

    def _width_fault(self, width: int) -> str:
        *inner, last = self.cells[:width]
        behind = [*(cell.raw for cell in self.cells), SURPLUS][width]
        named = "".join(f" when {cell.raw} is null then '{cell.column.name}'" for cell in inner)
        too_long = f" else case{named} end || ': longer than 65,535 bytes'" if named else ""
        is_surplus = f"{_trimmed(behind)} <> ''" if behind == SURPLUS else f"{behind} is not null"
        return (
            f"case when {last.raw} is null then 'too few fields, not {width}'"
            f" when {is_surplus} then 'too many fields, not {width}'{too_long} end"
        )


def _json_row() -> dict[str, Any]:
    text = f"btrim({LINE}, v_blanks)"
    return {
        "source_columns": [LINE],
        "raw_columns": [(LINE, "varchar(65535)")],
        "line": LINE,
        "kind": f"case when {text} = '' then 'blank' else 'row' end",
        "shape_fault": (
            f"case when {LINE} is null then 'longer than 65,535 bytes, or \\\\N'"
            f" when not is_valid_json({text}) or left({text}, 1) <> '{{'"
            " then 'not a JSON object' end"
        ),
    }


def _trimmed(raw: str) -> str:
    return f"btrim(nvl({raw}, ''), v_blanks)"


def _is_header(form: Csv, cells: Sequence[Cell]) -> str:
    """SQL of whether a row names these columns."""
    return " and ".join(
        f"btrim({cell.raw}, v_blanks)"
        + _is_one_of([cell.column.heading.strip(), *form.aliases.get(cell.column.name, [])])
        for cell in cells
    )


def _is_one_of(texts: list[str]) -> str:
    if len(texts) == 1:
        return f" = {literal(texts[0])}"
    return f" in ({', '.join(map(literal, texts))})"


def words(sql: str) -> set[str]:
    """The words of an expression that may be names of columns."""
    return set(re.findall(r"[a-z_][a-z0-9_]*", sql.lower()))


def _listed(names: list[str]) -> str:
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last
