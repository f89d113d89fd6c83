"""Which submissions of a load are one statement to the Data API, and which are several."""

import hashlib
import re
from typing import Any

import jsonata

from tests.statemachine.test_definition import LOAD

ARGUMENTS = LOAD["States"]["SubmitLoad"]["Arguments"]
# Of ExecuteStatement: https://docs.aws.amazon.com/redshift-data/latest/APIReference/API_ExecuteStatement.html
LONGEST_TOKEN = 64


def token(execution: str, attempt: int) -> str:
    """The ClientToken of an execution's submission, as the definition works it out."""
    [text] = re.findall(r"'ClientToken': (.+),\n", ARGUMENTS)
    expression = jsonata.Jsonata.jsonata(text)
    expression.register_lambda("hash", lambda value, _: hashlib.sha256(value.encode()).hexdigest())
    bound: dict[str, Any] = {
        "states": {"context": {"Execution": {"Id": execution}}},
        "load_attempt": attempt,
    }
    return str(expression.evaluate(None, bound))


def test_submission_whose_answer_was_lost_is_the_same_statement() -> None:
    assert token("one", 1) == token("one", 1)
    assert len(token("one", 1)) <= LONGEST_TOKEN


def test_further_attempt_is_another_statement() -> None:
    tokens = {token(execution, attempt) for execution in ("one", "other") for attempt in (1, 2, 11)}

    assert len(tokens) == 6
