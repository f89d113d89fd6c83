"""The SQL of one column: how its text becomes a value, and why a row is rejected for it.

A column `c` of the files stands in the load procedure as `c__raw`, as it was read, as `c__text`,
without the blanks around it, NULL for no value, and as `c`, its value, NULL where the text is none.
A row of `load_rows` has the first and the last: a text is needed again for few rows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tools.datasets import formats
from tools.datasets.spec import Bound, Column, Csv, Dataset, Derived, JsonLines, Orc, Parquet, Value

INTEGER_DIGITS = 18
WORDS = {
    "integer": "a whole number",
    "double": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a time",
}
# Of those that a column of a Parquet or ORC file may have, what Redshift calls otherwise.
SQL_TYPES = {
    "string": "varchar(65535)",
    "tinyint": "smallint",
    "int": "integer",
    "float": "real",
    "double": "double precision",
}
OFFSET = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
ISO_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
ISO_TIME = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"


def literal(text: str) -> str:
    """A text as SQL writes it: Redshift reads a backslash as an escape."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def without_null_markers(text: str, markers: Iterable[str]) -> str:
    """The text, NULL where it stands for no value."""
    for marker in markers:
        text = f"nullif({text}, {literal(marker)})"
    return text


@dataclass(frozen=True)
class Cell:
    """A column of a dataset's files."""

    dataset: Dataset
    column: Column
    # In place of its name, but for the value's, where SQL has to be short.
    number: int | None = None

    @property
    def is_typed(self) -> bool:
        """Whether the file itself has types, and this one's is not text."""
        return isinstance(self.dataset.format, Parquet | Orc) and self.column.stored != "string"

    @property
    def text(self) -> str:
        return f"t__{self.number}" if self.number else f"{self.column.name}__text"

    @property
    def quoted(self) -> str:
        """What the external table of a file with types calls it."""
        return self.column.name if self.column.source is None else f'"{self.column.source}"'

    @property
    def raw(self) -> str:
        """What it is called as it was read."""
        return f"c__{self.number}" if self.number else f"{self.column.name}__raw"

    @property
    def raw_type(self) -> str:
        """SQL's type of what was read."""
        stored = self.column.stored or "string"
        return SQL_TYPES.get(stored, stored)

    @property
    def cleaned(self) -> str:
        """SQL of the text, of what was read: without what stands around it, NULL for no value."""
        if self.is_typed:
            return f"cast({self.raw} as varchar(65535))"
        return without_null_markers(self._stripped, self.column.null)

    @property
    def readable(self) -> str:
        """SQL of the text that the value is read of.

        As `cleaned`, but for markers of no value that are none of the type anyway.
        """
        column = self.column
        needs_digit = column.type in ("integer", "double", "date", "timestamp") or (
            column.type == "decimal" and column.precision > column.scale
        )
        if self.is_typed or not needs_digit:
            return self.cleaned
        like_values = [marker for marker in column.null if any(map(str.isdigit, marker))]
        return without_null_markers(self._stripped, like_values)

    @property
    def _stripped(self) -> str:
        """SQL of the text without what stands around it, markers of no value among them."""
        text = self.raw
        if isinstance(self.dataset.format, JsonLines):
            path = ", ".join(map(literal, self.column.heading.split(".")))
            text = f"json_extract_path_text(row__line, {path}, true)"
        return f"btrim({text}, v_blanks)"

    @property
    def _is_given(self) -> str:
        """SQL that is true of a text that stands for a value, and NULL where there is no text."""
        if self.is_typed:
            return f"{self.cleaned} is not null"
        markers = ", ".join(map(literal, self.column.null))
        return (
            f"{self._stripped} not in ({markers})" if markers else f"{self._stripped} is not null"
        )

    @property
    def value(self) -> str:
        """SQL of the value, over the columns `…__text`, or `…__raw` where the file has types."""
        if self.is_typed:
            return self._converted()
        read = {
            "integer": self._integer,
            "decimal": self._decimal,
            "double": self._double,
            "text": self._short_text,
            "boolean": self._boolean,
            "date": self._date,
            "timestamp": self._timestamp,
        }
        return read[self.column.type]()

    def type_fault(self) -> str:
        """What a text is not."""
        column = self.column
        if column.type == "decimal":
            digits = column.precision - column.scale
            return f"not a number of {digits} digits and {column.scale} decimals at most"
        as_format = f" as {column.format}" if column.format else ""
        return f"not {WORDS[column.type]}{as_format}"

    def faults(self) -> Iterator[tuple[int, str, str]]:
        """(rank, condition, fault) of each reason to reject a row; the least rank goes first.

        Over what was read and the value. Most rows have a value, and are told by that alone.
        """
        column, text = self.column, self.cleaned
        if column.type != "text":
            yield 1, f"{column.name} is null and {self._is_given}", self.type_fault()
        if column.required:
            # A text that is none has gone before, under the first rank.
            yield 2, f"{text if column.type == 'text' else column.name} is null", "empty"
        yield from range_faults(column.name, column)
        if column.pattern is not None:
            pattern = literal(f"^({column.pattern})$")
            yield 4, f"{text} !~ {pattern}", f"not of the pattern {column.pattern}"
        if column.type == "text":
            limit = column.max_length
            is_long = f"len({self._length_of(limit)}) > {limit}"
            yield 5, is_long, f"longer than {limit} characters"

    def _length_of(self, limit: int) -> str:
        """SQL of a text that is longer than the limit where the value is; of few steps."""
        if self.is_typed or any(len(marker) > limit for marker in self.column.null):
            return self.cleaned
        return self._stripped

    def _converted(self) -> str:
        return f"cast({self.raw} as {self.column.sql_type})"

    def _integer(self) -> str:
        if self._group:
            return self._number("bigint", f"[0-9]{{1,{INTEGER_DIGITS}}}")
        # A pattern that counts takes several times as long.
        return (
            f"case when {self.text} ~ '^[+-]?[0-9]+$'"
            f" and len(ltrim({self.text}, '+-')) <= {INTEGER_DIGITS}"
            f" then cast({self.text} as bigint) end"
        )

    def _decimal(self) -> str:
        column = self.column
        digits = column.precision - column.scale
        mark = "[,]" if self._mark == "," else "[.]"
        whole = f"[0-9]{{1,{digits}}}" if digits else "0?"
        return self._number(column.sql_type, f"{whole}({mark}[0-9]{{0,{column.scale}}})?", mark)

    def _double(self) -> str:
        mark = "[,]" if self._mark == "," else "[.]"
        # The exponent is bounded, so that no text is a number that the type cannot hold.
        plain = f"([0-9]{{1,40}}{mark}?[0-9]{{0,40}}|{mark}[0-9]{{1,40}})"
        return self._number("double precision", f"{plain}([eE][+-]?[0-9]{{1,2}})?", mark)

    def _number(self, sql_type: str, pattern: str, mark: str = "") -> str:
        """A cast guarded by a pattern: what does not match is NULL instead of an error."""
        text = self.text
        if self._group:
            decimals = f"({mark}[0-9]+)?" if mark else ""
            pattern = f"({pattern}|[0-9]{{1,3}}([{self._group}][0-9]{{3}}){{1,4}}{decimals})"
            text = f"replace({text}, {literal(self._group)}, '')"
        if mark == "[,]":
            text = f"replace({text}, ',', '.')"
        matching = f"case when {self.text} ~ {literal(f'^[+-]?{pattern}$')} then"
        if self._group:
            # The groups of the pattern do not count a decimal's digits.
            return f"try_cast({matching} {text} end as {sql_type})"
        return f"{matching} cast({text} as {sql_type}) end"

    def _short_text(self) -> str:
        if self.column.max_length * 4 >= 65_535:
            return self.text
        return f"case when len({self.text}) <= {self.column.max_length} then {self.text} end"

    def _boolean(self) -> str:
        true, false = (
            ", ".join(map(literal, words)) for words in (self.column.true, self.column.false)
        )
        return (
            f"case when lower({self.text}) in ({true}) then true"
            f" when lower({self.text}) in ({false}) then false end"
        )

    def _date(self) -> str:
        if self.column.format is None:
            guard, iso = literal(f"^{ISO_DATE}$"), self.text
        else:
            guard, iso = self._rearranged(self.column.format)
        return f"try_cast(case when {self.text} ~ {guard} then {iso} end as date)"

    def _timestamp(self) -> str:
        column = self.column
        if column.format in formats.EPOCHS:
            unit = "second" if column.format == "epoch" else "millisecond"
            moment = (
                f"dateadd({unit}, cast({self.text} as bigint), cast('1970-01-01' as timestamp))"
            )
            return f"case when {self.text} ~ '^[0-9]{{1,14}}$' then {moment} end"
        if column.format is None:
            guard, iso = (
                literal(f"^{ISO_DATE}[T ]{ISO_TIME}{OFFSET}$"),
                f"replace({self.text}, 'T', ' ')",
            )
        else:
            guard, iso = self._rearranged(column.format)
        moment = f"try_cast(case when {self.text} ~ {guard} then {iso} end as timestamptz)"
        utc = f"{moment} at time zone 'UTC'"
        if column.zone is None:
            return utc
        local = f"try_cast(case when {self.text} ~ {guard} then {iso} end as timestamp)"
        return (
            f"case when {self.text} ~ {literal(OFFSET.removesuffix('?') + '$')} then {utc}"
            f" else convert_timezone({literal(column.zone)}, 'UTC', {local}) end"
        )

    def _rearranged(self, text: str) -> tuple[str, str]:
        """(pattern, SQL) that take a date or time in a format of its own to ISO 8601."""
        parts = formats.tokens(text)
        known = {**formats.DATE_TOKENS, **formats.TIME_TOKENS}
        pattern = literal("^" + "".join(known.get(part, _escaped(part)) for part in parts) + "$")
        found = {
            part: self._part(parts, index) for index, part in enumerate(parts) if part in known
        }
        month, day = (found.get(name) or f"lpad({found[name[0]]}, 2, '0')" for name in ("MM", "DD"))
        iso = f"{found['YYYY']} || '-' || {month} || '-' || {day}"
        if "HH" in found:
            seconds = f" || ':' || {found['SS']}" if "SS" in found else ""
            iso += f" || ' ' || {found['HH']} || ':' || {found['MI']}{seconds}"
        return pattern, iso

    def _part(self, parts: list[str], index: int) -> str:
        """SQL of one part of a text: its field, between two separators, and its place in that."""
        is_part = [part in formats.DATE_TOKENS or part in formats.TIME_TOKENS for part in parts]
        first, last = index, index
        while first > 0 and is_part[first - 1]:
            first -= 1
        while last + 1 < len(parts) and is_part[last + 1]:
            last += 1
        field = self.text
        if first > 0:
            separator = parts[first - 1]
            field = (
                f"split_part({field}, {literal(separator)}, {parts[:first].count(separator) + 1})"
            )
        if last + 1 < len(parts):
            field = f"split_part({field}, {literal(parts[last + 1])}, 1)"
        if first == last:
            return field
        start = sum(map(len, parts[first:index])) + 1
        return f"substring({field}, {start}, {len(parts[index])})"

    @property
    def _mark(self) -> str:
        return self.dataset.format.decimal_mark if isinstance(self.dataset.format, Csv) else "."

    @property
    def _group(self) -> str:
        return self.dataset.format.group_mark if isinstance(self.dataset.format, Csv) else ""


