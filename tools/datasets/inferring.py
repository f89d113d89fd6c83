"""What the texts of a sample's column are: a type, its format, null markers and bounds."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tools.datasets.expressions import INTEGER_DIGITS, ISO_DATE, ISO_TIME, OFFSET
from tools.datasets.sampling import Sample, SampleError, Texts
from tools.datasets.spec import MAX_CHARACTERS, Column

MARKERS = ("", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "NaN", "nan", "\\N", "-", "--")
# These are no words of any language, so that they stand for no value in a text too.
MARKERS_OF_TEXT = ("", "#N/A", "NULL", "\\N")
DEFAULT_MARKERS = Column.model_fields["null"].default
# (decimal mark, group mark), the plainest first.
MARKS = [
    (".", ""),
    (",", ""),
    (".", ","),
    (",", "."),
    (".", "'"),
    (",", " "),
    (".", " "),
    (",", "'"),
]
MAX_SCALE = 4
PRECISION = 18
CALENDAR = {
    "year": (1900, 2100),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 24),
    "minute": (0, 59),
    "second": (0, 60),
}
WORDS = [({"true", "false"}, 1), ({"t", "f"}, 2), ({"yes", "no"}, 2), ({"y", "n"}, 2)]
STORED_TYPES = {"float": "double", "double": "double", "boolean": "boolean", "date": "date"}

_DAY_FIRST = re.compile(r"(\d{1,2})([-./ ])(\d{1,2})\2(\d{4})(?:([ T])(\d{2}:\d{2}(?::\d{2})?))?")
_YEAR_FIRST = re.compile(r"(\d{4})([-./ ]?)(\d{1,2})\2(\d{1,2})(?:([ T])(\d{2}:\d{2}(?::\d{2})?))?")
_ISO_TIME = re.compile(f"({ISO_DATE})[T ]{ISO_TIME}{OFFSET}")
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_LIKE_DATE = re.compile(
    r"\d{1,4}[-./ ]\d{1,2}[-./ ]\d{1,4}.*|" + rf"\d{{1,2}}[-. ]{_MONTH}[-. ]\d{{2,4}}.*",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}")


class QuestionError(SampleError):
    """What a sample leaves open. `option` answers it with one of `answers`."""

    def __init__(self, problem: str, option: str, answers: dict[str, str]) -> None:
        super().__init__(problem)
        self.option = option
        self.answers = answers


@dataclass
class Inferred:
    """What a column is: the keys of its spec, and what is to be looked at."""

    type: str
    keys: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    # What the sample's own values reach from and to.
    reach: str = ""


@dataclass(frozen=True)
class Marks:
    """How a file writes its numbers."""

    decimal: str = "."
    group: str = ""

    def number(self, text: str) -> Decimal | None:
        """The number that a text is, as the load procedure reads it."""
        mark, group = re.escape(self.decimal), re.escape(self.group)
        plain = rf"(\d{{1,40}}({mark}\d{{0,40}})?|{mark}\d{{1,40}})([eE][+-]?\d{{1,2}})?"
        grouped = rf"|\d{{1,3}}({group}\d{{3}}){{1,4}}({mark}\d+)?" if group else ""
        # A number with a leading zero is a code, such as a postal one.
        if re.match(r"[+-]?0\d", text) or not re.fullmatch(rf"[+-]?({plain}{grouped})", text):
            return None
        return Decimal(text.replace(self.group, "").replace(self.decimal, "."))


def marks_of(sample: Sample, decimal: str | None) -> Marks:
    """How the file writes numbers. Raises QuestionError."""
    if sample.kind != "csv":
        return Marks()
    fitting: dict[tuple[str, str], int] = {}
    texts = [list(_values(column)) for column in sample.columns]
    for pair in MARKS:
        if pair[0] == (decimal or pair[0]) and sample.delimiter not in pair[1:]:
            read = Marks(*pair).number
            fitting[pair] = sum(
                bool(values) and all(read(text) is not None for text in values) for values in texts
            )
    most = max(fitting.values(), default=0)
    best = [pair for pair in MARKS if fitting.get(pair) == most]
    if most and decimal is None:
        _check_marks(sample, best)
    return Marks(*best[0]) if most else Marks(decimal or ".")


def _check_marks(sample: Sample, best: list[tuple[str, str]]) -> None:
    """Raises QuestionError where numbers such as 1,234 could be read two ways throughout."""
    open_pairs = {(",", ""), (".", ",")} if (".", "") not in best else {(".", ""), (",", ".")}
    if not open_pairs <= set(best) or (sample.delimiter == "," and (".", "") in best):
        return
    mark = "," if (".", "") not in best else "."
    for column in sample.columns:
        values = [text for text in _values(column) if mark in text]
        if values and all(_GROUPED.fullmatch(text) for text in values):
            text = values[0]
            raise QuestionError(
                f"{_place(sample, column, text)}: {text} could be a number with decimals or one of"
                " thousands, and no other value of the sample tells",
                "DECIMAL",
                {mark: f"{mark} stands before decimals", ",."[mark == ","]: "it groups thousands"},
            )


def inferred(sample: Sample, column: Texts, marks: Marks, dates: str | None) -> Inferred:
    """What a column is. Raises QuestionError."""
    values = list(_values(column))
    if not values:
        if column.stored not in (None, "string"):
            found = Inferred(_stored_type(column))
        else:
            found = Inferred("text", notes=["has no value in the sample"])
    elif column.stored not in (None, "string"):
        found = _of_stored(column, values)
    else:
        found = (
            _boolean(values)
            or _moment(sample, column, values, dates)
            or _number(values, marks)
            or _text(column)
        )
    markers = MARKERS_OF_TEXT if found.type == "text" else MARKERS
    present = [marker for marker in markers if marker in column.counts]
    more = [marker for marker in present if marker not in DEFAULT_MARKERS]
    if column.stored is None and more:
        found.keys["null"] = [*DEFAULT_MARKERS, *more]
    if values and not present:
        found.keys = {"required": True, **found.keys}
    found.notes += _marker_notes(column, found)
    if found.type in ("integer", "decimal", "double"):
        _bound(
            found, column, [number for number in map(marks.number, values) if number is not None]
        )
    return found


def _values(column: Texts) -> Iterator[str]:
    return (text for text in column.counts if text not in MARKERS)


def _place(sample: Sample, column: Texts, text: str) -> str:
    return f"{sample.path}:{column.lines[text]}: {column.heading or 'the column without a name'}"


def _marker_notes(column: Texts, found: Inferred) -> Iterator[str]:
    if found.type != "text" or column.stored not in (None, "string"):
        return
    for marker in MARKERS:
        if marker in column.counts and marker not in MARKERS_OF_TEXT:
            yield f"does {marker} stand for no value? Then add it to null"


def _stored_type(column: Texts) -> str:
    stored = str(column.stored)
    if stored.startswith("decimal"):
        return "decimal"
    return STORED_TYPES.get(stored, "timestamp" if stored == "timestamp" else "integer")


def _of_stored(column: Texts, values: list[str]) -> Inferred:
    found = Inferred(_stored_type(column))
    if found.type == "decimal":
        precision, scale = map(int, re.findall(r"\d+", str(column.stored)))
        found.keys |= {"precision": precision, "scale": scale}
    if found.type in ("date", "timestamp"):
        _bound_moments(found, [datetime.fromisoformat(text[:10]).date() for text in values])
    return found


def _boolean(values: Iterable[str]) -> Inferred | None:
    small = {value.lower() for value in values}
    if any(small <= words and len(small) >= least for words, least in WORDS):
        return Inferred("boolean")
    return None


def _moment(sample: Sample, column: Texts, values: list[str], order: str | None) -> Inferred | None:
    """A date or timestamp, if all texts are one of one format."""
    if all(_ISO_TIME.fullmatch(text) for text in values):
        return _iso_timestamp(values)
    for pattern in (_YEAR_FIRST, _DAY_FIRST):
        matches = [match for match in map(pattern.fullmatch, values) if match]
        if len(matches) == len(values):
            return _formatted(sample, column, matches, order)
    if all(map(_LIKE_DATE.fullmatch, values)):
        found = _text(column)
        found.notes.append(
            f"{values[0]} looks like a date, written in a way that no format can say: it stays text"
        )
        return found
    return None


def _iso_timestamp(values: list[str]) -> Inferred | None:
    try:
        days = [datetime.fromisoformat(text[:19].replace("T", " ")).date() for text in values]
    except ValueError:
        return None
    found = Inferred("timestamp")
    if not all(re.search(r"(Z|[+-]\d{2}(:?\d{2})?)$", text[10:]) for text in values):
        found.notes.append("names no zone, and is read as UTC; if not, add zone: Europe/Berlin")
    _bound_moments(found, days)
    return found


def _formatted(
    sample: Sample, column: Texts, matches: list[re.Match[str]], order: str | None
) -> Inferred | None:
    is_year_first = matches[0].re is _YEAR_FIRST
    shapes = {(match[2], match[5], match[6] and len(match[6])) for match in matches}
    if len(shapes) != 1:
        return None
    [(separator, between, length)] = shapes
    parts = ("Y", "M", "D")
    if not is_year_first:
        given = [(int(match[1]), int(match[3])) for match in matches]
        parts = _order(sample, column, given, order)
    places = (1, 3, 4)
    read = [
        {part: match[place] for part, place in zip(parts, places, strict=True)} for match in matches
    ]
    try:
        days = [date(int(each["Y"]), int(each["M"]), int(each["D"])) for each in read]
    except ValueError:
        return None
    if not separator and not _is_compact_date(days, read):
        return None
    tokens = {"Y": "YYYY"} | {
        part: part * (2 if all(len(each[part]) == 2 for each in read) else 1) for part in "MD"
    }
    written = separator.join(tokens[part] for part in parts)
    found = Inferred("date")
    if between:
        found.type = "timestamp"
        written += between + ("HH:MI:SS" if length == len("HH:MI:SS") else "HH:MI")
        found.notes.append("names no zone, and is read as UTC; if not, add zone: Europe/Berlin")
    if not separator:
        found.notes.append("could be whole numbers; all of them are dates")
    if written != "YYYY-MM-DD":
        found.keys["format"] = written
    _bound_moments(found, days)
    return found


def _is_compact_date(days: list[date], read: list[dict[str, str]]) -> bool:
    return all(len(each["M"]) == len(each["D"]) == 2 for each in read) and all(
        1900 <= day.year <= 2100 for day in days
    )


def _order(
    sample: Sample, column: Texts, given: list[tuple[int, int]], order: str | None
) -> tuple[str, str, str]:
    """Which of the first two is the day. Raises QuestionError where the sample does not tell."""
    is_day_first = any(first > 12 for first, _ in given)
    is_month_first = any(second > 12 for _, second in given)
    if not is_day_first and not is_month_first:
        if order is None:
            text = next(text for text in _values(column))
            raise QuestionError(
                f"{_place(sample, column, text)}: {text} could be read two ways, and no other value"
                " of the column tells",
                "DATES",
                {"DMY": "the day first", "MDY": "the month first"},
            )
        is_day_first = order == "DMY"
    return ("D", "M", "Y") if is_day_first else ("M", "D", "Y")


def _number(values: list[str], marks: Marks) -> Inferred | None:
    read = [marks.number(text) for text in values]
    numbers = [number for number in read if number is not None]
    if len(numbers) < len(values):
        return None
    if not any(re.search(f"[eE{re.escape(marks.decimal)}]", text) for text in values):
        return _whole(numbers)
    scale = max(-int(number.as_tuple().exponent) for number in numbers)
    has_exponent = any(re.search("[eE]", text) for text in values)
    digits = max(number.adjusted() + 1 for number in numbers)
    if has_exponent or scale > MAX_SCALE or digits > PRECISION - MAX_SCALE:
        return Inferred("double")
    scale = max(scale, 2)
    return Inferred("decimal", {"scale": scale} if scale != 2 else {})


def _whole(numbers: list[Decimal]) -> Inferred | None:
    if any(abs(number) >= 10**INTEGER_DIGITS for number in numbers):
        return None
    found = Inferred("integer")
    if {int(number) for number in numbers} == {0, 1}:
        found.notes.append("holds 0 and 1 alone: type: boolean, if they are false and true")
    if all(10**9 <= number < 2 * 10**9 for number in numbers):
        found.notes.append("seconds since 1970? Then type: timestamp, format: epoch, no min, max")
    return found


def _text(column: Texts) -> Inferred:
    values = list(_values(column))
    longest = max(map(len, values), default=0)
    length = 64
    while length < 2 * longest:
        length *= 2
    length = min(length, MAX_CHARACTERS)
    found = Inferred("text", {"max_length": length} if length != 256 else {})
    found.reach = f"up to {longest} characters"
    if longest > length:
        found.notes.append(f"a text longer than {length} characters is rejected")
    if all(re.fullmatch(r"[0-9]+", text) for text in values):
        found.notes.append("digits with leading zeros, or too many of them for a number")
    return found


def _bound(found: Inferred, column: Texts, numbers: list[Decimal]) -> None:
    """Bounds ten times as far as the sample reaches, as a power of ten."""
    if not numbers:
        return
    low, high = min(numbers), max(numbers)
    found.reach = f"{low:f} to {high:f}" if high.adjusted() < 20 else f"{low} to {high}"
    name = column.heading.lower()
    if name in CALENDAR and CALENDAR[name][0] <= low and high <= CALENDAR[name][1]:
        found.keys["min"], found.keys["max"] = CALENDAR[name]
        return
    greatest = max(abs(low), abs(high), Decimal(1))
    limit = 10 ** (greatest.adjusted() + 2)
    if found.type == "integer":
        limit = min(limit, 10**INTEGER_DIGITS - 1)
    if found.type == "decimal":
        precision = found.keys.get("precision", PRECISION)
        limit = min(limit, 10 ** (precision - found.keys.get("scale", 2)) - 1)
    found.keys["min"] = 0 if low >= 0 else -limit
    found.keys["max"] = limit


def _bound_moments(found: Inferred, days: list[date]) -> None:
    """Bounds from the decade of the first to the end of the decade after that of the last."""
    found.reach = f"{min(days)} to {max(days)}"
    time = " 00:00:00" if found.type == "timestamp" else ""
    first = max(min(days).year // 10 * 10, 1)
    found.keys["min"] = f"{first:04}-01-01{time}"
    found.keys["max"] = f"{min(max(days).year // 10 * 10 + 20, 9999)}-01-01{time}"
