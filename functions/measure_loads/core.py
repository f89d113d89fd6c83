"""What `MeasureLoadsFunction` counts of an ended load. Pure, no AWS."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LOADED_STATUS = "loaded"
# What loads amount to that have loaded nothing themselves, by their output's status.
HANDED_ON = {"split": "LoadsSplit", "requeued": "LoadsRequeued"}
# How the load machine names the classes of failure, and how they are counted.
FAILURES = {
    "DataError": "FilesRefused",
    "OperatorError": "OperatorErrors",
    "TransientError": "TransientErrors",
}


class LaggingDescriptionError(RuntimeError):
    """A description that does not hold yet what an ended execution has. Asking later helps."""


@dataclass(frozen=True)
class Metric:
    """One value. `unit` is CloudWatch's name of it."""

    name: str
    unit: str
    value: float


@dataclass(frozen=True)
class Measurement:
    """What an execution amounts to. `dataset` is "" where no table of that name was seen to be:
    keys are anybody's, and each name of a dimension is paid for."""

    dataset: str
    metrics: tuple[Metric, ...]


def load_id_of(execution: Mapping[str, Any]) -> str:
    """The load that an execution was an attempt at."""
    load = json.loads(execution.get("input") or "{}")
    return str(load.get("load_id", "")) if isinstance(load, Mapping) else ""


def ended(described: Mapping[str, Any], detail: Mapping[str, Any]) -> dict[str, Any]:
    """A described execution as the event of its end has it; a description may lag behind.

    `detail` is the event's. What it leaves out, as it may the output, the description tells.
    Raises LaggingDescriptionError.
    """
    told = {name: detail.get(name) for name in ("status", "output", "error", "cause")}
    told["stopDate"] = datetime.fromtimestamp(detail["stopDate"] / 1000, UTC)
    execution = {**described, **{name: value for name, value in told.items() if value is not None}}
    if execution["status"] == "SUCCEEDED" and execution.get("output") is None:
        raise LaggingDescriptionError(f"{detail['executionArn']} has no output yet")
    return execution


def measure(execution: Mapping[str, Any]) -> Measurement:
    """What an execution of the load machine that has ended amounts to."""
    load = json.loads(execution.get("input") or "{}")
    if execution["status"] != "SUCCEEDED":
        name = FAILURES.get(execution.get("error", ""), "UnfinishedLoads")
        is_known = name == "FilesRefused"
        return Measurement(load["dataset"] if is_known else "", (Metric(name, "Count", 1),))
    result = json.loads(execution.get("output") or "{}")
    return Measurement(load["dataset"], tuple(_metrics(load, result, execution)))


def _metrics(
    load: Mapping[str, Any], result: Mapping[str, Any], execution: Mapping[str, Any]
) -> Iterator[Metric]:
    if result.get("status") != LOADED_STATUS:
        yield Metric(HANDED_ON.get(result.get("status", ""), "LoadsRepeated"), "Count", 1)
        return
    started, ended = execution["startDate"], execution["stopDate"]
    yield Metric("FilesLoaded", "Count", result["files_loaded"])
    yield Metric("FilesSkipped", "Count", result["files_skipped"])
    yield Metric("RowsRead", "Count", result["source_rows"])
    yield Metric("RowsRejected", "Count", result["rejected_rows"])
    if result["source_rows"]:
        percent = 100 * result["rejected_rows"] / result["source_rows"]
        yield Metric("RejectedPercent", "Percent", percent)
    yield Metric("BytesLoaded", "Bytes", sum(file["size"] for file in load["files"]))
    yield Metric("LoadSeconds", "Seconds", (ended - started).total_seconds())
    for file in load["files"]:
        age = ended - datetime.fromisoformat(file["uploaded_at"])
        yield Metric("FileAgeSeconds", "Seconds", age.total_seconds())
