"""No mail holds a character that SNS, or XML 1.0, cannot carry, whatever keys and causes hold.

Texts and attributes of SNS are XML's characters: #x9, #xA, #xD, #x20-#xD7FF, #xE000-#xFFFD and
those beyond (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import jsonata
import pytest
from start_loads.shown import shown

from tests.statemachine.test_definition import TASKS

UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# The halves of a pair stand alone here; the smiling face is one character.
HOSTILE = "a\x00b\x07c\x7fd\x85e\ufffef\uffffg\ud83dh\ude00i\U0001f600"
# In a mail, and in an attribute for programs.
SHOWN = "a%00b%07c%7Fd%C2%85e%EF%BF%BEf%EF%BF%BFg%3Fh%3Fi%F0%9F%98%80"
SENT = "a?b?c?d?e?f?g?h?i\U0001f600"
# What a key may hold, and would like to be.
KEYS = [
    "raw/flights/2013/flights_2013-01-01.csv.gz",
    "raw/flights/$(touch x)`touch y`\"'\\;|&<>{}[]#!*?~^.csv",
    "raw/flights/a\nTo rerun: x\r\u2028\u0085y.csv",
    "raw/flights/a" + " " * 70 + "To rerun: x.csv",
    " raw/flights/blanks ",
    "raw/flights/https://evil.example/x www.evil.com/y a@evil.com evil.com",
    "raw/flights/\u061c\u00ad\uffff\u202e\u2066\u200b\u3164\u00a0\ufeff\x00\x7f.csv",
    "raw/flights/m\u00fcnchen_\u4e2d\u6587_\u0436_\u3042.csv",
    "raw/flights/\u05d0\u0645e\u0301\U0001f600\U000e0041.csv",
    "raw/flights/" + "\u00e4" * 506,
    "raw/flights/" + "\U0001f600" * 250,
    "raw/flights/100%25%.csv",
]
PLAIN = re.compile(r"[^\W_\d]|[0-9 _./=+,%*-]")
PUBLISHING = {name: task for name, task in TASKS.items() if task["Resource"].endswith("publish")}
FILE = {
    "key": f"raw/flights/{HOSTILE}",
    "archive_key": f"archive/{HOSTILE}/2013/01/02/{'1' * 32}/{HOSTILE}",
    "file_id": "1" * 32,
    "uploaded_at": "2013-01-02T04:00:00.000Z",
}
LOAD = {"load_id": "flights-1", "dataset": HOSTILE, "files": [FILE]}
ARN = "arn:aws:states:eu-west-1:123456789012:execution:x-load:flights-1"
EXECUTION = {"Id": ARN, "Name": "flights-1", "Input": LOAD, "StartTime": "2013-01-02T04:05:00.000Z"}
VARIABLES: dict[str, Any] = {
    "states": {"context": {"Execution": EXECUTION, "StateMachine": {"Id": ARN}}},
    "load": LOAD,
    "load_arn": ARN,
    "outcome": "DataError",
    "failure": {"state": "StageFiles", "error": "S3.S3Exception", "cause": HOSTILE},
    "status": "FAILED",
    "error": "DataError",
    "cause": HOSTILE,
    "cancel_failure": HOSTILE,
    "statement_id": "",
    "statement_ids": [],
    "load_result": {
        "status": "loaded",
        "dates_covered": "",
        "empty_file_ids": "1" * 32,
        "reject_reasons": f"3 dest: {HOSTILE}\n2 distance: above 20000",
        "rejected_files": f"{'1' * 32}:5",
        "same_files": f"{'1' * 32} raw/flights/{HOSTILE}",
        **dict.fromkeys(("files_loaded", "files_skipped", "source_rows", "rejected_rows"), 1),
    },
}


def texts(task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The name and value of each text that a task sends to its topic."""
    arguments = task["Arguments"]
    for name in ("Subject", "Message"):
        yield name, evaluated(arguments[name])
    for name, attribute in arguments["MessageAttributes"].items():
        yield name, evaluated(attribute["StringValue"])


def evaluated(text: str) -> str:
    if not text.strip().startswith("{%"):
        return text
    expression = jsonata.Jsonata(text.strip().removeprefix("{%").removesuffix("%}"))
    for name, value in VARIABLES.items():
        expression.assign(name, value)
    return str(expression.evaluate(None))


@pytest.mark.parametrize("name", PUBLISHING)
def test_mail_holds_what_sns_can_carry(name: str) -> None:
    for part, text in texts(PUBLISHING[name]):
        assert UNSENDABLE.search(text) is None, part
        text.encode()


@pytest.mark.parametrize("name", PUBLISHING)
def test_mail_shows_what_is_not_plain_as_urls_do(name: str) -> None:
    sent = dict(texts(PUBLISHING[name]))

    assert f"raw/flights/{SHOWN}" in sent["Message"]
    assert sent["dataset"] == SENT
    assert json.loads(sent["event"])["dataset"].endswith("i\U0001f600")


