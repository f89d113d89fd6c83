"""Alarms and the dashboard name metrics that something emits, and the runbook knows each alarm."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from measure_loads import core
from samtranslator.yaml_helper import yaml_parse
from start_loads import core as start_loads

ROOT = Path(__file__).parents[2]
RESOURCES: dict[str, dict[str, Any]] = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
ALARMS = [n for n, body in RESOURCES.items() if body["Type"] == "AWS::CloudWatch::Alarm"]
FUNCTIONS = [n for n, body in RESOURCES.items() if body["Type"] == "AWS::Serverless::Function"]
COMPOSITE = RESOURCES["NeedsAttentionAlarm"]["Properties"]
AWS_METRICS = yaml.safe_load((Path(__file__).parent / "aws_metrics.yaml").read_text())
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
OWN = "${AWS::StackName}"
COUNTED_AT_THE_START = {start_loads.IGNORED_METRIC, start_loads.ASTRAY_METRIC}
# After "CloudWatch: dashboard body structure and syntax", of which it holds what is used here.
BODY_SCHEMA = {
    "type": "object",
    "required": ["widgets"],
    "additionalProperties": False,
    "properties": {
        "widgets": {
            "type": "array",
            "maxItems": 500,
            "items": {
                "type": "object",
                "required": ["type", "x", "y", "width", "height", "properties"],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "metric"},
                    "x": {"type": "integer", "minimum": 0, "maximum": 23},
                    "y": {"type": "integer", "minimum": 0},
                    "width": {"type": "integer", "minimum": 1, "maximum": 24},
                    "height": {"type": "integer", "minimum": 1, "maximum": 1000},
                    "properties": {
                        "type": "object",
                        "required": ["metrics", "region", "title"],
                        "additionalProperties": False,
                        "properties": {
                            "title": {"type": "string"},
                            "region": {"type": "string"},
                            "view": {"enum": ["timeSeries", "singleValue"]},
                            "stat": {"type": "string", "pattern": "^(Sum|Maximum|p[0-9]+)$"},
                            "period": {"type": "integer", "multipleOf": 60, "minimum": 60},
                            "metrics": {"type": "array", "minItems": 1, "items": {"type": "array"}},
                        },
                    },
                },
            },
        }
    },
}


def emitted() -> set[str]:
    """The names that MeasureLoadsFunction has for what it measures."""
    source = (ROOT / "functions" / "measure_loads" / "core.py").read_text()
    texts = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
    names = {t for t in texts if isinstance(t, str) and re.fullmatch("([A-Z][a-z]+)+", t)}
    return names - {"Count", "Bytes", "Seconds", "Percent"} - core.FAILURES.keys()


def dashboard() -> dict[str, Any]:
    """The dashboard's body, with names in place of references."""
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"][0]
    return dict(json.loads(body))


def dashboard_metrics() -> list[tuple[str, str, dict[str, str]]]:
    found = []
    for widget in dashboard()["widgets"]:
        for metric in widget["properties"]["metrics"]:
            texts = [part for part in metric if isinstance(part, str)]
            if texts:
                namespace, name, *pairs = texts
                found.append((namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))))
    return found


def alarm_metrics() -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for name in ALARMS:
        properties = RESOURCES[name]["Properties"]
        namespace = properties["Namespace"]
        dimensions = {d["Name"]: d["Value"] for d in properties["Dimensions"]}
        own = OWN if namespace == {"Ref": "AWS::StackName"} else namespace
        found.append((own, properties["MetricName"], dimensions))
    return found


def name_of(alarm: str) -> str:
    name = str(RESOURCES[alarm]["Properties"]["AlarmName"]["Fn::Sub"]).removeprefix(f"{OWN}/")
    # Those of the datasets have one section of the runbook.
    return "stale" if name.endswith("-stale") else name


@pytest.mark.parametrize(
    ("namespace", "metric", "dimensions"),
    [*alarm_metrics(), *dashboard_metrics()],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_metric_is_emitted_by_something(
    namespace: str, metric: str, dimensions: dict[str, Any]
) -> None:
    if namespace == OWN:
        services = {"measure_loads": emitted(), "start_loads": COUNTED_AT_THE_START}
        assert metric in services[dimensions["service"]]
        assert dimensions.keys() <= {"service", "dataset"}
    else:
        [dimension] = dimensions
        assert metric in AWS_METRICS[namespace][dimension]


def test_dashboard_is_what_cloudwatch_takes() -> None:
    jsonschema.validate(dashboard(), BODY_SCHEMA)


def test_dashboard_shows_every_figure_that_is_measured() -> None:
    shown = {metric for namespace, metric, _ in dashboard_metrics() if namespace == OWN}

    assert emitted() - shown <= {"RejectedPercent"}


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_says_what_to_do_first(alarm: str) -> None:
    description = RESOURCES[alarm]["Properties"]["AlarmDescription"]

    assert "First: " in description
    assert description.endswith(f"docs/runbook.md, {name_of(alarm)}.")
    assert f"\n### {name_of(alarm)}\n" in RUNBOOK


def test_every_function_has_its_alarms() -> None:
    watched = {
        (properties["MetricName"], properties["Dimensions"][0]["Value"].get("Ref"))
        for properties in (RESOURCES[name]["Properties"] for name in ALARMS)
        if properties["Namespace"] == "AWS/Lambda"
    }

    assert watched == {(m, name) for m in ("Errors", "Throttles") for name in FUNCTIONS}


def test_one_cause_pages_once() -> None:
    rule = COMPOSITE["AlarmRule"]["Fn::Sub"]
    paging = {name for name in ALARMS if "AlarmActions" in RESOURCES[name]["Properties"]}
    held = set(re.findall(r'ALARM\("\$\{AWS::StackName\}/([a-z-]+)"\)', rule))

    assert COMPOSITE["AlarmActions"] == [{"Ref": "SupportTopic"}]
    assert held == {name_of(name) for name in ALARMS if name not in paging}
    assert all(name_of(name) == "stale" for name in paging)


@pytest.mark.parametrize("name", re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE))
def test_section_of_the_runbook_is_about_something(name: str) -> None:
    classes = {"DataError", "OperatorError", "TransientError", "SupportNotTold", "Abandoned"}

    assert name in {*map(name_of, ALARMS), "needs-attention", "stale", *classes}


@pytest.mark.parametrize("output", sorted(set(re.findall(r"<([A-Z]\w+)>", RUNBOOK))))
def test_output_of_the_runbook_exists(output: str) -> None:
    outputs = yaml_parse((ROOT / "template.yaml").read_text())["Outputs"]

    assert output in outputs
