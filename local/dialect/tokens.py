"""Redshift SQL as tokens: what every other part of the gate reads.

A token carries the blanks and comments before it, so that a list of tokens is the statement
without its noise, and joining it again gives the statement back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class DialectError(Exception):
    """The statement is one that Redshift would refuse, or that the laptop cannot vouch for.

    The message names the construct and the reason.
    """


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `kind`: word, quoted, string, body, parameter, number or symbol."""

    kind: str
    text: str
    before: str = ""

    @property
    def word(self) -> str:
        """The lower-cased word; empty for every other kind."""
        return self.text.lower() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The identifier as Redshift folds it, quoted or not; empty for every other kind."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"').lower()
        return self.word


_TOKEN = re.compile(
    r"""
      (?P<string>'(?:[^'\\]|''|\\.)*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<body>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<number>(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<symbol>::|:=|\.\.|\|\||<=|>=|<>|!=|<<|>>|->>|->|\#>|@>|!~\*|!~|~\*)
    | (?P<parameter>:[A-Za-z_]\w*|\$\d+|%\(\w+\)s)
    | (?P<other>[-+*/%^<>=~!@\#&|?;,.:()\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"\s+|--[^\n]*")
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def tokenize(sql: str) -> list[Token]:
    """The statement's tokens. Raises DialectError at a quote or comment that never ends."""
    tokens: list[Token] = []
    at = 0
    while True:
        start = _after_blanks(sql, at)
        if start == len(sql):
            return tokens
        match = _TOKEN.match(sql, start)
        if match is None:
            raise DialectError(f"cannot be read at: {sql[start : start + 40]!r}")
        kind = match.lastgroup or ""
        kind = {"other": "symbol", "tag": "body"}.get(kind, kind)
        tokens.append(Token(kind, match.group(), sql[at:start]))
        at = match.end()


def _after_blanks(sql: str, at: int) -> int:
    while True:
        if match := _BLANK.match(sql, at):
            at = match.end()
        elif sql.startswith("/*", at):
            at = _after_comment(sql, at)
        else:
            return at


def _after_comment(sql: str, at: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise DialectError("a comment never ends")


def render(tokens: Sequence[Token]) -> str:
    """The text that the tokens came from, without what stood before the first."""
    if not tokens:
        return ""
    return "".join(token.before + token.text for token in tokens)[len(tokens[0].before) :]


def outline(tokens: Sequence[Token]) -> str:
    """The tokens in lower case, one blank between two, literals emptied: for patterns."""
    blanked = {"string": "''", "body": "$$"}
    return " ".join(blanked.get(token.kind, token.text.lower()) for token in tokens)


def depths(tokens: Sequence[Token]) -> Iterator[tuple[int, Token, int]]:
    """Each token as (index, token, depth), a bracket having the depth that it stands at."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.text == ")":
            depth -= 1
        yield index, token, depth
        if token.text == "(":
            depth += 1


def separated(tokens: Sequence[Token], separator: str) -> list[list[Token]]:
    """The parts between separators outside brackets; none for no tokens."""
    parts: list[list[Token]] = [[]]
    for _, token, depth in depths(tokens):
        if depth == 0 and token.text == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts if tokens else []


def closing(tokens: Sequence[Token], opened: int) -> int:
    """The index of the bracket that closes the one at `opened`."""
    for index, token, depth in depths(tokens[opened:]):
        if token.text == ")" and depth == 0:
            return opened + index
    raise DialectError(f"a bracket never closes: {render(tokens[opened : opened + 8])!r}")


def split(sql: str) -> list[str]:
    """The statements of a script, in order, without their semicolons.

    A comment before a statement is left out; one within it stays. Raises DialectError
    at a quote, body or comment that never ends.
    """
    pieces = separated(tokenize(sql), ";")
    return [statement for piece in pieces if (statement := render(piece))]
