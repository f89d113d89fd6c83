import datetime
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import redshift_connector
from psycopg import errors

from local.warehouse import Warehouse
from local.wire import Refusals, error_message, frame, frame_startup, passes_ungated

PASSWORD = 'It\'s "Secret" 1'
REFUSED = "select string_agg('a', 'b')"  # PostgreSQL takes it, Redshift has LISTAGG
PSQL = shutil.which("psql")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    instance = Warehouse(
        tmp_path_factory.mktemp("cluster") / "warehouse", "dev", "etl_admin", PASSWORD
    )
    instance.start()
    yield instance
    instance.stop()


def connect_with_redshift_connector(warehouse: Warehouse, password: str = PASSWORD) -> Any:
    return redshift_connector.connect(
        host="127.0.0.1",
        port=warehouse.port,
        database="dev",
        user="etl_admin",
        password=password,
        ssl=False,
    )


def connect_with_psycopg(warehouse: Warehouse, password: str = PASSWORD) -> Any:
    return psycopg.connect(
        host="127.0.0.1", port=warehouse.port, dbname="dev", user="etl_admin", password=password
    )


def run_psql(
    warehouse: Warehouse, *commands: str, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    assert PSQL is not None
    address = ["-h", "127.0.0.1", "-p", str(warehouse.port), "-U", "etl_admin", "-d", "dev"]
    arguments = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        [PSQL, "-XAt", *address, *arguments],
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


DRIVERS = [
    pytest.param(connect_with_redshift_connector, id="redshift_connector"),
    pytest.param(connect_with_psycopg, id="psycopg"),
]
Connect = Callable[..., Any]
per_driver = pytest.mark.parametrize("connect", DRIVERS)


@pytest.fixture
def table(warehouse: Warehouse) -> Iterator[str]:
    with warehouse.owner_connect() as connection:
        connection.execute("create table public.numbers (n integer, word varchar(20))")
        connection.execute("grant all on public.numbers to public")
    yield "public.numbers"
    with warehouse.owner_connect() as connection:
        connection.execute("drop table public.numbers")


def count_rows(warehouse: Warehouse, table: str) -> int:
    with warehouse.owner_connect() as connection:
        row = connection.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


@per_driver
def test_values_come_back_in_their_types(warehouse: Warehouse, connect: Connect) -> None:
    with connect(warehouse) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select cast(1 as integer), cast(2 as bigint), cast('x' as varchar(5)),"
            " cast(1.50 as decimal(5, 2)), cast(0.5 as double precision), true,"
            " cast('2013-01-02' as date), cast('2013-01-02 03:04:05' as timestamp),"
            " cast(null as integer), cast('späti' as varchar(10))"
        )
        assert tuple(cursor.fetchone()) == (
            *(1, 2, "x", Decimal("1.50"), 0.5, True, datetime.date(2013, 1, 2)),
            *(datetime.datetime(2013, 1, 2, 3, 4, 5), None, "späti"),
        )


@per_driver
def test_parameters_reach_the_statement(warehouse: Warehouse, connect: Connect, table: str) -> None:
    with connect(warehouse) as connection, connection.cursor() as cursor:
        cursor.executemany(
            f"insert into {table} (n, word) values (%s, %s)", [(1, "a"), (2, None), (3, "'; --")]
        )
        cursor.execute(f"select n, word from {table} where n > %s order by n", (1,))
        assert [tuple(row) for row in cursor.fetchall()] == [(2, None), (3, "'; --")]


@per_driver
def test_call_answers_one_row_of_inout_values(warehouse: Warehouse, connect: Connect) -> None:
    with warehouse.owner_connect() as owner:
        owner.execute("""
            create or replace procedure public.double(
                p_word varchar(10), inout p_twice varchar(20), inout p_length bigint
            ) as $$
            begin
                p_twice := p_word || p_word;
                p_length := length(p_twice);
            end $$ language plpgsql security definer""")
        owner.execute("grant execute on procedure public.double to public")
    with connect(warehouse) as connection, connection.cursor() as cursor:
        cursor.execute("call public.double(cast(%s as varchar(10)), '', 0)", ("ab",))
        assert [tuple(row) for row in cursor.fetchall()] == [("abab", 4)]


