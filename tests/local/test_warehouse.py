import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from local import warehouse as module
from local.dialect import translate
from local.warehouse import Warehouse, md5_verifier, redshift_error

pytestmark = pytest.mark.long

PASSWORD = 'It\'s "Secret" 1'
OWNER_SCRIPT = """
import signal, sys, time
from pathlib import Path
from local.warehouse import Warehouse

# A shell starts what it runs in the background with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
warehouse = Warehouse(Path(sys.argv[1]), "dev", "etl_admin", "secret")
warehouse.start()
try:
    with warehouse.owner_connect() as connection:
        query = "select split_part(pg_read_file('postmaster.pid'), chr(10), 1)"
        query += ", current_setting('data_directory')"
        place = connection.execute(query).fetchone()
    # Not `signal.pause`: a signal that comes right before it would be waited for in vain.
    print(*place, flush=True)
    while True:
        time.sleep(0.1)
except KeyboardInterrupt:
    with warehouse.owner_connect() as connection:
        print(connection.execute("select 'still there'").fetchone()[0], flush=True)
    warehouse.stop()
"""


def make_warehouse(folder: Path, port: int = 0) -> Warehouse:
    return Warehouse(folder, "dev", "etl_admin", PASSWORD, port, scan_endpoint="http://scan")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    instance = make_warehouse(tmp_path_factory.mktemp("cluster") / "warehouse")
    instance.start()
    yield instance
    instance.stop()


def fetch_one(connection: psycopg.Connection, query: str) -> tuple[object, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def server_place(warehouse: Warehouse) -> tuple[int, Path]:
    with warehouse.owner_connect() as connection:
        pid, data = fetch_one(
            connection,
            "select split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int,"
            " current_setting('data_directory')",
        )
    return int(str(pid)), Path(str(data)).parent


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_admin_logs_in_as_superuser_with_md5_verifier(warehouse: Warehouse) -> None:
    with warehouse.connect("etl_admin", PASSWORD) as connection:
        row = fetch_one(
            connection,
            "select current_user, rolsuper, rolpassword from pg_authid"
            " where rolname = current_user",
        )
    assert row == ("etl_admin", True, md5_verifier("etl_admin", PASSWORD))


@pytest.mark.parametrize(
    ("user", "password"),
    [("etl_admin", "wrong"), ("etl_admin", ""), ("nobody_here", PASSWORD), ("rdsadmin", "")],
)
def test_wrong_credentials_are_refused(warehouse: Warehouse, user: str, password: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        warehouse.connect(user, password)


def test_user_with_redshift_verifier_logs_in(warehouse: Warehouse) -> None:
    with warehouse.connect("etl_admin", PASSWORD) as connection:
        connection.execute(f"create user reader password '{md5_verifier('reader', 'pw')}'")
    with warehouse.connect("reader", "pw") as connection:
        assert fetch_one(connection, "select current_user") == ("reader",)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("search_path", '"$user", public, redshift'),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("standard_conforming_strings", "on"),
        ("transaction_isolation", "read committed"),
        ("listen_addresses", ""),
        ("redshift.scan_endpoint", "http://scan"),
    ],
)
def test_session_setting(warehouse: Warehouse, setting: str, value: str) -> None:
    query = (
        "select datcollate from pg_database where datname = 'dev'"
        if setting == "lc_collate"
        else f"select current_setting('{setting}')"
    )
    with warehouse.connect("etl_admin", PASSWORD) as connection:
        assert fetch_one(connection, query) == (value,)


def test_connection_starts_without_autocommit(warehouse: Warehouse) -> None:
    with warehouse.connect("etl_admin", PASSWORD) as connection:
        connection.execute("create table undone (n integer)")
        connection.rollback()
        assert fetch_one(connection, "select to_regclass('undone')") == (None,)


@pytest.mark.parametrize(
    ("isolation", "seen"), [("read committed", 1), ("repeatable read", 0)], ids=str
)
def test_procedure_that_locks_first_sees_previous_holders_rows(
    warehouse: Warehouse, isolation: str, seen: int
) -> None:
    with warehouse.owner_connect() as connection:
        connection.execute("""
            drop table if exists load_lock, loads;
            create table load_lock ();
            create table loads (n integer);
            create or replace procedure count_loads(inout loads_seen bigint) as $$
            begin
                lock table load_lock;
                select count(*) into loads_seen from loads;
            end $$ language plpgsql security definer""")

    def call() -> tuple[object, ...]:
        with warehouse.connect("etl_admin", PASSWORD) as waiter:
            waiter.execute(f"set default_transaction_isolation = '{isolation}'")
            waiter.commit()
            return fetch_one(waiter, "call count_loads(0)")

    def someone_waits() -> bool:
        with warehouse.owner_connect() as watcher:
            return (
                fetch_one(watcher, "select exists (select from pg_locks where not granted)")[0]
                is True
            )

    with (
        ThreadPoolExecutor() as pool,
        warehouse.connect("etl_admin", PASSWORD) as holder,
    ):
        holder.execute("lock table load_lock")
        holder.execute("insert into loads values (1)")
        waiting = pool.submit(call)
        wait_until(someone_waits)
        holder.commit()
        assert waiting.result(timeout=15) == (seen,)


