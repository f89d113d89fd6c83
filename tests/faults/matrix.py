"""The fault matrix: each task of each state machine, and each kind of fault of its call.

The cells come from the definitions, so a new task has its cells without anyone remembering. A task
that a good file's load does not pass needs a scenario that leads to it.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from start_loads.core import Load, plan_loads

from tests.faults.datasets import FLIGHTS, READINGS, Dataset
from tests.faults.inject import Fault, Injector, Kind
from tests.faults.invariants import Version, World
from tests.faults.laboratory import Laboratory
from tests.faults.observed import Execution, Observer
from tests.faults.operation import wait_until
from tests.operating import short_deadline

DEFINITIONS = Path(__file__).parents[2] / "statemachine"
# More at once would take each other's time.
AT_ONCE = 24
STRIKE_SECONDS = 20.0
# What follows a strike (retries, cancelling) takes less, at the scale of the tests' waits.
AFTERMATH_SECONDS = 1.5
POLL_SECONDS = 0.2
# Some fifty loads are rerun or swept at once.
SETTLE_SECONDS = 240.0
DEADLINE_MINUTES = 0.25


class Scenario(StrEnum):
    """What leads an execution to a task."""

    GOOD = "a good file"
    ODD = "a good file, whose key XML cannot spell"
    BAD = "a bad file"
    MIXED = "a good and a bad file"
    REFUSED = "a bad file that was refused before"
    SLOW = "a good file, whose load waits for its turn beyond its deadline"
    ABANDONED = "a good file, whose load is aborted while its statement runs"
    TOLD = "a good file, whose table may not be read"
    TOLD_ALREADY = "the same, and support seems to have been told"


USUAL = {"load": Scenario.GOOD, "abandoned_load": Scenario.ABANDONED}
SCENARIOS = {
    **{
        ("load", state): Scenario.SLOW
        for state in ("AskForTurn", "DescribeTurn", "FetchTurn", "CancelLoad", "RequeueLoad")
    },
    ("load", "DeleteVersion"): Scenario.ODD,
    ("load", "SplitLoad"): Scenario.MIXED,
    ("load", "CopyToQuarantine"): Scenario.BAD,
    ("load", "FindReason"): Scenario.REFUSED,
    ("load", "WriteReason"): Scenario.BAD,
    ("load", "NotifySupport"): Scenario.BAD,
    ("load", "OpenIncident"): Scenario.TOLD,
    ("load", "ReadIncident"): Scenario.TOLD_ALREADY,
}
# What else goes wrong, so that an execution comes to the task.
FURTHER_FAULTS = {
    Scenario.TOLD: [("ReadTable", Kind.DENIED)],
    Scenario.TOLD_ALREADY: [("ReadTable", Kind.DENIED), ("OpenIncident", Kind.ANSWER_LOST)],
}


@dataclass(frozen=True)
class Cell:
    """A task, by its machine's file and its name, and what goes wrong with it."""

    machine: str
    state: str
    kind: Kind

    @property
    def scenario(self) -> Scenario:
        return SCENARIOS.get((self.machine, self.state), USUAL[self.machine])

    @property
    def dataset(self) -> Dataset:
        """One whose keys are replaced, or one that is appended to, by turns."""
        return READINGS if list(Kind).index(self.kind) % 2 and not self.is_held_up else FLIGHTS

    @property
    def is_held_up(self) -> bool:
        """Whether its load is to wait for its dataset's lock."""
        return self.scenario in (Scenario.SLOW, Scenario.ABANDONED)

    @property
    def folder(self) -> str:
        """Where its files are put: a key names its cell."""
        return f"raw/{self.dataset.name}/{self.machine}/{self.state}/{self.kind.name.lower()}/"

    def __str__(self) -> str:
        return f"{self.machine}: {self.state}: {self.kind}"


@dataclass
class Outcome:
    """What became of a cell: `first`, as it was while the fault lasted, and what healed it."""

    first: str
    healed_by: str
    strikes: int
    violations: list[str] = field(default_factory=list)


def task_states(definition: Mapping[str, Any]) -> Iterator[str]:
    """The names of all tasks, those of Map and Parallel states among them."""
    for name, state in definition["States"].items():
        if state["Type"] == "Task":
            yield name
        for inner in [state.get("ItemProcessor"), *state.get("Branches", [])]:
            if inner:
                yield from task_states(inner)


def all_tasks() -> list[tuple[str, str]]:
    """The tasks of all machines, by the machine's file and the task's name."""
    return [
        (path.name.removesuffix(".asl.yaml"), state)
        for path in sorted(DEFINITIONS.glob("*.asl.yaml"), reverse=True)
        for state in task_states(yaml.safe_load(path.read_text()))
    ]


