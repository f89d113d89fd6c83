"""Names that SQL takes without quotes, and that no name made here can collide with."""

import re
from functools import cache

from sqlfluff.core.dialects import dialect_selector

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# What tables and the load procedure have themselves: columns, parameters and variables.
_TAKEN = {
    *("file_id", "run_id", "source_rows", "line", "kind", "reject_reason", "reject_value"),
    *("p_run_id", "p_load_id", "p_files", "p_same_key", "p_status", "p_files_loaded"),
    *("p_files_skipped", "p_source_rows", "p_rejected_rows", "p_aggregate_rows"),
    *("p_empty_file_ids", "p_dates_covered", "p_reject_reasons", "p_rejected_files"),
    "p_same_files",
    *("v_blanks", "v_started_at", "v_new_files", "v_superseded_files", "v_replaced_files"),
    *("v_refused_rows", "v_counted_rows", "v_table_rows", "v_kept_rows"),
    *("v_first_date", "v_last_date"),
}


def check_name(name: str) -> str:
    """The name again. Raises ValueError for one that SQL would have in quotes, or that is taken."""
    if fault := _fault(name):
        raise ValueError(f'"{name}" {fault}; call it {suggested(name)}')
    return name


def check_column_name(name: str) -> str:
    """As `check_name`, for what a file may call otherwise."""
    try:
        return check_name(name)
    except ValueError as error:
        raise ValueError(f"{error}, and give source: {name}") from None


def _fault(name: str) -> str:
    if not _NAME.fullmatch(name):
        return (
            "must hold small letters, digits and _ only, begin with a letter, and have 63 at most"
        )
    if "__" in name:
        return "holds __, which is kept for names that are made here"
    if name in _TAKEN:
        return "is a name that tables and load procedures have themselves"
    return "is a reserved word of Redshift" if name in reserved_words() else ""


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
