"""A file that was damaged on its way: what is counted stood in the file, in its column.

Left out is what no reader can see, as docs/datasets.md says: a cell whose text alone is changed.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.sql.loading import Loading

HEADER = ["id", "word", "note", "added"]
FILES_OF_A_LOAD = 60
Test = Callable[..., None]

cells_of_text = st.text(st.sampled_from('ab1N ,"\\é\t;'), max_size=5)
tables = st.lists(st.tuples(cells_of_text, cells_of_text, cells_of_text), min_size=2, max_size=4)


@dataclass(frozen=True)
class Damaged:
    """A file as it was written, and the lines that came."""

    rows: list[list[str]]
    lines: list[str]

    @property
    def body(self) -> bytes:
        # The last row is whole, so that a file is not refused for having none.
        good = written(["999", "good", "good", "good"])
        return "".join(f"{line}\n" for line in [",".join(HEADER), *self.lines, good]).encode()

    @property
    def values(self) -> list[set[Any]]:
        """What each column held."""
        rows = [*self.rows, ["999", "good", "good", "good"]]
        return [{read(value) for value in column} for column in zip(*rows, strict=True)]


def written(row: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(row)
    return stream.getvalue()


def read(value: str) -> str | None:
    """A cell as a load reads it."""
    text = value.strip(" \t")
    return None if text in ("", "\\N") else text


def outside_quotes(line: str) -> list[int]:
    """The places between two characters of a line that are in no quoted cell."""
    return [at for at in range(len(line) + 1) if line[:at].count('"') % 2 == 0]


@st.composite
def damaged_files(draw: st.DrawFn) -> Damaged:
    """A file with one damage that changes where its cells and rows end."""
    rows = [[str(number), *texts] for number, texts in enumerate(draw(tables))]
    lines = [written(row) for row in rows]
    at = draw(st.integers(0, len(rows) - 1))
    line, row = lines[at], rows[at]
    separators = [n for n in outside_quotes(line)[:-1] if line[n : n + 1] == ","]
    kind = draw(
        st.sampled_from(
            "comma+ comma- quote+ newline+ newline- backslash+ field+ field- none".split()
        )
    )
    if kind == "comma+":
        place = draw(st.sampled_from(outside_quotes(line)))
        lines[at] = line[:place] + "," + line[place:]
    elif kind == "comma-":
        place = draw(st.sampled_from(separators))
        lines[at] = line[:place] + line[place + 1 :]
    elif kind == "quote+" and '"' not in line:
        place = draw(st.integers(0, len(line)))
        lines[at] = line[:place] + '"' + line[place:]
    elif kind == "newline+":
        # Not within the first cell or behind the last separator: the rest would be a row.
        place = draw(st.sampled_from(separators[:-1])) + 1
        lines[at : at + 1] = [line[:place], line[place:]]
    elif kind == "newline-" and at + 1 < len(lines):
        lines[at : at + 2] = [line + lines[at + 1]]
    elif kind == "backslash+":
        place = draw(st.integers(0, len(row[0])))
        lines[at] = line[:place] + "\\" + line[place:]
    elif kind == "field+":
        place = draw(st.integers(0, len(row)))
        lines[at] = written([*row[:place], draw(cells_of_text), *row[place:]])
    elif kind == "field-":
        place = draw(st.integers(0, len(row) - 1))
        lines[at] = written([*row[:place], *row[place + 1 :]])
    return Damaged(rows, lines)


def check(cells: Loading, files: list[Damaged]) -> None:
    """No row of these files counts with a value that was not there; in one load."""
    versions = [
        cells.version(number, name=f"{number}.csv", body=file.body)
        for number, file in enumerate(files)
    ]
    answer = cells.load(*versions)
    counted = defaultdict(list)
    for file_id, *values in cells.query(
        "select file_id, id, word, note, added from mart.cells_by_file"
    ):
        counted[file_id].append(values)
    cells.empty()

    assert answer.source_rows == answer.rejected_rows + sum(map(len, counted.values()))
    for version, file in zip(versions, files, strict=True):
        for number, *texts in counted[version.file_id]:
            found = zip([str(number), *texts], file.values, strict=True)
            assert all(value in held for value, held in found), (file.lines, number, texts)


def a_load(examples: int) -> Callable[[Test], Test]:
    """Each example is a load of many files."""
    many = st.lists(damaged_files(), min_size=FILES_OF_A_LOAD, max_size=FILES_OF_A_LOAD)
    checks = list(HealthCheck)
    return lambda test: settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=checks,
        # Shrinking loads for minutes; a failure names its lines.
        phases=[Phase.explicit, Phase.generate],
    )(given(files=many)(test))


@a_load(4)
def test_no_damage_brings_a_value_that_was_not_there(cells: Loading, files: list[Damaged]) -> None:
    check(cells, files)


@pytest.mark.long
@a_load(100)
def test_no_damage_does_in_many_files(cells: Loading, files: list[Damaged]) -> None:
    check(cells, files)
