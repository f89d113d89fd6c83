"""What keeps a pipeline in operation: its queue, its sweeper, and the people who rerun loads."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from start_loads.core import CLOCK_TOLERANCE, Intake, Load

from local.stack import Stack
from tests.faults.observed import Execution, Observer
from tests.operating import enable_queue, messages_in, received, rerun_input, sweep

# Each look is a dozen calls, which the executions under way have to wait for.
POLL_SECONDS = 0.3
# What is about to start (a rule's machine, a taken message's load) has started within this time.
STILL_SECONDS = 0.6
WAIT_SECONDS = 180.0
SWEPT = ("requeued_files", "requeued_loads", "partitions_dropped", "objects_dropped")


class NotQuietError(AssertionError):
    """The pipeline has not come to rest in time."""


def wait_until(
    condition: Callable[[], object], what: Callable[[], object], seconds: float = WAIT_SECONDS
) -> None:
    """Raises NotQuietError, with `what`, when the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotQuietError(f"after {seconds} s: {what()}")
        time.sleep(POLL_SECONDS)


@dataclass
class Operation:
    """Runs a deployed stack as its operators would. `reruns` names what they have started."""

    stack: Stack
    observer: Observer
    reruns: set[str] = field(default_factory=set)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let messages wait in the queue."""
        enable_queue(self.stack, is_on=False)
        try:
            yield
        finally:
            enable_queue(self.stack, is_on=True)

    def intercept(self, count: int) -> list[Load]:
        """Take `count` notifications out of the paused queue: each makes a load of its own."""
        url = self.stack.outputs["IngestQueueUrl"]
        loads: list[Load] = []

        def take() -> bool:
            for body in received(self.stack.sqs, url):
                bucket = self.stack.outputs["RawBucketName"]
                intake = Intake(bucket, datetime.now(UTC) + CLOCK_TOLERANCE)
                intake.add("", json.loads(body))
                loads.extend(intake.loads())
            return len(loads) >= count

        wait_until(take, lambda: f"{len(loads)} of {count} notifications have come")
        return loads

    def start(self, load: Load, run_id: str = "") -> str:
        """Start an attempt at a load, the first if nothing is said; answers its ARN."""
        return self._start(run_id or load.load_id, load.to_input())

    def rerun(self, execution: Execution) -> None:
        """What the command in the mail to support does: the next attempt, marked as a rerun."""
        attempt = execution.name.removeprefix(execution.load_id).removeprefix("-")
        name = f"{execution.load_id}-{int(attempt or 1) + 1}"
        self.reruns.add(name)
        self._start(name, rerun_input(execution.input))

    def rerun_operators_failures(self) -> int:
        """Rerun each load whose newest attempt waits for an operator; answers how many."""
        newest = {execution.load_id: execution for execution in self.observer.executions()}
        waiting = [
            execution
            for execution in newest.values()
            if (execution.status, execution.error) == ("FAILED", "OperatorError")
        ]
        for execution in waiting:
            self.rerun(execution)
        return len(waiting)

    def wait_until_quiet(self, seconds: float = WAIT_SECONDS) -> None:
        """Raises NotQuietError."""
        quiet_since = time.monotonic()

        def is_still() -> bool:
            nonlocal quiet_since
            if not self.observer.is_quiet():
                quiet_since = time.monotonic()
            return time.monotonic() - quiet_since > STILL_SECONDS

        wait_until(is_still, self._unrest, seconds)

    def settle(self, seconds: float = WAIT_SECONDS) -> None:
        """Rerun and sweep until nothing is left to do. Raises NotQuietError."""
        deadline = time.monotonic() + seconds
        while True:
            self.wait_until_quiet(max(0.0, deadline - time.monotonic()))
            rerun = self.rerun_operators_failures()
            swept = sweep(self.stack)
            if not rerun and not any(swept[name] for name in SWEPT):
                return

    def _unrest(self) -> str:
        queued = messages_in(self.stack, "IngestQueueUrl")
        running = [arn.rpartition(":")[2] for arn in self.observer.running()]
        return f"queued {queued}, running {running}, statements {self.observer.statements()}"

    def _start(self, name: str, document: str) -> str:
        answer = self.stack.step_functions.start_execution(
            stateMachineArn=self.stack.outputs["LoadStateMachineArn"], name=name, input=document
        )
        return str(answer["executionArn"])
