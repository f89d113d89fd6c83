"""Redshift's data types and what PostgreSQL calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from local.dialect.tokens import DialectError, Token, closing, outline, render

MAX_VARCHAR_BYTES = 65_535
MAX_CHAR_BYTES = 4_096
MAX_DECIMAL_DIGITS = 38
SUPER = "jsonb"

_FAMILIES = {
    "smallint": "smallint",
    "int2": "smallint",
    "integer": "integer",
    "int": "integer",
    "int4": "integer",
    "bigint": "bigint",
    "int8": "bigint",
    "decimal": "numeric",
    "numeric": "numeric",
    "real": "real",
    "float4": "real",
    "double precision": "double precision",
    "float8": "double precision",
    "float": "double precision",
    "boolean": "boolean",
    "bool": "boolean",
    "char": "char",
    "character": "char",
    "nchar": "char",
    "bpchar": "char",
    "varchar": "varchar",
    "nvarchar": "varchar",
    "character varying": "varchar",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp without time zone": "timestamp",
    "timestamptz": "timestamptz",
    "timestamp with time zone": "timestamptz",
    "time": "time",
    "time without time zone": "time",
    "timetz": "timetz",
    "time with time zone": "timetz",
    "super": SUPER,
}
_LONGEST_NAME = 4
_REFUSED = {
    "text": "Redshift makes it varchar(256); say varchar(n)",
    "json": "Redshift has no such type; keep JSON in varchar",
    "jsonb": "Redshift has no such type; keep JSON in varchar",
    "serial": "Redshift has no such type; use bigint identity(1,1)",
    "bigserial": "Redshift has no such type; use bigint identity(1,1)",
    "uuid": "Redshift has no such type; use varchar(36)",
    "bytea": "Redshift has no such type",
    "varbyte": "the laptop has no VARBYTE",
}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type: its family (PostgreSQL's name) and its arguments, `max` resolved."""

    family: str
    arguments: tuple[int, ...] = ()

    @property
    def sql(self) -> str:
        """The type as PostgreSQL writes it."""
        if not self.arguments:
            return self.family
        return f"{self.family}({', '.join(map(str, self.arguments))})"


def read_type(tokens: Sequence[Token], at: int, column: bool = False) -> tuple[ColumnType, int]:
    """The type that starts at `at`, and the index after it.

    `column`: whether a column is declared, where a varchar without length holds 256 bytes.
    Raises DialectError for a type that Redshift or the laptop lacks.
    """
    for length in range(min(_LONGEST_NAME, len(tokens) - at), 0, -1):
        family = _FAMILIES.get(outline(tokens[at : at + length]))
        if family is not None:
            arguments, after = _read_arguments(tokens, at + length)
            return _checked(family, arguments, column), after
    spelt = outline(tokens[at : at + 1])
    raise DialectError(f"type {spelt}: {_REFUSED.get(spelt, 'not a type of Redshift')}")


def _read_arguments(tokens: Sequence[Token], at: int) -> tuple[list[str], int]:
    if at >= len(tokens) or tokens[at].text != "(":
        return [], at
    close = closing(tokens, at)
    return [token.text.lower() for token in tokens[at + 1 : close] if token.text != ","], close + 1


def _checked(family: str, spelt: list[str], column: bool) -> ColumnType:
    most = {"varchar": MAX_VARCHAR_BYTES, "char": MAX_CHAR_BYTES, "numeric": MAX_DECIMAL_DIGITS}
    if family == SUPER and not column:
        raise DialectError("type super: the laptop has it as the type of a column alone")
    if spelt and family not in most:
        raise DialectError(f"type {family}({', '.join(spelt)}): Redshift takes no precision here")
    try:
        arguments = tuple(most[family] if part == "max" else int(part) for part in spelt)
    except ValueError:
        raise DialectError(f"type {family}({', '.join(spelt)}): not a length") from None
    if arguments and not 1 <= arguments[0] <= most[family]:
        raise DialectError(f"type {family}({arguments[0]}): Redshift allows 1 to {most[family]}")
    if family == "numeric" and not arguments:
        arguments = (18, 0)
    if family == "varchar" and column and not arguments:
        arguments = (256,)
    return ColumnType(family, arguments)


def whole_type(tokens: Sequence[Token], column: bool = False) -> ColumnType:
    """The type that the tokens spell, and nothing beside it. Raises DialectError."""
    column_type, after = read_type(tokens, 0, column)
    if after != len(tokens):
        raise DialectError(f"type {render(tokens)}: not a type of Redshift")
    return column_type
