"""An execution that was aborted, or timed out, makes no call and enters no state any more."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.cloud import LaptopCloud
from local.sdk_tasks import TaskCall, TaskError
from tests.local.test_cloud import role

QUIET_SECONDS = 0.5
LIST = {
    "Type": "Task",
    "Resource": "arn:aws:states:::aws-sdk:glue:getDatabases",
    "Arguments": {},
    "TimeoutSeconds": 30,
}
TELL = {**LIST, "End": True}
CATCH = [{"ErrorEquals": ["States.ALL"], "Next": "Tell"}]
RETRY = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 4, "MaxAttempts": 3}]


class Calls:
    """What the cloud's state machines call, and what is to happen after a call."""

    def __init__(self, cloud: LaptopCloud) -> None:
        self.cloud = cloud
        self.made: list[TaskCall] = []
        self.then: Callable[[TaskCall], None] = lambda _call: None

    def __call__(self, call: TaskCall) -> None:
        self.made.append(call)
        self.then(call)

    def states(self) -> list[str]:
        return [call.state for call in self.made]

    def abort(self, call: TaskCall) -> None:
        self.cloud.client("stepfunctions").stop_execution(executionArn=call.execution)


@pytest.fixture
def calls(cloud: LaptopCloud) -> Iterator[Calls]:
    calls = Calls(cloud)
    cloud.after_call.append(calls)
    yield calls
    cloud.after_call.remove(calls)


def machine(cloud: LaptopCloud, states: dict[str, Any], **fields: Any) -> str:
    """The ARN of a new state machine that starts at the first of `states`."""
    client = cloud.client("stepfunctions")
    name = f"abort-{time.monotonic_ns()}"
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    arn = client.create_state_machine(
        name=name,
        definition=json.dumps({**definition, **fields}),
        roleArn=role(cloud, name, "states.amazonaws.com", ["glue:*"]),
    )["stateMachineArn"]
    return str(arn)


def run_to_its_end(cloud: LaptopCloud, arn: str) -> tuple[dict[str, Any], list[str]]:
    """The execution as it is some time after it ended, and the types of its events."""
    client = cloud.client("stepfunctions")
    execution = client.start_execution(stateMachineArn=arn)["executionArn"]
    while client.describe_execution(executionArn=execution)["status"] == "RUNNING":
        time.sleep(0.02)
    time.sleep(QUIET_SECONDS)
    events = client.get_execution_history(executionArn=execution)["events"]
    return client.describe_execution(executionArn=execution), [event["type"] for event in events]


def test_call_after_which_it_is_aborted_is_the_last(cloud: LaptopCloud, calls: Calls) -> None:
    calls.then = calls.abort
    arn = machine(cloud, {"List": {**LIST, "Catch": CATCH, "Next": "Tell"}, "Tell": TELL})
    execution, events = run_to_its_end(cloud, arn)

    assert execution["status"] == "ABORTED"
    assert calls.states() == ["List"]
    assert events[-1] == "ExecutionAborted"


def test_error_of_an_aborted_execution_is_not_caught(cloud: LaptopCloud, calls: Calls) -> None:
    def abort_and_fail(call: TaskCall) -> None:
        calls.abort(call)
        raise TaskError("Glue.InternalServiceException", "after the abort")

    calls.then = abort_and_fail
    arn = machine(cloud, {"List": {**LIST, "Catch": CATCH, "End": True}, "Tell": TELL})
    execution, _ = run_to_its_end(cloud, arn)

    assert execution["status"] == "ABORTED"
    assert "error" not in execution
    assert calls.states() == ["List"]


def test_abort_ends_a_wait(cloud: LaptopCloud, calls: Calls) -> None:
    client = cloud.client("stepfunctions")
    wait = {"Type": "Wait", "Seconds": 10, "Next": "Tell"}
    arn = machine(cloud, {"Pause": wait, "Tell": TELL})
    execution = client.start_execution(stateMachineArn=arn)["executionArn"]
    time.sleep(0.3)
    client.stop_execution(executionArn=execution)
    time.sleep(0.7)  # the wait's 10 s are 0.5 s at the scale of the tests
    events = client.get_execution_history(executionArn=execution)["events"]

    assert calls.made == []
    assert [event["type"] for event in events][-2:] == ["WaitStateEntered", "ExecutionAborted"]


def test_abort_ends_retries(cloud: LaptopCloud, calls: Calls) -> None:
    attempts = []

    def fail(call: TaskCall) -> None:
        attempts.append(call)
        if len(attempts) == 2:
            calls.abort(call)
        raise TaskError("Glue.ThrottlingException", "Rate exceeded")

    calls.then = fail
    states = {"List": {**LIST, "Retry": RETRY, "Catch": CATCH, "End": True}, "Tell": TELL}
    arn = machine(cloud, states)
    execution, _ = run_to_its_end(cloud, arn)

    assert execution["status"] == "ABORTED"
    assert calls.states() == ["List", "List"]


def test_abort_ends_all_items_of_a_map(cloud: LaptopCloud, calls: Calls) -> None:
    processor = {
        "StartAt": "List",
        "States": {
            "List": {**LIST, "Retry": RETRY, "Next": "Pause"},
            "Pause": {"Type": "Wait", "Seconds": 4, "Next": "Last"},
            "Last": {**LIST, "End": True},
        },
    }

    def abort_at_the_first(call: TaskCall) -> None:
        if len(calls.made) == 1:
            calls.abort(call)

    calls.then = abort_at_the_first
    outer = {
        **{"Type": "Map", "Items": [1, 2, 3, 4], "ItemProcessor": processor, "MaxConcurrency": 2},
        **{"Retry": RETRY, "Catch": CATCH, "Next": "Tell"},
    }
    arn = machine(cloud, {"Outer": outer, "Tell": TELL})
    execution, events = run_to_its_end(cloud, arn)

    assert execution["status"] == "ABORTED"
    # Calls that were under way for other items may have been made; none came later.
    assert set(calls.states()) == {"List"}
    assert "TaskStateEntered" not in events


def test_machine_s_own_timeout_ends_it(cloud: LaptopCloud, calls: Calls) -> None:
    poll = {"Type": "Wait", "Seconds": 2, "Next": "List"}
    states = {"Poll": poll, "List": {**LIST, "Catch": CATCH, "Next": "Poll"}, "Tell": TELL}
    arn = machine(cloud, states, TimeoutSeconds=12)
    execution, events = run_to_its_end(cloud, arn)

    assert execution["status"] == "TIMED_OUT"
    assert events[-1] == "ExecutionTimedOut"
    assert calls.made
    assert set(calls.states()) == {"List"}
