"""The fault matrix: whatever task fails in whatever way, the invariants hold in the end."""

from pathlib import Path

from tests.faults.inject import FAULTS, Injector
from tests.faults.matrix import SCENARIOS, TASKS, Run, cells, report
from tests.faults.world import World

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "faults.md"


def test_matrix_is_made_of_the_definitions() -> None:
    assert {"load-SubmitLoad", "load-CopyToStaging", "abandoned_load-CancelStatement"} <= set(TASKS)
    assert len(cells()) == len(TASKS) * len(FAULTS)
    assert set(SCENARIOS) <= set(TASKS)


def test_no_task_under_any_fault_loses_or_doubles_anything(
    world: World, injector: Injector
) -> None:
    matrix = cells()
    violations = Run(world, injector).run(matrix)

    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(report(matrix))
    assert violations == []
    assert [f"no scenario reaches {cell.task}" for cell in matrix if not cell.injected] == []
