"""What can be said of the definition without running it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
import yaml

PATH = Path(__file__).parents[2] / "statemachine" / "load.asl.yaml"
DEFINITION: dict[str, Any] = yaml.safe_load(PATH.read_text())


def walk(states: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in states.items():
        yield name, state
        if "ItemProcessor" in state:
            yield from walk(state["ItemProcessor"]["States"])


STATES = dict(walk(DEFINITION["States"]))
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def assigned(state: dict[str, Any]) -> set[str]:
    routes = [state, *state.get("Catch", []), *state.get("Choices", [])]
    return {name for route in routes for name in route.get("Assign", {})}


def lint(definition: dict[str, Any]) -> list[str]:
    template = {
        "Resources": {
            "LoadStateMachine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/load",
                    "Definition": definition,
                },
            }
        }
    }
    return [str(match) for match in cfnlint.api.lint_all(json.dumps(template))]


def definition() -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(DEFINITION).replace("${Partition}", "aws"))
    # The language allows JSONata here, cfn-lint's schema (1.41) does not know it yet.
    copy["States"]["WaitForLoad"]["Seconds"] = 1
    return copy


def test_definition_is_valid_states_language() -> None:
    assert lint(definition()) == []


def test_linter_refuses_a_task_without_a_resource() -> None:
    broken = definition()
    del broken["States"]["SubmitLoad"]["Resource"]

    assert any("Resource" in match for match in lint(broken))


def targets(machine: dict[str, Any]) -> set[str]:
    routes = [
        route
        for state in machine["States"].values()
        for route in (state, *state.get("Catch", []), *state.get("Choices", []))
    ]
    named = {route[field] for route in routes for field in ("Next", "Default") if field in route}
    return named | {machine["StartAt"]}


@pytest.mark.parametrize(
    "machine",
    [DEFINITION, *(state["ItemProcessor"] for state in STATES.values() if state["Type"] == "Map")],
    ids=lambda machine: machine["StartAt"],
)
def test_every_state_is_reached_and_exists(machine: dict[str, Any]) -> None:
    assert targets(machine) == set(machine["States"])


@pytest.mark.parametrize("name", STATES)
def test_state_is_named_by_an_imperative_or_a_question(name: str) -> None:
    assert re.fullmatch(r"([A-Z][a-z0-9]+)+", name)
    if STATES[name]["Type"] == "Choice":
        assert name.startswith(("Is", "Has"))


@pytest.mark.parametrize("name", TASKS)
def test_task_is_bounded_and_retried(name: str) -> None:
    task = TASKS[name]
    retried = {error for retrier in task["Retry"] for error in retrier["ErrorEquals"]}

    assert task["TimeoutSeconds"] <= 300
    assert {"States.Timeout", "States.TaskFailed"} <= retried
    for retrier in task["Retry"]:
        if retrier["MaxAttempts"]:
            assert retrier["JitterStrategy"] == "FULL"
            assert retrier["BackoffRate"] >= 2


@pytest.mark.parametrize("name", TASKS)
def test_errors_of_services_are_named_as_step_functions_names_them(name: str) -> None:
    routes = [*TASKS[name]["Retry"], *TASKS[name].get("Catch", [])]

    for error in {error for route in routes for error in route["ErrorEquals"]}:
        assert re.fullmatch(r"States\.\w+|\w+\.\w+Exception", error)


@pytest.mark.parametrize("name", DEFINITION["States"])
def test_every_error_reaches_support_and_ends_in_fail(name: str) -> None:
    state = DEFINITION["States"][name]
    if state["Type"] not in ("Task", "Map"):
        return
    last = state["Catch"][-1]

    assert last["ErrorEquals"] == ["States.ALL"]
    assert last["Next"] == ("LoadFailed" if name == "NotifySupport" else "NotifySupport")
    assert DEFINITION["States"]["LoadFailed"]["Type"] == "Fail"


def test_only_sdk_integrations_do_the_work() -> None:
    resources = {task["Resource"] for task in TASKS.values()}

    assert all(resource.startswith("arn:${Partition}:states:::aws-sdk:") for resource in resources)


def test_no_jsonata_is_left_unwrapped() -> None:
    bare = [
        text
        for text in strings(DEFINITION)
        if text.lstrip().startswith("$") and not text.startswith("${")
    ]

    assert bare == []
    assert all(text.strip().endswith("%}") for text in strings(DEFINITION) if "{%" in text)


def test_every_variable_that_is_read_was_assigned() -> None:
    variables = set().union(*(assigned(state) for state in STATES.values()))
    functions = {
        *("states", "contains", "count", "encodeUrlComponent", "exists", "formatNumber", "hash"),
        *(
            "join",
            "lowercase",
            "map",
            "merge",
            "millis",
            "min",
            "number",
            "replace",
            "sort",
            "string",
        ),
        *("substring", "substringAfter"),
    }
    read = set()
    for text in strings(DEFINITION):
        local = set(re.findall(r"\$(\w+)\s*:=", text)) | set(
            re.findall(r"function\(\$(\w+)\)", text)
        )
        read |= set(re.findall(r"\$([a-z]\w*)", text.replace("${", ""))) - local

    assert read - functions == variables
    assert variables


def test_the_call_holds_no_value() -> None:
    sql = TASKS["SubmitLoad"]["Arguments"]["Sql"]

    assert "$states" not in sql
    assert re.findall(r"(?<!:):(\w+)", sql) == [
        parameter["Name"] for parameter in TASKS["SubmitLoad"]["Arguments"]["Parameters"]
    ]