@per_driver
def test_transactions_commit_and_roll_back(
    warehouse: Warehouse, connect: Connect, table: str
) -> None:
    with connect(warehouse) as connection, connection.cursor() as cursor:
        cursor.execute(f"insert into {table} (n) values (1)")
        assert count_rows(warehouse, table) == 0
        connection.rollback()
        cursor.execute(f"insert into {table} (n) values (2)")
        connection.commit()
    assert count_rows(warehouse, table) == 1


@per_driver
def test_wrong_password_is_refused(warehouse: Warehouse, connect: Connect) -> None:
    with pytest.raises(
        (psycopg.OperationalError, redshift_connector.Error), match="authentication failed"
    ):
        connect(warehouse, password="wrong")


@per_driver
@pytest.mark.parametrize("refused", [REFUSED, REFUSED + " where 'a' = %s"], ids=["plain", "bound"])
def test_refused_statement_is_an_error_and_the_session_goes_on(
    warehouse: Warehouse, connect: Connect, refused: str
) -> None:
    parameters = ("a",) if "%s" in refused else None
    with connect(warehouse) as connection, connection.cursor() as cursor:
        with pytest.raises((psycopg.Error, redshift_connector.Error), match=r"(?i)string_agg"):
            cursor.execute(refused, parameters)
        connection.rollback()
        cursor.execute("select 1")
        assert tuple(cursor.fetchone()) == (1,)


@per_driver
def test_refused_statement_fails_the_open_transaction(
    warehouse: Warehouse, connect: Connect, table: str
) -> None:
    with connect(warehouse) as connection, connection.cursor() as cursor:
        cursor.execute(f"insert into {table} (n) values (1)")
        with pytest.raises((psycopg.Error, redshift_connector.Error)):
            cursor.execute(REFUSED)
        connection.commit()
    assert count_rows(warehouse, table) == 0


@per_driver
def test_server_error_names_its_reason(warehouse: Warehouse, connect: Connect) -> None:
    with connect(warehouse) as connection, connection.cursor() as cursor:
        with pytest.raises((psycopg.Error, redshift_connector.Error), match="not_there"):
            cursor.execute("select n from public.not_there")
        connection.rollback()


def test_refusal_keeps_its_place_among_pipelined_statements(warehouse: Warehouse) -> None:
    with connect_with_psycopg(warehouse) as connection:
        connection.autocommit = True
        with connection.pipeline() as pipeline:
            before = connection.execute("select 1")
            pipeline.sync()
            refused = connection.execute(REFUSED)
            skipped = connection.execute("select 2")
            with pytest.raises(errors.FeatureNotSupported):
                pipeline.sync()
            after = connection.execute("select 3")
            assert before.fetchone() == (1,)
            assert after.fetchone() == (3,)
        assert refused.statusmessage is None
        assert skipped.statusmessage is None


@pytest.mark.parametrize("ssl", [True, None], ids=["ssl=True", "default"])
def test_redshift_connector_insists_on_encryption_unless_told(
    warehouse: Warehouse, ssl: bool | None
) -> None:
    with pytest.raises(redshift_connector.InterfaceError, match="Server refuses SSL"):
        redshift_connector.connect(
            host="127.0.0.1",
            port=warehouse.port,
            database="dev",
            user="etl_admin",
            password=PASSWORD,
            **({} if ssl is None else {"ssl": ssl}),
        )


@pytest.mark.parametrize("mode", ["prefer", "disable", "allow"])
def test_clients_that_prefer_encryption_do_without(warehouse: Warehouse, mode: str) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=warehouse.port,
        dbname="dev",
        user="etl_admin",
        password=PASSWORD,
        sslmode=mode,
    ) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_metadata_calls_of_redshift_connector_get_through(warehouse: Warehouse, table: str) -> None:
    with connect_with_redshift_connector(warehouse) as connection, connection.cursor() as cursor:
        cursor.get_primary_keys(schema="public", table="numbers")
        assert cursor.fetchall() == ()


