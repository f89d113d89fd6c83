"""The gate before the laptop's warehouse: Redshift SQL in, PostgreSQL out, or a refusal.

`translate` refuses what Redshift would refuse and what the laptop cannot vouch for, and writes
the rest as PostgreSQL with the functions of redshift.sql. A filter, not a proof: it knows
neither types nor names. Known differences that stay: a cast to varchar(n) and a variable of
that type count characters (columns count bytes, by a constraint); a view WITH NO SCHEMA BINDING
is bound; constraints that Redshift only believes are dropped; trailing blanks count where GROUP BY,
DISTINCT, ORDER BY, min and max compare texts, and outside procedures that pin their search path.
"""

from __future__ import annotations

import re
from functools import lru_cache

from local.dialect.procedures import create_procedure
from local.dialect.statements import translate_statement
from local.dialect.tokens import DialectError, outline, split, tokenize

__all__ = ["DialectError", "split", "translate"]


@lru_cache(maxsize=1024)
def translate(statement: str) -> str:
    """One statement, or one whole CREATE PROCEDURE, as PostgreSQL runs it.

    Parameters (`:name`, `$1`, `%(name)s`) stay as they are. An empty statement stays empty.
    Raises DialectError, whose message names the construct and the reason.
    """
    tokens = tokenize(statement)
    if tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        return ""
    if any(token.text == ";" for token in tokens):
        raise DialectError("several statements where one is expected")
    if re.match(r"create (or replace )?procedure\b", outline(tokens)):
        return create_procedure(tokens)
    return translate_statement(tokens)
