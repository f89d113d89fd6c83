"""Each assumption has an id, and a probe or the reason why there is none."""

import re
from collections import Counter

import pytest

from tools import probes
from tools.assumptions import PAGE, Assumption, PageError, read

ROWS = read(PAGE.read_text())
# What a new row without a probe looks like, for whoever adds one.
EXAMPLE = "| my-assumption | … | inferred | … | none: what stands in the way of trying it |"


def test_rows_were_found() -> None:
    assert len(ROWS) >= 50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row_is_whole(row: Assumption) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.id), f"the id comes first, as in {EXAMPLE}"
    assert row.text
    assert row.standing
    assert row.hedge


def test_ids_are_unique() -> None:
    twice = [name for name, count in Counter(row.id for row in ROWS).items() if count > 1]

    assert twice == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row_has_a_probe_or_a_reason(row: Assumption) -> None:
    known = probes.known()

    if row.probe:
        assert row.probe in known, f"tools/probes has no {row.probe}, but {', '.join(known)}"
    else:
        assert row.reason.startswith("none"), f"the last column is a probe or as in {EXAMPLE}"


@pytest.mark.parametrize("name", probes.known())
def test_probe_belongs_to_one_row(name: str) -> None:
    rows = [row.id for row in ROWS if row.probe == name]

    assert len(rows) == 1, f"{name} answers {rows or 'no row'} of docs/assumptions.md"


def test_row_without_its_id_is_refused_by_its_line() -> None:
    with pytest.raises(PageError, match=r"line 2: 4 cells instead of 5 \(Id, Assumption"):
        read("# Title\n| Something holds | open | None. | none: no way |\n")


def test_bar_in_a_cell_is_escaped() -> None:
    [row] = read("## Here\n| one-two | a \\| b | open | c | `redshift.some_probe` |\n")

    assert (row.section, row.text, row.probe) == ("Here", "a \\| b", "redshift.some_probe")
