"""Faults at the laptop cloud's dispatch of a state machine's calls. The product is not touched."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from local.sdk_tasks import TaskCall, TaskError
from local.stack import Stack

FAULTS = ("throttled twice", "failing", "denied", "answer lost", "aborted")
CELL = re.compile(r"cell-\d{3}")

# As Step Functions names and words what each service answers. S3's errors have no names of their
# own there.
THROTTLED = {
    "glue": ("Glue.ThrottlingException", "Rate exceeded (Service: Glue, Status Code: 400)"),
    "redshiftdata": (
        "RedshiftData.ThrottlingException",
        "Rate exceeded (Service: RedshiftData, Status Code: 400)",
    ),
    "s3": (
        "S3.S3Exception",
        "Please reduce your request rate. (Service: S3, Status Code: 503)",
    ),
    "sfn": ("Sfn.SfnException", "Rate exceeded (Service: Sfn, Status Code: 400)"),
    "sns": ("Sns.ThrottledException", "Rate exceeded (Service: Sns, Status Code: 400)"),
    "sqs": ("Sqs.RequestThrottledException", "Request is throttled. (Service: Sqs)"),
}
FAILING = {
    "glue": ("Glue.InternalServiceException", "Internal (Service: Glue, Status Code: 500)"),
    "redshiftdata": (
        "RedshiftData.InternalServerException",
        "Internal (Service: RedshiftData, Status Code: 500)",
    ),
    "s3": ("S3.S3Exception", "We encountered an internal error. (Service: S3, Status Code: 500)"),
    "sfn": ("Sfn.SfnException", "Internal (Service: Sfn, Status Code: 500)"),
    "sns": ("Sns.InternalErrorException", "Internal (Service: Sns, Status Code: 500)"),
    "sqs": ("Sqs.SqsException", "Internal (Service: Sqs, Status Code: 500)"),
}
DENIED = {
    "glue": ("Glue.AccessDeniedException", "User is not authorized to perform: glue:*"),
    "redshiftdata": (
        "RedshiftData.AccessDeniedException",
        "User is not authorized to perform: redshift-data:*",
    ),
    "s3": ("S3.S3Exception", "Access Denied (Service: S3, Status Code: 403)"),
    "sfn": ("Sfn.SfnException", "User is not authorized to perform: states:* (Status Code: 400)"),
    "sns": ("Sns.AuthorizationErrorException", "User is not authorized to perform: SNS:Publish"),
    "sqs": ("Sqs.SqsException", "Access to the resource is denied. (Status Code: 403)"),
}


@dataclass
class Injector:
    """Puts a fault on one task of one cell; `stop` ends them all.

    A cell's files have its name in their keys, so that its loads and whatever looks after them are
    told from those of the cells that run beside it. `planned` says which task of a cell has which
    fault; `injected` counts.
    """

    stack: Stack
    planned: dict[tuple[str, str], str] = field(default_factory=dict)
    injected: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_on: bool = True

    def __post_init__(self) -> None:
        self.cell_of = cache(self._cell_of)
        self.stack.cloud.before_call.append(self.before)
        self.stack.cloud.after_call.append(self.after)

    def stop(self) -> None:
        """No more faults."""
        self._is_on = False
        for hooks, hook in (
            (self.stack.cloud.before_call, self.before),
            (self.stack.cloud.after_call, self.after),
        ):
            if hook in hooks:
                hooks.remove(hook)

    def before(self, call: TaskCall) -> None:
        """Fail instead of the call."""
        cell, fault = self._fault(call)
        if fault == "throttled twice" and self._count(cell, at_most=2):
            raise TaskError(*THROTTLED[call.service])
        if fault == "failing" and self._count(cell):
            raise TaskError(*FAILING[call.service])
        if fault == "denied" and self._count(cell):
            raise TaskError(*DENIED[call.service])

    def after(self, call: TaskCall) -> None:
        """Fail once the call has taken effect."""
        cell, fault = self._fault(call)
        if fault == "answer lost" and self._count(cell):
            raise TaskError("States.Timeout", "")
        if fault == "aborted" and self._count(cell, at_most=1):
            self.stack.step_functions.stop_execution(executionArn=call.execution)

    def _count(self, cell: str, at_most: float = float("inf")) -> bool:
        """Whether the fault is still due; counts it if so."""
        with self._lock:
            is_due = self.injected[cell] < at_most
            self.injected[cell] += is_due
        return is_due

    def _fault(self, call: TaskCall) -> tuple[str, str]:
        if not self._is_on:
            return "", ""
        cell = self.cell_of(call.execution)
        return cell, self.planned.get((cell, task_id(call)), "")

    def _cell_of(self, execution_arn: str) -> str:
        """The cell of a load, or of the load that an execution looks after."""
        described = self.stack.step_functions.describe_execution(executionArn=execution_arn)
        document = json.loads(described["input"])
        if "detail" in document:
            return self.cell_of(document["detail"]["executionArn"])
        found = CELL.search(document["files"][0]["key"])
        return found[0] if found else ""

    cell_of: Callable[[str], str] = field(init=False)


def task_id(call: TaskCall) -> str:
    """`<machine>-<state>`, the machine by the name of its definition's file."""
    machine = "abandoned_load" if "-abandoned-load:" in call.execution else "load"
    return f"{machine}-{call.state}"


def tasks(definitions: dict[str, Any]) -> list[str]:
    """Every task of every machine, those inside of Maps too, as `task_id` names them."""

    def walk(states: dict[str, Any]) -> list[str]:
        return [
            found
            for name, state in states.items()
            for found in (
                walk(state["ItemProcessor"]["States"])
                if "ItemProcessor" in state
                else [name] * (state["Type"] == "Task")
            )
        ]

    return [f"{machine}-{name}" for machine, d in definitions.items() for name in walk(d["States"])]
