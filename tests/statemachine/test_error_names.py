"""Every error that a Retry or Catch names can occur, under the name that it is given there."""

from typing import Any

import pytest

from local.java_names import modelled, unmodelled
from tests.statemachine.test_definition import TASKS


def called(task: dict[str, Any]) -> tuple[str, str]:
    """The service and the action of a task: glue, getTable."""
    service, action = task["Resource"].split(":")[-2:]
    return service, action


def named(routes: list[dict[str, Any]]) -> set[str]:
    names = {name for route in routes for name in route["ErrorEquals"]}
    return {name for name in names if not name.startswith("States.")}


@pytest.mark.parametrize("name", TASKS)
def test_every_error_that_is_named_can_occur(name: str) -> None:
    task = TASKS[name]
    service, _ = called(task)

    known = modelled(service) | unmodelled(service)
    assert named([*task["Retry"], *task.get("Catch", [])]) <= known


@pytest.mark.parametrize("name", TASKS)
def test_what_a_catch_handles_is_not_retried(name: str) -> None:
    task = TASKS[name]
    exempt = named([retrier for retrier in task["Retry"] if retrier["MaxAttempts"] == 0])

    assert named(task.get("Catch", [])) <= exempt
