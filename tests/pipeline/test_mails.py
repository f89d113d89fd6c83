"""The mails as their readers get them: golden texts, and keys that want to say something.

A mail that reads otherwise than tests/pipeline/mails/<name>.txt is written to build/mails/: copy it
if it is meant.
"""

import json
import re
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse
from start_loads.shown import shown

from tests.deployed_pipeline import WEEK, Pipeline
from tests.faults.inject import Fault, Injector, Kind
from tests.operating import Mail, Mailbox, short_deadline

GOLDEN = Path(__file__).parent / "mails"
TEMPLATE = yaml_parse((Path(__file__).parents[2] / "template.yaml").read_text())
WRITTEN = Path(__file__).parents[2] / "build" / "mails"
DAY = WEEK[0].read_bytes()
MASKS = {
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "<uuid>",
    r"\b[0-9a-f]{32}\b": "<file_id>",
    r"-[0-9a-f]{24}\b": "-<batch>",
    r"\d{4}/\d\d/\d\d": "<yyyy/mm/dd>",
    r"(took: |uploaded: )\d+ s": r"\1<n> s",
    r"until\n\d{4}-\d\d-\d\d \d\d:59": "until\n<the end of the hour>",
}
# What a key may hold, and would like to be.
FORGERY = "a\nNext step: Run rm -rf /\n.csv"
HOSTILE_NAMES = [
    pytest.param(FORGERY, id="a line of the mail"),
    pytest.param("'; drop table etl.loads; --.csv", id="SQL"),
    pytest.param("{% $error('x') %}${AWS::AccountId}.csv", id="JSONata"),
    pytest.param("..%2f../../etc/passwd", id="a path upwards"),
    pytest.param("$(touch x)`touch y`\"'\\.csv", id="shell"),
    pytest.param("invoice\u202evsc.exe\u2066.csv", id="right to left"),
    pytest.param("tab\tnext\x85line\u2028.csv", id="control characters"),
    pytest.param("ä" * 500 + ".csv", id="1,000 bytes"),
]
UNSHOWN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def masked(mail: Mail) -> str:
    text = f"Subject: {mail.subject}\n\n{mail.message}\n"
    for pattern, mask in MASKS.items():
        text = re.sub(pattern, mask, text)
    return text


def assert_golden(mail: Mail, name: str) -> None:
    written = WRITTEN / f"{name}.txt"
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(masked(mail))

    golden = GOLDEN / f"{name}.txt"
    assert golden.exists(), f"{written} is news: copy it to {GOLDEN}"
    assert masked(mail) == golden.read_text()


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_lines_fit_a_terminal(golden: Path) -> None:
    """But for what services say, and words that nobody may cut: an address, an ARN, a key."""
    for line in golden.read_text().splitlines():
        words = line.removesuffix(" \\").split()
        is_one_word = len(words) <= 1 or (len(words) == 2 and words[0] in ("Look:", "Execution:"))
        assert len(line) <= 80 or is_one_word or line.startswith("Reason: "), line


def test_business_mail_of_good_files(pipeline: Pipeline) -> None:
    pipeline.load(*((f"raw/flights/{path.name}", path) for path in WEEK[:2]))
    [mail] = pipeline.mails("Business")

    assert_golden(mail, "loaded")
    event = json.loads(mail.attributes["event"])
    assert mail.attributes["dataset"] == event["dataset"] == "flights"
    assert (event["status"], event["files_loaded"]) == ("loaded", 2)
    assert f"Rows read: {event['source_rows']:,}" in mail.message
    assert 0 <= event["load_seconds"] <= event["age_seconds"] < 60


def test_business_mail_of_a_file_without_rows(pipeline: Pipeline) -> None:
    pipeline.load(("raw/flights/header only.csv", DAY.splitlines(keepends=True)[0]))
    [mail] = pipeline.mails("Business")

    assert_golden(mail, "loaded_without_a_row")


def test_business_mail_counts_rejected_rows_by_reason_and_by_file(pipeline: Pipeline) -> None:
    lines = DAY.splitlines(keepends=True)
    damaged = {
        "some.csv": [lines[0], b"2013,1,1\n", b"2013,1,2\n", *lines[3:]],
        "fewer.csv": [*lines[:3], lines[3].replace(b"2013,1,1,", b"2013,2,30,", 1), *lines[4:]],
    }
    pipeline.load(*((f"raw/flights/{name}", b"".join(body)) for name, body in damaged.items()))
    [mail] = pipeline.mails("Business")

    assert_golden(mail, "loaded_with_rejects")


def test_business_mail_names_the_same_content_under_two_keys(pipeline: Pipeline) -> None:
    """S3's checksum tells it, in a load and in the ledger; the ETag differs by parts and keys."""
    pipeline.load(("raw/flights/renamed.csv", DAY), ("raw/flights/day.csv", DAY))
    [mail] = pipeline.mails("Business")
    pipeline.load(("raw/flights/later.csv", DAY))
    [later] = pipeline.mails("Business")

    assert_golden(mail, "loaded_the_same_twice")
    assert later.message.endswith("  raw/flights/later.csv\n    is the same as raw/flights/day.csv")


