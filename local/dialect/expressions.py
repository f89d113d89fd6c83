"""Redshift's expressions written as PostgreSQL's: functions, casts, literals, identifiers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from local.dialect.column_types import ColumnType, read_type, whole_type
from local.dialect.functions import DEFINED, RENAMED
from local.dialect.tokens import DialectError, Token, closing, depths, render, separated

_DATE_PARTS = {
    "millennium": "millennium", "millennia": "millennium", "mil": "millennium",
    "century": "century", "centuries": "century", "c": "century",
    "decade": "decade", "decades": "decade",
    "year": "year", "years": "year", "y": "year", "yr": "year", "yrs": "year",
    "quarter": "quarter", "quarters": "quarter", "qtr": "quarter", "qtrs": "quarter",
    "month": "month", "months": "month", "mon": "month", "mons": "month",
    "week": "week", "weeks": "week", "w": "week",
    "dayofweek": "dow", "dow": "dow", "dw": "dow", "weekday": "dow",
    "dayofyear": "doy", "doy": "doy", "dy": "doy", "yearday": "doy",
    "day": "day", "days": "day", "d": "day",
    "hour": "hour", "hours": "hour", "h": "hour", "hr": "hour", "hrs": "hour",
    "minute": "minute", "minutes": "minute", "m": "minute", "min": "minute", "mins": "minute",
    "second": "second", "seconds": "second", "s": "second", "sec": "second", "secs": "second",
    "millisecond": "millisecond", "milliseconds": "millisecond", "ms": "millisecond",
    "microsecond": "microsecond", "microseconds": "microsecond", "us": "microsecond",
    "epoch": "epoch",
}  # fmt: skip

SYSTEM_VIEW = re.compile(r"(svv|stv|sys)_")


def rewrite(tokens: Sequence[Token]) -> str:
    """The tokens as PostgreSQL text. Raises DialectError for what has no equal there."""
    out: list[str] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        text, index = _rewrite_at(tokens, index)
        out.append(token.before + text if out else text)
    return "".join(out)


def _rewrite_at(tokens: Sequence[Token], index: int) -> tuple[str, int]:
    token = tokens[index]
    if token.word == "pg_catalog" and _names_system_view(tokens, index + 2):
        return "redshift", index + 1
    if token.word == "by" and index and tokens[index - 1].word == "partition":
        return _partition(tokens, index)
    if _is_call(tokens, index):
        close = closing(tokens, index + 1)
        inside = tokens[index + 2 : close]
        if token.word == "listagg":
            return _listagg(inside, tokens, close)
        if token.word in _CALLS:
            return _CALLS[token.word](inside), close + 1
        return _function_name(token), index + 1
    if token.text == "::":
        column_type, after = read_type(tokens, index + 1)
        return f"::{column_type.sql}", after
    return _rewrite_token(token), index + 1


def _partition(tokens: Sequence[Token], by: int) -> tuple[str, int]:
    """Texts that differ in trailing blanks alone are one partition on Redshift."""
    ends = [
        index
        for index, token, depth in depths(tokens[by + 1 :])
        if depth == 0 and token.word in {"order", "rows"}
    ]
    after = by + 1 + ends[0] if ends else len(tokens)
    for index, token, depth in depths(tokens[by + 1 : after]):
        if depth == -1 and token.text == ")":
            after = by + 1 + index
            break
    parts = separated(tokens[by + 1 : after], ",")
    compared = ", ".join(f"redshift.comparable({rewrite(part)})" for part in parts)
    return f"by {compared}", after


def _names_system_view(tokens: Sequence[Token], index: int) -> bool:
    """Whether it is a view of Redshift's, which PostgreSQL must look for elsewhere."""
    return index < len(tokens) and bool(SYSTEM_VIEW.match(tokens[index].word))


def _is_call(tokens: Sequence[Token], index: int) -> bool:
    if not tokens[index].word or tokens[index + 1 : index + 2] == []:
        return False
    qualified = index > 0 and tokens[index - 1].text == "."
    return tokens[index + 1].text == "(" and not qualified


def _function_name(token: Token) -> str:
    if token.word in DEFINED:
        return f"redshift.{token.word}"
    return RENAMED.get(token.word, token.text)


def _rewrite_token(token: Token) -> str:
    if token.kind == "quoted":
        return token.text.lower()  # Redshift folds quoted identifiers too.
    if token.kind == "string" and "\\" in token.text:
        return f"E{token.text}"  # Redshift reads backslashes as escapes in every literal.
    if token.word == "sysdate":
        return "redshift.sysdate()"
    return token.text


def literal(value: str) -> str:
    """The text as a literal of PostgreSQL."""
    return "'" + value.replace("'", "''") + "'"


def _split_as(inside: Sequence[Token]) -> tuple[str, ColumnType]:
    for index, token, depth in depths(inside):
        if depth == 0 and token.word == "as":
            return rewrite(inside[:index]), whole_type(inside[index + 1 :])
    raise DialectError(f"cast({render(inside)}): no type")


