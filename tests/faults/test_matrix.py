"""Each task of the state machines under each kind of fault: nothing is lost or counted twice."""

import time

import pytest

from tests.faults.laboratory import Laboratory
from tests.faults.matrix import Cell, Matrix, Outcome, all_cells

BUDGET_SECONDS = 60.0
CELLS = all_cells()


@pytest.fixture(scope="module")
def outcomes(laboratory: Laboratory) -> dict[Cell, Outcome]:
    started = time.monotonic()
    found = Matrix(laboratory).run(CELLS)
    print(f"{len(CELLS)} cells in {time.monotonic() - started:.0f} s")
    return found


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(outcomes: dict[Cell, Outcome], cell: Cell) -> None:
    outcome = outcomes[cell]

    assert outcome.strikes, f"no scenario reaches {cell.state}: see SCENARIOS in matrix.py"
    assert outcome.violations == []


def test_nothing_else_is_wrong(laboratory: Laboratory, outcomes: dict[Cell, Outcome]) -> None:
    assert laboratory.violations() == []
