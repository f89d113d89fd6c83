"""Many loads behind a slow one: all have their turn, and nobody is told of the wait.

By hand, since it takes ten minutes of a machine that does little else:

    .venv/bin/python -m pytest -m queue tests/faults/test_queue.py

QUEUED_LOADS=60 makes it shorter. The waits are as long as on AWS: shrunk, 300 loads would ask for
their statements' status so often that none got on.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from local.cloud import LaptopCloud
from tests.faults import operation as operating
from tests.faults.datasets import FLIGHTS
from tests.faults.laboratory import Laboratory
from tests.faults.operation import wait_until
from tests.operating import short_deadline

SECONDS = 1800
pytestmark = [pytest.mark.queue, pytest.mark.timeout(3 * SECONDS)]

LOADS = int(os.environ.get("QUEUED_LOADS", "300"))
# Longer than a turn takes, and shorter than the slow load keeps all others waiting.
DEADLINE_MINUTES = 3
# After so many a load that waits is told of (HasLoadWaited).
ATTEMPTS = 24


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    """One whose state machines wait as long as they say."""
    tmp_path_factory.getbasetemp()
    with LaptopCloud() as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def _rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look asks for hundreds of executions, which those under way have to wait for."""
    monkeypatch.setattr(operating, "POLL_SECONDS", 5.0)
    monkeypatch.setattr(operating, "STILL_SECONDS", 15.0)


def test_loads_that_queue_for_longer_than_their_deadline_all_load(laboratory: Laboratory) -> None:
    world, operation, observer = laboratory.world, laboratory.operation, laboratory.observer
    laboratory.reset()
    with operation.paused():
        for number in range(LOADS):
            world.put(f"raw/flights/queue/{number}.csv", FLIGHTS.file(number, rows=1))
        slow, *others = operation.intercept(LOADS)

    # Before the deadline is shortened: it is slow, and not late.
    began = time.monotonic()
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
    attempts = Counter(Counter(run.load_id for run in runs).values())
    ends = Counter((run.status, run.error, run.cause[:300]) for run in runs)
    print(f"{LOADS} loads in {time.monotonic() - began:.0f} s; attempts: {attempts}; {ends}")
    assert max(attempts) < ATTEMPTS
    assert {run.status for run in runs} == {"SUCCEEDED"}, ends
    seen = observer.look()
    assert len(seen.ledger_files) == LOADS
    assert seen.support == ()
    # What the attempts left that had no turn is the sweeper's.
    operation.settle(SECONDS)
    assert laboratory.violations() == []
