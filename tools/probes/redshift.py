"""Stored procedures, locks, users and errors of Redshift, in a schema of the probes' own."""

import json
import time

from tools.probes import asks_warehouse
from tools.verification.bench import Bench, Sample
from tools.verification.finding import Finding, UnansweredError, finding
from tools.verification.warehouse import Answer

DEFINER = "language plpgsql security definer set search_path to pg_catalog"
HOLD_SECONDS = 3
POLL_SECONDS = 0.1
# Enough for the seconds above; should the clock stand still in a procedure, it ends all the same.
MOST_TURNS = 6_000_000


@asks_warehouse
def makes_external_schema(bench: Bench) -> Finding:
    answer = external_schema(bench)
    return finding(not answer.error, answer.error or "made in a procedure")


def external_schema(bench: Bench) -> Answer:
    """Make an external schema in a procedure, for all probes that read files; should that fail,
    they read through the deployment's. Raises UnansweredError, SpentError, and botocore's errors.
    """
    if "external schema" not in bench.outcomes:
        bench.outcomes["external schema"] = _made_external_schema(bench)
    answer: Answer = bench.outcomes["external schema"]
    return answer


def _made_external_schema(bench: Bench) -> Answer:
    schema = f"{bench.name}_lake"
    database, role = bench.deployed.glue_database, bench.deployed.spectrum_role
    bench.warehouse.must_run(
        f"""
        create procedure {bench.schema}.make_lake()
        as $$
        begin
            create external schema {schema}
            from data catalog
            database '{database}'
            iam_role '{role}';
        end;
        $$
        language plpgsql
        """
    )
    bench.keeps_external_schema(schema)
    answer = bench.warehouse.run(f"call {bench.schema}.make_lake()")
    bench.lake.schema = "lake" if answer.error else schema
    return answer


@asks_warehouse
def binds_names(bench: Bench) -> Finding:
    text = "it's ünbound"
    row = _echo(bench, text).one_row
    return finding(row[0] == text, f"a text with a quote and an umlaut came back as {row[0]!r}")


@asks_warehouse
def gives_inout_row(bench: Bench) -> Finding:
    answer = _echo(bench, "x")
    has_result = answer.described.get("HasResultSet")
    return finding(
        bool(has_result) and answer.rows == [["x", 42]],
        f"HasResultSet {has_result}, rows {answer.rows}{answer.error}",
    )


def _echo(bench: Bench, text: str) -> Answer:
    bench.warehouse.must_run(
        f"""
        create or replace procedure {bench.schema}.echo(
            p_text varchar(80), inout p_echo varchar(80), inout p_number bigint
        )
        as $$
        begin
            p_echo := p_text;
            p_number := 42;
        end;
        $$
        language plpgsql
        """
    )
    sql = f"call {bench.schema}.echo(cast(:text as varchar(80)), '', 0)"
    return bench.warehouse.run(sql, text=text)


@asks_warehouse
def has_moving_clock(bench: Bench) -> Finding:
    """GETDATE() moves on while a procedure runs."""
    first, last = _hold(bench).one_row
    return finding(first < last, f"at its beginning {first}, at its end {last}")


@asks_warehouse
def takes_snapshot_after_lock(bench: Bench) -> Finding:
    """A second session waits for a lock and has to see what the first has committed."""
    _make_turns(bench)
    bench.warehouse.must_run(f"delete from {bench.schema}.turns")
    first = _start_holding(bench)
    second = bench.warehouse.submit(f"call {bench.schema}.look('', 0)")
    held, looked = bench.warehouse.ended(first), bench.warehouse.ended(second)
    if looked.error:
        return finding("1023" not in looked.error, looked.error)
    ended_at, (locked_at, count) = held.one_row[1], looked.one_row
    if str(locked_at) < str(ended_at):
        raise UnansweredError("the second session had the lock first: run it again")
    return finding(count == 1, f"after the wait the second session saw {count} rows of 1")


def _start_holding(bench: Bench) -> str:
    """The id of a statement that runs, and soon holds the lock."""
    holding = bench.warehouse.submit(f"call {bench.schema}.hold('', '')")
    while bench.warehouse.status(holding) in ("SUBMITTED", "PICKED"):
        bench.warehouse.budget.check_warehouse()
        time.sleep(POLL_SECONDS)
    return holding


def _hold(bench: Bench) -> Answer:
    _make_turns(bench)
    return bench.warehouse.run(f"call {bench.schema}.hold('', '')")


