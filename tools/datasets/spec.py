"""What a dataset.yaml may say. The texts below the fields are its reference for editors."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from tools.datasets import formats
from tools.datasets.names import check_column_name, check_name

MAX_DIGITS = 38
BYTES_OF_A_CHARACTER = 4
MAX_CHARACTERS = 65_535 // BYTES_OF_A_CHARACTER


def _text(value: Any) -> Any:
    """A whole number is the text that stands there; others may have been written otherwise."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_ignored(pattern: str) -> str:
    if not pattern.strip("*?") or "/" in pattern.removesuffix("/"):
        raise ValueError(
            "must be the pattern of a file's name, such as *.bak, or of a folder's, such as"
            f" drafts/, and is {pattern!r}"
        )
    return pattern


Name = Annotated[str, AfterValidator(check_name)]
ColumnName = Annotated[str, AfterValidator(check_column_name)]
IgnoredName = Annotated[str, AfterValidator(_check_ignored)]
Text = Annotated[str, BeforeValidator(_text)]
# The author's own. It becomes part of SQL files that are reviewed like any others.
Sql = Annotated[str, Field(min_length=1)]
Bound = int | float | str


class Model(BaseModel):
    """No key but those that are declared, and no type but the one that is."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


class Value(Model):
    """What columns and derived columns have in common: a type, and which values are plausible."""

    type: Literal["integer", "decimal", "double", "text", "boolean", "date", "timestamp"]
    """What a value is. An integer has at most 18 digits; a timestamp is in UTC."""

    required: bool = False
    """Whether a row without a value is rejected."""

    min: Bound | None = None
    """The least plausible value; a row with less is rejected."""

    max: Bound | None = None
    """The greatest plausible value."""

    pattern: str | None = None
    """POSIX regular expression that the whole of a text has to match."""

    max_length: int = Field(256, ge=1, le=MAX_CHARACTERS)
    """Characters that a text may have."""

    precision: int = Field(18, ge=1, le=MAX_DIGITS)
    """Digits of a decimal, those behind the mark included."""

    scale: int = Field(2, ge=0, le=MAX_DIGITS)
    """Digits of a decimal behind the mark."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        for name, bound in (("min", self.min), ("max", self.max)):
            if bound is not None:
                formats.check_bound(self.type, name, bound)
        if self.min is not None and self.max is not None and _is_greater(self.min, self.max):
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        return self

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        if self.pattern is not None:
            if self.type != "text":
                kind = formats.with_article(self.type)
                raise ValueError(f"pattern is for a text, and this is {kind}")
            formats.check_pattern(self.pattern)
        if self.scale > self.precision:
            raise ValueError(f"scale {self.scale} is greater than precision {self.precision}")
        return self

    @property
    def greatest(self) -> float | None:
        """The greatest magnitude that a number can have; None where it is not bounded."""
        if not isinstance(self.min, int | float) or not isinstance(self.max, int | float):
            return None
        return max(abs(self.min), abs(self.max))

    @property
    def sql_type(self) -> str:
        """Redshift's type."""
        return {
            "integer": "bigint",
            "decimal": f"decimal({self.precision}, {self.scale})",
            "double": "double precision",
            "text": f"varchar({self.max_length * BYTES_OF_A_CHARACTER})",
        }.get(self.type, self.type)


class Column(Value):
    """A column of the files."""

    name: ColumnName
    """What the column is called in SQL."""

    source: str | None = None
    """What the file calls it, where that is another name: the words of a header, the path of a
    JSON value with dots between its names, a Parquet column."""

    null: list[Text] = ["", "\\N"]
    """Texts that stand for no value. Without it: an empty text, and \\N as MySQL and Hive write it.
    With [] an empty text is a value."""

    format: str | None = None
    """How a date or timestamp is written: YYYY MM DD (M and D: without leading zeros) HH MI SS and
    what stands between them, or epoch, or epoch_ms. Without it: ISO 8601."""

    zone: str | None = None
    """The time zone of timestamps that name none, such as Europe/Berlin. Without it: UTC."""

    true: list[Text] = ["true", "t", "yes", "y", "1"]
    """Texts of a boolean that are true, in small letters."""

    false: list[Text] = ["false", "f", "no", "n", "0"]
    """Texts of a boolean that are false, in small letters."""

    stored: str | None = None
    """The type that a Parquet or ORC file has for it, as Glue calls it: int, bigint, string …"""

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.format is not None:
            formats.check_format(self.type, self.format)
        if self.zone is not None and self.type != "timestamp":
            kind = formats.with_article(self.type)
            raise ValueError(f"zone is for a timestamp, and this is {kind}")
        return self

    @property
    def heading(self) -> str:
        """What the file calls it."""
        return self.name if self.source is None else self.source


