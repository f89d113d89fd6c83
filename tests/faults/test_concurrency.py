"""Loads that are in flight at the same time, and versions that come in another order."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from start_loads.core import Load, UploadedFile, plan_loads

from tests.faults.datasets import FLIGHTS, READINGS
from tests.faults.laboratory import Laboratory
from tests.faults.operation import wait_until

pytestmark = pytest.mark.long

AGGREGATES = "mart.daily_route_performance_by_file"
INTERVALS = "select dataset, started_at, finished_at from etl.loads order by started_at"
MOST_TRIES = 20
# It tells no smaller part of time than a second.
LEDGER_SECONDS = 1.1


@pytest.fixture
def emptied(laboratory: Laboratory) -> Laboratory:
    laboratory.reset()
    return laboratory


def uploaded(laboratory: Laboratory, bodies: list[tuple[str, bytes]]) -> list[UploadedFile]:
    """Put files; answers what their notifications tell, in the order of the puts."""
    versions = [laboratory.world.put(key, body) for key, body in bodies]
    loads = laboratory.operation.intercept(len(versions))
    told = {file.file_id: file for load in loads for file in load.files}
    return [told[version.file_id] for version in versions]


def load_of(*files: UploadedFile) -> Load:
    [load] = plan_loads(files)
    return load


def test_same_file_in_two_batches_at_once_counts_once(emptied: Laboratory) -> None:
    with emptied.operation.paused():
        files = uploaded(emptied, [(f"raw/flights/{n}.csv", FLIGHTS.file(n)) for n in range(3)])
        with emptied.lock_held("etl.flights_lock"):
            emptied.operation.start(load_of(*files[:2]))
            emptied.operation.start(load_of(*files[1:]))
            wait_until(lambda: emptied.loads_held_up() == 2, lambda: "no two CALLs wait")
    emptied.operation.settle()

    assert [e.status for e in emptied.observer.executions()] == ["SUCCEEDED"] * 2
    assert emptied.violations() == []


def test_loads_of_one_dataset_take_turns_and_those_of_two_do_not(emptied: Laboratory) -> None:
    with emptied.operation.paused():
        flights = uploaded(emptied, [(f"raw/flights/{n}.csv", FLIGHTS.file(n)) for n in range(3)])
        [reading] = uploaded(emptied, [("raw/readings/a.csv", READINGS.file(1))])
        # The first load has its turn already when it comes to the aggregates.
        with emptied.lock_held(AGGREGATES):
            for file in flights:
                emptied.operation.start(load_of(file))
            wait_until(lambda: emptied.loads_held_up() == 3, lambda: "no three CALLs wait")
            time.sleep(LEDGER_SECONDS)
            emptied.operation.start(load_of(reading))
            wait_until(
                lambda: len(emptied.observer.running()) == 3, lambda: "readings wait for flights"
            )
            time.sleep(LEDGER_SECONDS)
    emptied.operation.settle()

    intervals = emptied.query(INTERVALS)
    turns = [(start, end) for dataset, start, end in intervals if dataset == FLIGHTS.name]
    assert all(end <= start for (_, end), (start, _) in pairwise(turns))
    [(start, end)] = [(s, e) for dataset, s, e in intervals if dataset == READINGS.name]
    assert turns[0][0] < start <= end < turns[0][1]
    assert emptied.violations() == []


def of_one_second(laboratory: Laboratory, is_wanted: Callable[..., bool]) -> list[UploadedFile]:
    """Two versions of one key, of which nothing but their sequencers tells the order."""
    for number in range(MOST_TRIES):
        key = f"raw/flights/{number}.csv"
        bodies = [FLIGHTS.file(2 * number + later) for later in range(2)]
        first, second = uploaded(laboratory, [(key, body) for body in bodies])
        if is_wanted(first, second):
            return [first, replace(second, uploaded_at=first.uploaded_at)]
    raise AssertionError("no pair of versions suits")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the newer one first"])
def test_versions_of_one_second_are_ordered_by_their_sequencers(
    emptied: Laboratory, order: tuple[int, int]
) -> None:
    with emptied.operation.paused():
        # What is asked for last would have them the other way round.
        pair = of_one_second(emptied, lambda first, second: first.file_id > second.file_id)
        for place in order:
            emptied.operation.start(load_of(pair[place]))
            emptied.operation.wait_until_quiet()
    emptied.operation.settle()

    rows = {row.file_id: row.status for row in emptied.observer.look().ledger_files}
    assert rows[pair[1].file_id] == "loaded"
    assert rows[pair[0].file_id] in ("superseded", "replaced")
    assert emptied.violations() == []
