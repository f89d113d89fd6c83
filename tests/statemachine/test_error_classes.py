"""The table of error classes: each row has an example, which falls into that row and no other."""

import re
from pathlib import Path
from typing import Any

import jsonata
import pytest
import yaml

PATH = Path(__file__).parents[2] / "statemachine" / "load.asl.yaml"
TABLE: dict[str, Any] = yaml.safe_load(PATH.read_text())["States"]["ClassifyFailure"]
ROWS: list[dict[str, Any]] = TABLE["Choices"]
OUTCOMES = {"data": "DataError", "operator": "OperatorError", "retry": "TransientError"}

FAILURES: list[dict[str, str]] = yaml.safe_load(
    (Path(__file__).parent / "failures.yaml").read_text()
)
FROM_ELSEWHERE = [failure for failure in FAILURES if "source" in failure]


def parts(row: dict[str, Any]) -> tuple[str, str]:
    """The class that a row's comment states, and its example."""
    title, _, example = row["Comment"].partition(" | ")
    return title.partition(":")[0], example


def fits(row: dict[str, Any], state: str, text: str) -> bool:
    error, _, cause = text.partition(": ")
    expression = row["Condition"].removeprefix("{%").removesuffix("%}")
    failure = {"state": state, "error": error, "cause": cause}
    return bool(jsonata.Jsonata.jsonata(expression).evaluate(None, {"failure": failure}))


def class_of(failure: dict[str, str]) -> str:
    """The class that the table gives a failure; Unknown where no row fits."""
    state = failure.get("state", "IsLoadFinished")
    text = f"{failure.get('error', 'LoadFailed')}: {failure['text']}"
    found: list[str] = [row["Assign"]["outcome"] for row in ROWS if fits(row, state, text)]
    return (found or ["Unknown"])[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["Comment"].partition(" | ")[0])
def test_example_falls_into_its_row_and_no_other(row: dict[str, Any]) -> None:
    error_class, example = parts(row)
    state = "StageFiles" if "5 GB" in row["Comment"] else "IsLoadFinished"

    assert re.fullmatch(r"LoadFailed: .+|\w+\.\w+Exception: .+", example)
    assert [other["Comment"] for other in ROWS if fits(other, state, example)] == [row["Comment"]]
    assert row["Assign"] == {"outcome": OUTCOMES[error_class]}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["Comment"].partition(" | ")[0])
def test_row_leads_where_its_class_goes(row: dict[str, Any]) -> None:
    error_class, _ = parts(row)

    assert (
        row["Next"]
        == {
            "data": "IsOneFile",
            "operator": "IsMailDue",
            "retry": "IsRetryLeft",
        }[error_class]
    )


@pytest.mark.parametrize(
    "failure", FAILURES, ids=[f"{f['class']}: {f['text'][:60]!r}" for f in FAILURES]
)
def test_failure_falls_into_its_class(failure: dict[str, str]) -> None:
    assert class_of(failure) == failure["class"]


def test_failures_come_from_documentation_and_public_reports() -> None:
    assert len({failure["text"] for failure in FROM_ELSEWHERE}) >= 40
    assert all(failure["source"].startswith("https://") for failure in FROM_ELSEWHERE)
    assert all(("source" in failure) != ("invented" in failure) for failure in FAILURES)


@pytest.mark.parametrize("failure", FROM_ELSEWHERE, ids=lambda failure: failure["text"][:60])
def test_denied_read_outweighs_what_else_the_text_says(failure: dict[str, str]) -> None:
    """A broken permission never empties raw/ into quarantine."""
    denied = f"{failure['text']} AccessDenied"

    assert class_of({**failure, "text": denied}) in ("OperatorError", "TransientError")


def test_unknown_error_is_an_operators() -> None:
    assert TABLE["Assign"]["outcome"] == "OperatorError"