def _cast(inside: Sequence[Token]) -> str:
    value, column_type = _split_as(inside)
    return f"cast({value} as {column_type.sql})"


def _try_cast(inside: Sequence[Token]) -> str:
    value, column_type = _split_as(inside)
    if column_type.family in {"varchar", "char"}:
        return f"cast({value} as {column_type.sql})"
    function = f"redshift.try_cast_{column_type.family.replace(' ', '_')}"
    if column_type.family == "numeric":
        return f"{function}({value}, {literal(column_type.sql)})::{column_type.sql}"
    return f"{function}({value})"


def _arguments(name: str, inside: Sequence[Token], least: int, most: int) -> list[str]:
    arguments = [rewrite(part) for part in separated(inside, ",")]
    if not least <= len(arguments) <= most:
        raise DialectError(f"{name}({render(inside)}): {len(arguments)} arguments")
    return arguments


def _decode(inside: Sequence[Token]) -> str:
    value, *rest = _arguments("decode", inside, 3, 1000)
    pairs = [
        f" when {value} is not distinct from {rest[i]} then {rest[i + 1]}"
        for i in range(0, len(rest) - 1, 2)
    ]
    otherwise = f" else {rest[-1]}" if len(rest) % 2 else ""
    return f"(case{''.join(pairs)}{otherwise} end)"


def _nvl2(inside: Sequence[Token]) -> str:
    value, given, missing = _arguments("nvl2", inside, 3, 3)
    return f"(case when {value} is not null then {given} else {missing} end)"


def _date_part_name(tokens: Sequence[Token]) -> str:
    spelt = render(tokens).strip("'\"").lower()
    if spelt not in _DATE_PARTS:
        raise DialectError(f"date part {spelt}: not one of Redshift's")
    return _DATE_PARTS[spelt]


def _with_part(function: str, count: int) -> Callable[[Sequence[Token]], str]:
    def call(inside: Sequence[Token]) -> str:
        part, *rest = separated(inside, ",") or [[]]
        if len(rest) != count:
            raise DialectError(f"{function}({render(inside)}): {len(rest) + 1} arguments")
        values = ", ".join(rewrite(value) for value in rest)
        return f"{function}('{_date_part_name(part)}', {values})"

    return call


def _extract(inside: Sequence[Token]) -> str:
    if len(inside) < 3 or inside[1].word != "from":
        raise DialectError(f"extract({render(inside)}): write extract(part from value)")
    part = _date_part_name(inside[:1])
    # Redshift answers whole numbers, PostgreSQL decimals.
    kind = "bigint" if part == "epoch" else "integer"
    return f"floor(extract({part} from {rewrite(inside[2:])}))::{kind}"


def _median(inside: Sequence[Token]) -> str:
    return f"percentile_cont(0.5) within group (order by {rewrite(inside)})"


def _listagg(inside: Sequence[Token], tokens: Sequence[Token], close: int) -> tuple[str, int]:
    distinct = bool(inside) and inside[0].word == "distinct"
    arguments = separated(inside[1:] if distinct else inside, ",")
    if not 1 <= len(arguments) <= 2:
        raise DialectError(f"listagg({render(inside)}): a value and a separator")
    order, after = _within_group(tokens, close + 1)
    if [token.word for token in tokens[after : after + 1]] == ["over"]:
        raise DialectError("listagg … over: the laptop has it as an aggregate only")
    separator = rewrite(arguments[1]) if len(arguments) == 2 else "''"
    head = "distinct " if distinct else ""
    joined = f"string_agg({head}({rewrite(arguments[0])})::varchar, {separator}{order})"
    return f"redshift.within_varchar({joined})", after


def _within_group(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    if [token.word for token in tokens[at : at + 2]] != ["within", "group"]:
        return "", at
    close = closing(tokens, at + 2)
    return " " + rewrite(tokens[at + 3 : close]), close + 1


def _json_extract_path_text(inside: Sequence[Token]) -> str:
    # PostgreSQL wants the variable part last, Redshift puts null_if_invalid there.
    arguments = _arguments("json_extract_path_text", inside, 2, 7)
    function = "redshift.json_extract_path_text"
    if arguments[-1].lower() in {"true", "false"}:
        function += "_or_null" if arguments.pop().lower() == "true" else ""
    return f"{function}({', '.join(arguments)})"


_CALLS: dict[str, Callable[[Sequence[Token]], str]] = {
    "cast": _cast,
    "try_cast": _try_cast,
    "decode": _decode,
    "nvl2": _nvl2,
    "json_extract_path_text": _json_extract_path_text,
    "dateadd": _with_part("redshift.dateadd", 2),
    "date_add": _with_part("redshift.dateadd", 2),
    "datediff": _with_part("redshift.datediff", 2),
    "date_diff": _with_part("redshift.datediff", 2),
    "date_part": _with_part("date_part", 1),
    "extract": _extract,
    "median": _median,
}
