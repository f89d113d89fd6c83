"""How values are written in text, and which bounds and patterns a type takes."""

import re
from datetime import date, datetime

DATE_TOKENS = {
    "YYYY": "[0-9]{4}",
    "MM": "[0-9]{2}",
    "DD": "[0-9]{2}",
    "M": "[0-9]{1,2}",
    "D": "[0-9]{1,2}",
}
TIME_TOKENS = {"HH": "[0-9]{2}", "MI": "[0-9]{2}", "SS": "[0-9]{2}"}
EPOCHS = ("epoch", "epoch_ms")
_TOKEN = re.compile(r"YYYY|MM|DD|HH|MI|SS|M|D|T(?=HH)|[A-Za-z]+|[^A-Za-z]+")
# Redshift's regular expressions are POSIX's: what follows is Perl's alone.
_PERL = re.compile(r"\(\?|\\[bBAZz]|[*+?}][+?]")


def with_article(kind: str) -> str:
    """The name of a type in a sentence: a date, an integer."""
    return f"{'an' if kind == 'integer' else 'a'} {kind}"


def tokens(text: str) -> list[str]:
    """The parts of a format: YYYY, MM, …, and what stands between them. Raises ValueError."""
    known = {**DATE_TOKENS, **TIME_TOKENS, "T": ""}
    for word in re.findall("[A-Za-z]+", text):
        if any(part not in known for part in _TOKEN.findall(word)):
            raise ValueError(
                f'format "{text}" holds {word}; it is made of YYYY MM DD M D HH MI SS and of what'
                " stands between them, or is epoch or epoch_ms"
            )
    return _TOKEN.findall(text)


def check_format(kind: str, text: str) -> None:
    """Raises ValueError for a format that does not say what a value of the type needs."""
    if kind not in ("date", "timestamp"):
        raise ValueError(f"format is for a date or timestamp, and this is {with_article(kind)}")
    if text in EPOCHS:
        if kind == "date":
            raise ValueError(f"{text} is for a timestamp")
        return
    given = tokens(text)
    wanted = [("YYYY",), ("MM", "M"), ("DD", "D")]
    if kind == "timestamp":
        wanted += [("HH",), ("MI",)]
    for names in wanted:
        if sum(given.count(name) for name in names) != 1:
            raise ValueError(f'format "{text}" of a {kind} must hold {" or ".join(names)} once')
    if kind == "date" and set(given) & set(TIME_TOKENS):
        raise ValueError(f'format "{text}" of a date holds a time; make it a timestamp')


def check_pattern(pattern: str) -> None:
    """Raises ValueError for a pattern that Redshift's `~` does not take."""
    if perl := _PERL.search(pattern):
        raise ValueError(f'pattern "{pattern}" holds {perl[0]}, which POSIX does not know')
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f'pattern "{pattern}": {error}') from None


def check_bound(kind: str, name: str, bound: int | float | str) -> None:
    """Raises ValueError for a bound that is not of the type."""
    if kind in ("text", "boolean"):
        raise ValueError(
            f"{name} is for numbers, dates and timestamps, and this is {with_article(kind)}"
        )
    if kind in ("integer", "decimal", "double"):
        if isinstance(bound, str) or (kind == "integer" and not isinstance(bound, int)):
            wanted = "a whole number" if kind == "integer" else "a number"
            raise ValueError(f"{name} of {kind} must be {wanted}, and is {bound!r}")
        return
    try:
        parsed = (date if kind == "date" else datetime).fromisoformat(str(bound))
    except ValueError:
        parsed = None
    if not isinstance(bound, str) or parsed is None:
        shape = "2026-11-24" if kind == "date" else "2026-11-24 10:00:00"
        raise ValueError(f"{name} of {kind} must be written like {shape}, and is {bound!r}")


# The types of a column that a stored type of Parquet or ORC becomes without loss.
_STORED = {
    "string": ("integer", "decimal", "double", "text", "boolean", "date", "timestamp"),
    "boolean": ("boolean",),
    "tinyint": ("integer",),
    "smallint": ("integer",),
    "int": ("integer",),
    "bigint": ("integer",),
    "float": ("double",),
    "double": ("double",),
    "date": ("date",),
    "timestamp": ("timestamp",),
}
_STORED_DECIMAL = re.compile(r"decimal\(([0-9]{1,2}),([0-9]{1,2})\)")


def stored_fault(stored: str, kind: str, precision: int, scale: int) -> str:
    """Why a stored type does not become this one; empty where it does."""
    if decimal := _STORED_DECIMAL.fullmatch(stored):
        digits, decimals = map(int, decimal.groups())
        if kind != "decimal":
            return f"a stored {stored} is a decimal, not of type {kind}"
        if decimals > scale or digits - decimals > precision - scale:
            return f"a stored {stored} does not fit precision {precision} and scale {scale}"
        return ""
    if stored not in _STORED:
        return f"stored must be {', '.join(_STORED)} or decimal(p,s), and is {stored}"
    if kind not in _STORED[stored]:
        return f"a stored {stored} becomes {', '.join(_STORED[stored])}, not {kind}"
    return ""
