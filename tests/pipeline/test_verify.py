"""`make verify` on a laptop cloud, which it knows of by its address alone."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import data_api, deploy, spectrum
from local.cloud import ACCESS_KEY, ACCOUNT, REGION, SECRET_KEY, LaptopCloud
from local.sdk_tasks import TaskCall, TaskError
from local.stack import Stack
from tools import verify
from tools.assumptions import PAGE, read

pytestmark = pytest.mark.long

STACK = "redshift-pipeline-dev"
PROBED = [row.id for row in read(PAGE.read_text()) if row.probe]

# Where the laptop cloud does otherwise than AWS is assumed to do.
DIFFERENT = {
    "byte-order-mark": r"\\ufeff",
    "string-escapes": "14 characters for 9",
}
# What nobody can ask a laptop cloud.
UNASKED = {
    "compute-seconds": "no figures yet",
    "iam-governs-glue": "names no default permissions",
    "path-prunes-no-files": "does not exist",
    "temp-with-owners-rights": "the loader may make temporary tables itself",
}

Fault = Callable[[Stack], Any]


@pytest.fixture(autouse=True)
def account(cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whose credentials are in the environment, and where the page goes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(verify, "REPORT", tmp_path / "verification.md")


@pytest.fixture(scope="module")
def stack(cloud: LaptopCloud, build_folder: Path) -> Stack:
    return deploy.deploy(cloud, STACK, build_folder, {"BatchWindowSeconds": "0"})


def answers() -> dict[str, tuple[str, str]]:
    """The page's answers and evidence, by the assumptions' ids."""
    lines = [
        re.split(r"(?<!\\) \| ", line[2:-2]) for line in page().splitlines() if line[:1] == "|"
    ]
    return {cells[0]: (cells[2], cells[3]) for cells in lines if cells[0] in PROBED}


def page() -> str:
    return verify.REPORT.read_text()


def left_behind(stack: Stack) -> list[str]:
    """What of a verification is still there."""
    cloud, outputs = stack.cloud, stack.outputs
    with stack.warehouse.owner_connect() as connection:
        schemas = connection.execute("select nspname from pg_namespace").fetchall()
    tables = cloud.client("glue").get_tables(DatabaseName=outputs["GlueDatabaseName"])
    machines = cloud.client("stepfunctions").list_state_machines()
    kinds = ["MetricAlarm", "CompositeAlarm"]
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmTypes=kinds)
    versions = [
        version["Key"]
        for bucket in ("RawBucketName", "ArchiveBucketName")
        for version in stack.s3.list_object_versions(Bucket=outputs[bucket]).get("Versions", [])
    ]
    names = [
        *(name for (name,) in schemas),
        *(table["Name"] for table in tables["TableList"]),
        *(machine["name"] for machine in machines["stateMachines"]),
        *(rule["Name"] for rule in cloud.client("events").list_rules()["Rules"]),
        *stack.sqs.list_queues().get("QueueUrls", []),
        *(secret["Name"] for secret in stack.secrets.list_secrets()["SecretList"]),
        *(alarm["AlarmName"] for kind in kinds for alarm in alarms[f"{kind}s"]),
        *versions,
    ]
    return [name for name in names if re.search("verify[_-]", name)]


def test_all_probes_run(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(["--env", "dev", "--yes"]) == 1

    told, found = capsys.readouterr(), answers()
    assert sorted(found) == sorted(PROBED)
    assert {name for name, (answer, _) in found.items() if answer == "does not hold"} == {
        *DIFFERENT
    }
    assert not [name for name, (answer, _) in found.items() if answer == "holds"]
    asked = {name for name, (_, evidence) in found.items() if "As expected there: " in evidence}
    assert set(found) - asked == {*DIFFERENT, *UNASKED}
    for name, words in {**DIFFERENT, **UNASKED}.items():
        assert re.search(words, found[name][1]), (name, found[name])
    assert "PostgreSQL 18" in page()
    assert "us-east-1 (127.0.0.1 is not AWS)" in page()
    for secret in (ACCOUNT, stack.credentials("LoaderSecretArn")[1]):
        assert secret not in page()
    assert [line for line in told.out.splitlines() if len(line) > 80 and " " in line[20:]] == []
    assert told.err == ""
    assert left_behind(stack) == []
    assert stack.executions() == []


@contextmanager
def patched(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, replacement)
        yield


@contextmanager
def before_call(stack: Stack, hook: Callable[[TaskCall], None]) -> Iterator[None]:
    stack.cloud.before_call.append(hook)
    yield
    stack.cloud.before_call.remove(hook)


def forgets_tokens(_stack: Stack) -> Any:
    return patched(data_api.DataApi, "_repeated", lambda _self, _token: None)


def lists_all_names(_stack: Stack) -> Any:
    stock = data_api._validated

    def validated(operation: str, body: bytes) -> dict[str, Any]:
        request = stock(operation, body)
        return {**request, "StatementName": ""} if operation == "ListStatements" else request

    return patched(data_api, "_validated", validated)


def gives_calls_no_result(_stack: Stack) -> Any:
    stock = data_api.Statement.described

    def described(self: Any) -> dict[str, Any]:
        return {**stock(self), **({"HasResultSet": False} if self.sql[:4] == "call" else {})}

    return patched(data_api.Statement, "described", described)


def hides_missing_versions(stack: Stack) -> Any:
    def refuse(call: TaskCall) -> None:
        if "versionId" in call.parameters.get("CopySource", ""):
            raise TaskError("S3.S3Exception", "Access Denied (Service: S3, Status Code: 403)")

    return before_call(stack, refuse)


def writes_no_objects(stack: Stack) -> Any:
    def spoil(call: TaskCall) -> None:
        if call.action == "putObject":
            call.parameters["Body"] = "[object Object]"

    return before_call(stack, spoil)


def encodes_once_more(stack: Stack) -> Any:
    def encode(call: TaskCall) -> None:
        if "CopySource" in call.parameters:
            source = call.parameters["CopySource"].replace("%", "%25")
            call.parameters["CopySource"] = source

    return before_call(stack, encode)


def fills_short_rows(_stack: Stack) -> Any:
    return patched(spectrum, "line_blocks", lambda _chunks, _skip=0: [b"a,,\n"])


def sees_partition_late(_stack: Stack) -> Any:
    return patched(spectrum.Lake, "files", lambda _self, _location: [])


@contextmanager
def stops_the_clock(stack: Stack) -> Iterator[None]:
    change = "create or replace function redshift.getdate() returns timestamp language sql volatile"
    with stack.warehouse.owner_connect() as connection:
        [(stock,)] = connection.execute(
            "select pg_get_functiondef('redshift.getdate()'::regprocedure)"
        ).fetchall()
        frozen = f"{change} as 'select transaction_timestamp() at time zone ''UTC'''"
        connection.execute(frozen.encode())
    yield
    with stack.warehouse.owner_connect() as connection:
        connection.execute(stock.encode())


@pytest.mark.parametrize(
    ("fault", "assumption"),
    [
        (forgets_tokens, "client-token-repeated"),
        (lists_all_names, "statements-by-name"),
        (gives_calls_no_result, "inout-row"),
        (hides_missing_versions, "missing-version-status"),
        (hides_missing_versions, "missing-version-listed"),
        (writes_no_objects, "body-object"),
        (encodes_once_more, "copy-source-encoded"),
        (fills_short_rows, "short-row"),
        (sees_partition_late, "partition-seen-at-once"),
        (stops_the_clock, "getdate-in-procedure"),
    ],
)
def test_what_does_not_hold_is_seen(
    stack: Stack, fault: Fault, assumption: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with fault(stack):
        assert verify.main(["--env", "dev", "--yes", "--only", assumption]) == 1

    assert answers()[assumption][0] == "does not hold", answers()
    assert re.search(rf"^red +{assumption}", capsys.readouterr().out, re.MULTILINE)
    assert left_behind(stack) == []


def test_spent_budget_ends_it(stack: Stack) -> None:
    only = ["--only", "md5-verifier", "inout-row", "body-object"]

    assert verify.main(["--env", "dev", "--yes", *only, "--statements", "1"]) == 0

    assert "the budget of 1 statements is spent" in answers()["inout-row"][1]
    assert "Spent: 1 statements, 480 RPU-seconds" in page()


def test_interrupt_leaves_nothing(stack: Stack, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with (
        output.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-m", "tools.verify", "--env", "dev", "--yes"],
            cwd=PAGE.parents[1],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        # As long as it runs: it is under way for a minute, and for longer on a busy machine.
        while "surplus-fields" not in output.read_text():
            assert process.poll() is None, output.read_text()
            time.sleep(0.1)
        assert left_behind(stack) != []
        process.send_signal(signal.SIGINT)

        assert process.wait(180) == 1
    assert "Interrupted." in output.read_text()
    assert "NOT removed" not in output.read_text()
    assert left_behind(stack) == []
