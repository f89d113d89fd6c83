"""Who may do what in the warehouse: the loader loads, analysts read views, and that is all."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from tests.sql.loading import Connection, Loading

ROOT = Path(__file__).parents[2]
ANALYST = ("an_analyst", "Analyst1")
SYSTEM = """(
    'pg_catalog', 'information_schema', 'pg_toast',
    'redshift', 'redshift_comparison', 'redshift_spectrum'
)"""
LOAD = "call etl.load_{}('run', 'load', '[]', 'replace', '', 0, 0, 0, 0, 0, '', '', '', '', '')"


@pytest.fixture(scope="module")
def analyst(loadings: dict[str, Loading]) -> Iterator[str]:
    """A user who has the role that analysts have."""
    user, password = ANALYST
    with loadings["flights"].session("AdminSecretArn") as admin:
        admin.execute(f"create user {user} password '{password}'".encode())
        admin.execute(f"grant mart_reader to {user}".encode())
        yield user
        admin.execute(f"drop user {user}".encode())


@pytest.fixture
def as_loader(readings: Loading, flights: Loading) -> Iterator[Connection]:
    """A session of which nothing stays."""
    with flights.session() as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def as_analyst(flights: Loading, analyst: str) -> Iterator[Connection]:
    """A session of which nothing stays."""
    with flights.stack.warehouse.connect(*ANALYST) as connection:
        yield connection
        connection.rollback()


NOT_FOR_LOADING = [
    "select * from mart.daily_route_performance",
    "select * from mart.daily_route_performance_by_file",
    "delete from mart.daily_route_performance_by_file",
    "select * from etl.loads",
    "select * from etl.datasets",
    "select * from etl.schema_version",
    "insert into etl.schema_version (path, checksum) values ('x', 'y')",
    "update etl.loaded_files set status = 'loaded'",
    "delete from etl.rejected_rows",
    "lock table etl.flights_lock",
    "update etl.flights_lock set is_held = false",
    "drop table etl.loads",
    "select year from lake.flights where run_id = 'x'",
    "call etl.create_lake_schema()",
    "call etl.create_daily_route_performance_by_file()",
    "call etl.register_files('flights', '[]', 'replace')",
    "call etl.finish_load("
    "'f', 'r', 'l', '2026-01-01', 0, null, null, '', 0, 0, 0, 0, 0, '', '', '', '', '')",
    "call etl.judge_files('', 0)",
    "call etl.check_columns('flights', 'daily_route_performance_by_file', 'x', 0)",
    "call etl.extend_daily_route_performance_by_file()",
    "call etl.revert_file('x', 0, 0)",
    "call etl.revert_load('x', 0, 0)",
    "call etl.revert_files('flights', 0, 0)",
    "create table etl.mine (x integer)",
    "create table mart.mine (x integer)",
    "create table public.mine (x integer)",
    "create view mart.mine as select 1 as x",
    "create schema mine",
    "create user mine password 'Mine1234'",
    "create role mine",
    "grant mart_reader to etl_loader",
    "grant select on etl.loads to etl_loader",
    "create or replace procedure etl.load_flights() language plpgsql as $$ begin null; end $$",
    "drop procedure etl.revert_files",
    "set session authorization etl_admin",
    "set role mart_reader",
    "alter user etl_admin password 'Mine1234'",
    "alter user etl_loader createdb",
    # What Redshift's UNLOAD and COPY ask for: the right to read the one, to fill the other.
    "copy mart.daily_route_performance to stdout",
    "copy etl.loads from stdin",
]


@pytest.mark.parametrize("statement", NOT_FOR_LOADING)
def test_loader_may_do_nothing_but_load(as_loader: Connection, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        as_loader.execute(statement.encode())


@pytest.mark.parametrize("dataset", ["flights", "readings"])
def test_loader_may_call_the_load_procedures(as_loader: Connection, dataset: str) -> None:
    row = as_loader.execute(LOAD.format(dataset).encode()).fetchone()

    assert row == ("loaded", 0, 0, 0, 0, 0, "", "", "", "", "")


# The view's figures and the role are theirs.
FOR_ANALYSTS = {
    "select * from mart.daily_route_performance",
    "copy mart.daily_route_performance to stdout",
    "set role mart_reader",
}
NOT_FOR_ANALYSTS = [
    *(statement for statement in NOT_FOR_LOADING if statement not in FOR_ANALYSTS),
    LOAD.format("flights"),
    "call etl.has_turn(1, 'flights', '')",
]


@pytest.mark.parametrize("statement", NOT_FOR_ANALYSTS)
def test_analyst_may_do_nothing_but_read_views(as_analyst: Connection, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        as_analyst.execute(statement.encode())


def test_analyst_reads_the_views(flights: Loading, as_analyst: Connection) -> None:
    version = flights.version(1)
    flights.load(version)

    rows = as_analyst.execute(flights.dataset.view.encode()).fetchall()

    assert flights.dataset.queried(rows) == flights.amount_to(version)


def test_every_view_of_the_mart_is_for_analysts_and_no_table_is(
    flights: Loading, analyst: str
) -> None:
    rows = flights.query(
        """
        select relname, relkind = 'v', has_table_privilege(%s, oid, 'select'),
            has_table_privilege(%s, oid, 'insert, update, delete, truncate')
        from pg_class where relnamespace = 'mart'::regnamespace and relkind in ('r', 'v', 'p', 'm')
        """,
        analyst,
        analyst,
    )

    assert {name for name, is_view, _, _ in rows if is_view} >= {"rejected_rows"}
    assert [row for row in rows if row[2] != row[1] or row[3]] == []


def test_loader_has_no_table_no_schema_and_no_procedure_but_its_own(flights: Loading) -> None:
    tables = flights.query(f"""
        select oid::regclass::text from pg_class
        where relkind in ('r', 'v', 'p', 'm', 'f') and relnamespace not in (
            select oid from pg_namespace where nspname in {SYSTEM}
        ) and relnamespace <> 'lake'::regnamespace
        and has_table_privilege(
            'etl_loader', oid, 'select, insert, update, delete, truncate, references, trigger'
        )
    """)
    schemas = flights.query(f"""
        select nspname, has_schema_privilege('etl_loader', oid, 'create') from pg_namespace
        where nspname not in {SYSTEM} and nspname not like 'pg\\_%%'
        and has_schema_privilege('etl_loader', oid, 'usage, create')
        order by 1
    """)
    procedures = flights.query("""
        select proname from pg_proc
        where pronamespace = 'etl'::regnamespace
        and has_function_privilege('etl_loader', oid, 'execute')
        order by 1
    """)

    assert tables == []
    assert schemas == [("etl", False), ("public", False)]
    # Other tests of this deployment add datasets of their own.
    registered = {dataset for (dataset,) in flights.query("select dataset from etl.datasets")}
    assert {folder.name for folder in (ROOT / "sql" / "datasets").iterdir() if folder.is_dir()} <= (
        registered
    )
    assert procedures == sorted([("has_turn",), *((f"load_{dataset}",) for dataset in registered)])


def test_load_procedures_are_not_everybodys(flights: Loading, analyst: str) -> None:
    rows = flights.query(
        "select proname from pg_proc where pronamespace = 'etl'::regnamespace"
        " and has_function_privilege(%s, oid, 'execute')",
        analyst,
    )

    assert rows == []


def test_procedures_with_their_owners_rights_pin_their_search_path(flights: Loading) -> None:
    rows = flights.query(
        "select proname, proconfig from pg_proc"
        " where pronamespace = 'etl'::regnamespace and prosecdef order by 1"
    )

    assert len(rows) >= 6
    assert [name for name, settings in rows if not settings] == []


@pytest.mark.parametrize("dataset", ["flights", "readings"])
def test_what_a_caller_puts_before_the_system_catalog_is_not_seen(
    request: pytest.FixtureRequest, dataset: str
) -> None:
    loading: Loading = request.getfixturevalue(dataset)
    names = ("load_files", "load_rows", "load_counts", "svv_external_schemas")
    version = loading.version(1)
    with loading.session("AdminSecretArn") as admin:
        admin.execute("create schema trap authorization etl_loader")
        try:
            with loading.session() as caller:
                for name in names:
                    caller.execute(f"create table trap.{name} (file_id text)".encode())
                # On Redshift too, a schema that is named before pg_catalog is searched before it.
                caller.execute("set search_path to trap, pg_catalog")
                caller.execute(
                    "create function trap.lower(text) returns text language plpgsql"
                    " as $$ begin raise exception 'trapped'; end $$"
                )
                with pytest.raises(psycopg.errors.RaiseException, match="trapped"):
                    caller.execute("select lower('x')")
                answer = loading.load_in(caller, version)
                found = caller.execute(
                    "select relname from pg_class where relnamespace = 'trap'::regnamespace"
                ).fetchall()
        finally:
            admin.execute("drop schema trap cascade")

    assert answer.files_loaded == 1
    assert sorted(name for (name,) in found) == sorted(names)
    assert loading.view() == loading.amount_to(version)


# What the procedures make, and what they ask the catalog for.
NAMES = [
    *("load_manifest", "load_files", "load_rows", "load_counts"),
    *("svv_external_schemas", "pg_tables", "pg_class", "loads", "loaded_files", "rejected_rows"),
    *("svv_transactions", "pg_namespace"),
]


PROCEDURES = {
    path.name: path.read_text()
    for folder in ("sql/procedures", "sql/datasets", "tests/datasets")
    for path in sorted((ROOT / folder).rglob("*.sql"))
    if "security definer" in path.read_text()
}


def test_everybody_keeps_the_right_to_temporary_tables() -> None:
    # Whoever reads through Spectrum needs it: taken from PUBLIC, it is taken from all users of a
    # shared database. Source: Amazon Redshift, Getting started with Spectrum.
    code = [re.sub(r"--.*", "", path.read_text()) for path in (ROOT / "sql").rglob("*.sql")]

    assert [text for text in code if re.search(r"revoke\s+(temp|all)\b", text, re.IGNORECASE)] == []


@pytest.mark.parametrize("name", PROCEDURES)
def test_procedures_with_their_owners_rights_name_schemas(name: str) -> None:
    # Temporary tables are found before the search path. Source: Amazon Redshift, search_path.
    body = re.sub(r"--[^\n]*", "", PROCEDURES[name].partition("$$")[2].partition("$$")[0])
    body = re.sub(r"'[^']*'|from data catalog\b", "", body)
    named = re.findall(r"\b(?:from|join|update|into|table)\s+([a-z]\w*)(?![\w.])", body)
    inner = set(re.findall(r"\b(\w+) as \(", body)) | set(re.findall(r"\bv_\w+|\bp_\w+", body))

    assert set(named) - inner <= {"load_manifest", "load_files", "load_rows", "load_counts", "if"}


def test_temporary_table_of_the_callers_stands_before_nothing(loading: Loading) -> None:
    version = loading.version(1)
    with loading.session() as caller:
        for name in NAMES:
            # What a load adds has no place in it, and what it asks for is not there.
            caller.execute(f"create temp table {name} (x integer)".encode())
        answer = loading.load_in(caller, version)

    assert answer.files_loaded == 1
    assert loading.view() == loading.amount_to(version)
    assert loading.statuses() == {version.file_id: "loaded"}


def test_temporary_tables_of_a_load_are_not_the_callers(flights: Loading) -> None:
    with flights.session() as caller:
        flights.load_in(caller, flights.version(1))
        for table in ("load_files", "load_rows", "load_counts"):
            with pytest.raises(errors.InsufficientPrivilege):
                caller.execute(f"insert into {table} (file_id) values ('x')".encode())
