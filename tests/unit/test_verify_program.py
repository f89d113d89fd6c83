"""tools/verify.py and what it is made of, without a stack."""

import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tools import probes, verify
from tools.assumptions import PAGE, Assumption, read
from tools.verification.bench import Bench
from tools.verification.budget import Budget, SpentError
from tools.verification.deployed import Deployed
from tools.verification.finding import Finding, Outcome, UnansweredError, finding
from tools.verification.page import page, redacted
from tools.verification.traces import Traces

ROW = Assumption("a-thing", "Here", "It holds", "open", "Mend it.", "here.thing", "")
REDSHIFT = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc, Redshift 1.0.12103"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """As on AWS, but for whatever asks a service."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    # The laptop cloud of other tests sets it.
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    deployed = Deployed("redshift-pipeline-dev")
    deployed.__dict__["description"] = {
        "Parameters": [{"ParameterKey": "BaseCapacity", "ParameterValue": "8"}],
        "Outputs": [],
    }
    return Bench(deployed, Budget(8, 4800, 100, 200), "verify_0a1b2c3d", about_warehouse=REDSHIFT)


def denied(message: str) -> ClientError:
    error: Any = {"Error": {"Code": "AccessDeniedException", "Message": message}}
    return ClientError(error, "GetTable")


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("s3://dev-raw-123456789012-eu-central-1/x", "s3://dev-raw-<account>-eu-central-1/x"),
        ("by arn:aws:sts::123456789012:assumed-role/A/ann@firm.com, no", "by <principal> no"),
        ("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a-b", "<secret>"),
        ("arn:aws:kms:eu-central-1:123456789012:key/0a-1b", "<key>"),
        ("wg.123456789012.eu-central-1.amazonaws.com", "wg.<account>.eu-central-1.amazonaws.com"),
        ("from 10.1.2.3", "from <address>"),
        ('{"password": "hunter2"}', '{"password": <hidden>'),
        ("AKIA" + "IOSFODNN7EXAMPLE", "<id>"),
        ("2013-01-01 12:34:56, 1234567890123 rows", "2013-01-01 12:34:56, 1234567890123 rows"),
    ],
)
def test_page_gives_nothing_away(hidden: str, shown: str) -> None:
    assert redacted(hidden) == shown


def test_plan_names_its_limits_and_fits_the_terminal(bench: Bench) -> None:
    told = verify.plan(bench)

    assert max(map(len, told.splitlines())) <= 80
    assert "at most 0.51 USD: 4,800 RPU-seconds, 100 statements" in told
    assert "verify_0a1b2c3d" in told


def test_budget_stops_before_it_is_overdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("tools.verification.budget.time.monotonic", lambda: now)
    budget = Budget(8, 800, 3, 10)
    budget.take_statement()
    assert budget.rpu_seconds == 480  # a minute at least

    budget.take_transitions(8)
    with pytest.raises(SpentError, match="10 transitions"):
        budget.take_transitions(3)
    assert budget.transitions == 8

    now += 101
    with pytest.raises(SpentError, match="800 RPU-seconds"):
        budget.take_statement()
    assert budget.statements == 1


def test_cluster_costs_nothing_by_the_second() -> None:
    budget = Budget(0, 800, 1, 10)
    budget.take_statement()

    assert budget.rpu_seconds == 0
    with pytest.raises(SpentError, match="1 statements"):
        budget.take_statement()