def _make_turns(bench: Bench) -> None:
    """Two procedures that take turns on a lock; the first keeps it for some seconds."""
    if "turns" in bench.made:
        return
    bench.made.add("turns")
    schema = bench.schema
    for sql in (
        f"create table {schema}.turn_lock (is_held boolean)",
        f"create table {schema}.turns (turn bigint)",
        f"""
        create procedure {schema}.hold(inout p_first varchar(80), inout p_last varchar(80))
        as $$
        declare
            v_turns bigint := 0;
            v_until timestamp;
        begin
            lock table {schema}.turn_lock;
            insert into {schema}.turns (turn) values (1);
            p_first := to_char(getdate(), 'YYYY-MM-DD HH24:MI:SS');
            v_until := dateadd(second, {HOLD_SECONDS}, getdate());
            while v_turns < {MOST_TURNS} and getdate() < v_until loop
                v_turns := v_turns + 1;
            end loop;
            p_last := to_char(getdate(), 'YYYY-MM-DD HH24:MI:SS');
        end;
        $$
        language plpgsql
        """,
        f"""
        create procedure {schema}.look(inout p_locked_at varchar(80), inout p_turns bigint)
        as $$
        begin
            lock table {schema}.turn_lock;
            p_locked_at := to_char(getdate(), 'YYYY-MM-DD HH24:MI:SS');
            select count(*) into p_turns from {schema}.turns;
        end;
        $$
        language plpgsql
        """,
    ):
        bench.warehouse.must_run(sql)


@asks_warehouse
def isolates_by_snapshot(bench: Bench) -> Finding:
    [level] = bench.warehouse.run(
        "select database_isolation_level from svv_redshift_databases where database_name = :name",
        name=bench.deployed.outputs["DatabaseName"],
    ).one_row
    return finding("snapshot" in str(level).lower(), f"svv_redshift_databases says {level}")


@asks_warehouse
def lists_users_and_roles(bench: Bench) -> Finding:
    """What the deployment has made is seen where the next one looks for it."""
    told = []
    for view, column, name in (
        ("pg_user", "usename", "etl_loader"),
        ("svv_roles", "role_name", "mart_reader"),
    ):
        sql = f"select count(*) from {view} where {column} = :name"
        [count] = bench.warehouse.run(sql, name=name).one_row
        told.append(f"{view} shows {name}: {count}")
    return finding(all(one.endswith(": 1") for one in told), "; ".join(told))


@asks_warehouse
def shows_locks(bench: Bench) -> Finding:
    """Another session sees a lock under the process id that the Data API tells."""
    _make_turns(bench)
    holding = _start_holding(bench)
    sql = """
        select count(*)
        from svv_transactions as transactions
        inner join pg_class as tables on transactions.relation = tables.oid
        where
            transactions.pid = cast(:pid as integer)
            and tables.relname = 'turn_lock'
            and transactions.granted
        """
    count, pid = 0, 0
    while not count and bench.warehouse.status(holding) == "STARTED":
        pid = bench.warehouse.client.describe_statement(Id=holding).get("RedshiftPid") or 0
        [count] = bench.warehouse.run(sql, pid=str(pid)).one_row
    bench.warehouse.ended(holding)
    return finding(count > 0, f"the session's process id is {'told' if pid else 'not told'}")


@asks_warehouse
def counts_rows_of_execute(bench: Bench) -> Finding:
    schema = bench.schema
    for sql in (
        f"create table {schema}.counted (value bigint)",
        f"insert into {schema}.counted (value) values (1), (2), (3)",
        f"""
        create procedure {schema}.count_rows(inout p_rows bigint)
        as $$
        begin
            execute 'delete from ' || quote_ident('{schema}') || '.' || quote_ident('counted')
                || ' where value > 1';
            get diagnostics p_rows := row_count;
        end;
        $$
        language plpgsql
        """,
    ):
        bench.warehouse.must_run(sql)
    [count] = bench.warehouse.run(f"call {schema}.count_rows(0)").one_row
    return finding(count == 2, f"ROW_COUNT {count} after a DELETE of 2 rows by EXECUTE")


@asks_warehouse
def shares_temp_tables(bench: Bench) -> Finding:
    """One procedure makes a temporary table, another that it calls writes into it."""
    answer = _call_makes_temp(bench, "administrator")
    return finding(answer.rows == [[7]], answer.error or f"it came back: {answer.rows}")


@asks_warehouse
def makes_temp_with_owners_rights(bench: Bench) -> Finding:
    own = bench.warehouse.run("create temp table own_scratch (value bigint)", "loader")
    if not own.error:
        raise UnansweredError("the loader may make temporary tables itself")
    answer = _call_makes_temp(bench, "loader")
    return finding(
        answer.rows == [[7]],
        answer.error or f"the loader itself: {own.error}; in the procedure it worked",
    )


