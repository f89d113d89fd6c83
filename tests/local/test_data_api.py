import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local import data_api, spectrum
from local.data_api import ApiError, DataApi, numbered
from local.spectrum import ScanServer
from local.warehouse import Warehouse

SECRETS = {
    "admin": {"username": "etl_admin", "password": "secret"},
    "wrong": {"username": "etl_admin", "password": "guess"},
    "of cluster": {"username": "etl_admin", "password": "secret", "dbClusterIdentifier": "cluster"},
}


class Client:
    """Calls the handler as MiniStack does. Members of an answer are as on the wire."""

    def __init__(self, api: DataApi, caller: str = "") -> None:
        self._api = api
        self._caller = caller

    def as_caller(self, arn: str) -> "Client":
        return Client(self._api, arn)

    def call(self, operation: str, **request: Any) -> tuple[int, Any]:
        headers = {"x-amz-target": f"RedshiftData.{operation}", "caller": self._caller}
        body = json.dumps(request).encode()
        status, _, answer = asyncio.run(self._api.handle("POST", "/", headers, body, {}))
        return status, json.loads(answer)

    def succeed(self, operation: str, **request: Any) -> Any:
        status, answer = self.call(operation, **request)
        assert status == 200, answer
        return answer

    def submit(self, sql: str | list[str], **request: Any) -> str:
        text = {"Sql": sql} if isinstance(sql, str) else {"Sqls": sql}
        operation = "ExecuteStatement" if isinstance(sql, str) else "BatchExecuteStatement"
        return str(self.succeed(operation, **{**text, **target(), **request})["Id"])

    def run(self, sql: str | list[str], **request: Any) -> Any:
        return self.wait(self.submit(sql, **request))

    def wait(self, statement_id: str) -> Any:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            described = self.succeed("DescribeStatement", Id=statement_id)
            if described["Status"] in ("FINISHED", "FAILED", "ABORTED"):
                return described
            time.sleep(0.01)
        raise AssertionError(described)

    def rows(self, sql: str, **request: Any) -> list[Any]:
        described = self.run(sql, **request)
        assert described["Status"] == "FINISHED", described
        return list(self.succeed("GetStatementResult", Id=described["Id"])["Records"])


def target() -> dict[str, str]:
    return {"WorkgroupName": "workgroup", "Database": "dev", "SecretArn": "admin"}


def parameters(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def secret(arn: str, _headers: Any) -> dict[str, str]:
    if arn not in SECRETS:
        raise ApiError("AccessDeniedException", f"not authorized to read {arn}")
    return SECRETS[arn]


@pytest.fixture(scope="module")
def scans() -> Iterator[ScanServer]:
    server = ScanServer("http://127.0.0.1:1")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, scans: ScanServer) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("cluster") / "warehouse"
    instance = Warehouse(folder, "dev", "etl_admin", "secret", scan_endpoint=scans.url)
    instance.start()
    spectrum.install(instance)
    with instance.connect("etl_admin", "secret") as connection:
        connection.execute("create table public.numbers (n integer)")
    yield instance
    instance.stop()


@pytest.fixture
def client(warehouse: Warehouse) -> Client:
    return Client(DataApi({"workgroup": warehouse}, secret, lambda headers: headers["caller"]))


def test_a_result_s_fields_and_columns(client: Client) -> None:
    described = client.run(
        "select 1 as a, 2.50::decimal(4,2) as b, 1.5::double precision as c, true as d, "
        "null::varchar(9) as e, 'x'::varchar(9) as f, '2013-01-02 03:04:05'::timestamp as g"
    )
    assert described["HasResultSet"]
    assert described["ResultRows"] == 1
    assert described["Duration"] > 1_000_000
    result = client.succeed("GetStatementResult", Id=described["Id"])
    assert result["Records"] == [
        [
            {"longValue": 1},
            {"stringValue": "2.50"},
            {"doubleValue": 1.5},
            {"booleanValue": True},
            {"isNull": True},
            {"stringValue": "x"},
            {"stringValue": "2013-01-02 03:04:05"},
        ]
    ]
    columns = [(column["name"], column["typeName"]) for column in result["ColumnMetadata"]]
    assert columns == list(
        zip(
            "abcdefg",
            ["int4", "numeric", "float8", "bool", "varchar", "varchar", "timestamp"],
            strict=True,
        )
    )
    assert (result["ColumnMetadata"][1]["precision"], result["ColumnMetadata"][1]["scale"]) == (
        4,
        2,
    )


