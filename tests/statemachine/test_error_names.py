"""Errors of services: how Step Functions names them, and what the machines do about each."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from local.java_names import CLIENTS, modelled, unmodelled
from local.sdk_tasks import TaskError, service_error
from tests.statemachine.test_definition import TASKS
from tests.statemachine.test_error_classes import class_of

ERRORS: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parent / "errors.yaml").read_text()
)
ROWS = [(service, row) for service, rows in ERRORS.items() for row in rows]
IDS = [f"{service} {row['code']}" for service, row in ROWS]


def called(task: dict[str, Any]) -> tuple[str, str]:
    """The service and the action of a task: glue, getTable."""
    service, action = task["Resource"].split(":")[-2:]
    return service, action


def named(routes: list[dict[str, Any]]) -> set[str]:
    names = {name for route in routes for name in route["ErrorEquals"]}
    return {name for name in names if not name.startswith("States.")}


def not_retried(task: dict[str, Any]) -> set[str]:
    return named([retrier for retrier in task["Retry"] if retrier.get("MaxAttempts") == 0])


def raised(service: str, row: dict[str, Any]) -> TaskError:
    return service_error(service, row["code"], row["text"], row["status"], "A1")


@pytest.mark.parametrize(("service", "row"), ROWS, ids=IDS)
def test_laptop_cloud_names_an_error_as_step_functions_does(
    service: str, row: dict[str, Any]
) -> None:
    assert raised(service, row).error == row["names"][0]
    assert set(row["names"]) <= modelled(service) | unmodelled(service)


@pytest.mark.parametrize(("service", "row"), ROWS, ids=IDS)
def test_error_has_its_class_under_each_of_its_names(service: str, row: dict[str, Any]) -> None:
    text = raised(service, row).cause

    classes = {
        class_of({"state": "StageFiles", "error": name, "text": text}) for name in row["names"]
    }
    assert classes == {row["class"]}


@pytest.mark.parametrize("service", CLIENTS)
def test_call_that_did_not_reach_its_service_may_pass(service: str) -> None:
    [name] = [name for name in unmodelled(service) if name.endswith("SdkClientException")]

    assert class_of({"error": name, "text": "Unable to execute"}) == "TransientError"


@pytest.mark.parametrize("name", TASKS)
def test_every_error_that_is_named_can_occur(name: str) -> None:
    task = TASKS[name]
    service, _ = called(task)
    known = {name for row in ERRORS[service] for name in row["names"]}

    assert named([*task["Retry"], *task.get("Catch", [])]) <= known


@pytest.mark.parametrize("name", TASKS)
def test_error_that_a_catch_handles_or_that_cannot_pass_is_not_retried(name: str) -> None:
    task = TASKS[name]
    service, action = called(task)
    at_once = {row["names"][0] for row in ERRORS[service] if action in row.get("at_once", [])}

    if task["Retry"][0]["ErrorEquals"] != ["States.ALL"]:
        assert not_retried(task) == at_once
        assert named(task.get("Catch", [])) <= at_once


def test_name_that_cannot_occur_is_noticed() -> None:
    assert "Sns.KMSThrottlingException" not in modelled("sns") | unmodelled("sns")
    assert "RedshiftData.AccessDeniedException" not in modelled("redshiftdata")
    assert {"Sns.KmsThrottlingException", "Sns.KmsOptInRequiredException"} <= modelled("sns")
    assert "Glue.IntegrationConflictOperationException" in modelled("glue")
