"""What the machine that looks after loads takes from the event of a load's end."""

import json
from typing import Any

import jsonata
import pytest
from start_loads.core import MAX_MANIFEST_BYTES

from tests.statemachine.test_definition import STATES

READ = STATES["abandoned_load-ReadExecution"]
FIND = STATES["abandoned_load-FindStatements"]
ARN = "arn:aws:states:eu-west-1:123456789012:execution:x-load:flights-1"
LOAD = {"dataset": "flights", "load_id": "flights-1", "files": []}
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAX_PAYLOAD_BYTES = 256 * 1024


def read(event: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """The variables that the machine sets."""
    event = {"executionArn": ARN, "name": "flights-1", "status": "FAILED", **event}
    states = {"input": {"detail": event}, "result": {"Input": json.dumps(LOAD), **described}}
    return {name: evaluated(text, states) for name, text in READ["Assign"].items()}


def evaluated(text: str, states: dict[str, Any]) -> Any:
    if not text.startswith("{%"):
        return text
    # The language's own functions, as far as they are wanted here.
    expression = jsonata.Jsonata(text.removeprefix("{%").removesuffix("%}"))
    expression.register_lambda("parse", json.loads)
    expression.assign("states", states)
    return expression.evaluate(None)


@pytest.mark.parametrize(
    "described",
    [{"Status": "RUNNING"}, {"Status": "FAILED", "Error": "OperatorError", "Cause": "later"}],
    ids=["lags behind", "says something else"],
)
def test_event_tells_how_a_load_ended(described: dict[str, Any]) -> None:
    variables = read({"error": "DataError", "cause": "a.csv"}, described)

    assert variables == {
        "load_arn": ARN,
        "run_id": "flights-1",
        "load": LOAD,
        "status": "FAILED",
        "error": "DataError",
        "cause": "a.csv",
        "cancel_failure": "",
    }


def test_error_that_the_event_leaves_out_is_asked_for() -> None:
    variables = read({"error": None}, {"Error": "DataError", "Cause": "a.csv"})

    assert (variables["error"], variables["cause"]) == ("DataError", "a.csv")


def test_error_that_nobody_tells_is_none() -> None:
    variables = read({"status": "ABORTED", "error": None, "cause": None}, {"Status": "RUNNING"})

    assert (variables["status"], variables["error"], variables["cause"]) == ("ABORTED", "", "")


def test_list_of_statements_fits_a_state_with_all_their_manifests() -> None:
    # A list gives each statement's parameters back; quotes of the manifest are escaped once more.
    with_the_rest = 1.2 * MAX_MANIFEST_BYTES + 4_000

    assert FIND["Arguments"]["MaxResults"] * with_the_rest < MAX_PAYLOAD_BYTES