def range_faults(name: str, value: Value) -> Iterator[tuple[int, str, str]]:
    """The reason to reject a value for its bounds: nothing, or one."""
    low, high = (
        bound if bound is None else _bound(value, bound) for bound in (value.min, value.max)
    )
    if low is not None and high is not None:
        yield 3, f"{name} not between {low} and {high}", f"outside {value.min} to {value.max}"
    elif low is not None:
        yield 3, f"{name} < {low}", f"less than {value.min}"
    elif high is not None:
        yield 3, f"{name} > {high}", f"greater than {value.max}"


def derived_faults(name: str, derived: Derived) -> Iterator[tuple[int, str, str]]:
    """The reasons to reject a row for a column that is computed; as `Cell.faults`."""
    if derived.required:
        yield 6, f"{name} is null", "cannot be computed"
    yield from ((6, condition, fault) for _, condition, fault in range_faults(name, derived))
    if derived.type == "text":
        yield (
            6,
            f"len({name}) > {derived.max_length}",
            f"longer than {derived.max_length} characters",
        )
        if derived.pattern is not None:
            pattern = literal(f"^({derived.pattern})$")
            yield 6, f"{name} !~ {pattern}", f"not of the pattern {derived.pattern}"


def _bound(value: Value, bound: Bound) -> str:
    if isinstance(bound, str):
        return f"cast({literal(bound.replace('T', ' '))} as {value.type})"
    return str(bound)


def _escaped(text: str) -> str:
    return "".join(character if character.isalnum() else f"[{character}]" for character in text)
