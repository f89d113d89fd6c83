"""Hive's LazySimpleSerDe, as Spectrum reads text with it: a delimiter, and nothing quoted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from local.serde import NULL, FormatError, Handling, copy_value

LAZY_SIMPLE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
NULL_TEXT = "\\N"  # what the Java class takes for NULL, unless a table says otherwise
_PARAMETERS = {"field.delim", "serialization.format"}


@dataclass(frozen=True)
class LazySimple:
    """LazySimpleSerDe over `width` columns, all of them strings.

    It follows the Java class: a line is a row; a column that the line lacks is NULL, one too many
    is dropped; the text `\\N` is NULL; no character escapes or quotes another.
    """

    width: int
    delimiter: str = "\x01"
    handling: Handling = field(default_factory=Handling)

    @classmethod
    def from_parameters(
        cls, width: int, parameters: Mapping[str, str], handling: Handling | None = None
    ) -> "LazySimple":
        """Read the SerDe's parameter field.delim. Raises FormatError for others."""
        if unknown := parameters.keys() - _PARAMETERS:
            raise FormatError(f"the laptop cloud does not do {', '.join(sorted(unknown))}")
        delimiter = parameters.get("field.delim", "\x01")
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in "\r\n":
            raise FormatError("field.delim must be one ASCII character")
        return cls(width, delimiter, handling or Handling())

    def of(self, key: str) -> "LazySimple":
        """The SerDe for the file of this key: columns are counted in plain text alone."""
        return LazySimple(self.width, self.delimiter, self.handling.of(key))

    def copy_rows(self, block: bytes, more: Iterable[str]) -> bytes:
        """Turn a block of whole lines into `COPY` text, each row followed by the values `more`."""
        if b"\0" in block:
            raise FormatError("a row holds a NUL character")
        try:
            lines = block.decode().split("\n")[:-1]
        except UnicodeDecodeError as error:
            raise FormatError("a row is not valid UTF-8") from error
        suffix = "".join("\t" + copy_value(value) for value in more) + "\n"
        return "".join(self._copy_row(line, suffix) for line in lines).encode()

    def _copy_row(self, line: str, suffix: str) -> str:
        row = self.handling.fitted(line.split(self.delimiter), self.width)
        if row is None:
            return ""
        values = [*row, *[None] * (self.width - len(row))]
        return "\t".join(map(_copied, values)) + suffix


def _copied(value: str | None) -> str:
    return NULL if value is None or value == NULL_TEXT else copy_value(value)
