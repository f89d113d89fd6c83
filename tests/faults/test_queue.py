"""Many loads behind a slow one: all have their turn, and nobody is told of the wait."""

import os
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.faults.datasets import FLIGHTS
from tests.faults.laboratory import Laboratory
from tests.faults.operation import wait_until
from tests.operating import short_deadline

# How long it takes hangs on what else the machine does.
pytestmark = pytest.mark.queue

# QUEUED_LOADS=300 is for a machine that has nothing else to do.
LOADS = int(os.environ.get("QUEUED_LOADS", "60"))
# Less than the queue takes, and many times what a turn takes on a busy machine.
DEADLINE_MINUTES = 0.75
SECONDS = 600
# After so many a load that waits is told of (HasLoadWaited).
ATTEMPTS = 24


def test_loads_that_queue_for_longer_than_their_deadline_all_load(laboratory: Laboratory) -> None:
    world, operation, observer = laboratory.world, laboratory.operation, laboratory.observer
    laboratory.reset()
    with operation.paused():
        for number in range(LOADS):
            world.put(f"raw/flights/queue/{number}.csv", FLIGHTS.file(number, rows=1))
        slow, *others = operation.intercept(LOADS)

    # Before the deadline is shortened: it is slow, and not late.
    with ExitStack() as held:
        held.enter_context(laboratory.lock_held(FLIGHTS.aggregates))
        operation.start(slow)
        wait_until(lambda: laboratory.loads_held_up() == 1, lambda: "the first has no turn")
        with short_deadline(laboratory.stack, DEADLINE_MINUTES):
            for load in others:
                operation.start(load)
            wait_until(
                lambda: any(run.handed_on for run in observer.executions()),
                lambda: "no load has gone back to the queue",
                SECONDS,
            )
            held.close()
            operation.wait_until_quiet(SECONDS)

    runs = observer.executions()
    assert max(Counter(run.load_id for run in runs).values()) < ATTEMPTS
    assert {run.status for run in runs} == {"SUCCEEDED"}
    seen = observer.look()
    assert len(seen.ledger_files) == LOADS
    assert seen.support == ()
    # What the attempts left that had no turn is the sweeper's.
    operation.settle(SECONDS)
    assert laboratory.violations() == []
