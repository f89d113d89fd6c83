"""What is under way survives a power cut of the warehouse, and a queue that stands still."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.faults.datasets import FLIGHTS
from tests.faults.laboratory import Laboratory
from tests.faults.operation import wait_until
from tests.operating import messages_in

pytestmark = pytest.mark.long

WAITING_FILES = 500
# Far fewer loads than files, whatever way the poller cuts them.
MOST_LOADS = 50


@pytest.fixture
def batching(deployed_stack: Stack) -> Iterator[Laboratory]:
    """The stack with a batch window, emptied."""
    laboratory = Laboratory.of(deployed_stack, {FLIGHTS.name: FLIGHTS})
    laboratory.reset()
    yield laboratory
    laboratory.reset()


def test_warehouse_killed_during_a_call(laboratory: Laboratory) -> None:
    laboratory.reset()
    warehouse = laboratory.stack.warehouse
    with laboratory.lock_held("etl.flights_lock"):
        laboratory.world.put("raw/flights/a.csv", FLIGHTS.file(1))
        wait_until(laboratory.loads_held_up, lambda: "no CALL has begun")
        [name] = laboratory.observer.statements()
        warehouse.crash()
    warehouse.restart()

    laboratory.operation.settle()

    # Where the warehouse was back too late for the retries, the sweeper has had it loaded again.
    *failed, last = laboratory.observer.executions()
    assert [*failed, last][0].name == name
    assert {execution.status for execution in failed} <= {"FAILED"}
    assert last.status == "SUCCEEDED"
    # Some attempts may have come before the warehouse was back.
    *killed, finished = laboratory.observer.statement_statuses(last.name)
    assert set(killed) <= {"FAILED"}
    assert finished == "FINISHED"
    assert "FAILED" in laboratory.observer.statement_statuses(name)
    assert laboratory.violations() == []


def test_queue_that_stood_still_with_many_messages(batching: Laboratory) -> None:
    with batching.operation.paused():
        for number in range(WAITING_FILES):
            batching.world.put(f"raw/flights/{number}.csv", FLIGHTS.file(number, rows=1))
        wait_until(
            lambda: messages_in(batching.stack, "IngestQueueUrl") >= WAITING_FILES,
            lambda: messages_in(batching.stack, "IngestQueueUrl"),
        )

    batching.operation.settle()

    seen = batching.observer.look()
    assert len(seen.ledger_files) == WAITING_FILES
    assert len(seen.executions) <= MOST_LOADS
    assert batching.world.violations(seen) == []
