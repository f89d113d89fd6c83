"""Datasets as the oracle knows them: how a file is made, and what it amounts to.

Written from what a dataset promises its readers, not from its SQL: what both say must agree.
"""

import csv
import io
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

Grain = tuple[Any, ...]
Measures = tuple[int, ...]
Row = list[str]


class RefusedError(Exception):
    """No part of this file may count."""


class RejectedError(Exception):
    """This row cannot be read into its types."""


@dataclass(frozen=True)
class Contents:
    """What a file amounts to: rows read, of those rejected, and measures by grain."""

    source_rows: int = 0
    rejected_rows: int = 0
    measures: dict[Grain, Measures] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """One dataset: its files, its rule for further versions of a key, and its view.

    `row` makes a line's values; `read` gives a line's grain and measures, the first of them 1, or
    raises RejectedError. `view` is what analysts read, its grain's columns first; `aggregates` is
    the table under it; `by_file` sums up, by file_id, the rows that the aggregates stand for.
    """

    name: str
    same_key: str
    header: str
    row: Callable[[random.Random], Row]
    read: Callable[[Row], tuple[Grain, Measures]]
    grain_columns: int
    view: str
    aggregates: str
    by_file: str

    def file(self, seed: int, rows: int = 3, rejected: int = 0) -> bytes:
        """A good file; `rejected` of its rows cannot be read."""
        source = random.Random(f"{self.name} {seed}")
        lines = [self.row(source) for _ in range(rows)]
        for line in lines[:rejected]:
            line[1] = "unreadable"
        return self._bytes(self.header, lines)

    def bad_file(self, seed: int) -> bytes:
        """A file that has to be refused: its header is another."""
        source = random.Random(f"{self.name} {seed}")
        return self._bytes("not," + self.header, [self.row(source)])

    def contents(self, body: bytes) -> Contents:
        """What a file amounts to. Raises RefusedError."""
        lines = list(csv.reader(io.StringIO(body.decode())))
        headers = [line for line in lines if ",".join(line) == self.header]
        rows = [line for line in lines if ",".join(line) != self.header]
        if rows and len(headers) != 1:
            raise RefusedError(f"{len(headers)} header rows")
        readable = [read for read in map(self._readable, rows) if read]
        if rows and not readable:
            raise RefusedError("no row can be read")
        return Contents(len(rows), len(rows) - len(readable), added_up(readable))

    def queried(self, rows: Iterable[tuple[Any, ...]]) -> dict[Grain, Measures]:
        """The view's rows by grain."""
        return {row[: self.grain_columns]: row[self.grain_columns :] for row in rows}

    def _readable(self, row: Row) -> tuple[Grain, Measures] | None:
        try:
            return self.read(row)
        except RejectedError:
            return None

    @staticmethod
    def _bytes(header: str, lines: list[Row]) -> bytes:
        return "".join(f"{line}\n" for line in [header, *map(",".join, lines)]).encode()


def added_up(parts: Iterable[tuple[Grain, Measures]]) -> dict[Grain, Measures]:
    """The measures of equal grains, summed."""
    sums: dict[Grain, Counter[int]] = {}
    for grain, measures in parts:
        sums.setdefault(grain, Counter()).update(dict(enumerate(measures)))
    return {
        grain: tuple(counter[place] for place in range(len(counter)))
        for grain, counter in sums.items()
    }


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RejectedError(text) from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RejectedError(text) from None


FLIGHTS_HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,"
    "flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)


def _flight(source: random.Random) -> Row:
    day = date(2013, 1, 1) + timedelta(days=source.randrange(365))
    is_cancelled = source.random() < 0.2
    minutes = ["NA"] * 2 if is_cancelled else [str(source.randint(-20, 90)) for _ in range(2)]
    values = dict.fromkeys(FLIGHTS_HEADER.split(","), "1") | {
        "year": str(day.year),
        "month": str(day.month),
        "day": str(day.day),
        "dep_time": "NA" if is_cancelled else str(source.randint(500, 2300)),
        "dep_delay": minutes[0],
        "arr_delay": minutes[1],
        "carrier": source.choice(["UA", "AA", "B6"]),
        "origin": source.choice(["EWR", "JFK", "LGA"]),
        "dest": source.choice(["IAH", "MIA", "ORD"]),
        "distance": str(source.randint(100, 2500)),
        "time_hour": f"{day.isoformat()}T10:00:00Z",
    }
    return list(values.values())


def _read_flight(row: Row) -> tuple[Grain, Measures]:
    values = dict(zip(FLIGHTS_HEADER.split(","), row, strict=False))
    if len(values) < len(FLIGHTS_HEADER.split(",")):
        raise RejectedError("too few columns")
    year, month, day = (values[name] for name in ("year", "month", "day"))
    grain = (
        _day(f"{year}-{month:0>2}-{day:0>2}"),
        *(values[name] for name in ("carrier", "origin", "dest")),
    )
    is_cancelled = values["dep_time"] == "NA"
    if not is_cancelled:
        _number(values["dep_time"])
    departure, arrival = (
        0 if values[name] == "NA" else _number(values[name]) for name in ("dep_delay", "arr_delay")
    )
    distance = _number(values["distance"])
    return grain, (1, int(is_cancelled), int(departure > 15), departure, arrival, distance)


FLIGHTS = Dataset(
    name="flights",
    same_key="replace",
    header=FLIGHTS_HEADER,
    row=_flight,
    read=_read_flight,
    grain_columns=4,
    view="""
        select flight_date, carrier, origin, destination, flights, cancelled, delayed_departures,
            departure_delay_minutes, arrival_delay_minutes, distance_miles
        from mart.daily_route_performance
    """,
    aggregates="mart.daily_route_performance_by_file",
    by_file="select file_id, sum(flights) from mart.daily_route_performance_by_file group by 1",
)


def _reading(source: random.Random) -> Row:
    day = date(2024, 1, 1) + timedelta(days=source.randrange(60))
    station = source.choice(["north", "south", "east"])
    return [station, day.isoformat(), str(source.randint(-40, 40))]


def _read_reading(row: Row) -> tuple[Grain, Measures]:
    if len(row) < 3 or not row[0]:
        raise RejectedError("too few columns")
    return (row[0], _day(row[1])), (1, _number(row[2]))


READINGS = Dataset(
    name="readings",
    same_key="append",
    header="station,day,reading",
    row=_reading,
    read=_read_reading,
    grain_columns=2,
    view="select station, day, readings, total from mart.daily_readings",
    aggregates="mart.daily_readings_by_file",
    by_file="select file_id, sum(readings) from mart.daily_readings_by_file group by 1",
)

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (FLIGHTS, READINGS)}