@pytest.mark.parametrize("asks_warehouse", [True, False])
def test_good_answer_counts_from_aws_alone(bench: Bench, asks_warehouse: bool) -> None:
    good = probes.Probe(lambda _bench: finding(True, "seen"), asks_warehouse)
    bad = replace(good, answer=lambda _bench: finding(False, "seen"))

    assert verify.answer(bench, good) == Finding(Outcome.HOLDS, "seen")

    bench.about_warehouse = "PostgreSQL 18.6 on x86_64"
    bench.deployed._clients["stepfunctions"] = type(
        "Client", (), {"meta": type("Meta", (), {"endpoint_url": "http://127.0.0.1:4566"})}
    )
    answered = verify.answer(bench, good)
    assert answered.outcome is Outcome.UNANSWERED
    assert ("PostgreSQL 18.6 stands in" if asks_warehouse else "is not AWS") in answered.evidence
    assert verify.answer(bench, bad).outcome is Outcome.FAILS


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (denied("x is not authorized to perform: glue:GetTable on y"), "permission glue:GetTable"),
        (denied("no"), "lack the permission for GetTable"),
        (SpentError("spent"), "not tried: spent"),
        (UnansweredError("why"), "why"),
        (KeyError("Shape"), "the probe itself failed: KeyError('Shape')"),
    ],
)
def test_probe_that_cannot_be_carried_out_is_not_answered(
    bench: Bench, error: Exception, told: str
) -> None:
    def fail(_bench: Bench) -> Finding:
        raise error

    answered = verify.answer(bench, probes.Probe(fail, asks_warehouse=False))

    assert answered.outcome is Outcome.UNANSWERED
    assert told in answered.evidence


def test_page_has_a_line_for_each_assumption(bench: Bench) -> None:
    answers = {"a-thing": Finding(Outcome.FAILS, "a | <b>\nof 123456789012")}
    others = [
        replace(ROW, id="untried"),
        replace(ROW, id="unprobed", probe="", reason="none: no way"),
    ]

    text = page(bench, [ROW, *others], answers)

    assert r"| a-thing | It holds | does not hold | a \| &lt;b> of <account> | Mend it. |" in text
    assert "| untried | It holds | not answered | not tried: the verification ended" in text
    assert "| unprobed | It holds | not answered | none: no way | — |" in text
    assert "0 hold, 1 do not, 0 are not answered, 1 have no probe." in text
    assert "Region: eu-central-1" in text
    assert "Redshift 1.0.12103" in text


def test_last_made_is_removed_first_and_what_stays_is_told() -> None:
    removed: list[str] = []
    traces = Traces()

    def refuse() -> None:
        raise denied("locked")

    def is_gone() -> None:
        error: Any = {"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}
        raise ClientError(error, "Delete")

    traces.will_make("first", lambda: removed.append("first"), "rm first")
    traces.will_make("second", refuse, "rm second")
    traces.will_make("third", is_gone, "rm third")
    traces.will_make("fourth", lambda: removed.append("fourth"), "rm fourth")

    [stays] = traces.remove()

    assert removed == ["fourth", "first"]
    assert stays.startswith("second (")
    assert stays.endswith("\n  rm second")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_removes_what_it_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    removed: list[str] = []

    def remove() -> None:
        # A second one while it is being removed changes nothing.
        os.kill(os.getpid(), number)
        removed.append("thing")

    def wake() -> str:
        bench.traces.will_make("thing", remove, "rm thing")
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    bench.__dict__["warehouse"] = type("Warehouse", (), {"wake": staticmethod(wake)})
    before = signal.getsignal(number)

    assert verify.run(bench, read(PAGE.read_text()), answers := {}) == []
    assert removed == ["thing"]
    assert answers == {}
    assert signal.getsignal(number) is before


def test_nothing_is_made_without_a_yes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "Deployed", lambda _name: bench.deployed)
    monkeypatch.setattr(verify, "run", lambda *_arguments: pytest.fail("it went on"))
    for given in ("", "n", "perhaps"):
        monkeypatch.setattr("builtins.input", lambda _prompt, given=given: given)
        assert verify.main(["--env", "dev"]) == 1

    assert "Nothing was made." in capsys.readouterr().out


VERIFIER = [
    path
    for folder in ("tools/probes", "tools/verification")
    for path in sorted((PAGE.parents[1] / folder).glob("*.py"))
]


@pytest.mark.parametrize("path", [Path(verify.__file__), *VERIFIER], ids=lambda path: path.stem)
def test_verifier_knows_nothing_of_the_laptop(path: Path) -> None:
    assert not re.search("laptop|ministack|localhost|4566", path.read_text(), re.IGNORECASE)
