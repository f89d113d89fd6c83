"""The executions of the load state machine: which there are, and what became of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PAGE_SIZE = 1_000

_NAME = re.compile(r"[0-9A-Za-z_-]{1,80}")

Execution = Mapping[str, Any]


@dataclass
class Executions:
    """The executions of one machine. Every method raises botocore's errors."""

    states: Any
    machine_arn: str

    def alive_since(self, since: datetime) -> Iterator[Execution]:
        """Those that run, or ended after this, the most recent first, as they are listed."""
        pages = self.states.get_paginator("list_executions").paginate(
            stateMachineArn=self.machine_arn, PaginationConfig={"PageSize": PAGE_SIZE}
        )
        for page in pages:
            alive = [e for e in page["executions"] if e.get("stopDate", since) >= since]
            yield from alive
            # Step Functions lists by the time of the end, not of the start. So one that began
            # long ago may come first, and says nothing about those that follow.
            if not alive:
                return

    def describe(self, arn: str) -> Execution | None:
        """All about an execution; None where there is none, or no longer one."""
        try:
            execution: Execution = self.states.describe_execution(executionArn=arn)
        except self.states.exceptions.ExecutionDoesNotExist:
            return None
        return execution

    def describe_run(self, run_id: str) -> Execution | None:
        """`describe`, by the name."""
        # Names come from keys too, which may hold anything; Step Functions takes no other.
        if not _NAME.fullmatch(run_id):
            return None
        return self.describe(
            f"{self.machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
        )
