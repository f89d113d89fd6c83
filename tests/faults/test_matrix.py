"""Each task of the state machines under each kind of fault: nothing is lost or counted twice."""

import pytest

from tests.faults.laboratory import Laboratory
from tests.faults.matrix import Cell, Matrix, Outcome, all_cells
from tests.faults.report import PATH, WRITTEN, read_table, written

pytestmark = pytest.mark.long

CELLS = all_cells()
REPORTED = read_table(PATH.read_text())


@pytest.fixture(scope="module")
def outcomes(laboratory: Laboratory) -> dict[Cell, Outcome]:
    found = Matrix(laboratory).run(CELLS)
    WRITTEN.parent.mkdir(exist_ok=True)
    WRITTEN.write_text(written(PATH.read_text(), found))
    return found


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(outcomes: dict[Cell, Outcome], cell: Cell) -> None:
    outcome = outcomes[cell]

    assert outcome.strikes, f"no scenario reaches {cell.state}: see SCENARIOS in matrix.py"
    assert outcome.violations == []
    assert outcome.first == REPORTED.get(cell), "build/faults.md is news: copy it to docs/"


def test_nothing_else_is_wrong(laboratory: Laboratory, outcomes: dict[Cell, Outcome]) -> None:
    assert laboratory.violations() == []
