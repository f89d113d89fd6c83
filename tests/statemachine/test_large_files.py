"""What the load machine makes of sizes, of loads that took too long, and of keys without a spelling
in XML."""

from typing import Any

import jsonata
import pytest

from tests.statemachine.test_definition import LOAD

STATES = LOAD["States"]
MEGABYTE = 1_048_576
LIMITS = {"${MaxFileMegabytes}": "10", "${MaxLoadMegabytes}": "25", "${LoadTimeoutMinutes}": "60"}


def files(*sizes: float, suffix: str = ".csv") -> list[dict[str, Any]]:
    return [
        {
            "file_id": str(number),
            "key": f"raw/flights/{number}{suffix}",
            "staged_name": f"{number}{suffix}",
            "size": size * MEGABYTE,
            "uploaded_at": "2013-01-02T04:00:00.000Z",
        }
        for number, size in enumerate(sizes)
    ]


def evaluated(text: str, batch: list[dict[str, Any]], **variables: Any) -> Any:
    for name, value in LIMITS.items():
        text = text.replace(name, value)
    execution = {"Input": {"files": batch, "load_id": "flights-1"}, "Name": "flights-1"}
    bound = {"states": {"context": {"Execution": execution}}, **variables}
    expression = text.strip().removeprefix("{%").removesuffix("%}")
    return jsonata.Jsonata.jsonata(expression).evaluate(None, bound)


def taken(state: str, batch: list[dict[str, Any]], **variables: Any) -> dict[str, Any]:
    """The rule of a Choice that is the first to fit; its Default else."""
    for rule in STATES[state]["Choices"]:
        if evaluated(rule["Condition"], batch, **variables):
            return dict(rule)
    return {"Next": STATES[state]["Default"]}


def parts(batch: list[dict[str, Any]], expression: str) -> list[list[str]]:
    return sorted(sorted(part["file_ids"]) for part in evaluated(expression, batch))


@pytest.mark.parametrize(
    ("sizes", "state"),
    [
        ([10], "StageFiles"),
        ([10, 10, 5], "StageFiles"),
        ([0] * 100, "StageFiles"),
        ([10.001], "CopyToQuarantine"),
        ([5120], "CopyToQuarantine"),
        ([5120.001], "IsMailDue"),
        ([1, 10.001], "SplitLoad"),
        ([11, 6000], "SplitLoad"),
        ([10, 10, 5.001], "HalveLoad"),
    ],
)
def test_load_goes_on_by_its_sizes(sizes: list[float], state: str) -> None:
    assert taken("IsSizeAllowed", files(*sizes))["Next"] == state


def test_file_over_the_limit_is_a_load_by_itself() -> None:
    rule = taken("IsSizeAllowed", files(1, 11, 2, 12))
    alone = taken("IsSizeAllowed", files(11, 12))

    assert parts(files(1, 11, 2, 12), rule["Assign"]["parts"]) == [["0", "2"], ["1"], ["3"]]
    assert parts(files(11, 12), alone["Assign"]["parts"]) == [["0"], ["1"]]


@pytest.mark.parametrize("size", [11, 6000])
def test_refusal_names_file_and_limit(size: float) -> None:
    rule = taken("IsSizeAllowed", files(size))
    cause = evaluated(rule["Assign"]["failure"]["cause"], files(size))

    assert cause.startswith(f"file raw/flights/0.csv: {size * MEGABYTE:,} bytes; ")
    assert f"{10 * MEGABYTE if size == 11 else 5 * 1024**3:,}" in cause
    assert ("DataError" if size == 11 else "OperatorError") == rule["Assign"]["outcome"]


TOO_LONG = {
    "state": "CancelLoad",
    "error": "LoadTimedOut",
    "cause": "The load ran longer than 60 minutes and was cancelled.",
}


@pytest.mark.parametrize(
    ("failure", "count", "state"),
    [
        pytest.param({}, 2, "SetCompressedApart", id="too long"),
        pytest.param({}, 1, "IsMailDue", id="too long, alone"),
        pytest.param(
            {"cause": "The load waited for its turn, time and again, and was cancelled."},
            *(2, "IsMailDue"),
            id="not its fault",
        ),
        pytest.param(
            {"cause": "The load ran longer than 60 minutes, and cancelling it failed (x): y"},
            *(2, "IsMailDue"),
            id="may still run",
        ),
        pytest.param(
            {
                "state": "IsLoadFinished",
                "error": "LoadAborted",
                "cause": "Query (1) cancelled by WLM abort action of Query Monitoring Rule x",
            },
            *(2, "HalveLoad"),
            id="ended by the warehouse",
        ),
        pytest.param(
            {"state": "IsLoadFinished", "error": "LoadAborted", "cause": "cancelled on request"},
            *(2, "IsMailDue"),
            id="ended by somebody",
        ),
    ],
)
def test_load_that_took_too_long_is_divided(
    failure: dict[str, str], count: int, state: str
) -> None:
    given = {"failure": TOO_LONG | failure, "outcome": "OperatorError"}

    assert taken("IsOneFileSuspected", files(*[1] * count), **given)["Next"] == state


def test_cause_of_a_cancelled_load_is_what_the_division_knows() -> None:
    cause = evaluated(STATES["CancelLoad"]["Assign"]["failure"]["cause"], files(1), turn="has")

    assert cause == TOO_LONG["cause"]


def test_each_file_that_may_inflate_is_set_apart() -> None:
    batch = [
        *files(1, 1, 1),
        *({**file, "file_id": f"z{file['file_id']}"} for file in files(1, 1, suffix=".csv.gz")),
        *({**file, "file_id": f"p{file['file_id']}"} for file in files(1, suffix=".parquet")),
    ]
    expression = STATES["SetCompressedApart"]["Assign"]["parts"]

    assert parts(batch, expression) == [["0", "1", "2"], ["p0"], ["z0"], ["z1"]]
    assert parts(batch[3:], expression) == [["p0"], ["z0"], ["z1"]]


def test_files_of_which_none_inflates_are_halved() -> None:
    expression = STATES["SetCompressedApart"]["Assign"]["parts"]

    assert parts(files(1, 1, 1), expression) == [["0"], ["1", "2"]]


@pytest.mark.parametrize(
    ("character", "is_plain"),
    [
        *(("\t", True), ("\n", True), ("\x7f", True), ("\ud7ff", True), ("\U0001f600", True)),
        *(("\x07", False), ("\r", False), ("\x1f", False), ("\ufffe", False), ("\uffff", False)),
    ],
)
def test_key_that_xml_cannot_spell_is_deleted_by_its_address(
    character: str, is_plain: bool
) -> None:
    """XML 1.0, "Characters" and "End-of-Line Handling": a carriage return reads as a line feed."""
    batch = [*files(1), {**files(1)[0], "key": f"raw/flights/a{character}b.csv"}]

    state = taken("IsEachKeyPlain", batch)["Next"]

    assert state == ("DeleteRaw" if is_plain else "DeleteOneByOne")
