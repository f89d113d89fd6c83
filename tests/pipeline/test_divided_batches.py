"""Batches of which some files fail: the others load, and support hears of each cause once."""

import json
from typing import Any

import pytest

from tests.deployed_pipeline import WEEK, Pipeline, statement_fails
from tests.faults.inject import Fault, Injector, Kind
from tests.operating import anything_let_in, denied

DAY = WEEK[0].read_bytes()
FLIGHTS = DAY.count(b"\n") - 1
# Files with this carrier are what `statement_fails` fails on.
ODD_DAY = DAY.replace(b",UA,", b",ZZ,")
UNKNOWN = "ERROR: Assert code: 1000 context: nobody has seen this text"
TRANSIENT = "Spectrum Scan Error: Retries exceeded"
COUNT = "select coalesce(sum(flights), 0) from mart.daily_route_performance"


def put_together(pipeline: Pipeline, files: dict[str, bytes], **how: Any) -> None:
    """Upload files so that they share a load."""
    pipeline.pause()
    for key, body in files.items():
        pipeline.stack.s3.put_object(
            Bucket=pipeline.stack.outputs["RawBucketName"], Key=key, Body=body, **how
        )
    pipeline.resume()


def ended(executions: list[dict[str, Any]], *, with_error: str) -> list[dict[str, Any]]:
    return [e for e in executions if e.get("error") == with_error]


def keys_of(execution: dict[str, Any]) -> list[str]:
    return sorted(file["key"] for file in json.loads(execution["input"])["files"])


def loads_of(pipeline: Pipeline, count: int) -> list[dict[str, Any]]:
    executions = pipeline.all_loads()
    assert max(len(keys_of(execution)) for execution in executions) == count
    return executions


GOOD = [f"raw/flights/good {number}.csv" for number in range(4)]


def test_file_in_glacier_stands_aside_and_the_mail_names_it(pipeline: Pipeline) -> None:
    pipeline.pause()
    for key in GOOD:
        pipeline.upload(key, DAY)
    cold = "raw/flights/cold + one.csv"
    with anything_let_in(pipeline.stack):
        pipeline.stack.s3.put_object(
            Bucket=pipeline.stack.outputs["RawBucketName"],
            Key=cold,
            Body=DAY,
            StorageClass="GLACIER",
        )
    pipeline.resume()
    executions = loads_of(pipeline, len(GOOD) + 1)

    assert len(executions) == 3
    [failed] = ended(executions, with_error="OperatorError")
    assert keys_of(failed) == [cold]
    assert pipeline.query(COUNT) == [(FLIGHTS * len(GOOD),)]
    [mail] = pipeline.mails("Support")
    assert mail.list_under("File at fault:") == mail.list_under("Files of the load:") == [cold]
    assert "not valid for the object's storage class" in mail.line("Reason")
    assert "Glacier" in mail.line("Next step")
    [news] = pipeline.mails("Business")
    assert news.list_under("Files:") == GOOD
    assert pipeline.keys("Raw", "raw/") == [cold]

    swept = pipeline.sweep()
    assert (swept["held"], swept["requeued_files"], swept["requeued_loads"]) == (1, 0, 0)


def test_files_that_fail_for_two_reasons_are_two_loads(pipeline: Pipeline) -> None:
    secret = [f"raw/flights/secret {number}.csv" for number in range(2)]
    cold = [f"raw/flights/cold {number}.csv" for number in range(2)]
    pipeline.pause()
    with denied(pipeline.stack, "LoadRole", "s3:GetObjectVersion", "raw/flights/secret*"):
        for key in [*secret, GOOD[0]]:
            pipeline.upload(key, DAY)
        with anything_let_in(pipeline.stack):
            for key in cold:
                pipeline.stack.s3.put_object(
                    Bucket=pipeline.stack.outputs["RawBucketName"],
                    Key=key,
                    Body=DAY,
                    StorageClass="GLACIER",
                )
        pipeline.resume()
        executions = loads_of(pipeline, 5)

    failed = ended(executions, with_error="OperatorError")
    assert sorted(map(keys_of, failed)) == [cold, secret]
    assert len(pipeline.mails("Support")) == 2
    assert pipeline.query(COUNT) == [(FLIGHTS,)]


def test_permission_that_is_missing_for_all_files_is_one_failure(pipeline: Pipeline) -> None:
    with denied(pipeline.stack, "LoadRole", "s3:GetObjectVersion", "raw/*"):
        put_together(pipeline, dict.fromkeys(GOOD, DAY))
        [failed] = loads_of(pipeline, len(GOOD))

    assert failed["error"] == "OperatorError"
    [mail] = pipeline.mails("Support")
    assert mail.list_under("Files of the load:") == GOOD


