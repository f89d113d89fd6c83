"""The state machine that a verification makes is one that Step Functions takes."""

import json
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
import yaml

from tools.probes import step_functions
from tools.verification.bench import Bench
from tools.verification.budget import Budget
from tools.verification.deployed import Deployed

LOAD = yaml.safe_load((Path(__file__).parents[2] / "statemachine/load.asl.yaml").read_text())
OUTPUTS = {
    "RawBucketName": "dev-raw",
    "ArchiveBucketName": "dev-archive",
    "LoadStateMachineArn": "arn:aws-cn:states:cn-north-1:123456789012:stateMachine:dev-load",
    "LoaderSecretArn": "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:loader",
    "WorkgroupName": "dev",
    "DatabaseName": "dev",
    "GlueDatabaseName": "dev",
}


@pytest.fixture
def definition() -> dict[str, Any]:
    deployed = Deployed("dev")
    deployed.__dict__ |= {"outputs": OUTPUTS, "parameters": {}}
    bench = Bench(deployed, Budget(8, 1, 1, 1), "verify_0a1b2c3d")
    bench.machine.__dict__["load_machine"] = LOAD
    return step_functions.definition(bench, "v1")


def routes_of(states: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        route
        for state in states.values()
        for route in (state, *state.get("Catch", []), *state.get("Choices", []))
    ]


def test_linter_finds_no_fault(definition: dict[str, Any]) -> None:
    # cfn-lint knows one partition, and not all of the language, as in
    # tests/statemachine/test_definition.py.
    definition = json.loads(json.dumps(definition).replace("arn:aws-cn:", "arn:aws:"))
    # Nor does its parser know two escapes that are one character.
    definition["States"]["First"]["Assign"].pop("cleaned")
    inner = definition["States"]["Classify"]["ItemProcessor"]["States"]
    for state in [*definition["States"].values(), *inner.values()]:
        if isinstance(state.get("Arguments"), str):
            state["Arguments"] = {}
        if state["Type"] == "Wait":
            state["Seconds"] = 1
        for rule in state.get("Choices", []):
            rule.pop("Comment", None)
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/x", "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}

    found = cfnlint.api.lint_all(
        # YAML knows no pairs of escapes.
        json.dumps({"Resources": {"Machine": machine}}, ensure_ascii=False)
    )

    assert [str(match) for match in found] == []


def test_every_state_is_reached(definition: dict[str, Any]) -> None:
    for machine in (definition, definition["States"]["Classify"]["ItemProcessor"]):
        routes = routes_of(machine["States"])
        named = {route[way] for route in routes for way in ("Next", "Default") if way in route}

        assert named | {machine["StartAt"]} == set(machine["States"])


def test_calls_are_made_in_the_partition_of_the_stack(definition: dict[str, Any]) -> None:
    tasks = [state for state in definition["States"].values() if state["Type"] == "Task"]

    assert len(tasks) >= 8
    assert all(task["Resource"].startswith("arn:aws-cn:states:::aws-sdk:") for task in tasks)


def test_every_way_of_the_deployed_table_ends_with_its_class(definition: dict[str, Any]) -> None:
    states = definition["States"]["Classify"]["ItemProcessor"]["States"]
    choice = states["ClassifyFailure"]

    assert choice["Default"] == "Classified"
    assert {rule["Next"] for rule in choice["Choices"]} == {"Classified"}
    assert [rule["Condition"] for rule in choice["Choices"]] == [
        rule["Condition"] for rule in LOAD["States"]["ClassifyFailure"]["Choices"]
    ]
