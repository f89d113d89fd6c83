"""When a load that goes back to the queue comes again."""

from typing import Any

import jsonata
import pytest

from tests.statemachine.test_definition import LOAD

[RULE] = LOAD["States"]["HasLoadWaited"]["Choices"]
LOAD_ID = "flights-0123456789abcdef01234567"
# Of SendMessage: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
LONGEST_DELAY = 900


def evaluated(expression: str, name: str) -> Any:
    execution = {"Name": name, "Input": {"load_id": LOAD_ID}}
    bound = {"states": {"context": {"Execution": execution}}, "turn": "waits"}
    text = expression.removeprefix("{%").removesuffix("%}")
    return jsonata.Jsonata.jsonata(text).evaluate(None, bound)


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [(1, 5, 9), (2, 10, 19), (3, 20, 39), (8, 640, 900), (9, 900, 900), (23, 900, 900)],
)
def test_each_attempt_comes_later_than_the_one_before(attempt: int, least: int, most: int) -> None:
    name = LOAD_ID if attempt == 1 else f"{LOAD_ID}-{attempt}"
    delays = {evaluated(RULE["Assign"]["delay_seconds"], name) for _ in range(50)}

    assert all(isinstance(delay, int) and least <= delay <= most for delay in delays)
    assert max(delays) <= LONGEST_DELAY


def test_load_that_somebody_named_comes_again_at_once() -> None:
    assert evaluated(RULE["Assign"]["delay_seconds"], f"{LOAD_ID}-by-hand") < 10


@pytest.mark.parametrize(("attempt", "goes_back"), [(2, True), (23, True), (24, False)])
def test_load_goes_back_so_often_and_no_more(attempt: int, goes_back: bool) -> None:
    assert evaluated(RULE["Condition"], f"{LOAD_ID}-{attempt}") is goes_back
