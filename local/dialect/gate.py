"""What Redshift would refuse in a single SQL statement, found before PostgreSQL sees it.

Three sieves: patterns of what PostgreSQL takes and Redshift does not, sqlfluff's grammar of
Redshift, and the list of functions. A filter, not a proof.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from local.dialect.functions import FRAMED, refusal
from local.dialect.remembered import keep, recalled
from local.dialect.tokens import DialectError, Token, closing, outline, render

if TYPE_CHECKING:
    from sqlfluff.core.parser import BaseSegment

EXTERNAL_SCHEMA = "lake"

_REFUSED_PATTERNS = [
    (r"\bon conflict\b", "ON CONFLICT: Redshift has no upsert; delete and insert, or merge"),
    (r"\breturning\b", "RETURNING: Redshift does not have it"),
    (r"\bfilter \( where\b", "FILTER (WHERE …): Redshift does not have it; use sum(case …)"),
    (r"\bdistinct on\b", "DISTINCT ON: Redshift does not have it; use row_number()"),
    (r"\blateral\b", "LATERAL: Redshift does not have it"),
    (r"\barray\b|\[", "arrays: Redshift does not have them, and the laptop has no SUPER"),
    (r"\bselect (distinct )?top \d", "TOP: the laptop does not have it; use limit"),
    (r"\bqualify\b", "QUALIFY: the laptop does not have it; use a subquery"),
    (r"\bminus select\b", "MINUS: the laptop does not have it; use except"),
    (r"\bfetch (first|next)\b", "FETCH FIRST: Redshift does not have it; use limit"),
    (r"\bfor (update|share|no key)\b", "FOR UPDATE: Redshift does not have it; use lock"),
    (r"\b(ignore|respect) nulls\b", "IGNORE NULLS: the laptop does not have it"),
    (r"\bapproximate\b", "APPROXIMATE: Redshift estimates, the laptop cannot"),
    (r"\b(un)?pivot \(", "PIVOT: the laptop does not have it"),
    (r"\btablesample\b", "TABLESAMPLE: Redshift does not have it"),
    (r"\b(from|join|in|as) (\( )?values\b", "VALUES as a table: Redshift has it in INSERT alone"),
    (r"\bas (not )?materialized \(", "MATERIALIZED: Redshift does not have it in WITH"),
    (r"\bwith ordinality\b", "WITH ORDINALITY: Redshift does not have it"),
    (r"\bwindow \w+ as \(", "WINDOW clause: Redshift does not have it"),
    (r"\b(range|groups) (between|unbounded|current|'' )", "window frame: Redshift has ROWS alone"),
    (r"\bis (not )?distinct from\b", "IS DISTINCT FROM: Redshift does not have it"),
    (r"\bcollate\b", "COLLATE: the laptop does not vouch for collations"),
    (
        r"\b(current_timestamp|current_time|localtimestamp|localtime)\b",
        "CURRENT_TIMESTAMP and its like: deprecated on Redshift; use getdate() or sysdate",
    ),
    (r"(?:->>?|@>|#>|\?)", "JSON operators: Redshift does not have them"),
    (r"#", "#: neither temporary names nor XOR are vouched for"),
    (r"^with\b.*?\) insert into\b", "WITH before INSERT: Redshift wants it before the SELECT"),
    (r"\bas \( (insert|update|delete)\b", "WITH … that writes: Redshift does not have it"),
    (r"\bset \(", "UPDATE … SET (a, b): Redshift sets one column at a time"),
    (r"\b(e|b|x|n|u &) ''", "prefixed literals: not vouched for"),
    (r"\b(except|intersect) all\b", "EXCEPT ALL, INTERSECT ALL: Redshift does not have them"),
    (r"\boverriding (system|user) value\b", "OVERRIDING: Redshift does not have it"),
    (r"\bupdate only\b", "ONLY: Redshift does not have it"),
    (r"\border by [^()]* using [<>]", "ORDER BY … USING: Redshift does not have it"),
    (r"\bis (not )?normalized\b", "IS NORMALIZED: Redshift does not have it"),
    (r"\brecursive \w+ as \(", "WITH RECURSIVE: Redshift wants a list of its columns"),
    (r"= >", "named arguments: Redshift does not have them"),
    (r"\bis (not )?json\b", "IS JSON: Redshift does not have it; use is_valid_json"),
    (
        rf"\b(into|update|delete from|lock|lock table) {EXTERNAL_SCHEMA} \.",
        "external tables: a transaction block cannot write or lock them",
    ),
]
_PATTERNS = [(re.compile(pattern), reason) for pattern, reason in _REFUSED_PATTERNS]
_NO_ALIAS = set(
    """
    where group order having limit join inner left right full cross natural on using union except
    intersect
    """.split()
) | {""}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """What sqlfluff saw: the kind of statement, the functions called, the tables named."""

    kind: str
    functions: tuple[str, ...]
    tables: tuple[str, ...]
    selects_external_star: bool


def check(tokens: Sequence[Token]) -> Statement:
    """Lets one statement pass and tells what it is. Raises DialectError."""
    check_patterns(tokens)
    _check_subqueries(tokens)
    _check_windows(tokens)
    _check_literals(tokens)
    statement = _parse(_without_parameters(tokens))
    _check_functions(statement)
    if statement.selects_external_star:
        raise DialectError(
            f"SELECT * over {EXTERNAL_SCHEMA}: name the columns; Redshift leaves "
            'the columns "$path" and "$size" out, the laptop cannot'
        )
    return statement


def check_patterns(tokens: Sequence[Token]) -> None:
    """The first sieve alone. Raises DialectError."""
    text = outline(tokens)
    for pattern, reason in _PATTERNS:
        if pattern.search(text):
            raise DialectError(reason)


def _check_subqueries(tokens: Sequence[Token]) -> None:
    for index, token in enumerate(tokens[:-2]):
        if token.word not in {"from", "join"} or tokens[index + 1].text != "(":
            continue
        after = closing(tokens, index + 1) + 1
        is_query = tokens[index + 2].word in {"select", "with"}
        if is_query and (after == len(tokens) or tokens[after].name in _NO_ALIAS):
            raise DialectError("a subquery in FROM without an alias: Redshift wants one")


def _check_windows(tokens: Sequence[Token]) -> None:
    for index, token in enumerate(tokens[:-1]):
        if token.word != "over" or tokens[index + 1].text != "(":
            continue
        window = [part.word for part in tokens[index + 2 : closing(tokens, index + 1)]]
        name = tokens[_opening(tokens, index - 1) - 1].word
        if name in FRAMED and "order" in window and "rows" not in window:
            raise DialectError(
                f"{name}(…) over (… order by …): Redshift wants a frame; "
                "write rows between unbounded preceding and current row"
            )


def _opening(tokens: Sequence[Token], closed: int) -> int:
    depth = 0
    for index in range(closed, -1, -1):
        depth += {")": 1, "(": -1}.get(tokens[index].text, 0)
        if depth == 0:
            return index
    raise DialectError("OVER follows no function")


def _check_literals(tokens: Sequence[Token]) -> None:
    for before, token in pairwise(tokens):
        if before.kind == "number" and token.kind == "word" and not token.before:
            raise DialectError(f"number {before.text}{token.text}: Redshift cannot read it")
    for token in tokens:
        if token.kind == "string" and any(
            escaped not in "\\'bfnrt%_" for escaped in _ESCAPE.findall(token.text)
        ):
            raise DialectError(
                f"literal {token.text}: Redshift drops a single backslash; write two"
            )


def _without_parameters(tokens: Sequence[Token]) -> str:
    # sqlfluff knows no parameters of the Data API or of the wire.
    return render([Token("number", "1", t.before) if t.kind == "parameter" else t for t in tokens])


_NAMES_PROCEDURES = {
    "access_statement",
    "alter_procedure_statement",
    "drop_procedure_statement",
}


def _check_functions(statement: Statement) -> None:
    if statement.kind in _NAMES_PROCEDURES:
        return
    called = statement.functions
    for name in called[1:] if statement.kind == "call_statement" else called:
        if reason := refusal(name):
            raise DialectError(reason)


@cache
def _parser() -> Callable[[str], BaseSegment | None]:
    # Imported late: it takes a second, and nobody who sends no SQL should wait for it.
    from sqlfluff.core import FluffConfig
    from sqlfluff.core.parser import Lexer, Parser

    config = FluffConfig(overrides={"dialect": "redshift"})
    lexer, parser = Lexer(config=config), Parser(config=config)
    one_at_a_time = Lock()  # Statements come from many threads; sqlfluff promises nothing there.

    def parse(sql: str) -> BaseSegment | None:
        with one_at_a_time:
            segments, errors = lexer.lex(sql)
            return None if errors else parser.parse(segments)

    return parse


@lru_cache(maxsize=4096)
def _parse(sql: str) -> Statement:
    if (known := recalled(sql, _grammar())) is not None:
        with suppress(KeyError, TypeError):
            return Statement(
                kind=known["kind"],
                functions=tuple(known["functions"]),
                tables=tuple(known["tables"]),
                selects_external_star=known["selects_external_star"],
            )
    statement = _parse_anew(sql)
    keep(sql, _grammar(), asdict(statement))
    return statement


@cache
def _grammar() -> str:
    """What an answer of `_parse` depends on beside the statement."""
    text = version("sqlfluff").encode() + Path(__file__).read_bytes()
    return hashlib.sha256(text).hexdigest()


def _parse_anew(sql: str) -> Statement:
    tree = _parser()(sql)
    if tree is None:
        raise DialectError(f"not Redshift SQL: {sql[:80]!r}")
    for unparsable in tree.recursive_crawl("unparsable"):
        raise DialectError(f"not Redshift SQL at {unparsable.raw.strip()[:80]!r}")
    statements = list(tree.recursive_crawl("statement", recurse_into=False))
    if len(statements) != 1:
        raise DialectError(f"{len(statements)} statements where one is expected")
    return Statement(
        kind=statements[0].segments[0].get_type(),
        functions=tuple(_names(tree, "function_name")),
        tables=tuple(_names(tree, "table_reference")),
        selects_external_star=any(map(_is_external_star, tree.recursive_crawl("select_statement"))),
    )


def _names(tree: BaseSegment, kind: str) -> Iterator[str]:
    for segment in tree.recursive_crawl(kind):
        yield "".join(segment.raw.lower().replace('"', "").split())


def _is_external_star(select: BaseSegment) -> bool:
    clause = select.get_child("select_clause")
    source = select.get_child("from_clause")
    if clause is None or source is None:
        return False
    stars = clause.recursive_crawl("wildcard_expression", no_recursive_seg_type="select_statement")
    tables = source.recursive_crawl("table_reference", no_recursive_seg_type="select_statement")
    names = ["".join(table.raw.lower().replace('"', "").split()) for table in tables]
    return any(True for _ in stars) and any(n.startswith(f"{EXTERNAL_SCHEMA}.") for n in names)
