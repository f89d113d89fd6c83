import io
import itertools
import json
import sqlite3
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apply_sql import answer, data_api, handler
from botocore.exceptions import ClientError

EVENTS = Path(__file__).parents[3] / "events" / "apply_sql"
ADMIN_SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:admin"
LOADER_SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:loader"
LOADER_PASSWORD = "correct horse battery staple"
SPECTRUM_ROLE = "arn:aws:iam::000000000000:role/redshift-pipeline-SpectrumRole-ExAmPlE00000"
CLOUDFORMATION = "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com"


class Clock:
    """The time that sleeping takes, without taking it. In seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ends_at = 900.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends_at - self.now) * 1000)


class FakeDataApi:
    """The Data API over SQLite: real statements, real transactions, one statement at a time."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.database.execute("attach ':memory:' as etl")
        self.database.execute(
            "create temp view pg_tables as"
            " select 'etl' as schemaname, name as tablename from etl.sqlite_master"
        )
        self.database.execute(
            "create temp table svv_redshift_databases (database_name, database_isolation_level)"
        )
        self.database.execute(
            "insert into svv_redshift_databases values ('dev', 'Snapshot Isolation')"
        )
        self.database.create_function("current_database", 0, lambda: "dev")
        self.database.create_function("getdate", 0, lambda: "2013-01-01 00:00:00")
        self.requests: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.polls_per_statement = 2
        self.refusals: list[ClientError | str] = []
        self.page_size = 2
        self._statements: dict[str, dict[str, Any]] = {}
        self._polls: dict[str, Iterator[str]] = {}
        self._rows: dict[str, list[Any]] = {}

    def execute_statement(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        parameters = {p["name"]: p["value"] for p in request.get("Parameters", [])}
        assert "" not in parameters.values()
        refusal = self.refusals.pop(0) if self.refusals else None
        if isinstance(refusal, ClientError):
            raise refusal
        if refusal:
            return self._accept({"Status": "FAILED", "Error": refusal}, [])
        try:
            rows = self.database.execute(request["Sql"], parameters).fetchall()
        except sqlite3.Error as error:
            return self._accept({"Status": "FAILED", "Error": f"ERROR: {error}"}, [])
        return self._accept({"Status": "FINISHED"}, rows)

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        assert 1 <= len(request["Sqls"]) <= 40
        statuses = self._run_batch(request["Sqls"])
        is_done = statuses[-1]["Status"] == "FINISHED"
        return self._accept(
            {"Status": "FINISHED" if is_done else "FAILED", "SubStatements": statuses}, []
        )

    def describe_statement(self, *, Id: str) -> dict[str, Any]:
        status = next(self._polls[Id], None)
        return {"Id": Id, "Status": status} if status else {"Id": Id, **self._statements[Id]}

    def get_statement_result(self, *, Id: str, NextToken: str = "0") -> dict[str, Any]:
        start = int(NextToken)
        rows = self._rows[Id][start : start + self.page_size]
        page: dict[str, Any] = {
            "Records": [
                [{"isNull": True} if v is None else {"stringValue": v} for v in row] for row in rows
            ]
        }
        if start + self.page_size < len(self._rows[Id]):
            page["NextToken"] = str(start + self.page_size)
        return page

    def cancel_statement(self, *, Id: str) -> dict[str, Any]:
        self.cancelled.append(Id)
        return {"Status": True}

    def batches(self) -> list[str]:
        """The names of the batches that were asked for, which are paths of files."""
        return [r["StatementName"] for r in self.requests if "Sqls" in r]

    def records(self) -> dict[str, tuple[str, str | None]]:
        """Path → checksum and pending checksum, as the warehouse has them."""
        rows = self.database.execute(
            "select path, checksum, pending_checksum from etl.schema_version"
        )
        return {path: (checksum, pending) for path, checksum, pending in rows}

    def _accept(self, outcome: dict[str, Any], rows: list[Any]) -> dict[str, Any]:
        statement_id = f"statement-{len(self._statements)}"
        waits = itertools.chain(["SUBMITTED", "PICKED"], itertools.repeat("STARTED"))
        self._statements[statement_id] = outcome
        self._polls[statement_id] = itertools.islice(waits, self.polls_per_statement)
        self._rows[statement_id] = rows
        return {"Id": statement_id}

    def _run_batch(self, statements: Sequence[str]) -> list[dict[str, Any]]:
        self.database.execute("begin")
        statuses: list[dict[str, Any]] = []
        for statement in statements:
            try:
                if not statement.startswith("create schema"):
                    self.database.execute(statement)
            except sqlite3.Error as error:
                self.database.execute("rollback")
                failed = {"Status": "FAILED", "Error": f"ERROR: {error}"}
                rest = len(statements) - len(statuses) - 1
                return [*statuses, failed, *[{"Status": "ABORTED"}] * rest]
            statuses.append({"Status": "FINISHED"})
        self.database.execute("commit")
        return statuses


class FakeSecrets:
    def __init__(self) -> None:
        self.texts = {
            ADMIN_SECRET: json.dumps({"username": "etl_admin", "password": "secret"}),
            LOADER_SECRET: json.dumps({"username": "etl_loader", "password": LOADER_PASSWORD}),
        }
        self.written: list[str] = []

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        return {"SecretString": self.texts[SecretId]}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:
        self.written.append(SecretId)
        self.texts[SecretId] = SecretString

    def held(self, arn: str) -> dict[str, Any]:
        return dict(json.loads(self.texts[arn]))


class FakeServerless:
    """Redshift Serverless, which lists workgroups one a page."""

    def __init__(self) -> None:
        self.workgroups = [workgroup("other", 5440), workgroup("redshift-pipeline", 5439)]

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_workgroups"
        return SimpleNamespace(paginate=lambda: [{"workgroups": [w]} for w in self.workgroups])


def workgroup(name: str, port: int) -> dict[str, Any]:
    return {
        "workgroupName": name,
        "workgroupArn": f"arn:aws:redshift-serverless:us-east-1:000000000000:workgroup/{port}",
        "namespaceName": f"{name}-namespace",
        "endpoint": {"address": f"{name}.example.com", "port": port},
    }


class FakeRedshift:
    def describe_clusters(self, *, ClusterIdentifier: str) -> dict[str, Any]:
        endpoint = {"Address": f"{ClusterIdentifier}.example.com", "Port": 5441}
        return {"Clusters": [{"ClusterIdentifier": ClusterIdentifier, "Endpoint": endpoint}]}


class Inbox:
    """What CloudFormation keeps behind a ResponseURL: a real server, which takes PUTs."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.content_types: list[str | None] = []
        self.refusals = 0
        self.server = HTTPServer(("127.0.0.1", 0), self._endpoint())
        self.url = f"{CLOUDFORMATION}/answer?signature=abc"
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def _endpoint(self) -> type[BaseHTTPRequestHandler]:
        inbox = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.content_types.append(self.headers["Content-Type"])
                inbox.refusals -= 1
                if inbox.refusals < 0:
                    inbox.bodies.append(body)
                    inbox.answers.append(json.loads(body))
                self.send_response(200 if inbox.refusals < 0 else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Endpoint


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    inbox = Inbox()
    urlopen = urllib.request.urlopen

    def resolved(request: urllib.request.Request, timeout: float) -> Any:
        """CloudFormation's address leads to the inbox; any other is as it is."""
        request.full_url = request.full_url.replace(CLOUDFORMATION, inbox.endpoint)
        return urlopen(request, timeout=timeout)

    monkeypatch.setattr(answer.urllib.request, "urlopen", resolved)
    thread = threading.Thread(target=lambda: inbox.server.serve_forever(poll_interval=0.01))
    thread.start()
    yield inbox
    inbox.server.shutdown()
    thread.join()
    inbox.server.server_close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(data_api, "time", clock)
    monkeypatch.setattr(answer, "time", clock)
    return clock


@pytest.fixture
def warehouse() -> Iterator[FakeDataApi]:
    fake = FakeDataApi()
    yield fake
    fake.database.close()


@pytest.fixture
def secrets() -> FakeSecrets:
    return FakeSecrets()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    stream = io.StringIO()
    monkeypatch.setattr(handler.logger.registered_handler, "stream", stream)
    return stream.getvalue


@pytest.fixture
def write_sql(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Writes files into the folder that the function applies."""
    monkeypatch.setattr(handler, "SQL_FOLDER", tmp_path)

    def write(files: Mapping[str, str]) -> None:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def invoke(
    monkeypatch: pytest.MonkeyPatch,
    inbox: Inbox,
    clock: Clock,
    warehouse: FakeDataApi,
    secrets: FakeSecrets,
) -> Callable[..., dict[str, Any]]:
    """Sends the function a request from events/apply_sql, and gives the answer it PUT."""
    clients = {
        "redshift": FakeRedshift(),
        "redshift-data": warehouse,
        "redshift-serverless": FakeServerless(),
        "secretsmanager": secrets,
    }
    monkeypatch.setattr(handler, "client", clients.__getitem__)
    monkeypatch.setenv("WAREHOUSE_PARAMETER", "WorkgroupName")
    monkeypatch.setenv("WAREHOUSE_NAME", "redshift-pipeline")
    monkeypatch.setenv("DATABASE_NAME", "dev")
    monkeypatch.setenv("ADMIN_SECRET_ARN", ADMIN_SECRET)
    monkeypatch.setenv("LOADER_SECRET_ARN", LOADER_SECRET)
    monkeypatch.setenv("COMPLETED_SECRET_ARNS", f"{LOADER_SECRET},{ADMIN_SECRET}")
    monkeypatch.setenv("GLUE_DATABASE_NAME", "redshift_pipeline")
    monkeypatch.setenv("SPECTRUM_ROLE_ARN", SPECTRUM_ROLE)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    context = SimpleNamespace(
        function_name="ApplySqlFunction",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:ApplySqlFunction",
        aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        get_remaining_time_in_millis=clock.get_remaining_time_in_millis,
    )

    def send(event: str, **changes: Any) -> dict[str, Any]:
        request = json.loads((EVENTS / f"{event}.json").read_text())
        request |= {"ResponseURL": inbox.url, **changes}
        handler.handler(request, context)
        return inbox.answers[-1]

    return send
