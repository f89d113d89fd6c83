"""The columns that a spec's SQL names: a misspelt one is found here, not at the first load."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache

from sqlfluff.core import Linter


@cache
def _linter() -> Linter:
    return Linter(dialect="redshift")


@cache
def parsed(sql: str) -> tuple[tuple[str, ...], str]:
    """(the columns that an expression names, what is wrong with it as SQL of Redshift)."""
    # On a line of its own, for a comment at its end.
    found = _linter().parse_string(f"select (\n{sql}\n)\n")
    try:
        tree = found.tree
    except AssertionError:
        return (), "a bracket or quote is not closed"
    if rest := next((each.raw for each in tree.recursive_crawl("unparsable")), None):
        return (), f"nothing fits from {rest!r} on"
    if len(list(tree.recursive_crawl("statement"))) > 1:
        return (), "is more than an expression"
    names = (each.raw.replace('"', "") for each in tree.recursive_crawl("column_reference"))
    return tuple(dict.fromkeys(names)), ""


def faults(sql: str, known: Iterable[str]) -> Iterator[str]:
    """What is wrong with an expression over these columns."""
    names, fault = parsed(sql)
    if fault:
        yield f"is no expression of Redshift's SQL: {sql!r}: {fault}"
    known = list(known)
    for name in names:
        if name.lower() not in known:
            near = get_close_matches(name.lower(), known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            yield f"no column is called {name}; {meant}there are {', '.join(known)}"
