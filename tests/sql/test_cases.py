"""Files that are not as declared: each row counts as what it holds, or is rejected by name.

The files of `cases` are made after public bug reports of people who load data.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.faults.datasets import FLIGHTS_HEADER
from tests.sql.loading import Loading

CASES = Path(__file__).parent / "cases"
GOOD = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
COLUMNS = FLIGHTS_HEADER.split(",")
MANY = "too many fields, not 19"
FEW = "too few fields, not 19"


class Right(NamedTuple):
    """What a file comes to: rows that count, and the reasons and values of those that do not."""

    counted: int
    rejected: list[tuple[str, str | None]]


def row(**values: str) -> str:
    """The good row, with other values."""
    fields = dict(zip(COLUMNS, GOOD.split(","), strict=True)) | values
    return ",".join(fields.values())


def file(*lines: str, header: str = FLIGHTS_HEADER, end: str = "\n") -> bytes:
    return "".join(line + end for line in (header, *lines)).encode()


def without(line: str, column: str) -> str:
    """The row without this field."""
    fields = line.split(",")
    del fields[COLUMNS.index(column)]
    return ",".join(fields)


def loaded(flights: Loading, bodies: dict[str, bytes]) -> dict[str, Right]:
    """What each of these files comes to, all in one load."""
    versions = {
        name: flights.version(number, name=f"{number}.csv", body=body)
        for number, (name, body) in enumerate(bodies.items())
    }
    answer = flights.load(*versions.values())
    rejected: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for file_id, reason, value in flights.query(
        "select file_id, reason, value from etl.rejected_rows order by reason, value"
    ):
        rejected[file_id].append((reason, value))
    counted = dict(
        flights.query(f"select file_id, sum(flights) from {flights.dataset.aggregates} group by 1")
    )
    assert answer.files_loaded == len(bodies)
    assert answer.source_rows == answer.rejected_rows + sum(counted.values())
    return {
        name: Right(int(counted.get(version.file_id, 0)), rejected[version.file_id])
        for name, version in versions.items()
    }


LOADED = {
    # Files of bug reports.
    "extra_comma.csv": Right(2, [(MANY, None)]),
    "missing_field_trailing_comma.csv": Right(1, [("time_hour: empty", None)]),
    "two_rows_on_one_line.csv": Right(1, [(MANY, None)]),
    "backslash_n.csv": Right(1, [("dep_time: not a whole number", r"\N"), ("origin: empty", None)]),
    "byte_order_mark.csv": Right(1, []),
    "header_and_blank_line.csv": Right(0, []),
}


def test_reported_files_load_what_they_hold(flights: Loading) -> None:
    bodies = {name: (CASES / name).read_bytes() for name in LOADED}

    assert loaded(flights, bodies) == LOADED


def refused(flights: Loading, body: bytes, reason: str) -> None:
    """No part of it may count, and the reason is told."""
    with pytest.raises(psycopg.Error, match=re.escape(reason)) as refusal:
        flights.load(flights.version(1, body=body))
    assert "N14228" not in str(refusal.value)  # what rows hold is in no mail and no log
    assert flights.view() == {}


@pytest.mark.parametrize("name", ["huge_a.csv", "huge_b.csv"])
def test_implausible_file_is_refused(flights: Loading, name: str) -> None:
    refused(flights, (CASES / name).read_bytes(), "distance: not a whole number")


# One bad row of each kind, beside a good one: what stands in it, and why it is rejected.
ROWS = {
    "comma in front": ("," + GOOD, MANY, None),
    "comma in the middle": (GOOD.replace("UA,", "U,A,"), MANY, None),
    "comma at the end": (GOOD + ",", "too many fields, the last of them empty", None),
    "comma at the end, and a blank": (GOOD + ", ", "too many fields, the last of them empty", None),
    "field at the end": (GOOD + ",x", MANY, None),
    "two fields at the end": (GOOD + ",x,y", MANY, None),
    "field behind an empty one": (without(GOOD, "day") + ",x,y", MANY, None),
    "decimal comma": (row(distance="1,400"), MANY, None),
    "quoted field at the end": (GOOD + ',"x"', MANY, None),
    "surplus and wrong type": (row(year="x") + ",x", MANY, None),
    "first field lost": (without(GOOD, "year"), FEW, None),
    "last field lost": (without(GOOD, "time_hour"), FEW, None),
    "two fields lost": (without(without(GOOD, "year"), "dest"), FEW, None),
    "cut off": (GOOD[:40], FEW, None),
    "one field": ("2013", FEW, None),
    "another delimiter": (GOOD.replace(",", ";"), FEW, None),
    "comma lost": (GOOD.replace("EWR,IAH", "EWRIAH"), FEW, None),
    "lost, and a comma at the end": (without(GOOD, "tailnum") + ",", "time_hour: empty", None),
    "lost, and a field at the end": (
        without(GOOD, "carrier") + ",x",
        "time_hour: not a time",
        "x",
    ),
    "quote left open": (row(tailnum='"N14228'), FEW, None),
    "quote left open at the end": (row(time_hour='"2013-01-01T10:00:00Z'), FEW, None),
    "quote lost": (row(tailnum='"N1,228"'[1:]), FEW, None),
    "three rows on one line": (",".join([GOOD] * 3), MANY, None),
    "newline lost": (GOOD + GOOD, MANY, None),
    "newline lost behind a cut row": (GOOD[:40] + GOOD, MANY, None),
    "number with a unit": (row(distance="1400 mi"), "distance: not a whole number", "1400 mi"),
    "number with decimals": (row(distance="1400.0"), "distance: not a whole number", "1400.0"),
    "number with an exponent": (row(distance="1e3"), "distance: not a whole number", "1e3"),
    "hexadecimal number": (row(distance="0x1F"), "distance: not a whole number", "0x1F"),
    "digits of another script": (row(distance="١٤٠٠"), "distance: not a whole number", "١٤٠٠"),
    "date of another order": (row(time_hour="01/02/2013"), "time_hour: not a time", "01/02/2013"),
    "day that is none": (row(month="2", day="30"), "flight_date: cannot be computed", None),
    "hour that is none": (
        row(time_hour="2013-01-01T25:00:00Z"),
        "time_hour: not a time",
        "2013-01-01T25:00:00Z",
    ),
    "empty": (row(origin=""), "origin: empty", None),
    "blank": (row(origin="  "), "origin: empty", None),
    "quoted empty": (row(origin='""'), "origin: empty", None),
    "no-break space": (row(distance="\u00a0"), "distance: not a whole number", "\u00a0"),
    "empty where NA is written": (row(dep_delay=""), "dep_delay: not a whole number", ""),
    "NA where it is none": (row(distance="NA"), "distance: not a whole number", "NA"),
    "null of PostgreSQL's text": (row(carrier=r"\N"), "carrier: empty", None),
    "its quoted spelling": (row(carrier=r'"\N"'), "carrier: empty", None),
    "below the least": (row(distance="-1"), "distance: outside 0 to 20000", "-1"),
    "above the greatest": (row(distance="20001"), "distance: outside 0 to 20000", "20001"),
    "largest of 18 digits": (row(distance="9" * 18), "distance: outside 0 to 20000", "9" * 18),
    "largest bigint": (
        row(distance=str(2**63 - 1)),
        "distance: not a whole number",
        str(2**63 - 1),
    ),
    "month 13": (row(month="13"), "month: outside 1 to 12", "13"),
    "year 0": (row(year="0"), "year: outside 1990 to 2100", "0"),
    "delay of a month": (row(dep_delay="43200"), "dep_delay: outside -1440 to 14400", "43200"),
    "carrier too long": (row(carrier="U" * 65), "carrier: longer than 64 characters", "U" * 65),
    "type before range": (row(month="13", distance="x"), "distance: not a whole number", "x"),
    "empty before range": (row(month="13", dest=""), "dest: empty", None),
    "range before length": (row(month="13", carrier="U" * 65), "month: outside 1 to 12", "13"),
}


def test_bad_rows_are_rejected_by_name(flights: Loading) -> None:
    bodies = {kind: file(GOOD, line) for kind, (line, _, _) in ROWS.items()}

    found = loaded(flights, bodies)

    assert found == {kind: Right(1, [(why, value)]) for kind, (_, why, value) in ROWS.items()}


def test_rejected_row_stands_beside_its_reason(flights: Loading) -> None:
    bad = row(distance="far", tailnum="a\\b")

    loaded(flights, {"a": file(GOOD, bad)})

    assert flights.query("select line, value from etl.rejected_rows") == [(bad, "far")]


# Files that look odd and hold what they should.
ODD = {
    "byte order mark": b"\xef\xbb\xbf" + file(GOOD),
    "byte order mark before a quote": b"\xef\xbb\xbf"
    + file(GOOD, header='"year"' + FLIGHTS_HEADER[4:]),
    "CR LF": file(GOOD, end="\r\n"),
    "CR CR LF": file(GOOD, end="\r\r\n"),
    "CR": file(GOOD, end="\r"),
    "no newline at the end": file(GOOD)[:-1],
    "empty lines": file("", GOOD, "", ""),
    "lines of blanks": file("  ", "\t", GOOD),
    "lines of commas": file("," * 18, GOOD, "," * 5, "," * 30),
    "everything in quotes": file(
        ",".join(f'"{field}"' for field in GOOD.split(",")),
        header=",".join(f'"{name}"' for name in COLUMNS),
    ),
    "blanks around fields": file(GOOD.replace(",", " , ")),
    "padded": file(GOOD + ",", header=FLIGHTS_HEADER + ","),
    "padded widely": file(GOOD + ",,,", header=FLIGHTS_HEADER + ",,,"),
    "header alone padded": file(GOOD, header=FLIGHTS_HEADER + ","),
    "padded with quotes": file(GOOD + ',""', header=FLIGHTS_HEADER + ',""'),
    "backslashes": file(row(tailnum="\\N1\\\\")),
    "quotes in quotes": file(row(tailnum='"N""1"')),
    "comma in quotes": file(row(tailnum='"N,1"')),
    "plus": file(row(distance="+1400")),
    "leading zeros": file(row(month="01", day="01")),
}


def test_odd_files_load(flights: Loading) -> None:
    assert loaded(flights, ODD) == dict.fromkeys(ODD, Right(1, []))


def test_row_is_rejected_for_what_else_is_wrong_in_a_padded_file(flights: Loading) -> None:
    body = file(GOOD + ",", row(month="13") + ",", GOOD + ",x", header=FLIGHTS_HEADER + ",")

    found = loaded(flights, {"padded": body})

    assert found["padded"] == Right(1, [("month: outside 1 to 12", "13"), (MANY, None)])


EMPTY = {
    "header": file(),
    "header and blank line": file(""),
    "header and blank lines": file("", "  ", "\t"),
    "header and commas": file("," * 18),
    "padded header": file(header=FLIGHTS_HEADER + ","),
    "blank lines": b"\n\n",
    "header without a newline": file()[:-1],
    "header with CR LF": file("", end="\r\n"),
    "header with a byte order mark": b"\xef\xbb\xbf" + file(),
    "header behind a blank line": b"\n" + file(),
}


def test_files_without_rows_load(flights: Loading) -> None:
    assert loaded(flights, EMPTY) == dict.fromkeys(EMPTY, Right(0, []))


REFUSED = {
    "undeclared column": (
        file(GOOD + ",x", header=FLIGHTS_HEADER + ",gate"),
        'column "gate" of the header is not declared',
    ),
    "undeclared column, padded": (
        file(GOOD + ",,", header=FLIGHTS_HEADER + ",gate,"),
        'column "gate" of the header is not declared',
    ),
    "undeclared column in quotes": (
        file(GOOD + ",x", header=FLIGHTS_HEADER + ',"gate"'),
        'column "gate" of the header is not declared',
    ),
    "undeclared column without rows": (
        file(header=FLIGHTS_HEADER + ",gate"),
        'column "gate" of the header is not declared',
    ),
    "column lost": (file(GOOD, header=without(FLIGHTS_HEADER, "day")), "nearest lacks day"),
    "columns in another order": (
        file(GOOD, header=FLIGHTS_HEADER.replace("year,month", "month,year")),
        "all of these names, but in another order",
    ),
    "column of another name": (
        file(GOOD, header=FLIGHTS_HEADER.replace("dest", "destination")),
        "nearest lacks dest",
    ),
    "columns of other names": (
        file(GOOD, header=re.sub("dep|arr", "x", FLIGHTS_HEADER)),
        "nearest lacks dep_time, sched_dep_time, dep_delay and 4 more",
    ),
    "capital letters": (file(GOOD, header=FLIGHTS_HEADER.upper()), "in other letters"),
    "another delimiter": (file(GOOD).replace(b",", b";"), "names any of these columns"),
    "no header": (file(GOOD, header=GOOD), "found 0; no row of it names any of these columns"),
    "two headers": (file(FLIGHTS_HEADER, GOOD), "found 2"),
    "byte order mark encoded twice": (
        "\ufeff".encode().decode("cp1252").encode() + file(GOOD),
        "byte order mark",
    ),
    "UTF-16": (file(GOOD).decode().encode("utf-16"), "a row holds a NUL character"),
    "NUL": (file(row(tailnum="N\0")), "NUL"),
    "Latin-1": (file(row(tailnum="N\xe9")).decode().encode("latin-1"), "not valid UTF-8"),
    "cut in a character": (file(row(tailnum="é")).replace(b"\xc3\xa9", b"\xc3"), "not valid UTF-8"),
    "longer than a field may be": (
        file(GOOD, row(tailnum="N" * 65_536)),
        "longer than the length defined",
    ),
    "rows that are all wrong": (file(row(year="x"), row(year="y")), "year: not a whole number"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_file_is_refused_by_name(flights: Loading, kind: str) -> None:
    body, reason = REFUSED[kind]

    refused(flights, body, reason)
