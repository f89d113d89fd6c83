"""A sample of a dataset's files, read as texts: how it is written, and what each column holds."""

import bz2
import csv
import gzip
import io
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
from pyarrow import parquet

from tools.datasets.checking import IDENTIFIER, MAX_PATH_LEVELS

# What is read of a sample: enough to know its columns by, and read within seconds.
MAX_BYTES = 32 * 1024 * 1024
MAX_ROWS = 200_000
BLANKS = " \t\r\ufeff"
MAX_FIELD = 65_535

REFUSED = {
    b"\x28\xb5\x2f\xfd": "is compressed by zstd: decompress the sample, and give that",
    b"\xff\x06\x00\x00": "is compressed by snappy: decompress the sample, and give that",
    b"\xfd7zX": "is compressed by xz: decompress the sample, and give that",
    b"PK\x03\x04": "is a zip archive or an Excel workbook: save the table as CSV",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook: save the table as CSV",
    b"ORC": "is ORC, of which no sample is read: write its dataset.yaml by hand",
    b"Obj\x01": "is Avro, which is not loaded: write CSV, JSON lines or Parquet",
    b"\xff\xfe": "is UTF-16: save it as UTF-8",
    b"\xfe\xff": "is UTF-16: save it as UTF-8",
}
# Parquet's types as Glue calls them.
STORED = {
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}


class SampleError(ValueError):
    """A sample of which no dataset can be made: file, line and what to do."""


@dataclass
class Texts:
    """A column of the sample: how often each text occurs, and on which line first."""

    heading: str
    stored: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    lines: dict[str, int] = field(default_factory=dict)

    def add(self, text: str, line: int) -> None:
        self.counts[text] += 1
        self.lines.setdefault(text, line)


@dataclass
class Sample:
    """What a sample holds. `notes` say what is not certain."""

    path: Path
    kind: str
    columns: list[Texts]
    rows: int = 0
    delimiter: str = ","
    quote: str = '"'
    has_header: bool = True
    notes: list[str] = field(default_factory=list)


def read_sample(path: Path, delimiter: str | None = None, header: bool | None = None) -> Sample:
    """Raises SampleError."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise SampleError(f"{path}: cannot be read: {error.strerror}") from None
    for magic, problem in REFUSED.items():
        if start.startswith(magic):
            raise SampleError(f"{path}: {problem}")
    if start == b"PAR1":
        return _read_parquet(path)
    text, is_cut = _text(path)
    if re.match(r"\s*\[\s*[{\]]", text):
        raise SampleError(f"{path}:1: is a JSON array: write JSON lines, an object a line")
    sample = (
        _read_json(path, text)
        if text.lstrip(BLANKS + "\n").startswith("{")
        else _read_csv(path, text, delimiter, header)
    )
    if is_cut or sample.rows >= MAX_ROWS:
        sample.notes.append(f"only the first {sample.rows:,} rows of the sample were read")
    if not sample.rows:
        raise SampleError(f"{path}: holds no rows: give a file with some")
    return sample


def beginning(sample: Sample, rows: int) -> tuple[str, bytes]:
    """(name, content) of a file with the sample's first rows, not compressed."""
    if sample.kind == "parquet":
        batch = next(parquet.ParquetFile(sample.path).iter_batches(batch_size=rows))
        table = pyarrow.Table.from_batches([batch])
        out = io.BytesIO()
        parquet.write_table(table, out)
        return sample.path.name, out.getvalue()
    lines = [f"{line}\n" for line in _text(sample.path)[0].rstrip("\n").split("\n")]
    header = sample.kind == "csv" and sample.has_header
    name = sample.path.name.removesuffix(".gz").removesuffix(".bz2")
    return name, "".join(lines[: rows + header]).encode()


def _text(path: Path) -> tuple[str, bool]:
    """The text of a file, plain or compressed, and whether it was cut."""
    with path.open("rb") as file:
        start = file.read(3)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}
    opened = next((opener for magic, opener in openers.items() if start.startswith(magic)), open)
    try:
        with opened(path, "rb") as file:
            data: bytes = file.read(MAX_BYTES + 1)
    except (OSError, EOFError) as error:
        raise SampleError(f"{path}: cannot be decompressed: {error}") from None
    is_cut = len(data) > MAX_BYTES
    if is_cut:
        data = data[: data.rfind(b"\n") + 1]
    if b"\0" in data:
        raise SampleError(f"{path}:{_line_at(data, data.index(0))}: holds a NUL byte; is it text?")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SampleError(
            f"{path}:{_line_at(data, error.start)}: is not UTF-8 (byte {data[error.start]:#04x}):"
            " save it as UTF-8"
        ) from None
    return text.removeprefix("\ufeff"), is_cut


