"""The mails to support link to the console of the execution's own region and partition."""

from pathlib import Path
from typing import Any

import jsonata
import pytest
import yaml

MACHINES = Path(__file__).parents[2] / "statemachine"
FILES = [{"key": "raw/flights/a.csv", "archive_key": "archive/flights/a.csv", "file_id": "1"}]
LOAD = {"load_id": "flights-1", "dataset": "flights", "files": FILES}
PLACES = [
    ("aws", "eu-west-1", "https://eu-west-1.console.aws.amazon.com"),
    ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn"),
    ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com"),
]


def message(machine: str, state: str, variables: dict[str, Any]) -> str:
    """What a state's `Message` amounts to."""
    definition = yaml.safe_load((MACHINES / f"{machine}.asl.yaml").read_text())
    text = definition["States"][state]["Arguments"]["Message"]
    expression = jsonata.Jsonata(text.strip().removeprefix("{%").removesuffix("%}"))
    for name, value in variables.items():
        expression.assign(name, value)
    return str(expression.evaluate(None))


def link_in(mail: str) -> str:
    [line] = [line for line in mail.splitlines() if line.startswith("Look: ")]
    return line.removeprefix("Look: ")


@pytest.mark.parametrize(("partition", "region", "console"), PLACES)
def test_link_leads_to_the_console_of_the_partition(
    partition: str, region: str, console: str
) -> None:
    arn = f"arn:{partition}:states:{region}:123456789012:execution:x-load:flights-1"
    machine = f"arn:{partition}:states:{region}:123456789012:stateMachine:x-load"
    execution = {"Id": arn, "Name": "flights-1", "Input": LOAD}
    failed = message(
        "load",
        "NotifySupport",
        {
            "states": {"context": {"Execution": execution, "StateMachine": {"Id": machine}}},
            "outcome": "OperatorError",
            "failure": {"state": "StageFiles", "error": "S3.NoSuchKey", "cause": "gone"},
            "statement_id": "",
            "incident_key": "",
        },
    )
    abandoned = message(
        "abandoned_load",
        "NotifySupport",
        {
            "load": LOAD,
            "load_arn": arn,
            "status": "ABORTED",
            "error": "",
            "cause": "",
            "statement_ids": [],
            "cancel_failure": "",
        },
    )

    link = f"{console}/states/home?region={region}#/v2/executions/details/{arn}"
    assert link_in(failed) == link_in(abandoned) == link
    command = failed.replace(" \\\n   ", "")
    assert f"--name flights-1-2 --state-machine-arn {machine} --input" in command
