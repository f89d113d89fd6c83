"""Keys under raw/<dataset>/ that are no uploads: what senders write on the way, and markers.

A pattern that ends in a slash is of a folder, at any depth; others are of the file's name. They are
shell patterns, and small and capital letters are one to them.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from functools import cache

from start_loads.ignored_of_datasets import IGNORED_OF_DATASETS

IGNORED = (
    # Files that are still being written, to be renamed: that is, copied and deleted.
    "_temporary/",
    "_spark_metadata/",
    ".spark-staging*/",
    ".hive-staging*/",
    "*._copying_",
    "*.filepart",
    "*.part",
    "*.partial",
    "*.crdownload",
    "*.inprogress",
    "*.tmp",
    "*.temp",
    "*.swp",
    # Markers and checksums of Hadoop, Spark, Databricks and EMR.
    "_SUCCESS",
    "_FAILURE",
    "_committed_*",
    "_started_*",
    "_metadata",
    "_common_metadata",
    "*_$folder$",
    "*.crc",
    # What desktops leave in folders.
    "__MACOSX/",
    ".DS_Store",
    "._*",
    "Thumbs.db",
    "desktop.ini",
    "~$*",
    ".~lock.*#",
)


def matching_pattern(
    key: str, of_datasets: Mapping[str, Sequence[str]] = IGNORED_OF_DATASETS
) -> str:
    """The pattern that makes this key of raw/<dataset>/ no upload; "" where it is one.

    `of_datasets` has the patterns that datasets add for themselves.
    """
    _, dataset, *folders, name = key.split("/")
    added = tuple(of_datasets.get(dataset, ()))
    is_ignored = _expression(added).fullmatch
    # A folder is told from a name by its slash, in keys as in patterns.
    parts = [name, *(f"{folder}/" for folder in folders)]
    match = next((match for part in parts if (match := is_ignored(part))), None)
    return (*IGNORED, *added)[match.lastindex - 1] if match and match.lastindex else ""


@cache
def _expression(added: tuple[str, ...]) -> re.Pattern[str]:
    """One with a group for each pattern: a sweep asks about every key that waits."""
    groups = (f"({translate(pattern)})" for pattern in (*IGNORED, *added))
    return re.compile("|".join(groups), re.IGNORECASE)
