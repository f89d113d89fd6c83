"""What can be said of the definition without running it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint.api
import jsonata
import pytest
import yaml

MACHINES_PATH = Path(__file__).parents[2] / "statemachine"
MACHINES: dict[str, dict[str, Any]] = {
    path.name.removesuffix(".asl.yaml"): yaml.safe_load(path.read_text())
    for path in sorted(MACHINES_PATH.glob("*.asl.yaml"))
}
LOAD = MACHINES["load"]


def walk(states: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in states.items():
        yield name, state
        if "ItemProcessor" in state:
            yield from walk(state["ItemProcessor"]["States"])


STATES = {
    f"{machine}-{name}": state
    for machine, definition in MACHINES.items()
    for name, state in walk(definition["States"])
}
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


def definition(machine: str) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(MACHINES[machine]).replace("${Partition}", "aws"))
    # The language allows JSONata in a Wait and for all Arguments of a Task and, as CDK writes them,
    # Comments in the rules of a Choice; cfn-lint's schema (1.41) knows none of them yet.
    for _, state in walk(copy["States"]):
        if isinstance(state.get("Arguments"), str):
            state["Arguments"] = {}
        if state["Type"] == "Wait":
            state["Seconds"] = 1
        for rule in state.get("Choices", []):
            rule.pop("Comment", None)
    return copy


@pytest.mark.parametrize("machine", MACHINES)
def test_definition_is_valid_states_language(machine: str) -> None:
    assert lint(definition(machine)) == []


def test_linter_refuses_a_task_without_a_resource() -> None:
    broken = definition("load")
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
    [
        *MACHINES.values(),
        *(state["ItemProcessor"] for state in STATES.values() if state["Type"] == "Map"),
    ],
    ids=lambda machine: machine["StartAt"],
)
def test_every_state_is_reached_and_exists(machine: dict[str, Any]) -> None:
    assert targets(machine) == set(machine["States"])


@pytest.mark.parametrize("name", STATES)
def test_state_is_named_by_an_imperative_or_a_question(name: str) -> None:
    state_name = name.partition("-")[2]

    assert re.fullmatch(r"([A-Z][a-z0-9]+)+", state_name)
    # ClassifyFailure is a table: its rows are no answers to one question.
    if STATES[name]["Type"] == "Choice" and state_name != "ClassifyFailure":
        assert state_name.startswith(("Is", "Has"))


# The one retrier: a delay and as much again each time, at random, 15 seconds at most in all. A
# missing permission of which the service's error tells no more than its base name waits as long.
RETRIER = {
    "ErrorEquals": ["States.TaskFailed", "States.Timeout"],
    "IntervalSeconds": 1,
    "BackoffRate": 2,
    "MaxAttempts": 4,
    "JitterStrategy": "FULL",
}
# Nobody looks after the machine that looks after loads: it keeps trying for hours.
PERSISTENT_RETRIER = {
    "ErrorEquals": ["States.ALL"],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxAttempts": 40,
    "MaxDelaySeconds": 600,
    "JitterStrategy": "FULL",
}
PERSISTENT = ("abandoned_load-ReadExecution", "abandoned_load-NotifySupport")


@pytest.mark.parametrize("name", TASKS)
def test_task_is_bounded(name: str) -> None:
    assert TASKS[name]["TimeoutSeconds"] <= 300


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_retried_alike(name: str) -> None:
    *exempt, retrier = TASKS[name]["Retry"]

    assert retrier == (PERSISTENT_RETRIER if name in PERSISTENT else RETRIER)
    assert [{**exemption, "ErrorEquals": []} for exemption in exempt] in (
        [],
        [{"ErrorEquals": [], "MaxAttempts": 0}],
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_definition_has_no_anchors(machine: str) -> None:
    """CloudFormation's handler reads it as a Jackson tree, to which an alias is but a string.

    aws-cloudformation-resource-providers-stepfunctions, DefinitionProcessor.java;
    FasterXML/jackson-dataformats-text issue 85.
    """
    tokens = yaml.scan((MACHINES_PATH / f"{machine}.asl.yaml").read_text())

    assert not [token for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken)]


# Where an error leads that is not classified itself.
ROUTES = {
    # Nobody knows whether the load waits: then it is late.
    **dict.fromkeys(("AskForTurn", "DescribeTurn", "FetchTurn"), "CancelLoad"),
    "CopyToQuarantine": "IsRefusedGone",
    "NotifySupport": "LoadFailed",
    # Whatever is wrong with the object that keeps mails away, it keeps none away then.
    "OpenIncident": "IsIncidentOpen",
    "ReadIncident": "NotifySupport",
}


@pytest.mark.parametrize(
    "name", [name for name, state in LOAD["States"].items() if state["Type"] in ("Task", "Map")]
)
def test_every_error_of_a_load_is_classified_and_told(name: str) -> None:
    last = LOAD["States"][name]["Catch"][-1]

    assert last["ErrorEquals"] == ["States.ALL"]
    assert last["Next"] == ROUTES.get(name, "ClassifyFailure")


def test_every_class_but_a_divisible_batch_tells_support_or_is_tried_again() -> None:
    states = LOAD["States"]

    assert {row["Next"] for row in states["ClassifyFailure"]["Choices"]} == {
        *("IsOneFile", "IsRetryLeft", "IsMailDue")
    }
    assert states["ClassifyFailure"]["Default"] == "IsOneFileSuspected"
    assert states["IsRetryLeft"]["Default"] == "IsOneFileSuspected"
    assert states["IsOneFileSuspected"]["Default"] == "IsMailDue"
    assert states["WriteReason"]["Next"] == "NotifySupport"
    assert states["LoadFailed"]["Type"] == "Fail"


@pytest.mark.parametrize("name", [n for n, state in STATES.items() if state["Type"] == "Fail"])
def test_no_fail_state_raises_a_name_that_the_language_reserves(name: str) -> None:
    expression = STATES[name]["Error"].removeprefix("{%").removesuffix("%}")
    bound = {"states": {"input": {"error": "States.Timeout"}}, "outcome": "TransientError"}

    if STATES[name]["Error"].startswith("{%"):
        expression = jsonata.Jsonata.jsonata(expression).evaluate(None, bound)
    assert not expression.startswith("States.")


def test_only_sdk_integrations_do_the_work() -> None:
    resources = {task["Resource"] for task in TASKS.values()}

    assert all(resource.startswith("arn:${Partition}:states:::aws-sdk:") for resource in resources)


def test_no_jsonata_is_left_unwrapped() -> None:
    bare = [
        text
        for text in strings(MACHINES)
        if text.lstrip().startswith("$") and not text.startswith("${")
    ]

    assert bare == []
    assert all(text.strip().endswith("%}") for text in strings(MACHINES) if "{%" in text)


FUNCTIONS = set(
    """
    states append contains count distinct encodeUrlComponent exists floor formatBase formatNumber
    fromMillis hash join length lookup lowercase map match merge millis min not now number pad parse
    power random reduce replace round sort split string substring substringAfter substringBefore
    sum toMillis type
    """.split()
)


def read_variables(value: Any) -> set[str]:
    read: set[str] = set()
    for text in strings(value):
        local = set(re.findall(r"\$(\w+)\s*:=", text))
        for parameters in re.findall(r"function\(([^)]*)\)", text):
            local |= set(re.findall(r"\$(\w+)", parameters))
        read |= set(re.findall(r"\$([a-z]\w*)", text.replace("${", ""))) - local
    return read - FUNCTIONS


@pytest.mark.parametrize("machine", MACHINES)
def test_every_variable_that_is_read_was_assigned(machine: str) -> None:
    states = dict(walk(MACHINES[machine]["States"]))
    variables = set().union(*(assigned(state) for state in states.values()))

    assert variables
    assert read_variables(MACHINES[machine]) == variables


def test_the_call_holds_no_value() -> None:
    arguments = TASKS["load-SubmitLoad"]["Arguments"]
    sql = arguments.partition("'Sql':")[2].partition("'Parameters':")[0]

    assert "cast(:files " in sql
    assert "$states" not in sql
    assert re.findall(r"(?<!:):(\w+)", sql) == re.findall(r"'Name': '(\w+)'", arguments)
