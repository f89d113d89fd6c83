"""SUPER, as far as the product needs it: an array in a column, whose objects become rows.

`from t as a, a.entries as entry` iterates over the array, and `cast(entry.field as type)` reads a
field of one entry. PostgreSQL keeps the column as jsonb. Whatever else Redshift does with SUPER is
refused, for the laptop cannot vouch for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from local.dialect.tokens import DialectError, Token, outline, render

_WRITTEN_OUT = 6  # , a . entries as entry


def unnested(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with iteration and fields as PostgreSQL writes them. Raises DialectError."""
    out: list[Token] = []
    entries: set[str] = set()
    at = 0
    while at < len(tokens):
        if _is_unnesting(tokens, at):
            entries.add(tokens[at + 5].name)
            out += _joined(tokens[at + 1 : at + _WRITTEN_OUT])
            at += _WRITTEN_OUT
        else:
            out.append(tokens[at])
            at += 1
    return _with_fields(out, entries) if entries else out


def _is_unnesting(tokens: Sequence[Token], at: int) -> bool:
    """Whether a comma follows `as a`, and `a.entries as entry` follows it."""
    part = tokens[at : at + _WRITTEN_OUT]
    if len(part) < _WRITTEN_OUT or at < 2 or part[0].text != "," or tokens[at - 2].word != "as":
        return False
    is_navigation = part[2].text == "." and part[4].word == "as"
    return is_navigation and part[1].name == tokens[at - 1].name != "" and part[5].kind == "word"


def _joined(part: Sequence[Token]) -> list[Token]:
    table, _, column, _, entry = part
    text = f"cross join lateral jsonb_array_elements ( {table.text} . {column.text} ) as"
    words = [Token("word", word, " ") for word in (*text.split(), entry.text, "(", "value", ")")]
    return [Token("symbol", t.text, " ") if t.text in "().," else t for t in words]


def _with_fields(tokens: Sequence[Token], entries: set[str]) -> list[Token]:
    out: list[Token] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.name not in entries or outline(tokens[at + 1 : at + 3]) == "( value":
            out.append(token)
            at += 1
            continue
        before = outline(tokens[max(at - 2, 0) : at])
        if (
            before != "cast ("
            or outline(tokens[at + 1 : at + 2]) != "."
            or (tokens[at + 3].word != "as")
        ):
            raise DialectError(
                f"SUPER {render(tokens[at : at + 4])}: vouched for is cast(entry.field as type)"
            )
        field = Token("string", f"'{tokens[at + 2].name}'", " ")
        out += [
            *(Token("symbol", "(", token.before), Token("word", token.text), Token("symbol", ".")),
            *(Token("word", "value"), Token("symbol", "->>", " "), field, Token("symbol", ")")),
        ]
        at += 3
    return out