def all_cells() -> list[Cell]:
    return [Cell(machine, state, kind) for machine, state in all_tasks() for kind in Kind]


class Matrix:
    """One run of the cells in a deployed stack, many at a time."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._stack = laboratory.stack
        self._world: World = laboratory.world
        self._observer: Observer = laboratory.observer
        self._operation = laboratory.operation
        self._laboratory = laboratory
        self._injector = Injector(laboratory.stack.cloud)
        self._files: dict[Cell, list[Version]] = {}
        self._loads: dict[Cell, Load] = {}
        self._runs: dict[Cell, str] = {}
        self._faults: dict[Cell, Fault] = {}
        self._first: dict[Cell, str] = {}
        self._traces: set[str] = set()

    def run(self, cells: list[Cell]) -> dict[Cell, Outcome]:
        """Let the faults strike, stop them, operate as usual, and see what holds."""
        with self._operation.paused():
            self._upload(cells)
            with self._injector.active():
                self._run_held_up([cell for cell in cells if cell.is_held_up])
                self._run_others([cell for cell in cells if not cell.is_held_up])
                self._wait_for_end()
                self._note_first_outcomes(cells)
        self._operation.settle(SETTLE_SECONDS)
        return self._outcomes(cells)

    # ---------------------------------------------------------------- before the faults

    def _upload(self, cells: list[Cell]) -> None:
        for number, cell in enumerate(cells):
            self._files[cell] = [
                self._world.put(cell.folder + name, body) for name, body in _files(cell, number)
            ]
        heard = self._operation.intercept(sum(map(len, self._files.values())))
        uploads = {file.key: file for load in heard for file in load.files}
        for cell, versions in self._files.items():
            [load] = plan_loads(uploads[version.key] for version in versions)
            self._loads[cell] = load
            self._runs[cell] = load.load_id
            if cell.scenario is Scenario.REFUSED:
                self._runs[cell] = f"{load.load_id}-2"
            fault = Fault(cell.machine, cell.state, cell.kind, runs=self._runs[cell])
            self._faults[cell] = fault
            self._injector.add(fault)
            for state, kind in FURTHER_FAULTS.get(cell.scenario, ()):
                # Words of its own make it a cause of its own.
                words = f"{cell.state} {'abcde'[list(Kind).index(cell.kind)]}"
                self._injector.add(
                    Fault(cell.machine, state, kind, runs=self._runs[cell], words=words)
                )

    # ---------------------------------------------------------------- while they strike

    def _run_held_up(self, cells: list[Cell]) -> None:
        """Loads whose statement waits for its lock until all that is to strike has struck."""
        slow = [cell for cell in cells if cell.scenario is Scenario.SLOW]
        abandoned = [cell for cell in cells if cell.scenario is Scenario.ABANDONED]
        with self._laboratory.lock_held("etl.flights_lock"):
            # Long enough for their statements to begin on a busy machine.
            with short_deadline(self._stack, DEADLINE_MINUTES):
                self._start(slow)
                wait_until(lambda: self._are_under_way(slow), lambda: "slow loads have not begun")
            self._start(abandoned)
            self._abort_once_submitted(abandoned)
            self._wait_for_strikes(cells)
            wait_until(lambda: self._have_ended(slow), lambda: "slow loads have not ended")

    def _run_others(self, cells: list[Cell]) -> None:
        refused = [cell for cell in cells if cell.scenario is Scenario.REFUSED]
        others = [cell for cell in cells if cell.scenario is not Scenario.REFUSED]
        for cell in refused:
            self._operation.start(self._loads[cell])
        # What goes on failing takes longest. It is first, so that nothing waits for it at the end.
        self._start_some_at_a_time(sorted(others, key=lambda cell: cell.kind is not Kind.FAILING))
        firsts = {self._arn(self._loads[cell].load_id) for cell in refused}
        wait_until(
            lambda: not firsts & set(self._observer.running()), lambda: "files were not refused"
        )
        self._start(refused)

    def _start_some_at_a_time(self, cells: list[Cell]) -> None:
        waiting = list(cells)
        while waiting:
            room = max(0, AT_ONCE - len(self._observer.running()))
            self._start(waiting[:room])
            waiting = waiting[room:]
            time.sleep(POLL_SECONDS)

    def _start(self, cells: list[Cell]) -> None:
        for cell in cells:
            self._operation.start(self._loads[cell], self._runs[cell])

    def _abort_once_submitted(self, cells: list[Cell]) -> None:
        waiting = {self._runs[cell] for cell in cells}

        def abort_some() -> bool:
            for run_id in waiting & set(self._observer.statements()):
                self._stack.step_functions.stop_execution(executionArn=self._arn(run_id))
                waiting.remove(run_id)
            return not waiting

        wait_until(abort_some, lambda: f"not submitted: {waiting}")

    def _wait_for_strikes(self, cells: list[Cell]) -> None:
        """Until each fault has struck for the last time that it can."""
        deadline = time.monotonic() + STRIKE_SECONDS
        while time.monotonic() < deadline and not all(self._faults[c].strikes for c in cells):
            time.sleep(POLL_SECONDS)
        time.sleep(AFTERMATH_SECONDS)

    def _wait_for_end(self) -> None:
        """Until all loads have ended, and what looks after them too, unless it keeps trying."""
        machine = self._stack.outputs["LoadStateMachineArn"].rpartition(":")[2]
        running: list[str] = []
        since = time.monotonic()

        def have_ended() -> bool:
            nonlocal running, since
            before, running = running, self._observer.running()
            if running != before or any(f":{machine}:" in arn for arn in running):
                since = time.monotonic()
            return time.monotonic() - since > AFTERMATH_SECONDS

        wait_until(have_ended, lambda: f"still running: {running}")

    def _have_ended(self, cells: list[Cell]) -> bool:
        running = set(self._observer.running())
        return not any(self._arn(self._runs[cell]) in running for cell in cells)

    def _are_under_way(self, cells: list[Cell]) -> bool:
        client = self._stack.step_functions
        arns = [self._arn(self._runs[cell]) for cell in cells]
        return all(len(client.get_execution_history(executionArn=a)["events"]) > 1 for a in arns)

    def _arn(self, run_id: str) -> str:
        machine = self._stack.outputs["LoadStateMachineArn"]
        return f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"

    # ---------------------------------------------------------------- after them

    def _note_first_outcomes(self, cells: list[Cell]) -> None:
        runs = {execution.name: execution for execution in self._observer.executions()}
        caretakers = self._caretakers()
        for cell in cells:
            run = runs[self._runs[cell]]
            caretaker = caretakers.get(run.arn, "NOT STARTED")
            self._first[cell] = _told(run) if cell.machine == "load" else caretaker.lower()
        self._traces = {*self._observer.partitions(), *self._staged_runs()}

    def _caretakers(self) -> dict[str, str]:
        """The status of the execution that looks after a load's execution, by the latter's ARN."""
        client = self._stack.step_functions
        machine = self._stack.outputs["AbandonedLoadStateMachineArn"]
        found = {}
        for page in client.get_paginator("list_executions").paginate(stateMachineArn=machine):
            for listed in page["executions"]:
                execution = client.describe_execution(executionArn=listed["executionArn"])
                arn = yaml.safe_load(execution["input"])["detail"]["executionArn"]
                found[arn] = execution["status"]
        return found

    def _staged_runs(self) -> set[str]:
        keys = self._stack.keys("RawBucketName", "staging/")
        return {key.split("run_id=")[1].split("/")[0] for key in keys}

    def _outcomes(self, cells: list[Cell]) -> dict[Cell, Outcome]:
        seen = self._observer.look()
        found = self._world.violations(seen)
        return {
            cell: Outcome(
                first=self._first[cell],
                healed_by=self._healed_by(cell, seen.executions),
                strikes=self._faults[cell].strikes,
                violations=[v for v in found if self._is_about(cell, v, seen.executions)],
            )
            for cell in cells
        }

    def _healed_by(self, cell: Cell, executions: tuple[Execution, ...]) -> str:
        run_id, load_id = self._runs[cell], self._loads[cell].load_id
        names = [execution.name for execution in executions if execution.load_id == load_id]
        later = names[names.index(run_id) + 1 :]
        by_itself = "its own message" if self._first[cell] == "requeued" else "a sweep"
        ways = ["a rerun" if name in self._operation.reruns else by_itself for name in later]
        if not ways and run_id in self._traces:
            ways = ["a sweep, of its traces"]
        return ", ".join(dict.fromkeys(ways))

    def _is_about(self, cell: Cell, violation: str, executions: tuple[Execution, ...]) -> bool:
        file_ids = {version.file_id for version in self._files[cell]}
        names = {e.load_id for e in executions if e.file_ids & file_ids}
        return any(name in violation for name in {cell.folder, *names, *file_ids})


def _files(cell: Cell, number: int) -> list[tuple[str, bytes]]:
    name = "good\x07.csv" if cell.scenario is Scenario.ODD else "good.csv"
    good = (name, cell.dataset.file(number))
    bad = ("bad.csv", cell.dataset.bad_file(number))
    if cell.scenario in (Scenario.BAD, Scenario.REFUSED):
        return [bad]
    return [good, bad] if cell.scenario is Scenario.MIXED else [good]


def _told(run: Execution) -> str:
    if run.status == "FAILED":
        return f"failed, {run.error}"
    return run.handed_on or run.status.lower()