def test_large_results_come_in_pages(client: Client) -> None:
    digits = "(select 0 as d union all select 1 union all select 2 union all select 3)"
    cross = " cross join ".join(f"{digits} as d{number}" for number in range(6))
    statement_id = client.run(f"select d0.d from {cross}")["Id"]
    page = client.succeed("GetStatementResult", Id=statement_id)
    assert page["TotalNumRows"] == 4096
    sizes = [len(page["Records"])]
    while "NextToken" in page:
        page = client.succeed("GetStatementResult", Id=statement_id, NextToken=page["NextToken"])
        sizes.append(len(page["Records"]))
    assert sizes == [1000, 1000, 1000, 1000, 96]


def test_named_parameters_are_text_values(client: Client) -> None:
    sql = "select :a as a, cast(:b as integer) as b, :a as c, ':a' as d /* :e */"
    [row] = client.rows(sql, Parameters=parameters(a="o'x", b="7"))
    assert [*map(list, map(dict.values, row))] == [["o'x"], [7], ["o'x"], [":a"]]


def test_numbered_parameters() -> None:
    assert numbered("select :b, :a, x::text, ':c', :b -- :d", {"a": "1", "b": "2"}) == (
        "select $1, $2, x::text, ':c', $1",
        ["2", "1"],
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"WorkgroupName": "another"}, "endpoint doesn't exist"),
        ({"Database": ""}, "Database"),
        ({"SecretArn": ""}, "SecretArn"),
        ({"Sql": "select 1" + " " * 100_000}, "bytes"),
        ({"Sql": "select :x"}, "Cannot find parameter: x"),
        ({"Parameters": parameters(x="1")}, "unused"),
        ({"Sql": "select :x", "Parameters": parameters(x="")}, "value"),
        ({"Sql": "select :x", "Parameters": parameters(x="1" * 100_001)}, "bytes"),
        ({"ClientToken": "x" * 65}, "ClientToken"),
        ({"StatementName": "x" * 2049}, "StatementName"),
        ({"WaitTimeSeconds": 1}, "WaitTimeSeconds"),
        ({"WithEvent": True}, "events"),
        ({"Nonsense": 1}, "Nonsense"),
    ],
)
def test_a_request_that_is_not_valid(client: Client, changes: dict[str, Any], message: str) -> None:
    status, answer = client.call("ExecuteStatement", **{"Sql": "select 1", **target(), **changes})
    assert (status, answer["__type"]) == (400, "ValidationException")
    assert message in answer["message"]


def test_more_than_40_statements_are_refused(client: Client) -> None:
    status, answer = client.call("BatchExecuteStatement", Sqls=["select 1"] * 41, **target())
    assert (status, answer["__type"]) == (400, "ValidationException")


def test_a_secret_that_the_caller_may_not_read(client: Client) -> None:
    request = {"Sql": "select 1", **target(), "SecretArn": "of-another"}
    status, answer = client.call("ExecuteStatement", **request)
    assert (status, answer["__type"]) == (400, "AccessDeniedException")


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("select 1/(n - n) from (select 1 as n) as one", "ERROR: division by zero"),
        ("select * from nowhere", 'ERROR: relation "nowhere" does not exist'),
        ("vacuum", "ERROR: "),
        ("select 1; select 2", "ERROR: "),
    ],
)
def test_an_error_of_sql_fails_the_statement(client: Client, sql: str, error: str) -> None:
    described = client.run(sql)
    assert described["Status"] == "FAILED"
    assert described["Error"].startswith(error)
    assert not described["HasResultSet"]


def test_credentials_are_the_secret_s(client: Client) -> None:
    described = client.run("select 1", SecretArn="wrong")
    assert described["Status"] == "FAILED"
    assert described["Error"] == 'FATAL: password authentication failed for user "etl_admin"'


def test_a_secret_of_another_cluster_is_refused(warehouse: Warehouse) -> None:
    api = DataApi({"cluster": warehouse, "other": warehouse}, secret, lambda _headers: "")
    request = {"Sql": "select 1", "Database": "dev", "SecretArn": "of cluster"}
    client = Client(api)

    assert client.call("ExecuteStatement", ClusterIdentifier="cluster", **request)[0] == 200
    status, answer = client.call("ExecuteStatement", ClusterIdentifier="other", **request)
    assert (status, answer["__type"]) == (400, "ValidationException")
    assert "for the cluster cluster" in answer["message"]


