"""No mail holds a character that SNS, or XML 1.0, cannot carry, whatever keys and causes hold.

Texts and attributes of SNS are XML's characters: #x9, #xA, #xD, #x20-#xD7FF, #xE000-#xFFFD and
those beyond (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonata
import pytest

from tests.statemachine.test_definition import TASKS

UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# The halves of a pair stand alone here; the smiling face is one character.
HOSTILE = "a\x00b\x07c\x7fd\x85e\ufffef\uffffg\ud83dh\ude00i\U0001f600"
SHOWN = "a?b?c?d?e?f?g?h?i\U0001f600"
PUBLISHING = {name: task for name, task in TASKS.items() if task["Resource"].endswith("publish")}
FILE = {
    "key": f"raw/flights/{HOSTILE}",
    "archive_key": f"archive/flights/{HOSTILE}",
    "file_id": "1",
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
        "empty_file_ids": "1",
        "reject_reasons": f"3 dest: {HOSTILE}\n2 distance: above 20000",
        "rejected_files": "1:5",
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
def test_mail_shows_all_other_characters_as_they_are(name: str) -> None:
    sent = dict(texts(PUBLISHING[name]))

    assert f"raw/flights/{SHOWN}" in sent["Message"]
    assert sent["dataset"] == SHOWN
    assert json.loads(sent["event"])["dataset"].endswith("i\U0001f600")


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
    nothing = dict.fromkeys(("reject_reasons", "rejected_files", "empty_file_ids"), "")
    monkeypatch.setitem(VARIABLES, "load_result", {**VARIABLES["load_result"], **nothing})
    [business] = [task for name, task in PUBLISHING.items() if "Business" in name]

    message = dict(texts(business))["Message"]

    assert message.endswith(f"\nFiles:\n  raw/flights/{SHOWN}\n")


def test_business_reads_rejected_rows_by_reason_and_by_file() -> None:
    [business] = [task for name, task in PUBLISHING.items() if "Business" in name]

    message = dict(texts(business))["Message"]

    assert f"most frequent:\n  3: dest: {SHOWN}\n  2: distance: above 20000\n" in message
    assert f"by file:\n  5: raw/flights/{SHOWN}\n\nFiles without a row:\n" in message
