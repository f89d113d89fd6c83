"""The picture of a dashboard: what stands where, and by which statistic."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from local.picture import Metric, Point, Span, curves, draw
from tests.security.grants import RESOURCES

SVG = "{http://www.w3.org/2000/svg}"
SPAN = Span(start=100, end=120, period=10)
AGE: Metric = ("shop", "Age", "service", "till")
QUEUE: Metric = ("AWS/SQS", "Waiting", "QueueName", "till")
MEASURED: dict[Metric, list[Point]] = {
    AGE: [(101, 1), (102, 2), (103, 4), (115, 8)],
    QUEUE: [(99, 100), (100, 3), (119.9, 5)],
}


def properties(stat: str, *metrics: list[Any]) -> dict[str, Any]:
    return {"title": "<Till> & co", "stat": stat, "metrics": list(metrics)}


@pytest.mark.parametrize(
    ("stat", "values"), [("Sum", [7, 8]), ("Maximum", [4, 8]), ("p50", [2, 8]), ("p95", [3.8, 8])]
)
def test_values_of_a_period_become_one(stat: str, values: list[float]) -> None:
    [curve] = curves(properties(stat, list(AGE)), MEASURED, SPAN)

    assert [share for share, _ in curve.points] == [0.25, 0.75]
    assert [value for _, value in curve.points] == pytest.approx(values)


def test_metric_may_have_a_statistic_a_label_and_an_axis_of_its_own() -> None:
    options = {"stat": "Maximum", "label": "the oldest", "yAxis": "right"}
    [age, waiting] = curves(properties("Sum", [*AGE, options], list(QUEUE)), MEASURED, SPAN)

    assert (age.label, age.is_right) == ("the oldest", True)
    assert [value for _, value in age.points] == [4, 8]
    assert (waiting.label, waiting.is_right) == ("Waiting", False)
    assert waiting.points == [(0.25, 3), (0.75, 5)]


def test_nothing_measured_is_no_zero() -> None:
    [curve] = curves(properties("Sum", ["AWS/States", "Started"]), MEASURED, SPAN)

    assert curve.points == []


def test_widgets_stand_where_the_dashboard_puts_them() -> None:
    widgets = [
        {"x": 0, "y": 0, "width": 12, "height": 6, "properties": properties("Sum", list(AGE))},
        {"x": 12, "y": 6, "width": 12, "height": 6, "properties": properties("Sum", list(QUEUE))},
    ]
    root = ElementTree.fromstring(draw({"widgets": widgets}, MEASURED, SPAN))

    assert (root.get("width"), root.get("height")) == ("1200", "480")
    groups = root.findall(f"{SVG}g")
    assert [g.get("transform") for g in groups] == ["translate(5.0 5.0)", "translate(605.0 245.0)"]
    assert [g.findtext(f"{SVG}text") for g in groups] == ["<Till> & co"] * 2
    [first, second] = groups[1].findall(f"{SVG}circle")
    assert float(first.get("cy", 0)) > float(second.get("cy", 0))


def test_picture_in_the_docs_is_of_todays_dashboard() -> None:
    root = ElementTree.parse(Path(__file__).parents[2] / "docs" / "dashboard.svg").getroot()
    drawn = [group.findtext(f"{SVG}text") for group in root.findall(f"{SVG}g")]
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"][0]

    assert drawn
    assert all(f'"title": "{title}"' in body for title in drawn)
    assert len(drawn) == body.count('"title"')