def test_cancel_ends_the_statement_and_not_the_session(warehouse: Warehouse) -> None:
    with ThreadPoolExecutor() as pool, warehouse.connect("etl_admin", PASSWORD) as connection:
        sleeping = pool.submit(connection.execute, "select pg_sleep(60)")

        def is_asleep() -> bool:
            with warehouse.owner_connect() as watcher:
                query = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
                return fetch_one(watcher, query) == (1,)

        wait_until(is_asleep)
        warehouse.cancel(connection.info.backend_pid)
        with pytest.raises(errors.QueryCanceled):
            sleeping.result(timeout=15)
        connection.rollback()
        assert fetch_one(connection, "select 1") == (1,)


def test_serialization_failure_reads_as_redshifts_error_1023() -> None:
    text = redshift_error("40001", "could not serialize access due to concurrent update")
    assert text.startswith("1023\nDETAIL: Serializable isolation violation on table")


def test_other_errors_keep_their_text() -> None:
    assert redshift_error("22012", "division by zero") == "division by zero"


def test_stop_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    instance = make_warehouse(tmp_path / "warehouse")
    instance.start()
    instance.start()
    port = instance.port
    pid, home = server_place(instance)
    session = instance.connect("etl_admin", PASSWORD)
    instance.stop()
    instance.stop()
    assert not is_running(pid)
    assert not home.exists()
    assert not (tmp_path / "warehouse").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with pytest.raises(psycopg.OperationalError):
        session.execute("select 1")


def test_folder_with_long_path_is_served_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "warehouse"
    instance = make_warehouse(folder)
    instance.start()
    home = server_place(instance)[1]
    assert home.exists()
    assert home != folder
    instance.stop()
    assert not home.exists()
    assert not folder.exists()


def test_two_warehouses_run_side_by_side(warehouse: Warehouse, tmp_path: Path) -> None:
    other = make_warehouse(tmp_path / "warehouse")
    other.start()
    try:
        assert other.port != warehouse.port
        with other.owner_connect() as connection:
            connection.execute("create table only_in_other (n integer)")
        with warehouse.owner_connect() as connection:
            assert fetch_one(connection, "select to_regclass('only_in_other')") == (None,)
    finally:
        other.stop()