def _call_makes_temp(bench: Bench, user: str) -> Answer:
    schema = bench.schema
    if "temp" not in bench.made:
        bench.made.add("temp")
        for sql in (
            f"""
            create procedure {schema}.fill_temp()
            as $$
            begin
                insert into verify_scratch (value) values (7);
            end;
            $$
            {DEFINER}
            """,
            f"""
            create procedure {schema}.make_temp(inout p_value bigint)
            as $$
            begin
                drop table if exists verify_scratch;
                create temp table verify_scratch (value bigint);
                call {schema}.fill_temp();
                select max(value) into p_value from verify_scratch;
            end;
            $$
            {DEFINER}
            """,
            f"grant execute on procedure {schema}.make_temp(bigint) to etl_loader",
        ):
            bench.warehouse.must_run(sql)
    return bench.warehouse.run(f"call {schema}.make_temp(0)", user)


@asks_warehouse
def pins_search_path(bench: Bench) -> Finding:
    """A procedure with a pinned path finds no table through its caller's path."""
    schema = bench.schema
    for sql in (
        f"create table {schema}.decoy (value bigint)",
        f"""
        create procedure {schema}.reach(inout p_rows bigint)
        as $$
        begin
            select count(*) into p_rows from decoy;
        end;
        $$
        {DEFINER}
        """,
    ):
        bench.warehouse.must_run(sql)
    answer = bench.warehouse.run_batch(
        [f"set search_path to {schema}, public", f"call {schema}.reach(0)"]
    )
    return finding(
        "does not exist" in answer.error,
        answer.error or "it found the table through the caller's path",
    )


@asks_warehouse
def takes_md5_verifier(bench: Bench) -> Finding:
    """The deployment gave the loader its password that way."""
    answer = bench.warehouse.run("select current_user", "loader")
    return finding(answer.rows == [["etl_loader"]], answer.error or "the loader logs in")


@asks_warehouse
def shows_view_alone(bench: Bench) -> Finding:
    schema = bench.schema
    for sql in (
        f"create table {schema}.hidden (value bigint)",
        f"insert into {schema}.hidden (value) values (5)",
        f"create view {schema}.shown as select value from {schema}.hidden",
        f"grant select on {schema}.shown to etl_loader",
    ):
        bench.warehouse.must_run(sql)
    view = bench.warehouse.run(f"select value from {schema}.shown", "loader")
    table = bench.warehouse.run(f"select value from {schema}.hidden", "loader")
    bench.samples.append(Sample("permission denied", table.error or "no error", "OperatorError"))
    return finding(
        view.rows == [[5]] and bool(table.error),
        f"the view: {view.error or view.rows}; the table: {table.error or table.rows}",
    )


@asks_warehouse
def rolls_failed_call_back(bench: Bench) -> Finding:
    schema = bench.schema
    for sql in (
        f"create table {schema}.kept (value bigint)",
        f"""
        create procedure {schema}.fail_late()
        as $$
        begin
            insert into {schema}.kept (value) values (1);
            raise exception 'on purpose';
        end;
        $$
        language plpgsql
        """,
    ):
        bench.warehouse.must_run(sql)
    failed = bench.warehouse.run(f"call {schema}.fail_late()")
    [rows] = bench.warehouse.run(f"select count(*) from {schema}.kept").one_row
    return finding(bool(failed.error) and rows == 0, f"{failed.error}; {rows} rows were kept")


@asks_warehouse
def words_refused_login(bench: Bench) -> Finding:
    """Log in as nobody, with a secret of the probe's own."""
    client, name = bench.client("secretsmanager"), f"{bench.deployed.name}-{bench.name}"
    bench.traces.will_make(
        f"secret {name}",
        lambda: client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True),
        f"aws secretsmanager delete-secret --secret-id {name} --force-delete-without-recovery",
    )
    nobody = {**bench.secret_of("loader"), "username": bench.name, "password": f"{bench.name}-1A"}
    arn = client.create_secret(Name=name, SecretString=json.dumps(nobody))["ARN"]
    warehouse = bench.warehouse
    answer = warehouse.ended(warehouse.send("execute_statement", SecretArn=arn, Sql="select 1"))
    error = answer.error or "it logged in"
    bench.samples.append(Sample("a refused login", error, "TransientError"))
    return finding("password authentication failed" in error, error)


def bring_errors_about(bench: Bench) -> None:
    """Samples of what values do. Raises UnansweredError, SpentError, and botocore's errors."""
    schema = bench.schema
    bench.warehouse.must_run(f"create table {schema}.short (value varchar(3))")
    bench.warehouse.must_run(f"create table {schema}.texts (value varchar(20))")
    bench.warehouse.must_run(f"insert into {schema}.texts (value) values ('99999999999')")
    for what, sql in (
        ("too long", f"insert into {schema}.short (value) select value from {schema}.texts"),
        ("out of range", f"select cast(value as integer) from {schema}.texts"),
        ("no number", f"select cast(value || 'x' as integer) from {schema}.texts"),
        ("division by zero", f"select 1 / (len(value) - 11) from {schema}.texts"),
    ):
        error = bench.warehouse.run(sql).error or "no error"
        bench.samples.append(Sample(what, error, "DataError"))