class Derived(Value):
    """A column that is computed of the others, row by row."""

    sql: Sql
    """SQL over the columns, by their names."""


class Header(Model):
    """A header row in which columns may have further names."""

    aliases: dict[str, list[str]]
    """Further headings by the name of the column: {dest: [destination, Dest]}."""


class Csv(Model):
    """Text with a delimiter between fields, a row a line."""

    type: Literal["csv"]

    delimiter: str = ","
    """The character between two fields; "\\t" for a tab."""

    quote: str = '"'
    """The character around a field that holds a delimiter."""

    header: Literal["exact", "none"] | Header = "exact"
    """exact: the first row names the columns, just so. none: there is no such row."""

    accepts: list[list[str]] = []
    """Headers of earlier files, each the beginning of the present one: the columns that were added
    since are without a value in them."""

    decimal_mark: Literal[".", ","] = "."
    """What stands before the decimals of a number."""

    group_mark: Literal["", ",", ".", "'", " "] = ""
    """What may stand between the thousands of a number."""

    @model_validator(mode="after")
    def _check_marks(self) -> Self:
        for name, mark in (("delimiter", self.delimiter), ("quote", self.quote)):
            if len(mark) != 1 or not mark.isascii() or mark in "\r\n\0":
                raise ValueError(f"{name} must be one ASCII character, and is {mark!r}")
        if self.delimiter == self.quote:
            raise ValueError("delimiter and quote must differ")
        if self.group_mark == self.decimal_mark:
            raise ValueError("group_mark and decimal_mark must differ")
        return self

    @property
    def has_header(self) -> bool:
        return self.header != "none"

    @property
    def aliases(self) -> Mapping[str, list[str]]:
        return self.header.aliases if isinstance(self.header, Header) else {}


class JsonLines(Model):
    """Text with a JSON object a line. Names that no column declares are passed over."""

    type: Literal["jsonl"]


class Parquet(Model):
    """Apache Parquet. Columns that are not declared are passed over."""

    type: Literal["parquet"]


class Orc(Model):
    """Apache ORC. Columns that are not declared are passed over."""

    type: Literal["orc"]


Format = Annotated[Csv | JsonLines | Parquet | Orc, Field(discriminator="type")]

RATIOS = ("avg", "average", "mean", "ratio", "share", "percent")
OF_DIFFERENT_VALUES = ("distinct", "count_distinct", "approximate_distinct", "sketch", "hll")
OF_ALL_ROWS = (
    "median",
    "percentile",
    "mode",
    "stddev",
    "variance",
    "first",
    "last",
)


class Measure(Model):
    """A figure that adds up over files."""

    count_if: Sql | None = None
    """Rows of which this condition over columns is true."""

    sum: Name | None = None
    """Sum of a column. Rows without a value add nothing."""

    min: Name | None = None
    """The least value of a column."""

    max: Name | None = None
    """The greatest value of a column."""

    @model_validator(mode="before")
    @classmethod
    def _check_adds_up(cls, given: Any) -> Any:
        if not isinstance(given, dict) or len(given) != 1:
            raise ValueError("must be count, {count_if: …}, {sum: …}, {min: …} or {max: …}")
        [name] = given
        if name in RATIOS:
            raise ValueError(
                f"{name} of files does not add up to that of all: keep the sum and the count as"
                " measures, and write their ratio under computed"
            )
        if name in OF_DIFFERENT_VALUES:
            raise ValueError(
                f"{name} of files does not add up to that of all: name the column in the grain of a"
                " table of its own, with a count, and whoever reads its view writes"
                " count(distinct …) over few rows"
            )
        if name in OF_ALL_ROWS:
            raise ValueError(
                f"{name} of files does not add up to that of all: keep the rows, by a table with"
                " rows instead of measures, and compute it of them"
            )
        return given

    @property
    def kind(self) -> str:
        return next(iter(self.model_fields_set))

    @property
    def argument(self) -> str:
        """The condition, or the column's name."""
        return str(getattr(self, self.kind))


