"""Names that SQL takes without quotes, and that no name made here can collide with."""

import re
from functools import cache

from sqlfluff.core.dialects import dialect_selector

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# What an external table calls its own.
_TAKEN = {"file_id", "run_id", "source_rows"}


def check_name(name: str) -> str:
    """The name again. Raises ValueError for one that SQL would have in quotes, or that is taken."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'"{name}" must hold small letters, digits and _ only, begin with a letter, and have 63'
            f" at most; call it {suggested(name)}, and give what the file calls it as source"
        )
    if "__" in name:
        raise ValueError(f'"{name}" holds __, which is kept for names that are made here')
    if name in _TAKEN:
        raise ValueError(f'"{name}" is the name of a column that every table has')
    if name in reserved_words():
        raise ValueError(
            f'"{name}" is a reserved word of Redshift; call it {name}_ and give source: {name}'
        )
    return name


def suggested(heading: str) -> str:
    """A name for what a file calls anything."""
    name = re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")[:60] or "column"
    if not name[0].isalpha():
        name = f"c_{name}"
    return f"{name}_" if name in reserved_words() | _TAKEN else name


@cache
def reserved_words() -> frozenset[str]:
    """Redshift's, in small letters, as sqlfluff's dialect lists them."""
    words = dialect_selector("redshift").sets("reserved_keywords")
    return frozenset(word.lower() for word in words)