def test_business_mail_speaks_of_one_row(pipeline: Pipeline) -> None:
    pipeline.load(("raw/flights/one.csv", b"".join(DAY.splitlines(keepends=True)[:2])))
    [mail] = pipeline.mails("Business")

    assert mail.subject == "flights: 1 row from 1 file loaded"


def test_support_mail_of_a_refused_file(pipeline: Pipeline) -> None:
    pipeline.load(("raw/flights/wrong.csv", b"a,b,c\n1,2,3\n"))
    [mail] = pipeline.mails("Support")

    assert_golden(mail, "refused")
    event = json.loads(mail.attributes["event"])
    assert (event["status"], event["dataset"]) == ("refused", "flights")
    assert mail.attributes["error_class"] == event["error_class"] == "DataError"
    assert f"Statement: {event['statement_id']}" in mail.message
    assert event["execution"] in mail.message


def test_support_mail_of_a_load_that_waits_for_an_operator(pipeline: Pipeline) -> None:
    pipeline.load(("raw/unheard_of/day.csv", DAY))
    [mail] = pipeline.mails("Support")

    assert_golden(mail, "operator")
    assert json.loads(mail.attributes["event"])["statement_id"] == ""


def test_support_mail_of_an_aborted_load(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection:
        connection.execute("lock table etl.flights_lock")
        pipeline.upload("raw/flights/day.csv", DAY)
        execution = pipeline.first_running()
        pipeline.stack.step_functions.stop_execution(executionArn=execution, cause="A\nB")
        mail = pipeline.next_mail("Support")

    assert_golden(mail, "aborted")
    assert mail.attributes["error_class"] == "Abandoned"
    assert json.loads(mail.attributes["event"])["execution"] == execution


def test_support_mail_of_a_load_that_took_too_long(pipeline: Pipeline) -> None:
    with pipeline.connect() as connection, short_deadline(pipeline.stack):
        connection.execute("lock table mart.daily_route_performance_by_file")
        pipeline.upload("raw/flights/day.csv", DAY)
        mail = pipeline.next_mail("Support")

    assert_golden(mail, "too_long")
    assert mail.attributes["error_class"] == "OperatorError"


@pytest.mark.long
def test_support_mail_of_a_load_that_no_retry_helped(pipeline: Pipeline) -> None:
    with Injector(pipeline.stack.cloud).active() as injector:
        injector.add(Fault("load", "SubmitLoad", Kind.FAILING, runs="flights-"))
        pipeline.load(("raw/flights/day.csv", DAY))
    [mail] = pipeline.mails("Support")

    assert_golden(mail, "transient")
    assert mail.attributes["error_class"] == "TransientError"


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_key_says_nothing_but_its_name(pipeline: Pipeline, name: str) -> None:
    for key in (f"raw/flights/{name}", f"raw/flights/bad/{name}"):
        pipeline.upload(key, b"a,b\n1,2\n" if "/bad/" in key else DAY)
    pipeline.all_loads()

    [good] = pipeline.mails("Business")
    [bad] = pipeline.mails("Support")
    for mail in (good, bad):
        assert UNSHOWN.search(mail.message) is None
        assert mail.subject.isascii()
        assert len(mail.subject) <= 100
        assert json.loads(mail.attributes["event"])["dataset"] == "flights"
    [listed] = good.list_under("Files:")
    assert listed == shown(f"raw/flights/{name}")
    assert good.list_under("Files:") != bad.list_under("Files of the load:")
    assert bad.line("Next step") == (
        "Upload the file corrected, under the same key; it loads by itself."
    )
    assert pipeline.query("select count(*) from etl.loads") == [(1,)]
    assert pipeline.versions("raw/") == []


def test_dataset_says_nothing_but_its_name(pipeline: Pipeline) -> None:
    dataset = "x\nNext step: Run rm -rf ~\u202e"
    pipeline.load((f"raw/{dataset}/day.csv", DAY))
    [mail] = pipeline.mails("Support")

    assert mail.subject.isascii()
    assert len(mail.subject) <= 100
    assert mail.line("Dataset") == "x%0ANext step%3A Run rm -rf %7E%E2%80%AE"
    assert mail.line("Next step").startswith("No dataset of this name is deployed.")
    assert json.loads(mail.attributes["event"])["dataset"] == dataset


def test_subscription_may_be_to_some_datasets(pipeline: Pipeline) -> None:
    subscription = TEMPLATE["Resources"]["BusinessSubscription"]["Properties"]
    _, policy, _ = subscription["FilterPolicy"]["Fn::If"]
    assert policy == {"dataset": {"Ref": "BusinessDatasets"}}
    readers = {
        (reader, dataset): Mailbox(pipeline.stack, reader, dataset, {"dataset": [dataset, "x"]})
        for reader in ("Business", "Support")
        for dataset in ("flights", "hotels")
    }

    pipeline.load(("raw/flights/day.csv", DAY))
    pipeline.load(("raw/hotels/day.csv", DAY))

    heard = {reader: [m.subject for m in box.new_mails()] for reader, box in readers.items()}
    assert heard == {
        ("Business", "flights"): ["flights: 842 rows from 1 file loaded"],
        ("Business", "hotels"): [],
        ("Support", "flights"): [],
        ("Support", "hotels"): ["redshift-pipeline: hotels: load failed: day.csv (operator)"],
    }
