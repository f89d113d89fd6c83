"""Files of an external table, as Spectrum reads them, turned into the rows that `COPY` takes.

Here: text, plain, gzip or bzip2, and Hive's OpenCSVSerde. Its LazySimpleSerDe is in lazy_simple.py;
Parquet and ORC are in columnar.py. Everything else is refused by name. The laptop's PostgreSQL
reads its text format, which tells NULL (`\\N`) from an empty string; its csv format does not.
"""

import bz2
import csv
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
MAX_ROW_BYTES = (
    4 * 1024 * 1024
)  # AWS: "the maximum row size supported by Redshift Spectrum is 4 MB"
BLOCK_BYTES = 1024 * 1024
MAX_VALUE_BYTES = 65_535  # what Spectrum holds a `string` to

# What a table may say of rows that do not fit it, and what each property may be. Source: Amazon
# Redshift, CREATE EXTERNAL TABLE, TABLE PROPERTIES.
_ACTIONS = {"DISABLED", "FAIL", "SET_TO_NULL", "DROP_ROW"}
HANDLING_PROPERTIES = {
    "column_count_mismatch_handling": _ACTIONS,
    "invalid_char_handling": _ACTIONS | {"REPLACE"},
    "numeric_overflow_handling": _ACTIONS,
    "surplus_bytes_handling": _ACTIONS | {"TRUNCATE"},
    "surplus_char_handling": _ACTIONS | {"TRUNCATE"},
}
# Those that concern text, and what the laptop cloud does of them.
_HANDLED = {
    "column_count_mismatch_handling": {"DISABLED", "FAIL", "SET_TO_NULL", "DROP_ROW"},
    "invalid_char_handling": {"FAIL"},
    "surplus_char_handling": {"FAIL", "SET_TO_NULL"},
}
_NOT_HANDLED = ("compression_type", "serialization.null.format")
_SERDE_PARAMETERS = {"separatorChar", "quoteChar", "escapeChar", "serialization.format"}

NULL = "\\N"

# Compressions that Spectrum or a sender may know and the laptop cloud does not read. They are told
# by the key's extension, as Spectrum does; any other extension is read as plain text.
_UNREAD_EXTENSIONS = frozenset(
    {".7z", ".br", ".deflate", ".lz4", ".lzo", ".snappy", ".xz", ".z", ".zip", ".zst", ".zstd"}
)

# As COPY words it; how Spectrum does is not documented.
INFLATE_ERROR = "failed to inflate"


class FormatError(ValueError):
    """A file, or a table, that cannot be read. The text says why, without the file's name."""


def decompressed(chunks: Iterable[bytes], key: str) -> Iterator[bytes]:
    """Undo the compression that the key's extension names.

    Raises FormatError for data that is damaged or cut short, and for compressions not read here.
    """
    extension = PurePosixPath(key).suffix.lower()
    if extension == ".gz":
        return _members(chunks, _Gunzip)
    if extension == ".bz2":
        return _members(chunks, bz2.BZ2Decompressor)
    if extension in _UNREAD_EXTENSIONS:
        raise FormatError(f"the laptop cloud does not read {extension} files")
    return iter(chunks)