def functions(name: str) -> str:
    """The text of the functions by which a mail shows keys and causes."""
    message = str(PUBLISHING[name]["Arguments"]["Message"])
    start, end = message.index("$shown :="), message.index("$told :=")
    return message[start : message.index(")};", end) + 3]


def test_each_mail_shows_keys_and_causes_by_the_same_functions() -> None:
    assert len({functions(name) for name in PUBLISHING}) == 1


def shown_in_mails(key: str) -> str:
    expression = jsonata.Jsonata(f"({functions(next(iter(PUBLISHING)))} $shown($key))")
    expression.assign("key", key)
    return str(expression.evaluate(None))


@pytest.mark.parametrize("key", KEYS)
def test_key_is_shown_as_one_short_plain_text_in_mails_and_logs(key: str) -> None:
    text = shown_in_mails(key)

    assert text == shown(key)
    assert len(text) <= 240
    assert all(PLAIN.match(character) for character in text)
    assert "  " not in text
    assert "://" not in text
    assert re.search(r"www\.|\.(com|example)", text) is None


@pytest.mark.parametrize("key", [key for key in KEYS if "*" not in shown(key)[-20:]])
def test_whoever_reads_a_short_key_can_tell_what_it_is(key: str) -> None:
    text = shown(key)

    assert "..." in text or "%20*" in text or unquote(text) == key


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", [name for name in PUBLISHING if "Support" in name])
def test_cause_that_names_a_key_is_one_line_without_it(
    monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    load = {**LOAD, "dataset": "flights", "files": [{**FILE, "key": key}]}
    cause = f'ERROR: file {key}: permission denied for table "x"\n at $(here)'
    monkeypatch.setitem(EXECUTION, "Input", load)
    monkeypatch.setitem(VARIABLES, "load", load)
    monkeypatch.setitem(VARIABLES, "cause", cause)
    monkeypatch.setitem(VARIABLES, "failure", {**VARIABLES["failure"], "cause": cause})

    lines = dict(texts(PUBLISHING[name]))["Message"].split("\n")
    [reason] = [line for line in lines if line.startswith("Reason: ")]

    assert reason == (
        f'Reason: ERROR: file {shown(key)}: permission denied for table "x" at %24(here)'
    )
    # The commands are the pipeline's own; all else holds no mark of a shell's but a reason's quote.
    told = [line for line in lines if "aws stepfunctions" not in line]
    assert not any(mark in line for line in told for mark in ("$(", "`"))
    assert key == shown(key) or key not in "\n".join(lines)


SUPPORT = [name for name in PUBLISHING if "Support" in name]


@pytest.mark.parametrize("dataset", ["flights", HOSTILE * 20])
@pytest.mark.parametrize("name", ["day.csv", "x" * 900 + "_2013.csv", HOSTILE, "\u202evsc.exe\n"])
@pytest.mark.parametrize("stack", ["pipeline", "a-stack-of-25-characters-"])
@pytest.mark.parametrize("task", SUPPORT)
def test_subject_to_support_names_stack_dataset_and_file(
    monkeypatch: pytest.MonkeyPatch, task: str, stack: str, name: str, dataset: str
) -> None:
    load = {**LOAD, "dataset": dataset, "files": [{**FILE, "key": f"raw/{dataset}/2013/{name}"}]}
    monkeypatch.setitem(EXECUTION, "Input", load)
    monkeypatch.setitem(VARIABLES, "load", load)

    subject = evaluated(PUBLISHING[task]["Arguments"]["Subject"].replace("${StackName}", stack))

    assert re.fullmatch(r"[0-9A-Za-z_.:() -]{1,100}", subject)
    assert subject.startswith(f"{stack}: {re.sub('[^0-9A-Za-z_.-]', '_', dataset)[:20]}")
    assert re.sub("[^0-9A-Za-z_.-]", "_", name)[-8:] in subject


def test_mail_of_a_load_without_rejects_ends_in_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = dict.fromkeys(
        ("reject_reasons", "rejected_files", "same_files", "empty_file_ids"), ""
    )
    monkeypatch.setitem(VARIABLES, "load_result", {**VARIABLES["load_result"], **nothing})
    [business] = [task for name, task in PUBLISHING.items() if "Business" in name]

    message = dict(texts(business))["Message"]

    assert message.endswith(f"\nFiles:\n  raw/flights/{SHOWN}\n")


def test_business_reads_rejected_rows_by_reason_and_by_file() -> None:
    [business] = [task for name, task in PUBLISHING.items() if "Business" in name]

    message = dict(texts(business))["Message"]

    assert f"most frequent:\n  3: dest: {SHOWN}\n  2: distance: above 20000\n" in message
    assert f"by file:\n  5: raw/flights/{SHOWN}\n\nThe same content under" in message
    assert f"  raw/flights/{SHOWN}\n    is the same as raw/flights/{SHOWN}\n" in message
