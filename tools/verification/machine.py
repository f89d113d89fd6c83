"""A state machine of the verification's own, with the role of the load machine."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from botocore.exceptions import ClientError

from tools.verification.budget import Budget
from tools.verification.deployed import Deployed
from tools.verification.finding import UnansweredError
from tools.verification.traces import Traces

RUN_SECONDS = 180
POLL_SECONDS = 0.5
POLLS = 15
# A role or a machine that was made a moment ago may not be known everywhere yet.
TRIES = 10

State = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One call; its outcome stands under `name` in the machine's output, as `result` or `error`.

    `arguments` may be one JSONata expression for all of them.
    """

    name: str
    resource: str
    arguments: Mapping[str, Any] | str


@dataclass
class Machine:
    """The stack's name stands before `name`; its low line is what the role's trust looks for."""

    deployed: Deployed
    traces: Traces
    budget: Budget
    name: str

    @property
    def full_name(self) -> str:
        return f"{self.deployed.name}-{self.name}"

    @cached_property
    def load_machine(self) -> dict[str, Any]:
        """The role and the definition of the machine that loads. Raises botocore's errors."""
        arn = self.deployed.outputs["LoadStateMachineArn"]
        found = self.client.describe_state_machine(stateMachineArn=arn)
        return {"role": found["roleArn"], **json.loads(found["definition"])}

    @property
    def client(self) -> Any:
        return self.deployed.client("stepfunctions")

    def create(self, definition: State, suffix: str = "") -> str:
        """The ARN of a new machine. Raises botocore's errors."""
        name = f"{self.full_name}{suffix}"
        arn = self.deployed.outputs["LoadStateMachineArn"].rpartition(":")[0] + f":{name}"
        self.traces.will_make(
            f"state machine {name}",
            lambda: self.client.delete_state_machine(stateMachineArn=arn),
            f"aws stepfunctions delete-state-machine --state-machine-arn {arn}",
        )
        for tries_left in reversed(range(TRIES)):
            try:
                answer = self.client.create_state_machine(
                    name=name,
                    definition=json.dumps(definition),
                    roleArn=self.load_machine["role"],
                )
                return str(answer["stateMachineArn"])
            except ClientError as error:
                if error.response["Error"]["Code"] != "StateMachineDeleting" or not tries_left:
                    raise
            time.sleep(POLL_SECONDS)
        raise AssertionError("unreachable")

    def start(self, machine: str, given: Any, transitions: int, name: str = "") -> str:
        """The ARN of a started execution, which will take so many transitions at most.

        Raises SpentError, and botocore's errors.
        """
        self.budget.take_transitions(transitions)
        more = {"name": name} if name else {}
        answer = self.client.start_execution(
            stateMachineArn=machine, input=json.dumps(given), **more
        )
        return str(answer["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """Raises UnansweredError, and botocore's errors."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            described: dict[str, Any] = self.client.describe_execution(executionArn=execution)
            if described["status"] != "RUNNING":
                return described
            time.sleep(POLL_SECONDS)
        raise UnansweredError(f"the machine did not end within {RUN_SECONDS} s")


def definition_of(first: State, tasks: Sequence[Task], more: Mapping[str, State]) -> State:
    """A machine that passes through `first` (a Pass state without Next), then through the tasks,
    whatever becomes of each, then through `more`, by name and in order; its output is what they
    were assigned."""
    states: dict[str, State] = {"First": first}
    states |= {task.name: _state_of(task) for task in tasks}
    states |= more
    names = [*states, "Last"]
    for name, following in pairwise(names):
        state = states[name]
        if "Next" not in state and state["Type"] != "Choice":
            state["Next"] = following
        for catcher in state.get("Catch", ()):
            catcher.setdefault("Next", following)
    kept = {task.name for task in tasks} | set(first["Assign"])
    states["Last"] = {
        "Type": "Pass",
        "Output": {name: f"{{% ${name} %}}" for name in sorted(kept)},
        "End": True,
    }
    return {"QueryLanguage": "JSONata", "StartAt": "First", "States": states}


def _state_of(task: Task) -> State:
    return {
        "Type": "Task",
        "Resource": task.resource,
        "TimeoutSeconds": 60,
        "Arguments": task.arguments,
        "Assign": {task.name: {"result": "{% $states.result %}"}},
        "Output": {},
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": {
                    task.name: {
                        "error": "{% $states.errorOutput.Error %}",
                        "cause": "{% $states.errorOutput.Cause %}",
                    }
                },
                "Output": {},
            }
        ],
    }