class _Gunzip:
    """zlib's decompressor with the interface of bz2's, which keeps the input it has not used."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _members(
    chunks: Iterable[bytes], new: Callable[[], "_Gunzip | bz2.BZ2Decompressor"]
) -> Iterator[bytes]:
    """Decompress a file of one or more members: `cat a.gz b.gz` is a valid file."""
    member = None
    for chunk in chunks:
        data = chunk
        while data:
            member = member or new()
            yield from _inflated(member, data)
            data = member.unused_data if member.eof else b""
            if member.eof:
                member = None
    if member is not None:
        raise FormatError(f"{INFLATE_ERROR}: unexpected end of file")


def _inflated(member: "_Gunzip | bz2.BZ2Decompressor", data: bytes) -> Iterator[bytes]:
    try:
        yield member.decompress(data, BLOCK_BYTES)
        while not member.eof and not member.needs_input:
            yield member.decompress(b"", BLOCK_BYTES)
    except (zlib.error, OSError) as error:
        # zlib: "Error -3 while decompressing data: incorrect data check".
        raise FormatError(f"{INFLATE_ERROR}: {str(error).rpartition(': ')[2]}") from error


def line_blocks(chunks: Iterable[bytes], skip: int = 0) -> Iterator[bytes]:
    """Cut into blocks of whole lines, each ended by `\\n`, leaving out the first `skip` lines.

    Lines end in LF, CRLF or CR, as in Hadoop's text input; the last one may lack its end.
    """
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        # A CR at the very end may be half of a CRLF.
        held = b"\r" if data.endswith(b"\r") else b""
        lines, newline, rest = _unix(data[: len(data) - len(held)]).rpartition(b"\n")
        rest += held
        if len(rest) > MAX_ROW_BYTES:
            raise FormatError("a row is longer than 4 MB")
        block, skip = _without_lines(lines + newline, skip)
        if block:
            yield block
    if rest:
        block, skip = _without_lines(_unix(rest).removesuffix(b"\n") + b"\n", skip)
        if block:
            yield block


def _unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _without_lines(block: bytes, skip: int) -> tuple[bytes, int]:
    while skip and block:
        block = block.partition(b"\n")[2]
        skip -= 1
    return block, skip


@dataclass(frozen=True)
class Handling:
    """What becomes of rows that do not fit their table, by the table's properties.

    A property that is not set is what the documentation calls the default, or the SerDe's own way.
    """

    column_count: str = "DISABLED"
    surplus_char: str = "SET_TO_NULL"

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> "Handling":
        """Read a table's properties. Raises FormatError for one that Redshift does not document, or
        that the laptop cloud does not do."""
        for name, value in properties.items():
            _check_property(name, value)
        if properties.get("data_cleansing_enabled") != "true":
            return cls()
        return cls(
            properties.get("column_count_mismatch_handling", cls.column_count),
            properties.get("surplus_char_handling", cls.surplus_char),
        )

    def of(self, key: str) -> "Handling":
        """The handling of the file of this key: columns are counted in plain text alone."""
        if PurePosixPath(key).suffix.lower() not in (".gz", ".bz2"):
            return self
        return replace(self, column_count="DISABLED")

    def fitted(self, row: list[str], width: int) -> list[str | None] | None:
        """A row for `width` columns as the properties have it; None where they drop it."""
        if len(row) != width and self.column_count == "FAIL":
            raise FormatError(
                f"Unmatched number of columns: {width} in the table, {len(row)} in a row"
            )
        if len(row) != width and self.column_count == "DROP_ROW":
            return None
        return [self.fitted_value(value) for value in row[:width]]

    def fitted_value(self, value: str) -> str | None:
        """A value as the properties have it: NULL, or an error, where it is too long."""
        if len(value) * 4 <= MAX_VALUE_BYTES or len(value.encode()) <= MAX_VALUE_BYTES:
            return value
        if self.surplus_char == "FAIL":
            raise FormatError(
                "The length of the data column is longer than the length defined in the table. "
                f"Table: {MAX_VALUE_BYTES}, Data: {len(value.encode())}"
            )
        return None


def _check_property(name: str, value: str) -> None:
    if name == "data_cleansing_enabled" and value not in ("true", "false"):
        raise FormatError(f"{name} must be true or false, not {value}")
    if name.endswith("_handling") and value not in HANDLING_PROPERTIES.get(name, ()):
        raise FormatError(f"Redshift documents no table property {name} = {value}")
    if name in _NOT_HANDLED or value not in _HANDLED.get(name, {value}):
        raise FormatError(f"the laptop cloud does not do {name} = {value}")


@dataclass(frozen=True)
class OpenCsv:
    """Hive's OpenCSVSerde over `width` columns, all of them strings.

    It follows the Java class: a line is a row (no line break inside quotes); a column that the line
    lacks is NULL, one too many is dropped; an empty line is a row of NULLs; the escape character
    counts inside quotes alone, before a quote or itself, and vanishes elsewhere; a quote left open
    loses its column.
    """

    width: int
    separator: str = ","
    quote: str = '"'
    escape: str = "\\"
    handling: Handling = Handling()

    @classmethod
    def from_parameters(
        cls, width: int, parameters: Mapping[str, str], handling: Handling | None = None
    ) -> "OpenCsv":
        """Read the SerDe's parameters separatorChar, quoteChar and escapeChar."""
        if unknown := parameters.keys() - _SERDE_PARAMETERS:
            raise FormatError(f"the laptop cloud does not do {', '.join(sorted(unknown))}")
        separator = parameters.get("separatorChar", ",")
        quote = parameters.get("quoteChar", '"')
        escape = parameters.get("escapeChar", "\\")
        if escape == '"':
            escape = "\\"  # what the Java class makes of its own default
        if any(len(character) != 1 or not character.isascii() for character in (separator, quote)):
            raise FormatError("separatorChar and quoteChar must be one ASCII character each")
        if len({separator, quote, escape, "\n", "\r"}) != 5 or len(escape) != 1:
            raise FormatError("separatorChar, quoteChar and escapeChar must differ")
        return cls(width, separator, quote, escape, handling or Handling())

    def of(self, key: str) -> "OpenCsv":
        """The SerDe for the file of this key: columns are counted in plain text alone."""
        return replace(self, handling=self.handling.of(key))

    def copy_rows(self, block: bytes, more: Iterable[str]) -> bytes:
        """Turn a block of whole lines into `COPY` text, each row followed by the values `more`."""
        if b"\0" in block:
            raise FormatError("a row holds a NUL character")
        suffix = "".join("\t" + copy_value(value) for value in more) + "\n"
        missing = self._missing_columns(block)
        if missing is not None:
            suffix = f"\t{NULL}" * missing + suffix
            return block.replace(self.separator.encode(), b"\t").replace(b"\n", suffix.encode())
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            raise FormatError("a row is not valid UTF-8") from error
        rows = (self.handling.fitted(row, self.width) for row in self._rows(text))
        return "".join(self._copy_row(row, suffix) for row in rows if row is not None).encode()

    def _missing_columns(self, block: bytes) -> int | None:
        """How many columns each line lacks, where separators alone say where a column ends and all
        lines have as many; None otherwise."""
        separator = self.separator.encode()
        special = {self.quote.encode(), self.escape.encode(), b"\\", b"\t", b"\r"} - {separator}
        if any(character in block for character in special):
            return None
        if not block.isascii() and not _is_utf8(block):
            return None
        lines = block[:-1].split(b"\n")
        separators = {line.count(separator) for line in lines}
        if len(separators) > 1 or max(map(len, lines)) > MAX_VALUE_BYTES:
            return None
        missing = self.width - 1 - separators.pop()
        # An empty line is a row of NULLs, and has no separator either.
        is_plain = missing == 0 or (
            missing > 0 and self.handling.column_count not in ("FAIL", "DROP_ROW")
        )
        return missing if is_plain and missing < self.width - 1 else None

    def _rows(self, text: str) -> Iterable[list[str]]:
        if self.escape not in text and self._regular_lines().fullmatch(text):
            try:
                return list(self._csv_reader(text.split("\n")[:-1]))
            except csv.Error:
                pass  # a column longer than the module's limit
        return [self._columns(line) for line in text.split("\n")[:-1]]

    def _columns(self, line: str) -> list[str]:
        if not line:
            return []
        if self.quote not in line and self.escape not in line:
            return line.split(self.separator)
        return open_csv_columns(line, self.separator, self.quote, self.escape)

    def _csv_reader(self, lines: list[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.separator, quotechar=self.quote)

    def _regular_lines(self) -> re.Pattern[str]:
        """Match lines on which opencsv and Python's csv module agree: no stray quotes."""
        s, q = re.escape(self.separator), re.escape(self.quote)
        column = f"(?:{q}(?:[^{q}\r\n]|{q}{q})*+{q}|[^{s}{q}\r\n]*+)"
        return re.compile(f"(?:{column}(?:{s}{column})*+\n)*+")

    def _copy_row(self, values: list[str | None], suffix: str) -> str:
        if None in values:
            row = [NULL if value is None else copy_value(value) for value in values]
            return "\t".join(row + [NULL] * (self.width - len(row))) + suffix
        row = [value for value in values if value is not None]
        missing = self.width - len(row)
        line = "\t".join(row)
        if "\\" in line or "\r" in line or line.count("\t") != max(len(row) - 1, 0):
            line = "\t".join(map(copy_value, row))
        if missing > 0:
            line = "\t".join([*([line] if row else []), *[NULL] * missing])
        return line + suffix


def copy_value(value: str) -> str:
    """Escape one value for PostgreSQL's text format."""
    return (
        value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    )


def open_csv_columns(line: str, separator: str, quote: str, escape: str) -> list[str]:
    """Split one line as opencsv 2.3's CSVParser does, with its defaults otherwise.

    Source: net.sf.opencsv, CSVParser.parseLine (strictQuotes false, ignoreLeadingWhiteSpace true).
    """
    columns: list[str] = []
    column: list[str] = []
    in_quotes = False
    position = 0
    while position < len(line):
        character = line[position]
        following = line[position + 1 : position + 2]
        if (
            in_quotes
            and following
            and (
                (character == escape and following in (quote, escape))
                or (character == quote and following == quote)
            )
        ):
            column.append(following)
            position += 1
        elif character == quote:
            in_quotes = not in_quotes
            _keep_inner_quote(line, position, separator, column)
        elif character == separator and not in_quotes:
            columns.append("".join(column))
            column = []
        elif character != escape:
            column.append(character)
        position += 1
    return columns if in_quotes else [*columns, "".join(column)]


def _keep_inner_quote(line: str, position: int, separator: str, column: list[str]) -> None:
    """A quote inside a column, `a,bc"d"ef,g`, belongs to its value."""
    inside = (
        position > 2
        and line[position - 1] != separator
        and position + 1 < len(line)
        and line[position + 1] != separator
    )
    if not inside:
        return
    if column and not "".join(column).strip():
        column.clear()
    else:
        column.append(line[position])


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