def _kind_of_measure(given: Any) -> str:
    return "count" if isinstance(given, str) else "measure"


AnyMeasure = Annotated[
    Annotated[Literal["count"], Tag("count")] | Annotated[Measure, Tag("measure")],
    Discriminator(_kind_of_measure),
]


class Table(Model):
    """What analysts read as a view: aggregates, or rows as they are."""

    description: str = ""
    """A sentence for whoever reads it."""

    rows: Literal["all"] | list[Name] | None = None
    """Keeps rows: all columns of them, or those that are named."""

    grain: list[Name | dict[Name, Name]] = []
    """The columns to group by: their names, or {new name: name}."""

    measures: dict[Name, AnyMeasure] = {}
    """What is kept of each group: count, or {count_if: …}, {sum: …}, {min: …}, {max: …}."""

    computed: dict[Name, Sql] = {}
    """Columns of the view alone: SQL over its grain and measures, such as ratios."""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if (self.rows is None) == (not self.measures):
            raise ValueError("has either rows, or grain and measures")
        if self.rows is not None and (self.grain or self.computed):
            raise ValueError("a table of rows has no grain and computes nothing")
        if self.measures and not self.grain:
            raise ValueError("measures need a grain: the columns to group by")
        names = [name for name, _ in self.grouped] + list(self.measures) + list(self.computed)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two columns are called {name}")
        return self

    @cached_property
    def grouped(self) -> list[tuple[str, str]]:
        """(name in the table, name of the column) of each part of the grain."""
        return [
            (part, part) if isinstance(part, str) else next(iter(part.items()))
            for part in self.grain
        ]


class Dataset(Model):
    """One dataset.yaml; the dataset is called as its folder."""

    description: str = Field(min_length=1, max_length=200)
    """What the files are."""

    same_key: Literal["replace", "append"]
    """What a further version of a key means. replace: its rows take the place of the earlier
    version's. append: they count too."""

    freshness_hours: int = Field(0, ge=0, le=168)
    """An alarm is raised when for so long no file was loaded. 0: none is."""

    ignore: list[IgnoredName] = []
    """Names of files that are no uploads, as shell patterns, beside those that never are
    (functions/start_loads/ignored.py). One that ends in a slash is of a folder."""

    load: Literal["generated", "by_hand"] = "generated"
    """by_hand: load_<dataset>.sql, and what it writes to, are written by a person."""

    format: Format
    """How the files are written."""

    columns: list[Column] = Field(min_length=1, max_length=400)
    """The columns of the files; of CSV in their order."""

    derived: dict[Name, Derived] = {}
    """Columns that are computed of the others, by name."""

    dates: Name | None = None
    """The column that says what dates a load covers, for the mail. Without it: the first date or
    timestamp of a grain."""

    tables: dict[Name, Table] = {}
    """What is kept, by the name of the view."""

    @property
    def values(self) -> dict[str, Value]:
        """Columns and derived columns by name."""
        return {**{column.name: column for column in self.columns}, **self.derived}

    @cached_property
    def dates_column(self) -> str | None:
        """The column that says what dates a load covers, if there is one."""
        if self.dates is not None:
            return self.dates
        kept = [column for table in self.tables.values() for _, column in table.grouped]
        dated = (name for name in kept if self.values[name].type in ("date", "timestamp"))
        return next(dated, None)


def _is_greater(first: Bound, second: Bound) -> bool:
    if isinstance(first, str) or isinstance(second, str):
        return str(first) > str(second)
    return first > second
