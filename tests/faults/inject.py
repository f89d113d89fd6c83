"""Faults at the edge between the state machines and the services they call.

Errors carry the codes and texts of the services, and reach the state machine under the names that
Step Functions makes of them (`local.sdk_tasks.service_error`).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from local.cloud import LaptopCloud
from local.sdk_tasks import TaskAnswer, TaskCall, TaskError, service_error

REQUEST_ID = "00000000-0000-4000-8000-000000000000"


class Kind(StrEnum):
    """What goes wrong with a task's call."""

    THROTTLED = "throttled twice, then fine"
    FAILING = "always failing"
    DENIED = "access denied"
    ANSWER_LOST = "took effect, answer lost"
    ABORTED = "aborted right after the call"


# How often a fault strikes; for ever where nothing is said.
TIMES = {Kind.THROTTLED: 2, Kind.ANSWER_LOST: 1, Kind.ABORTED: 1}

Wording = tuple[str, str, int]

THROTTLED: dict[str, Wording] = {
    "glue": ("ThrottlingException", "Rate exceeded", 400),
    "redshiftdata": ("ThrottlingException", "Rate exceeded", 400),
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
    "sfn": ("ThrottlingException", "Rate exceeded", 400),
    "sns": ("Throttled", "Rate exceeded", 429),
    "sqs": ("RequestThrottled", "Request is throttled.", 403),
}
FAILING: dict[str, Wording] = {
    "glue": ("InternalServiceException", "An internal service error occurred.", 500),
    "redshiftdata": (
        "InternalServerException",
        "The request processing has failed because of an unknown error, exception or failure.",
        500,
    ),
    "s3": ("InternalError", "We encountered an internal error. Please try again.", 500),
    "sfn": ("InternalFailure", "The request processing has failed.", 500),
    "sns": ("InternalError", "An internal error occurred.", 500),
    "sqs": ("InternalError", "We encountered an internal error. Please try again.", 500),
}
DENIED: dict[str, Wording] = {
    "glue": ("AccessDeniedException", "{caller} is not authorized to perform: {action}", 400),
    "redshiftdata": (
        "AccessDeniedException",
        "{caller} is not authorized to perform: {action} on resource: *",
        400,
    ),
    "s3": ("AccessDenied", "Access Denied", 403),
    "sfn": ("AccessDeniedException", "{caller} is not authorized to perform: {action}", 400),
    "sns": ("AuthorizationError", "{caller} is not authorized to perform: {action}", 403),
    "sqs": ("AccessDenied", "{caller} is not authorized to perform: {action}", 403),
}
IAM_ACTIONS = {
    "redshiftdata": "redshift-data",
    "sfn": "states",
    "sns": "SNS",
}


@dataclass
class Fault:
    """A fault of a task, and how often it has struck.

    `runs` is the beginning of the names of the load executions that it is about, or for the machine
    that looks after loads, of those that it looks after. `times` is how often it strikes, where it
    is not its kind that says so. `words` are put behind the error's text.
    """

    machine: str
    state: str
    kind: Kind
    runs: str
    strikes: int = 0
    times: int | None = None
    words: str = ""

    def takes_turn(self) -> bool:
        """Whether it is to strike once more, and takes note."""
        if self.strikes == (self.times or TIMES.get(self.kind)):
            return False
        self.strikes += 1
        return True


class Injector:
    """Strikes at the calls of a cloud's state machines, while `active`."""

    def __init__(self, cloud: LaptopCloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._faults: dict[tuple[str, str], list[Fault]] = {}
        self._looked_after: dict[str, str] = {}
        # Reads the services' models: not while many threads wait for it.
        service_error("s3", "InternalError", "", 500)

    @contextmanager
    def active(self) -> Iterator["Injector"]:
        self._cloud.before_call.append(self._before)
        self._cloud.after_call.append(self._after)
        try:
            yield self
        finally:
            self._cloud.before_call.remove(self._before)
            self._cloud.after_call.remove(self._after)

    def add(self, fault: Fault) -> None:
        self._faults.setdefault((fault.machine, fault.state), []).append(fault)

    def clear(self) -> int:
        """Forget all faults; answers how often they have struck."""
        with self._lock:
            strikes = sum(fault.strikes for faults in self._faults.values() for fault in faults)
            self._faults.clear()
        return strikes

    def _before(self, call: TaskCall) -> None:
        fault = self._striking(call, lambda kind: kind not in (Kind.ANSWER_LOST, Kind.ABORTED))
        if fault:
            raise failure(fault.kind, call, fault.words)

    def _after(self, call: TaskCall) -> None:
        fault = self._striking(call, lambda kind: kind in (Kind.ANSWER_LOST, Kind.ABORTED))
        if fault is None:
            return
        if fault.kind is Kind.ANSWER_LOST:
            raise TaskError("States.Timeout", "Task timed out")
        self._cloud.client("stepfunctions").stop_execution(executionArn=call.execution)

    def _striking(self, call: TaskCall, is_its_turn: Callable[[Kind], bool]) -> Fault | None:
        machine, run_id = self._whereabouts(call)
        with self._lock:
            for fault in self._faults.get((machine, call.state), []):
                concerned = is_its_turn(fault.kind) and run_id.startswith(fault.runs)
                if concerned and fault.takes_turn():
                    return fault
        return None

    def _whereabouts(self, call: TaskCall) -> tuple[str, str]:
        """The machine, by its file's stem, and the load execution's name that a call is about."""
        *_, machine, run_id = call.execution.split(":")
        if not machine.endswith("-abandoned-load"):
            return "load", run_id
        if call.action == "describeExecution":
            self._looked_after[call.execution] = call.parameters["ExecutionArn"].split(":")[-1]
        return "abandoned_load", self._looked_after.get(call.execution, "")


def failure(kind: Kind, call: TaskCall, words: str = "") -> Exception:
    """What a hook raises so that a call fails in this way."""
    if call.action == "deleteObjects" and kind is not Kind.THROTTLED:
        return TaskAnswer({"Errors": list(_errors_by_object(kind, call))})
    wordings = {Kind.THROTTLED: THROTTLED, Kind.FAILING: FAILING, Kind.DENIED: DENIED}
    code, text, status = wordings[kind][call.service]
    action = call.action[0].upper() + call.action[1:]
    message = text.format(
        caller=f"User: {call.role}",
        action=f"{IAM_ACTIONS.get(call.service, call.service)}:{action}",
    )
    return service_error(call.service, code, f"{message} {words}".rstrip(), status, REQUEST_ID)


def _errors_by_object(kind: Kind, call: TaskCall) -> Iterator[dict[str, Any]]:
    """S3 answers DeleteObjects with 200 and an error for each object."""
    code, message, _ = (FAILING if kind is Kind.FAILING else DENIED)["s3"]
    for item in call.parameters["Delete"]["Objects"]:
        yield {**item, "Code": code, "Message": message}