def test_a_batch_is_one_transaction(client: Client) -> None:
    described = client.run(
        ["create table public.a (n integer)", "select 1/0", "select n from public.a"]
    )
    assert described["Status"] == "FAILED"
    assert described["Error"] == "ERROR: division by zero"
    parts = described["SubStatements"]
    assert [part["Status"] for part in parts] == ["FINISHED", "FAILED", "ABORTED"]
    assert client.run("select n from public.a")["Status"] == "FAILED"

    described = client.run(["create table public.a (n integer)", "select 5 as n"])
    assert described["Status"] == "FINISHED"
    assert [part["HasResultSet"] for part in described["SubStatements"]] == [False, True]
    result = client.succeed("GetStatementResult", Id=described["SubStatements"][1]["Id"])
    assert result["Records"] == [[{"longValue": 5}]]


def test_a_repeated_client_token_is_the_same_statement(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.submit("select 1", ClientToken="token")
    assert client.submit("select 2", ClientToken="token") == first
    client.wait(first)
    monkeypatch.setattr(data_api, "CLIENT_TOKEN_SECONDS", 0)
    assert client.submit("select 1", ClientToken="token") != first


def test_a_cancelled_statement_is_aborted(client: Client, warehouse: Warehouse) -> None:
    with warehouse.connect("etl_admin", "secret") as connection:
        connection.execute("lock table public.numbers")
        started = time.monotonic()
        statement_id = client.submit("insert into public.numbers values (1)")
        assert time.monotonic() - started < 1
        assert client.succeed("CancelStatement", Id=statement_id) == {"Status": True}
        assert client.wait(statement_id)["Status"] == "ABORTED"
    assert client.rows("select count(*) from public.numbers") == [[{"longValue": 0}]]
    status, answer = client.call("CancelStatement", Id=statement_id)
    assert (status, answer["__type"]) == (400, "ValidationException")


def test_a_statement_whose_session_ends_fails(client: Client, warehouse: Warehouse) -> None:
    with warehouse.connect("etl_admin", "secret") as connection:
        connection.execute("lock table public.numbers")
        statement_id = client.submit("insert into public.numbers values (1)")
        while (described := client.succeed("DescribeStatement", Id=statement_id))[
            "Status"
        ] != "STARTED":
            time.sleep(0.01)
        connection.execute("select pg_terminate_backend(%s)", (described["RedshiftPid"],))
        described = client.wait(statement_id)
    assert described["Status"] == "FAILED"
    assert "terminating connection" in described["Error"]


@pytest.mark.parametrize("operation", ["DescribeStatement", "GetStatementResult"])
def test_an_unknown_statement(client: Client, operation: str) -> None:
    status, answer = client.call(operation, Id="00000000-0000-0000-0000-000000000000")
    assert (status, answer["__type"]) == (400, "ResourceNotFoundException")
    status, answer = client.call(operation, Id="x")
    assert (status, answer["__type"]) == (400, "ValidationException")


def test_a_statement_without_a_result(client: Client) -> None:
    described = client.run("delete from public.numbers")
    assert (described["HasResultSet"], described["ResultRows"]) == (False, 0)
    status, answer = client.call("GetStatementResult", Id=described["Id"])
    assert (status, answer["__type"]) == (400, "ResourceNotFoundException")


def test_old_statements_are_forgotten(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_api, "KEPT_STATEMENTS", 2)
    ids = [client.run("select 1")["Id"] for _ in range(4)]
    listed = client.succeed("ListStatements")["Statements"]
    assert [statement["Id"] for statement in listed] == [ids[3], ids[2]]


def test_statements_are_listed_by_the_beginning_of_their_name(client: Client) -> None:
    ids = {name: client.run("select 1", StatementName=name)["Id"] for name in ("a-1", "a-12", "b")}

    def listed(name: str) -> list[str]:
        found = client.succeed("ListStatements", StatementName=name)["Statements"]
        return [statement["Id"] for statement in found]

    assert listed("a-1") == [ids["a-12"], ids["a-1"]]
    assert listed("b") == [ids["b"]]
    assert listed("") == [ids["b"], ids["a-12"], ids["a-1"]]


def test_statements_are_listed_with_their_parameters(client: Client) -> None:
    parameters = [{"name": "a", "value": "1"}]
    client.run("select cast(:a as integer)", Parameters=parameters)
    [found] = client.succeed("ListStatements")["Statements"]
    assert found["QueryParameters"] == parameters


def test_statements_are_listed_by_status_and_the_finished_ones_without_it(
    client: Client, warehouse: Warehouse
) -> None:
    failed, finished = client.run("select 1/0")["Id"], client.run("select 1")["Id"]

    def listed(**request: str) -> list[str]:
        found = client.succeed("ListStatements", **request)["Statements"]
        return [statement["Id"] for statement in found]

    with warehouse.connect("etl_admin", "secret") as connection:
        connection.execute("lock table public.numbers")
        waiting = client.submit("select n from public.numbers")
        while not listed(Status="STARTED"):
            time.sleep(0.01)
        assert listed(Status="STARTED") == [waiting]
        assert listed(Status="FAILED") == [failed]
        assert listed() == listed(Status="FINISHED") == [finished]
        assert listed(Status="ALL") == [waiting, finished, failed]


def test_a_role_lists_its_own_statements_page_by_page(client: Client) -> None:
    role = "arn:aws:sts::000000000000:assumed-role/loader"
    first, second = client.as_caller(f"{role}/a"), client.as_caller(f"{role}/b")
    other = client.as_caller("arn:aws:sts::000000000000:assumed-role/loader-2/a")
    ids = [first.run("select 1")["Id"], second.run("select 1")["Id"]]
    other.run("select 1")

    assert [one["Id"] for one in first.succeed("ListStatements")["Statements"]] == ids[::-1]
    own = first.succeed("ListStatements", RoleLevel=False)["Statements"]
    assert [one["Id"] for one in own] == [ids[0]]
    page = first.succeed("ListStatements", MaxResults=1)
    rest = first.succeed("ListStatements", MaxResults=1, NextToken=page["NextToken"])
    assert [one["Id"] for one in page["Statements"] + rest["Statements"]] == ids[::-1]
    assert "NextToken" not in rest


def test_statements_are_limited(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_api, "ACTIVE_STATEMENTS", 0)
    status, answer = client.call("ExecuteStatement", Sql="select 1", **target())
    assert (status, answer["__type"]) == (400, "ActiveStatementsExceededException")


def test_tables_that_the_catalog_keeps_to_itself_are_explained(
    client: Client, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_role: str, _endpoint: str) -> spectrum.Lake:
        raise spectrum.ScanError("Not authorized to get credentials of role")

    monkeypatch.setattr(spectrum, "lake_of", denied)
    with warehouse.connect("etl_admin", "secret") as connection:
        connection.execute("select redshift.create_external_schema('lake', 'db', 'role')")
    described = client.run("select k from lake.flights")
    assert 'relation "lake.flights" does not exist' in described["Error"]
    assert "lake: Not authorized to get credentials of role" in described["Error"]
    assert client.run("select 1")["Status"] == "FINISHED"


@pytest.fixture
def fallible(tmp_path: Path, scans: ScanServer) -> Iterator[Warehouse]:
    """A warehouse of its own, that a test may crash."""
    instance = Warehouse(tmp_path / "w", "dev", "etl_admin", "secret", scan_endpoint=scans.url)
    instance.start()
    spectrum.install(instance)
    with instance.connect("etl_admin", "secret") as connection:
        connection.execute("create table public.numbers (n integer)")
    yield instance
    instance.stop()


def test_statements_fail_when_the_warehouse_crashes_and_while_it_is_down(
    fallible: Warehouse,
) -> None:
    client = Client(DataApi({"workgroup": fallible}, secret, lambda _headers: ""))
    with closing(fallible.connect("etl_admin", "secret")) as connection:
        connection.execute("lock table public.numbers")
        waiting = client.submit("insert into public.numbers values (1)")
        batch = client.submit(["select 1", "insert into public.numbers values (2)"])
        while blocked(fallible) < 2:
            time.sleep(0.01)
        fallible.crash()

    for statement in (waiting, batch):
        described = client.wait(statement)
        assert described["Status"] == "FAILED"
        assert re.search("[Cc]onnection .* lost: .*closed the connection", described["Error"])
    refused = client.run("select 1")
    assert refused["Status"] == "FAILED"
    assert refused["Error"] == "Connection to the warehouse failed: Connection refused"

    fallible.restart()
    assert client.rows("select count(*) from public.numbers") == [[{"longValue": 0}]]


def blocked(warehouse: Warehouse) -> int:
    with warehouse.owner_connect() as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_cancelled_statement_ends_when_the_warehouse_crashes(fallible: Warehouse) -> None:
    client = Client(DataApi({"workgroup": fallible}, secret, lambda _headers: ""))
    with closing(fallible.connect("etl_admin", "secret")) as connection:
        connection.execute("lock table public.numbers")
        waiting = client.submit("insert into public.numbers values (1)")
        while not blocked(fallible):
            time.sleep(0.01)
        client.succeed("CancelStatement", Id=waiting)
        fallible.crash()

    assert client.wait(waiting)["Status"] == "ABORTED"