def test_taken_port_fails_the_start_and_leaves_nothing(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    instance = make_warehouse(tmp_path / "warehouse", warehouse.port)
    with pytest.raises(OSError, match="address already in use"):
        instance.start()
    assert list(tmp_path.iterdir()) == []


def test_broken_redshift_sql_fails_the_start_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redshift.sql").write_text("create function oops")
    monkeypatch.setattr(module, "REDSHIFT_SQL", tmp_path / "redshift.sql")
    with pytest.raises(errors.SyntaxError):
        make_warehouse(tmp_path / "warehouse").start()
    assert not (tmp_path / "warehouse").exists()


def test_server_is_copied_where_its_account_cannot_reach_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_reachable", lambda folder, account: False)
    binaries = module.server_binaries(tmp_path, None)
    assert binaries.is_relative_to(tmp_path)
    for program in ("postgres", "initdb"):
        subprocess.run([binaries / program, "--version"], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("mode", "reachable"), [(0o700, False), (0o711, True), (0o755, True), (0o744, False)]
)
def test_folder_is_reachable_when_others_may_pass(mode: int, reachable: bool) -> None:
    stranger = module.Account(user=os.geteuid() + 12345, group=12345)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(mode)
        assert module.is_reachable(Path(folder).resolve(), stranger) is reachable


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER_SCRIPT, tmp_path / "warehouse"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(module.__file__).parents[1],
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def read_place(owner: subprocess.Popen[str]) -> tuple[int, Path]:
    assert owner.stdout is not None
    pid, data = owner.stdout.readline().split(maxsplit=1)
    return int(pid), Path(data.strip()).parent


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_owner_that_dies_takes_the_server_and_the_folder_along(
    owner: subprocess.Popen[str], tmp_path: Path, sent: signal.Signals
) -> None:
    pid, home = read_place(owner)
    owner.send_signal(sent)
    owner.wait()
    wait_until(lambda: not is_running(pid))
    wait_until(lambda: not home.exists() and not (tmp_path / "warehouse").exists())


def test_ctrl_c_reaches_the_owner_and_not_the_server(owner: subprocess.Popen[str]) -> None:
    pid, home = read_place(owner)
    os.killpg(owner.pid, signal.SIGINT)
    assert owner.stdout is not None
    assert owner.stdout.read() == "still there\n"
    assert owner.wait() == 0
    assert not is_running(pid)
    assert not home.exists()


@pytest.fixture
def fallible(tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse of its own, that a test may crash."""
    instance = make_warehouse(tmp_path / "warehouse")
    instance.start()
    yield instance
    instance.stop()


def test_crash_leaves_no_process_and_restart_all_that_was_committed(fallible: Warehouse) -> None:
    pid, _ = server_place(fallible)
    port = fallible.port
    with fallible.connect("etl_admin", PASSWORD) as connection:
        connection.execute("create table public.kept (n integer)")
    for number in range(5):
        with fallible.connect("etl_admin", PASSWORD) as connection:
            connection.execute("insert into public.kept values (%s)", (number,))
        fallible.crash()
        assert not is_running(pid)
        fallible.restart()
        pid, _ = server_place(fallible)

        # A commit that was answered is kept, be it as young as this one.
        with fallible.connect("etl_admin", PASSWORD) as connection:
            assert fetch_one(connection, "select count(*) from public.kept") == (number + 1,)
    assert fallible.port == port


def test_crash_ends_statements_and_takes_back_what_was_not_committed(fallible: Warehouse) -> None:
    with fallible.connect("etl_admin", PASSWORD) as connection:
        connection.execute("create table public.lost (n integer)")
    with ThreadPoolExecutor() as pool:
        running = fallible.connect("etl_admin", PASSWORD)
        running.execute("insert into public.lost values (1)")
        answer = pool.submit(running.execute, "select pg_sleep(60)")
        time.sleep(0.2)

        fallible.crash()

        with pytest.raises(psycopg.OperationalError, match="server closed the connection"):
            answer.result(5)
        running.close()
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        fallible.connect("etl_admin", PASSWORD)
    fallible.restart()
    with fallible.connect("etl_admin", PASSWORD) as connection:
        assert fetch_one(connection, "select count(*) from public.lost") == (0,)


def test_wire_port_outlives_a_crash(fallible: Warehouse) -> None:
    def connect() -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=fallible.port,
            dbname="dev",
            user="etl_admin",
            password=PASSWORD,
            sslmode="disable",
            connect_timeout=5,
        )

    with connect() as before:
        fallible.crash()
        with pytest.raises(psycopg.OperationalError):
            before.execute("select 1")
    with pytest.raises(psycopg.OperationalError):
        connect()
    fallible.restart()
    with connect() as after:
        assert fetch_one(after, "select 1") == (1,)


def test_crash_and_restart_may_be_repeated(fallible: Warehouse) -> None:
    fallible.crash()
    fallible.crash()
    fallible.restart()
    fallible.restart()
    with fallible.connect("etl_admin", PASSWORD) as connection:
        assert fetch_one(connection, "select 1") == (1,)


PAIRS = "select count(*) into p_n from names as a inner join names as b on"
NAMES = "select count(*) into p_n from names where"
NUMBERED = "select max(n) into p_n from (select row_number() over (partition by"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (f"{PAIRS} a.name = b.name", 5),
        (f"{PAIRS} a.name <> b.name", 4),
        (f"{NAMES} name in (select 'a ' union all select 'b')", 2),
        (f"{NAMES} name not in ('a   ')", 1),
        (f"{NAMES} nullif(name, 'a') is null", 2),
        (f"{NUMBERED} name order by id) as n from names) as numbered", 2),
        (f"{NUMBERED} name || '.' order by id) as n from names) as numbered", 1),
        (f"{NUMBERED} id / 2 order by id) as n from names) as numbered", 2),
    ],
)
def test_trailing_blanks_make_no_difference_in_procedures(
    warehouse: Warehouse, query: str, answer: int
) -> None:
    procedure = f"""
        create or replace procedure public.compare(inout p_n bigint) as $$
        begin
            drop table if exists names;
            create temp table names (id bigint, name varchar(9));
            insert into names (id, name) values (2, 'a'), (3, 'a  '), (4, ' a');
            {query};
        end;
        $$ language plpgsql security definer set search_path to pg_catalog
    """
    with warehouse.connect("etl_admin", PASSWORD) as connection:
        connection.execute(translate(procedure).encode())

        assert fetch_one(connection, "call public.compare(0)") == (answer,)

        connection.rollback()
