"""Every task of every machine under every fault: cells made of the definitions themselves."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from start_loads import core

from tests.faults.inject import FAULTS, Injector, tasks
from tests.faults.world import Version, World

MACHINES = {
    path.name.removesuffix(".asl.yaml"): yaml.safe_load(path.read_text())
    for path in sorted((Path(__file__).parents[2] / "statemachine").glob("*.asl.yaml"))
}
TASKS = tasks(MACHINES)

AT_ONCE = 12
DEADLINE_MINUTES = 0.02

# How a load comes to a task that a good file does not lead to. "held" loads wait for the dataset's
# lock, so that their statement is still running when they are late or stopped.
SCENARIOS = {
    "load-CancelLoad": "late",
    "load-SplitLoad": "one of two is bad",
    "load-CopyToQuarantine": "bad",
    "load-WriteReason": "bad",
    "load-NotifySupport": "bad",
    "load-FindReason": "bad, and refused before",
    "abandoned_load-ReadExecution": "stopped",
    "abandoned_load-FindStatements": "stopped",
    "abandoned_load-CancelStatement": "stopped",
    "abandoned_load-NotifySupport": "stopped",
}
HELD = ("late", "stopped")


@dataclass
class Cell:
    """One task under one fault, and what became of the load that met it."""

    name: str
    task: str
    fault: str
    run_id: str = ""
    first_end: str = ""
    healed_by: str = ""
    injected: int = 0

    @property
    def scenario(self) -> str:
        return SCENARIOS.get(self.task, "good")


def report(matrix: list[Cell]) -> str:
    """The matrix as a table in Markdown, one row a cell."""
    rows = [f"| {c.task} | {c.fault} | {c.first_end} | {c.healed_by} |" for c in matrix]
    head = ["| Task | Fault | The load that met it | Healed by |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def cells() -> list[Cell]:
    """The whole matrix, in the order of the definitions."""
    pairs = [(task, fault) for task in TASKS for fault in FAULTS]
    return [Cell(f"cell-{number:03}", *pair) for number, pair in enumerate(pairs)]


@dataclass
class Run:
    """The matrix, on a deployed system whose queue is paused while loads are started one by one."""

    world: World
    injector: Injector

    def run(self, matrix: list[Cell]) -> list[str]:
        """Meet every fault, let the system heal, and answer the violations."""
        pipeline = self.world.pipeline
        pipeline.pause()
        try:
            with self._locked():
                with self._short_deadline():
                    self._meet([cell for cell in matrix if cell.scenario == "late"])
                stopped = [cell for cell in matrix if cell.scenario == "stopped"]
                self._start_all(stopped)
                self._stop(stopped)
                self._wait_for_injections(stopped)
                self._wait_for_first_ends(stopped)
            self._meet([cell for cell in matrix if cell.scenario not in HELD])
            pipeline.take_notifications()
        finally:
            self.injector.stop()
            pipeline.resume()
        for cell in matrix:
            cell.injected = self.injector.injected[cell.name]
        self.world.settle()
        self._tell_how_they_healed(matrix)
        return self.world.violations()

    def _meet(self, matrix: list[Cell]) -> None:
        self._start_all(matrix)
        self._wait_for_first_ends(matrix)

    def _start_all(self, matrix: list[Cell]) -> None:
        for cell in matrix:
            while len(self._running()) >= AT_ONCE and cell.scenario not in HELD:
                time.sleep(0.02)
            self._start(cell)

    def _start(self, cell: Cell) -> None:
        """Upload the cell's files and start their load, as the function would that is paused."""
        self.injector.planned[cell.name, cell.task] = cell.fault
        number = int(cell.name.removeprefix("cell-"))
        files = [self.world.put("readings", f"{cell.name}/a b+.csv", number, bad=self._bad(cell))]
        if cell.scenario == "one of two is bad":
            files.append(self.world.put("readings", f"{cell.name}/good.csv", number))
        [load] = core.plan_loads(self._uploaded(version) for version in files)
        attempts = 2 if cell.scenario == "bad, and refused before" else 1
        for _, cell.run_id in zip(range(attempts), load.run_ids(), strict=False):
            self.world.pipeline.stack.step_functions.start_execution(
                stateMachineArn=self.world.pipeline.stack.outputs["LoadStateMachineArn"],
                name=cell.run_id,
                input=load.to_input(),
            )
            if attempts > 1:
                self._wait_for_first_ends([cell])

    @staticmethod
    def _bad(cell: Cell) -> str:
        return "no\nheader\n" if "bad" in cell.scenario else ""

    def _uploaded(self, version: Version) -> core.UploadedFile:
        return core.UploadedFile(
            bucket=self.world.pipeline.stack.outputs["RawBucketName"],
            key=version.key,
            version_id=version.version_id,
            etag=version.etag,
            sequencer=f"{len(self.world.versions):018X}",
            size=len(version.body),
            uploaded_at=f"{version.uploaded_at:%Y-%m-%dT%H:%M:%S}.000Z",
        )

    def _stop(self, matrix: list[Cell]) -> None:
        """Stop loads, once their statements wait for the lock."""
        for cell in matrix:
            while not self._has_statement(cell):
                time.sleep(0.02)
            self.world.pipeline.stack.step_functions.stop_execution(executionArn=self._arn(cell))

    def _has_statement(self, cell: Cell) -> bool:
        history = self.world.pipeline.stack.step_functions.get_execution_history(
            executionArn=self._arn(cell), maxResults=1000
        )
        return "DescribeLoad" in json.dumps(history["events"], default=str)

    def _wait_for_first_ends(self, matrix: list[Cell]) -> None:
        for cell in matrix:
            while (ended := self._describe(cell))["status"] == "RUNNING":
                time.sleep(0.02)
            outcome = json.loads(ended.get("output") or "{}").get("status", "")
            cell.first_end = ended.get("error") or outcome or ended["status"].lower()

    def _wait_for_injections(self, matrix: list[Cell]) -> None:
        """What looks after a stopped load starts after its end, and may keep trying for hours."""
        deadline = time.monotonic() + 20
        waiting = [cell for cell in matrix if not self.injector.injected[cell.name]]
        while waiting and time.monotonic() < deadline:
            time.sleep(0.05)
            waiting = [cell for cell in waiting if not self.injector.injected[cell.name]]

    def _tell_how_they_healed(self, matrix: list[Cell]) -> None:
        by_cell: dict[str, list[dict[str, Any]]] = {}
        for execution in self.world.executions():
            cell = self.injector.cell_of(execution["executionArn"])
            by_cell.setdefault(cell, []).append(execution)
        for cell in matrix:
            names = [execution["name"] for execution in by_cell[cell.name]]
            later = by_cell[cell.name][names.index(cell.run_id) + 1 :]
            kinds = set()
            for execution in later:
                is_attempt = execution["name"].startswith(f"{cell.run_id}-")
                is_rerun = execution["name"] in self.world.reruns
                kinds.add("rerun" if is_rerun else "sweep" if is_attempt else "halves")
            cell.healed_by = ", ".join(sorted(kinds)) or "by itself"

    def _running(self) -> list[dict[str, Any]]:
        return [e for e in self.world.executions() if e["status"] == "RUNNING"]

    def _describe(self, cell: Cell) -> dict[str, Any]:
        return self.world.pipeline.describe(self._arn(cell))

    def _arn(self, cell: Cell) -> str:
        machine = self.world.pipeline.stack.outputs["LoadStateMachineArn"]
        return f"{machine.replace(':stateMachine:', ':execution:')}:{cell.run_id}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.world.pipeline.connect() as connection:
            connection.execute("lock table etl.readings_lock")
            yield

    @contextmanager
    def _short_deadline(self) -> Iterator[None]:
        """Make loads late soon: the deployed template's least is a minute."""
        states = self.world.pipeline.stack.step_functions
        machine = {"stateMachineArn": self.world.pipeline.stack.outputs["LoadStateMachineArn"]}
        definition = states.describe_state_machine(**machine)["definition"]
        shorter = definition.replace("60 * 60000", f"{DEADLINE_MINUTES} * 60000")
        assert shorter != definition
        states.update_state_machine(**machine, definition=shorter)
        try:
            yield
        finally:
            states.update_state_machine(**machine, definition=definition)