def test_error_that_no_row_knows_keeps_no_neighbour_waiting(pipeline: Pipeline) -> None:
    odd = "raw/flights/odd.csv"
    with statement_fails(pipeline, UNKNOWN):
        put_together(pipeline, {**dict.fromkeys(GOOD, DAY), odd: ODD_DAY})
        executions = loads_of(pipeline, len(GOOD) + 1)

    [failed] = ended(executions, with_error="OperatorError")
    assert keys_of(failed) == [odd]
    assert pipeline.query(COUNT) == [(FLIGHTS * len(GOOD),)]
    assert pipeline.keys("Raw", "raw/") == [odd]
    assert pipeline.keys("Archive", "quarantine/") == []
    assert len(pipeline.mails("Support")) == 1


def test_one_cause_makes_one_mail_and_a_rerun_another(pipeline: Pipeline) -> None:
    odd = [f"raw/flights/odd {number}.csv" for number in range(4)]
    with statement_fails(pipeline, UNKNOWN):
        put_together(pipeline, dict.fromkeys(odd, ODD_DAY))
        failed = ended(loads_of(pipeline, len(odd)), with_error="OperatorError")
        [mail] = pipeline.mails("Support")
        silent = next(e for e in failed if e["executionArn"] != mail.line("Execution"))
        pipeline.run_again(silent)
        pipeline.next_loads()
        [again] = pipeline.mails("Support")

    assert sorted(map(keys_of, failed)) == [[key] for key in odd]
    assert "send no further mail until" in mail.message
    assert "list-executions" in mail.message
    assert mail.line("Execution") in silent["cause"]
    assert again.line("Execution") == f"{silent['executionArn']}-2"
    assert "send no further mail until" not in again.message


@pytest.mark.parametrize("kind", [Kind.FAILING, Kind.DENIED, Kind.ANSWER_LOST], ids=str)
@pytest.mark.parametrize("state", ["OpenIncident", "ReadIncident"])
def test_fault_of_the_incident_keeps_no_mail_away(
    pipeline: Pipeline, state: str, kind: Kind
) -> None:
    with Injector(pipeline.stack.cloud).active() as injector:
        injector.add(Fault("load", state, kind, runs="unheard_of-"))
        # A lost answer leads to the second state.
        injector.add(Fault("load", "OpenIncident", Kind.ANSWER_LOST, runs="unheard_of-"))
        pipeline.load(("raw/unheard_of/day.csv", DAY))

    assert len(pipeline.mails("Support")) == 1


@pytest.mark.long
def test_cause_that_has_lasted_keeps_no_neighbour_waiting(pipeline: Pipeline) -> None:
    odd = "raw/flights/odd.csv"
    with statement_fails(pipeline, TRANSIENT):
        put_together(pipeline, {**dict.fromkeys(GOOD[:2], DAY), odd: ODD_DAY})
        [first] = loads_of(pipeline, 3)
        waiting = pipeline.query(COUNT)
        # Each sweep finds halves that have failed for the first time.
        later = []
        while pipeline.query(COUNT) != [(FLIGHTS * 2,)]:
            assert pipeline.sweep()["requeued_loads"]
            later += pipeline.all_loads()

    assert first["error"] == "TransientError"
    assert waiting == [(0,)]
    assert keys_of(ended(later, with_error="TransientError")[-1]) == [odd]
    assert pipeline.keys("Raw", "raw/") == [odd]
    assert len(pipeline.mails("Support")) == 1


@pytest.mark.long
def test_spectrum_that_may_not_read_for_a_while_costs_one_mail_and_no_file(
    pipeline: Pipeline,
) -> None:
    keys = [f"raw/flights/day {number}.csv" for number in range(9)]
    with denied(pipeline.stack, "SpectrumRole", "s3:GetObject", "staging/*"):
        failed = []
        for start in (0, 3, 6):
            put_together(pipeline, dict.fromkeys(keys[start : start + 3], DAY))
            failed += pipeline.all_loads()
        assert pipeline.sweep()["held"] == len(keys)
        mails = pipeline.mails("Support")
    for execution in ended(failed, with_error="OperatorError"):
        pipeline.run_again(execution)
    pipeline.all_loads()

    assert len(mails) == 1
    assert pipeline.mails("Support") == []
    assert pipeline.keys("Archive", "quarantine/") == []
    assert pipeline.versions("raw/") == []
    assert pipeline.query(COUNT) == [(FLIGHTS * len(keys),)]