def test_psycopg_prepared_statements_get_through(warehouse: Warehouse) -> None:
    with connect_with_psycopg(warehouse) as connection:
        connection.prepare_threshold = 0
        for n in range(3):
            row = connection.execute("select cast(%s as integer)", (n,)).fetchone()
            assert row == (n,)
        connection.execute("deallocate all")


def test_sessions_run_side_by_side(warehouse: Warehouse) -> None:
    def query(n: int) -> Any:
        with connect_with_psycopg(warehouse) as connection:
            return connection.execute("select cast(%s as integer)", (n,)).fetchone()[0]

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(query, range(40))) == list(range(40))


def test_session_that_waits_for_a_lock_holds_up_no_other(warehouse: Warehouse, table: str) -> None:
    with (
        connect_with_psycopg(warehouse) as holder,
        connect_with_psycopg(warehouse) as waiter,
        connect_with_psycopg(warehouse) as bystander,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute(f"lock table {table}")
        waiting = pool.submit(waiter.execute, f"select n from {table}")
        assert bystander.execute("select 1").fetchone() == (1,)
        assert not waiting.done()
        holder.commit()
        assert waiting.result(timeout=10).fetchall() == []


def test_cancel_request_reaches_the_server(warehouse: Warehouse, table: str) -> None:
    with (
        warehouse.owner_connect() as holder,
        connect_with_psycopg(warehouse) as connection,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute(f"lock table {table}")
        waiting = pool.submit(connection.execute, f"select n from {table}")
        time.sleep(0.5)
        # Not cancel(): it keeps the interpreter, and the proxy's thread with it, waiting.
        connection.cancel_safe(timeout=10)
        with pytest.raises(errors.QueryCanceled):
            waiting.result(timeout=10)
        connection.rollback()
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.fixture
def big_view(warehouse: Warehouse) -> Iterator[str]:
    with warehouse.owner_connect() as owner:
        owner.execute("""
            create view public.big as
            select repeat('x', 1000) as text from generate_series(1, 200000)""")
        owner.execute("grant select on public.big to public")
    yield "public.big"
    with warehouse.owner_connect() as owner:
        owner.execute("drop view public.big")


def test_big_result_waits_for_a_client_that_does_not_read(
    warehouse: Warehouse, big_view: str
) -> None:
    connection = connect_with_psycopg(warehouse)
    pid = connection.info.backend_pid
    connection.pgconn.send_query(f"select text from {big_view}".encode())
    time.sleep(1.0)
    with warehouse.owner_connect() as watcher:
        state = watcher.execute(
            "select state, wait_event from pg_stat_activity where pid = %s", (pid,)
        ).fetchone()
    connection.close()
    assert state == ("active", "ClientWrite")


def test_big_result_comes_whole(warehouse: Warehouse, big_view: str) -> None:
    with connect_with_psycopg(warehouse) as connection, connection.cursor() as cursor:
        rows = cursor.stream(f"select text from {big_view}", size=1000)
        assert sum(len(row[0]) for row in rows) == 200_000_000


def test_hook_sees_each_gated_statement_and_its_error_is_the_clients(
    warehouse: Warehouse,
) -> None:
    seen: list[str] = []

    def note(statement: str) -> None:
        seen.append(statement)
        if "unlucky" in statement:
            raise LookupError("no such partition")

    warehouse.on_statement = note
    try:
        with connect_with_psycopg(warehouse) as connection:
            connection.execute("select 1")
            connection.commit()
            with pytest.raises(errors.InternalError_, match="no such partition"):
                connection.execute("select 'unlucky'")
            connection.rollback()
    finally:
        warehouse.on_statement = None
    assert seen == ["select 1", "select 'unlucky'"]


def test_serialization_failure_is_worded_as_redshifts(warehouse: Warehouse, table: str) -> None:
    with warehouse.owner_connect() as owner:
        owner.execute(f"insert into {table} values (1)")
    with connect_with_psycopg(warehouse) as connection:
        connection.execute("set default_transaction_isolation = 'repeatable read'")
        connection.commit()
        connection.execute(f"select n from {table}")
        with warehouse.owner_connect() as owner:
            owner.execute(f"update {table} set n = 2")
        with pytest.raises(
            errors.SerializationFailure, match=r"1023\nDETAIL: Serializable isolation violation"
        ):
            connection.execute(f"update {table} set n = 3")


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"\0\0\0\2", b"GET / HTTP/1.1\r\n\r\n", struct.pack("!II", 9, 196608)],
    ids=["hang-up", "short", "http", "truncated"],
)
def test_nonsense_ends_its_own_session_only(warehouse: Warehouse, nonsense: bytes) -> None:
    with socket.create_connection(("127.0.0.1", warehouse.port), timeout=10) as client:
        client.sendall(nonsense)
        client.shutdown(socket.SHUT_WR)
        client.recv(100)
    with connect_with_psycopg(warehouse) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_last_words_of_a_server_that_takes_no_more_arrive(warehouse: Warehouse) -> None:
    connection = connect_with_psycopg(warehouse)
    with warehouse.owner_connect() as owner:
        owner.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
    with pytest.raises(errors.AdminShutdown):
        connection.execute("select 1")


