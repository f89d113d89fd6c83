"""Parquet and ORC files of an external table, read by pyarrow, as the rows that `COPY` takes."""

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import orc, parquet

from local.serde import NULL, FormatError, Handling, copy_value

PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
ORC = "org.apache.hadoop.hive.ql.io.orc.OrcSerde"

PARQUET_MAGIC = b"PAR1"
ORC_MAGIC = b"ORC"
BATCH_ROWS = 10_000

# The types of a file that a column of a table may have, by the table's. Those that Redshift might
# convert, such as int32 for a bigint, are refused: which it does is not documented.
_FITTING: dict[str, Callable[[pa.DataType], bool]] = {
    "boolean": pa.types.is_boolean,
    "tinyint": lambda type_: type_ in (pa.int8(), pa.int16(), pa.int32()),
    "smallint": lambda type_: type_ in (pa.int8(), pa.int16(), pa.int32()),
    "int": lambda type_: type_ in (pa.int8(), pa.int16(), pa.int32()),
    "bigint": lambda type_: type_ == pa.int64(),
    "float": pa.types.is_float32,
    "double": pa.types.is_float64,
    "string": lambda type_: pa.types.is_string(type_) or pa.types.is_large_string(type_),
    "date": pa.types.is_date32,
    # Nanoseconds are what Redshift is not known to read, except in ORC, which has nothing else.
    "timestamp": lambda type_: pa.types.is_timestamp(type_) and type_.unit in ("ms", "us"),
}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")


@dataclass(frozen=True)
class Columnar:
    """The columns of a table, by name and Hive's type, and how files hold them."""

    library: str
    columns: Sequence[tuple[str, str]]
    handling: Handling = field(default_factory=Handling)

    @classmethod
    def from_columns(
        cls, library: str, columns: Sequence[Mapping[str, str]], handling: Handling
    ) -> "Columnar":
        """Read Glue's columns. Raises FormatError for a type that is not done here."""
        named = [(column["Name"], column["Type"].lower()) for column in columns]
        for name, hive_type in named:
            if hive_type not in _FITTING and not _DECIMAL.fullmatch(hive_type):
                raise FormatError(f"the laptop cloud does not read {name} {hive_type}")
        return cls(library, named, handling)

    def rows(self, chunks: Iterable[bytes], key: str, more: Sequence[str]) -> Iterator[bytes]:
        """`COPY` text of a file's rows, each followed by the values `more`.

        Columns are found by their names; one that the file lacks is NULL. Raises FormatError.
        """
        extension = PurePosixPath(key).suffix.lower()
        if extension in (".gz", ".bz2", ".snappy", ".zst"):
            raise FormatError(
                f"the laptop cloud reads no {extension} around files that compress inside"
            )
        data = b"".join(chunks)
        suffix = "".join("\t" + copy_value(value) for value in more) + "\n"
        try:
            schema, batches = self._opened(data)
            present = [name for name, _ in self.columns if name in schema.names]
            self._check_types(schema, key)
            for batch in batches(present):
                yield self._copied(batch, suffix).encode()
        except (pa.ArrowException, OSError) as error:
            raise FormatError(str(error)) from error

    def _opened(self, data: bytes) -> tuple[Any, Callable[[list[str]], Iterable[Any]]]:
        """The schema of a file, and what reads the columns of these names."""
        if self.library == ORC:
            if not data.startswith(ORC_MAGIC):
                raise FormatError(f"not an ORC file: it begins with {_shown(data[:4])}")
            file = orc.ORCFile(io.BytesIO(data))
            stripes = range(file.nstripes)
            return file.schema, lambda names: (file.read_stripe(n, names) for n in stripes)
        if not data.endswith(PARQUET_MAGIC) or not data.startswith(PARQUET_MAGIC):
            # As Redshift words it: a Parquet file ends with its magic number.
            raise FormatError(f"has an invalid version number: {_shown(data[-4:])}")
        # An INT96 is a time in nanoseconds; Redshift keeps microseconds of it.
        found = parquet.ParquetFile(io.BytesIO(data), coerce_int96_timestamp_unit="us")
        return (
            found.schema_arrow,
            lambda names: found.iter_batches(BATCH_ROWS, columns=names),
        )

    def _check_types(self, schema: Any, key: str) -> None:
        lower = {name.lower(): name for name in schema.names}
        for name, hive_type in self.columns:
            if name not in schema.names:
                if name in lower:
                    # Whether Redshift finds it is not documented, and it must not be NULL unseen.
                    raise FormatError(f"the file calls the column {name} {lower[name]}")
                continue
            stored = self._as_microseconds(schema.field(name).type)
            if not _fits(hive_type, stored):
                raise FormatError(
                    f"has an incompatible {self._form} schema for column '{key}.{name}'. "
                    f"Column type: {_redshift_type(hive_type)}, {self._form} schema: "
                    f"optional {stored} {name}"
                )

    @property
    def _form(self) -> str:
        return "ORC" if self.library == ORC else "Parquet"

    def _copied(self, batch: Any, suffix: str) -> str:
        names = set(batch.schema.names)
        missing = [NULL] * batch.num_rows
        columns = [
            [self._text(value) for value in self._values(batch.column(name))]
            if name in names
            else missing
            for name, _ in self.columns
        ]
        return "".join("\t".join(row) + suffix for row in zip(*columns, strict=True))

    def _as_microseconds(self, type_: Any) -> Any:
        if self.library == ORC and pa.types.is_timestamp(type_):
            return pa.timestamp("us", type_.tz)
        return type_

    def _values(self, column: Any) -> Iterable[Any]:
        wanted = self._as_microseconds(column.type)
        kept = column if wanted == column.type else column.cast(wanted, safe=False)
        values: Iterable[Any] = kept.to_pylist()
        return values

    def _text(self, value: Any) -> str:
        """A value as PostgreSQL's text format has it."""
        if isinstance(value, str):
            fitted = self.handling.fitted_value(value)
            if fitted is not None and "\0" in fitted:
                raise FormatError("a row holds a NUL character")
            return NULL if fitted is None else copy_value(fitted)
        if value is None:
            return NULL
        if isinstance(value, bool):
            return "t" if value else "f"
        if isinstance(value, float):
            return repr(value) if math.isfinite(value) else str(value).replace("inf", "Infinity")
        if isinstance(value, datetime):
            moment = value.astimezone(UTC) if value.tzinfo else value
            return moment.replace(tzinfo=None).isoformat(" ")
        if isinstance(value, date):
            return value.isoformat()
        return str(value) if isinstance(value, int | Decimal) else _refused(value)


def _refused(value: Any) -> str:
    raise FormatError(f"the laptop cloud does not read a {type(value).__name__}")


def _fits(hive_type: str, stored: Any) -> bool:
    if pa.types.is_dictionary(stored):
        return _fits(hive_type, stored.value_type)
    if decimal := _DECIMAL.fullmatch(hive_type):
        precision, scale = map(int, decimal.groups())
        return pa.types.is_decimal(stored) and (stored.precision, stored.scale) == (
            precision,
            scale,
        )
    return _FITTING[hive_type](stored)


def _redshift_type(hive_type: str) -> str:
    return {"string": "VARCHAR", "int": "INTEGER"}.get(hive_type, hive_type.upper())


def _shown(data: bytes) -> str:
    """Bytes as a text of ASCII that a log can hold."""
    return data.decode("latin-1").encode("unicode_escape").decode()
