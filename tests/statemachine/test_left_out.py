"""What the warehouse says goes on without the rows that it quotes, and is classified as before.

The wordings are PostgreSQL's, which Redshift kept, and those of tests/statemachine/failures.yaml.
"""

import re

import jsonata
import pytest

from tests.statemachine.test_definition import STATES
from tests.statemachine.test_error_classes import FAILURES, class_of

EXPRESSION = STATES["load-DescribeLoad"]["Assign"]["load_error"].removeprefix("{%")
OF_STATEMENTS = [
    failure["text"]
    for failure in FAILURES
    if failure.get("state", "IsLoadFinished") == "IsLoadFinished"
    and failure.get("error", "LoadFailed") == "LoadFailed"
]


def told(text: str) -> str:
    expression = jsonata.Jsonata.jsonata(EXPRESSION.removesuffix("%}"))
    return str(expression.evaluate(None, {"states": {"result": {"Error": text}}}))


@pytest.mark.parametrize(
    "text",
    [
        'ERROR: invalid input syntax for type integer: "ZQROW"',
        'ERROR: invalid input syntax for integer: "1 "ZQROW" and\nZQROW"',
        'ERROR: invalid input syntax for type json\nDETAIL:  Token "ZQROW" is invalid.',
        "ERROR: invalid input syntax for type json\nCONTEXT:  JSON data, line 1: {ZQROW",
        'ERROR: invalid input syntax for type timestamp: "ZQROW',
        'ERROR: value "ZQROW" is out of range for type integer',
        'ERROR: date/time field value out of range: "ZQROW"',
        "ERROR: Invalid digit, Value 'Z', Pos 0, Type: Integer ZQROW",
        "ERROR: Spectrum Scan Error\n  code: 15007\n  context: Invalid value 'ZQROW' in column x",
        "ERROR: duplicate key\nDETAIL:  Key (tailnum)=(ZQROW) already exists.",
        'ERROR: null value in column "x"\nDETAIL:  Failing row contains (1, ZQROW, null).',
        'ERROR: something unheard of about "ZQROW"',
        "ERROR: something unheard of about 'ZQROW', 'b'",
        'ERROR: missing data for column "x"\nCONTEXT:  COPY x, line 3: "ZQROW,2"',
        "ERROR: String contains invalid or unsupported UTF8 codepoints: ZQROW",
        "ERROR: has an invalid version number: ZQROW",
    ],
)
def test_row_is_left_out(text: str) -> None:
    assert "ZQROW" not in told(text)
    assert told(text).startswith(text[:12])


@pytest.mark.parametrize(
    "text",
    [
        "",
        'ERROR: relation "etl.loads" does not exist',
        'ERROR: column "a" of relation "b" does not exist',
        'FATAL: password authentication failed for user "etl_loader"',
        "ERROR: Query (28572825) cancelled on user's request",
        'ERROR: Query (1) cancelled by WLM abort action of Query Monitoring Rule "x"',
        "ERROR: permission denied for schema lake",
        'ERROR: file raw/flights/a "b".csv: none of its rows can be read, for example "year"',
        'file raw/flights/a.csv: expected one header row "a", found 2',
        'ERROR: dataset flights: same_key must be replace or append, not "x"',
    ],
)
def test_names_and_what_the_procedures_say_stay(text: str) -> None:
    assert told(text) == text


@pytest.mark.parametrize("text", OF_STATEMENTS)
def test_class_of_a_failure_stays(text: str) -> None:
    assert class_of({"text": told(text)}) == class_of({"text": text})
    assert not re.search(r"\n\s*\n\s*\n", told(text))