def test_client_that_vanishes_frees_its_session(warehouse: Warehouse, table: str) -> None:
    connection = connect_with_psycopg(warehouse)
    connection.execute(f"lock table {table}")
    os.close(connection.fileno())
    with warehouse.owner_connect() as owner:
        owner.execute("set lock_timeout = '10s'")
        owner.execute(f"lock table {table}")


def test_start_up_keeps_only_what_postgresql_knows() -> None:
    packet = struct.pack("!I", 196608) + b"user\0me\0driver_version\0x\0database\0dev\0\0"
    assert frame_startup(packet)[8:] == b"user\0me\0database\0dev\0\0"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_error_is_reworded_however_the_bytes_are_cut(size: int) -> None:
    refusals = Refusals(lambda sqlstate, message: message.upper())
    error = frame(b"E", b"SERROR\0C40001\0Mslow\0\0")
    stream = frame(b"D", b"E" * 11) + error + frame(b"Z", b"E") + frame(b"I", b"")
    expected = stream.replace(error, error_message("40001", "SLOW"))
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert b"".join(map(refusals.feed, chunks)) == expected


@pytest.mark.parametrize(
    ("text", "ungated"),
    [
        ("begin", True),
        ("BEGIN TRANSACTION;", True),
        ("start transaction read only", True),
        ("commit", True),
        ("set statement_timeout to 0", True),
        ("show search_path", True),
        ("", True),
        ("select n.nspname from pg_catalog.pg_namespace n where n.nspname ~ '^(from x)$'", True),
        ("select table_name from information_schema.tables", True),
        ("commit; drop table x", False),
        ("select 1", False),
        ("settle", False),
        ("select pg_catalog.string_agg(word, ',') from public.numbers", False),
        ("select 'pg_catalog.x'", False),
        ("insert into x select relname from pg_catalog.pg_class", False),
    ],
)
def test_ungated_is_what_clients_send_on_their_own(text: str, ungated: bool) -> None:
    assert passes_ungated(text) is ungated


# psql is not on every machine; the drivers above cover the protocol without it.
PSQL_CASES = (
    [
        pytest.param(("select 1 as a; select 2 as b",), "1\n2\n", "", id="two-statements"),
        pytest.param((REFUSED, "select 3"), "3\n", "string_agg", id="refused"),
        pytest.param(("\\dn",), "public|", "", id="list-schemas"),
        pytest.param(("\\d public.numbers",), "n|integer|", "", id="describe"),
        pytest.param(("\\dt public.*",), "public|numbers|table", "", id="list-tables"),
        pytest.param(("\\du",), "etl_admin|", "", id="list-users"),
        pytest.param(("\\df public.*",), "", "", id="list-functions"),
    ]
    if PSQL
    else []
)


@pytest.mark.parametrize(("commands", "out", "error"), PSQL_CASES)
def test_psql(
    warehouse: Warehouse, table: str, commands: tuple[str, ...], out: str, error: str
) -> None:
    result = run_psql(warehouse, *commands)
    assert out in result.stdout
    assert error in result.stderr.lower()
    assert error or not result.stderr
