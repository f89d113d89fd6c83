"""A dashboard as a picture: its widgets where CloudWatch puts them, as an SVG.

It draws what it is given; CloudWatch's own picture differs in its looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any
from xml.sax.saxutils import escape

COLUMN, ROW, MARGIN = 50, 40, 10
COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")

Point = tuple[float, float]
# A metric of CloudWatch, as a widget names it: namespace, name, then names and values by turns.
Metric = tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """The time that is shown, in seconds since 1970, and how long a point stands for."""

    start: float
    end: float
    period: float

    def buckets(self, points: Sequence[Point]) -> Iterator[tuple[float, list[float]]]:
        """The values by the period that they fall into, each with its share of the span."""
        count = max(1, round((self.end - self.start) / self.period))
        for number in range(count):
            start = self.start + number * self.period
            yield (
                (number + 0.5) / count,
                [value for moment, value in points if start <= moment < start + self.period],
            )


@dataclass(frozen=True)
class Curve:
    """`points`: share of the span, and value."""

    label: str
    is_right: bool
    points: list[Point]


def draw(body: Mapping[str, Any], measured: Mapping[Metric, Sequence[Point]], span: Span) -> str:
    """The SVG of a dashboard's body with what was measured, by metric."""
    widgets = body["widgets"]
    width = COLUMN * max(widget["x"] + widget["width"] for widget in widgets)
    height = ROW * max(widget["y"] + widget["height"] for widget in widgets)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#f2f3f3"/>',
    ]
    for widget in widgets:
        lines += _widget(widget, measured, span)
    return "\n".join([*lines, "</svg>", ""])


def curves(
    properties: Mapping[str, Any], measured: Mapping[Metric, Sequence[Point]], span: Span
) -> list[Curve]:
    """A widget's metrics, each by its statistic. One that nothing has measured has no points."""
    found = []
    for entry in properties["metrics"]:
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        name = tuple(part for part in entry if isinstance(part, str))
        stat = options.get("stat", properties["stat"])
        points = [
            (share, _statistic(stat, values))
            for share, values in span.buckets(measured.get(name, ()))
            if values
        ]
        label = options.get("label", name[1] if name else "")
        found.append(Curve(label, options.get("yAxis") == "right", points))
    return found


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _statistic(stat: str, values: Sequence[float]) -> float:
    if stat == "Sum":
        return sum(values)
    if stat == "Maximum" or len(values) == 1:
        return max(values)
    return quantiles(values, n=100, method="inclusive")[int(stat[1:]) - 1]


def _widget(
    widget: Mapping[str, Any], measured: Mapping[Metric, Sequence[Point]], span: Span
) -> Iterator[str]:
    x, y = widget["x"] * COLUMN + MARGIN / 2, widget["y"] * ROW + MARGIN / 2
    width, height = widget["width"] * COLUMN - MARGIN, widget["height"] * ROW - MARGIN
    found = curves(widget["properties"], measured, span)
    yield f'<g transform="translate({x} {y})">'
    yield f'<rect width="{width}" height="{height}" fill="white" stroke="#d5dbdb"/>'
    title = widget["properties"]["title"]
    yield f'<text x="10" y="18" font-weight="bold">{escape(title)}</text>'
    legend = 14 * ((len(found) + 1) // 2)
    left, top, right, bottom = 45.0, 32.0, width - 45.0, height - legend - 18.0
    yield f'<path d="M{left} {top}V{bottom}H{right}V{top}" fill="none" stroke="#879596"/>'
    for is_right in (False, True):
        axis = [curve for curve in found if curve.is_right is is_right]
        highest = max((value for curve in axis for _, value in curve.points), default=0.0)
        if highest:
            place = f'x="{right + 4}"' if is_right else f'x="{left - 4}" text-anchor="end"'
            yield f'<text {place} y="{top + 8}" fill="#687078">{_short(highest)}</text>'
        for curve in axis:
            color = COLORS[found.index(curve) % len(COLORS)]
            for share, value in curve.points:
                at = left + share * (right - left)
                level = bottom - (value / highest if highest else 0) * (bottom - top)
                yield f'<circle cx="{at:.1f}" cy="{level:.1f}" r="2.5" fill="{color}"/>'
            line = " ".join(
                f"{left + share * (right - left):.1f},"
                f"{bottom - (value / highest if highest else 0) * (bottom - top):.1f}"
                for share, value in curve.points
            )
            yield f'<polyline points="{line}" fill="none" stroke="{color}"/>'
    for number, curve in enumerate(found):
        at = 10 + number % 2 * (width / 2 - 10)
        level = height - legend - 2 + 14 * (number // 2 + 0.6)
        note = "" if curve.points else " (none)"
        color = COLORS[number % len(COLORS)]
        yield f'<rect x="{at}" y="{level - 8}" width="8" height="8" fill="{color}"/>'
        yield f'<text x="{at + 12}" y="{level}" font-size="9">{escape(curve.label + note)}</text>'
    yield "</g>"
