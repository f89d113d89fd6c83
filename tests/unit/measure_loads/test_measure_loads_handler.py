"""What CloudWatch reads: the embedded metric format in the function's output."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from measure_loads import handler

from tests.unit.measure_loads.test_measure_loads_core import LOADED, execution

EVENT = Path(__file__).parents[3] / "events" / "measure_loads" / "load_ended.json"
CONTEXT = SimpleNamespace(
    function_name="measure_loads",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:measure_loads",
    aws_request_id="request",
)


class FakeStates:
    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        self.asked: list[str] = []

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        self.asked.append(executionArn)
        return self.found


def emitted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: dict[str, Any]
) -> dict[str, Any]:
    """The metrics of one invocation, as CloudWatch finds them in the log."""
    states = FakeStates(found)
    monkeypatch.setattr(handler, "states_client", lambda: states)
    monkeypatch.setattr(handler.metrics, "namespace", "the-stack")
    monkeypatch.setattr(handler.metrics, "service", "measure_loads")
    event = json.loads(EVENT.read_text())
    event["detail"] |= {"status": found["status"], "stopDate": found["stopDate"].timestamp() * 1000}
    handler.handler(event, CONTEXT)
    assert states.asked == [event["detail"]["executionArn"]]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [line] = [line for line in lines if "_aws" in line]
    return line


def test_load_is_told_by_dataset_and_over_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = emitted(monkeypatch, capsys, execution(output=LOADED))

    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "the-stack"
    assert sorted(map(sorted, directive["Dimensions"])) == [["dataset", "service"], ["service"]]
    assert (line["dataset"], line["service"]) == ("flights", "measure_loads")
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units["FileAgeSeconds"] == "Seconds"
    assert line["FileAgeSeconds"] == [330, 60]
    assert line["RejectedPercent"] == [2.5]


def test_failure_is_told_over_all_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = emitted(monkeypatch, capsys, execution("FAILED", error="OperatorError"))

    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["service"]]
    assert line["OperatorErrors"] == [1]
