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

# What the rows' own examples leave open: how else the same causes are worded, and what must not
# be taken for them.
WORDINGS = [
    ("DataError", "IsLoadFinished", "LoadFailed: ERROR: file raw/flights/a b.csv: Access Denied"),
    (
        "DataError",
        "IsLoadFinished",
        "LoadFailed: ERROR: Spectrum Scan Error\n  code:  15007\n  context: Unmatched number of "
        "columns between table and file.",
    ),
    ("TransientError", "IsLoadFinished", "LoadFailed: S3Query Exception Connection failed 15005"),
    (
        "TransientError",
        "IsLoadFinished",
        "LoadFailed: ERROR: Spectrum Scan Error Detail: Access throttled",
    ),
    (
        "TransientError",
        "IsLoadFinished",
        "LoadFailed: ERROR: could not complete because of conflict with concurrent transaction",
    ),
    (
        "TransientError",
        "IsLoadFinished",
        "LoadFailed: FATAL: the database system is shutting down",
    ),
    (
        "TransientError",
        "IsLoadFinished",
        'LoadFailed: FATAL:  password authentication failed for user "etl_loader"',
    ),
    ("TransientError", "StageFiles", "States.Timeout: "),
    ("TransientError", "SubmitLoad", "RedshiftData.ThrottlingException: Rate exceeded"),
    ("TransientError", "SubmitLoad", "RedshiftData.ActiveSessionsExceededException: Too many."),
    ("TransientError", "ReadTable", "Glue.OperationTimeoutException: "),
    ("TransientError", "NotifyBusiness", "Sns.SdkClientException: Unable to execute"),
    ("OperatorError", "StageFiles", "S3.S3Exception: Access Denied (Service: S3, Status Code: 403"),
    ("OperatorError", "IsLoadFinished", "LoadFailed: ERROR: permission denied for relation loads"),
    (
        "OperatorError",
        "IsLoadFinished",
        "LoadFailed: ERROR: S3 Query Exception (Fetch) code: 15001 context: Access Denied",
    ),
    ("OperatorError", "IsLoadFinished", 'LoadFailed: ERROR: relation "lake.x" does not exist'),
    ("OperatorError", "IsLoadFinished", "LoadAborted: Query cancelled on user's request"),
    ("OperatorError", "CancelLoad", "LoadTimedOut: The load ran longer than 60 minutes"),
    ("OperatorError", "IsTableReady", "TableNotReady: The Glue table needs the parameters"),
    ("OperatorError", "IsLoadFinished", "LoadFailed: ERROR: load x: 3 rows read, but 2 aggregated"),
    # A file's key is no evidence: only the procedure's own words at the start are.
    ("OperatorError", "ReadTable", "Glue.InvalidInputException: file raw/flights/a.csv: 1023"),
]


def parts(row: dict[str, Any]) -> tuple[str, str]:
    """The class that a row's comment states, and its example."""
    title, _, example = row["Comment"].partition(" | ")
    return title.partition(":")[0], example


def fits(row: dict[str, Any], state: str, text: str) -> bool:
    error, _, cause = text.partition(": ")
    expression = row["Condition"].removeprefix("{%").removesuffix("%}")
    failure = {"state": state, "error": error, "cause": cause}
    return bool(jsonata.Jsonata.jsonata(expression).evaluate(None, {"failure": failure}))


def outcome_of(state: str, text: str) -> str:
    found: list[str] = [row["Assign"]["outcome"] for row in ROWS if fits(row, state, text)]
    return (found or [TABLE["Assign"]["outcome"]])[0]


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
            "operator": "NotifySupport",
            "retry": "IsRetryLeft",
        }[error_class]
    )


@pytest.mark.parametrize(("outcome", "state", "text"), WORDINGS, ids=[w[2][:50] for w in WORDINGS])
def test_wording_falls_into_its_class(outcome: str, state: str, text: str) -> None:
    assert outcome_of(state, text) == outcome


def test_unknown_error_is_an_operators() -> None:
    assert outcome_of("IsLoadFinished", "LoadFailed: ERROR: something nobody has seen") == (
        "OperatorError"
    )
