"""What tools/cost.py says that a load asks for is what a load asks for."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.deployed_pipeline import WEEK, Pipeline
from tools import cost

# What a log with `IncludeExecutionData: false` leaves out of an event.
DATA = frozenset(
    {"input", "inputDetails", "output", "outputDetails", "parameters", "error", "cause"}
)


def logged(event: dict[str, Any], arn: str) -> dict[str, Any]:
    """An event as CloudWatch is sent it: without data, and with the execution's name."""
    kept = {
        name: {key: part for key, part in value.items() if key not in DATA}
        if isinstance(value, dict)
        else value
        for name, value in event.items()
    }
    return {**kept, "execution_arn": arn}


@pytest.mark.parametrize("files", [1, 3])
def test_load_asks_for_what_is_reckoned(pipeline: Pipeline, files: int) -> None:
    named = [(f"raw/flights/{day}.csv", WEEK[day]) for day in range(files)]
    arn = pipeline.load(*named)["executionArn"]
    history = pipeline.stack.step_functions.get_execution_history(
        executionArn=arn, maxResults=1000, includeExecutionData=True
    )["events"]
    states = [
        event["stateEnteredEventDetails"]["name"]
        for event in history
        if "stateEnteredEventDetails" in event
    ]
    asked = Counter(
        event["taskScheduledEventDetails"]["resource"].rsplit(":", 1)[-1]
        for event in history
        if "taskScheduledEventDetails" in event
    )

    # The laptop cloud does not write down the states within a map: two for each file.
    polls = states.count("DescribeLoad")
    assert len(states) + 2 * files == cost.transitions(files, polls)
    assert asked["copyObject"] == 2 * files
    assert asked["executeStatement"] == asked["publish"] == 1
    size = sum(len(json.dumps(logged(event, arn), default=str)) for event in history)
    # Nor, with those states, most of a file's bytes.
    assert size == pytest.approx(cost.LOG_BYTES + polls * cost.LOG_BYTES_PER_POLL, rel=0.3)
