"""The text of a dataset.yaml, drafted of a sample."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.datasets.inferring import CALENDAR, Inferred, Marks, inferred, marks_of
from tools.datasets.names import suggested
from tools.datasets.sampling import Sample, SampleError, Texts

MAX_COLUMNS = 400
NUMBERS = ("integer", "decimal", "double")
# Numbers that name or place something: their sum says nothing.
_NO_AMOUNT = re.compile(r"(.*_)?(id|no|nr|number|code|key|index|zip|lat|lon|latitude|longitude)")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class Choices:
    """What whoever has the sample made says about it."""

    same_key: str = "replace"
    dates: str | None = None
    decimal: str | None = None


@dataclass(frozen=True)
class Drafted:
    """A column of the sample, and what it was taken for."""

    name: str
    column: Texts
    found: Inferred


@dataclass(frozen=True)
class Draft:
    """A dataset.yaml: its text, its tables, and how many places it asks to look at."""

    text: str
    tables: list[str]
    open_questions: int


def draft(name: str, sample: Sample, choices: Choices, taken: Collection[str] = ()) -> Draft:
    """The dataset of a sample; `taken` are names of tables. Raises SampleError, QuestionError."""
    if len(sample.columns) > MAX_COLUMNS:
        raise SampleError(
            f"{sample.path}: has {len(sample.columns)} columns, and a dataset at most {MAX_COLUMNS}"
        )
    marks = marks_of(sample, choices.decimal)
    names = _names(column.heading for column in sample.columns)
    columns = [
        Drafted(its_name, column, inferred(sample, column, marks, choices.dates))
        for its_name, column in zip(names, sample.columns, strict=True)
    ]
    for each in columns:
        each.found.notes += _name_notes(each)
    tables = list(_tables(name, columns, set(taken)))
    derived = _day_of(columns)
    lines = [
        f"# Drafted of {sample.path.name}, {sample.rows:,} rows, by `make dataset`. What follows"
        " `# sample:` is what the",
        "# sample holds; bounds and lengths are rounded outwards from it: narrow them to what is"
        " plausible.",
        *(f"# Look: {note}." for note in [*sample.notes, *_notes(columns)]),
        f"description: {_scalar(f'Rows as in {sample.path.name}.')}",
        f"same_key: {choices.same_key}",
        f"format: {_flow(_format(sample, marks))}",
        "columns:",
        *(line for each in columns for line in _column(each, sample)),
        *([] if derived is None else ["derived:", f"  {derived[0]}: {_flow(derived[1])}"]),
        "tables:",
        *(line for table, body in tables for line in (f"  {table}:", *body)),
    ]
    looks = sum("# Look: " in line for line in lines)
    return Draft("\n".join(lines) + "\n", [table for table, _ in tables], looks)


def _notes(columns: list[Drafted]) -> Iterator[str]:
    if any(each.found.type == "decimal" and each.column.stored is None for each in columns):
        yield (
            "a decimal with more digits behind the mark than its scale says (without one: 2) is"
            " rejected; a double may have any"
        )


def _names(headings: Iterable[str]) -> list[str]:
    names: list[str] = []
    for number, heading in enumerate(headings, 1):
        unnamed = "row_index" if number == 1 else f"column_{number}"
        name = suggested(heading) if heading else unnamed
        names.append(_free(name, names))
    return names


def _name_notes(each: Drafted) -> Iterator[str]:
    """What a heading that was there before is told as."""
    if each.column.heading and each.name != suggested(each.column.heading):
        yield (
            f"an earlier column is called {suggested(each.column.heading)} already; give this one"
            " a name that tells them apart"
        )


def _joined(first: str, second: str) -> str:
    """One name of two: two underscores are no part of a name."""
    return f"{first.rstrip('_')}_{second.rstrip('_')}"


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where there is one already."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name.rstrip('_')}_{number}", number + 1
    return free


def _format(sample: Sample, marks: Marks) -> dict[str, Any]:
    keys: dict[str, Any] = {"type": sample.kind}
    if sample.kind == "csv":
        given = {
            "delimiter": (sample.delimiter, ","),
            "quote": (sample.quote, '"'),
            "header": ("exact" if sample.has_header else "none", "exact"),
            "decimal_mark": (marks.decimal, "."),
            "group_mark": (marks.group, ""),
        }
        keys |= {key: value for key, (value, default) in given.items() if value != default}
    return keys


def _column(each: Drafted, sample: Sample) -> Iterator[str]:
    keys: dict[str, Any] = {"name": each.name, "type": each.found.type}
    if each.column.heading != each.name and (sample.kind != "csv" or sample.has_header):
        keys["source"] = each.column.heading
    if each.column.stored is not None:
        keys["stored"] = each.column.stored
    for note in each.found.notes:
        yield f"  # Look: {each.name}: {note}."
    reach = f"  # sample: {each.found.reach}" if each.found.reach else ""
    yield f"  - {_flow(keys | each.found.keys)}{reach}"


def _day_of(columns: list[Drafted]) -> tuple[str, dict[str, Any]] | None:
    """The day of the first timestamp, where no column is a date."""
    types = [each.found.type for each in columns]
    if "date" in types or "timestamp" not in types:
        return None
    moment = columns[types.index("timestamp")].name
    name = _free(_joined(moment.removesuffix("_at")[:55], "day"), [each.name for each in columns])
    return name, {"type": "date", "sql": f"cast({moment} as date)"}


def _tables(name: str, columns: list[Drafted], taken: set[str]) -> Iterator[tuple[str, list[str]]]:
    """The rows as they are, and what they amount to by a day and by the fewest words."""
    rows = _free(name, taken)
    yield rows, [f"    description: {_scalar(f'the rows of {name}.')}", "    rows: all"]
    grain = [*_day(columns), *_fewest(columns)]
    if not grain:
        return
    names = [*grain]
    measures = ["row_count: count"]
    names.append("row_count")
    for each in columns:
        if _is_amount(each):
            measure = _free(_joined(each.name[:55], "total"), names)
            names.append(measure)
            measures.append(f"{measure}: {{sum: {each.name}}}")
    yield (
        _free(_joined(name[:40], f"by_{grain[0][:18]}"), taken | {rows}),
        [
            f"    description: {_scalar(f'what the rows of {name} amount to.')}",
            f"    grain: [{', '.join(grain)}]",
            "    # Take out the sums that say nothing.",
            "    measures:",
            *(f"      {measure}" for measure in measures),
        ],
    )


def _day(columns: list[Drafted]) -> list[str]:
    if derived := _day_of(columns):
        return [derived[0]]
    return [each.name for each in columns if each.found.type == "date"][:1]


def _fewest(columns: list[Drafted]) -> list[str]:
    """The text column with the fewest values, if they come again and again."""
    counted = [
        (len(each.column.counts), each.name)
        for each in columns
        if each.found.type == "text" and 1 < 2 * len(each.column.counts) <= _rows(each)
    ]
    several = [item for item in counted if item[0] > 1] or counted
    return [min(several, key=lambda item: item[0])[1]] if several else []


def _rows(each: Drafted) -> int:
    return each.column.counts.total()


def _is_amount(each: Drafted) -> bool:
    is_bounded = each.found.type in NUMBERS and "max" in each.found.keys
    is_name = each.name in CALENDAR or _NO_AMOUNT.fullmatch(each.name) or not each.column.heading
    is_wide = each.found.keys.get("precision", 18) > 26
    return is_bounded and not is_name and not is_wide


def _flow(keys: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in keys.items()) + "}"


def _scalar(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, list):
        return f"[{', '.join(json.dumps(item, ensure_ascii=False) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # YAML's numbers with an exponent have a point, and Redshift's whole numbers 18 digits.
        return str(value) if abs(value) < 10**18 else f"{float(value):.1e}"
    text = str(value)
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)