def _line_at(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


def _read_csv(path: Path, text: str, delimiter: str | None, header: bool | None) -> Sample:
    sniffed = _sniffed(path, text, delimiter)
    sample = Sample(path, "csv", [], delimiter=sniffed["Delimiter"], quote=sniffed["Quote"])
    if sample.quote not in ('"', "'"):
        sample.quote = '"'
    if sniffed["SkipRows"]:
        raise SampleError(
            f"{path}:1: the table begins on line {sniffed['SkipRows'] + 1} only, and a file is read"
            " from its first line: send it without what stands before"
        )
    sample.has_header = sniffed["HasHeader"] if header is None else header
    records = list(_records(sample, text))
    if not records:
        raise SampleError(f"{path}: holds no rows: give a file with some")
    if sniffed["Escape"] == "\\":
        sample.notes.append("a backslash seems to escape quotes in the sample; here it is data")
    headings = _headings(sample, records, is_known=header is not None)
    sample.columns = [Texts(heading) for heading in headings]
    _add_rows(sample, records[1:] if sample.has_header else records)
    return sample


def _sniffed(path: Path, text: str, delimiter: str | None) -> Mapping[str, Any]:
    """What DuckDB takes the text for."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "sample.csv")
        copy.write_text(text, encoding="utf-8", newline="")
        try:
            found = _sniff(copy, delimiter)
            if found["columns"] == 1 and delimiter is None:
                # DuckDB tries no blanks by itself.
                spaced = _sniff(copy, " ")
                found = spaced if spaced["columns"] > 1 and not spaced["SkipRows"] else found
        except duckdb.Error:
            raise SampleError(
                f"{path}: is no table that can be made out; name what stands between fields:"
                " DELIMITER=';'"
            ) from None
    return found


def _sniff(path: Path, delimiter: str | None) -> dict[str, Any]:
    given = {"comment": "", **({} if delimiter is None else {"delim": delimiter})}
    options = "".join(f", {name}=$_{name}" for name in given)
    with duckdb.connect() as connection:
        found = connection.execute(
            "select Delimiter, Quote, Escape, SkipRows, HasHeader, len(Columns) as columns"
            f" from sniff_csv($path, ignore_errors=true{options})",
            {"path": str(path), **{f"_{name}": value for name, value in given.items()}},
        )
        names = [each[0] for each in found.description]
        row = found.fetchone()
    assert row is not None
    return dict(zip(names, row, strict=True))


def _records(sample: Sample, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each row that is not blank. Raises SampleError."""
    csv.field_size_limit(MAX_BYTES)
    lines = (line.rstrip("\r") + "\n" for line in text.split("\n"))
    reader = csv.reader(lines, delimiter=sample.delimiter, quotechar=sample.quote)
    line, count = 1, 0
    try:
        for fields in reader:
            if reader.line_num > line:
                raise SampleError(
                    f"{sample.path}:{line}: a quoted field goes on over the end of the line."
                    " Redshift Spectrum reads each line as a row: write such fields without"
                    " newlines, or send JSON lines or Parquet"
                )
            if any(each.strip(BLANKS) for each in fields):
                count += 1
                yield line, fields
            line = reader.line_num + 1
            if count > MAX_ROWS:
                return
    except csv.Error as error:
        raise SampleError(f"{sample.path}:{line}: cannot be read as CSV: {error}") from None


def _headings(sample: Sample, records: list[tuple[int, list[str]]], *, is_known: bool) -> list[str]:
    line, first = records[0]
    width = Counter(len(fields) for _, fields in records[1:] or records).most_common(1)[0][0]
    if not sample.has_header:
        return [f"column_{number}" for number in range(1, width + 1)]
    if width > len(first) and not _is_surplus_blank(records, len(first)):
        raise SampleError(
            f"{sample.path}:{line}: the header names {len(first)} columns, and most rows have"
            f" {width} fields: name each column, leave out what stands before the table, or say"
            " HEADER=none"
        )
    headings = [heading.strip(BLANKS) for heading in first]
    if not is_known and any(heading[:1].isdigit() for heading in headings):
        sample.notes.append(
            f"is line {line} a header? It holds numbers; if not, make it anew with HEADER=none"
        )
    elif not is_known and not any(_has_figures(records[1:], i) for i in range(len(first))):
        sample.notes.append(
            f"is line {line} a header? It looks like the rows; if not, make it anew with"
            " HEADER=none"
        )
    return headings


def _has_figures(records: list[tuple[int, list[str]]], index: int) -> bool:
    """Whether a column is of anything but words, at its first rows."""
    return any(
        any(letter.isdigit() for letter in fields[index])
        for _, fields in records[:100]
        if index < len(fields)
    )


def _is_surplus_blank(records: list[tuple[int, list[str]]], width: int) -> bool:
    return not any(field.strip(BLANKS) for _, fields in records for field in fields[width:])


def _add_rows(sample: Sample, records: Iterable[tuple[int, list[str]]]) -> None:
    width = len(sample.columns)
    bad: list[int] = []
    for line, fields in records:
        if len(fields) < width or any(each.strip(BLANKS) for each in fields[width:]):
            bad.append(line)
            continue
        sample.rows += 1
        for column, text in zip(sample.columns, fields, strict=False):
            column.add(text.strip(BLANKS), line)
    if bad:
        sample.notes.append(
            f"{len(bad):,} rows have other than {width} fields, line {bad[0]} first: such rows are"
            " rejected"
        )


def _read_json(path: Path, text: str) -> Sample:
    """JSON lines. Numbers stay as they are written."""
    sample = Sample(path, "jsonl", [])
    columns: dict[str, Texts] = {}
    passed: dict[str, None] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip(BLANKS) or sample.rows >= MAX_ROWS:
            continue
        try:
            row = json.loads(line.strip(BLANKS), parse_int=str, parse_float=str)
        except json.JSONDecodeError as error:
            raise SampleError(
                f"{path}:{number}: is not a JSON object ({error.msg}): JSON lines have one a line"
            ) from None
        if not isinstance(row, dict):
            raise SampleError(f"{path}:{number}: is not a JSON object: JSON lines have one a line")
        sample.rows += 1
        for name, value in _leaves(row, "", passed):
            columns.setdefault(name, Texts(name)).add(value, number)
            lines.setdefault(name, number)
    for column in columns.values():
        if missing := sample.rows - column.counts.total():
            column.counts[""] += missing
    sample.columns = list(columns.values())
    for name in passed:
        sample.notes.append(
            f"{name} is passed over: columns are single values, {MAX_PATH_LEVELS} names deep"
        )
    return sample


def _leaves(
    row: Mapping[str, Any], path: str, passed: dict[str, None]
) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        where = f"{path}{name}"
        if (
            isinstance(value, list)
            or "." in name
            or not name
            or where.count(".") >= MAX_PATH_LEVELS
        ):
            passed[where] = None
        elif isinstance(value, dict):
            yield from _leaves(value, f"{where}.", passed)
        elif isinstance(value, bool):
            yield where, str(value).lower()
        else:
            yield where, "" if value is None else str(value).strip(BLANKS)


def _read_parquet(path: Path) -> Sample:
    sample = Sample(path, "parquet", [])
    with duckdb.connect() as connection:
        try:
            connection.execute("set timezone = 'UTC'")
            found = connection.from_parquet(str(path)).limit(MAX_ROWS)
            for name, kind in zip(found.columns, map(str, found.types), strict=True):
                stored = kind.lower() if kind.startswith("DECIMAL(") else STORED.get(kind)
                if stored is None:
                    sample.notes.append(f"{name} is passed over: it is a {kind}")
                    continue
                if not re.fullmatch(IDENTIFIER, name):
                    sample.notes.append(
                        f"{name} is passed over: Spectrum finds columns of Parquet by names of"
                        " small letters, digits and underscores"
                    )
                    continue
                column = Texts(name, stored)
                quoted = '"' + name.replace('"', '""') + '"'
                counted = found.aggregate(f"cast({quoted} as varchar) as value, count(*) as rows")
                for value, count in counted.fetchall():
                    column.counts["" if value is None else value] += count
                sample.columns.append(column)
            sample.rows = len(found)
        except duckdb.Error as error:
            raise SampleError(f"{path}: cannot be read as Parquet: {error}") from None
    if not sample.columns:
        raise SampleError(f"{path}: has no column that can be loaded: {'; '.join(sample.notes)}")
    if not sample.rows:
        raise SampleError(f"{path}: holds no rows: give a file with some")
    return sample
