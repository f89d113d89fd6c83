"""The deployed alarms are seen to fire, and one cause mails support once.

The laptop cloud has no metrics of AWS's services, so the test puts them where CloudWatch would. Its
alarms look at all dimensions of a metric together, and take no notice of missing data.
"""

import json
from typing import Any

import pytest

from tests.deployed_pipeline import Pipeline
from tests.security.grants import RESOURCES

REACHED = {
    "GreaterThanOrEqualToThreshold": lambda threshold: threshold,
    "GreaterThanThreshold": lambda threshold: threshold + 0.1,
}


@pytest.fixture
def alarms(pipeline: Pipeline) -> list[dict[str, Any]]:
    answer = pipeline.stack.cloud.client("cloudwatch").describe_alarms(
        AlarmNamePrefix=f"{pipeline.stack.name}/", AlarmTypes=["MetricAlarm"]
    )
    return list(answer["MetricAlarms"])


def states(pipeline: Pipeline) -> dict[str, str]:
    """The states of the stack's alarms, the composite one among them, by name."""
    answer = pipeline.stack.cloud.client("cloudwatch").describe_alarms(
        AlarmNamePrefix=f"{pipeline.stack.name}/", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    found = answer["MetricAlarms"] + answer["CompositeAlarms"]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}


def put(pipeline: Pipeline, alarm: dict[str, Any], value: float) -> None:
    datum = {"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"], "Value": value}
    pipeline.stack.cloud.client("cloudwatch").put_metric_data(
        Namespace=alarm["Namespace"], MetricData=[datum]
    )


def test_each_alarm_fires_and_support_is_mailed_once(
    pipeline: Pipeline, alarms: list[dict[str, Any]]
) -> None:
    composite = f"{pipeline.stack.name}/needs-attention"
    for alarm in alarms:
        put(pipeline, alarm, alarm["Threshold"] / 10)
    assert "ALARM" not in states(pipeline).values()
    assert pipeline.mails("Support") == []

    for alarm in alarms:
        put(pipeline, alarm, REACHED[alarm["ComparisonOperator"]](alarm["Threshold"]))
        assert states(pipeline)[alarm["AlarmName"]] == "ALARM", alarm["AlarmName"]
        assert states(pipeline)[composite] == "ALARM"
    declared = [body for body in RESOURCES.values() if body["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == len(declared)

    [mail] = pipeline.mails("Support")
    told = json.loads(mail.message)
    assert mail.subject == f'ALARM: "{composite}" in us-east-1'
    assert told["AlarmName"] == composite
    assert "docs/runbook.md, needs-attention" in told["AlarmDescription"]
