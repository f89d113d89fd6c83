"""The gate before the laptop's warehouse: what it takes, what it refuses, what it makes of it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from local.dialect import DialectError, split, translate

SQL = Path(__file__).parents[2] / "sql"


def folded(text: str) -> str:
    return " ".join(text.split())


def procedure(body: str, declare: str = "v_n integer;", tail: str = "") -> str:
    return (
        "create or replace procedure etl.p(p_x varchar(80), inout p_y bigint) as $$\n"
        f"declare {declare}\nbegin\n{body}\nend;\n$$ language plpgsql{tail}"
    )


ACCEPTED = {
    "select": "select a, count(*) from etl.t where b = 'x' group by a order by a limit 10",
    "cte": "with a as (select 1 as b) select b from a",
    "cte-with-columns": "with a (b, c) as (select 1, 2) select b, c from a",
    "any-subquery": "select a from t where a = any (select b from u)",
    "quoted-hidden-columns": 'select "$path", "$size" from lake.flights where run_id = \'r\'',
    "count-star-over-external": "select count(*) from lake.flights where run_id = 'r'",
    "star-over-own-table": "select * from mart.daily_route_performance",
    "star-over-subquery-of-external": "select * from (select a from lake.flights) as x",
    "named-parameters": "call etl.p(cast(:run_id as varchar(80)), cast(:files as varchar(max)), 0)",
    "numbered-parameters": "select a from t where b = $1",
    "cast-operator": "select a::date, b::varchar(10), c::decimal(8, 2) from t",
    "insert-select-with-cte": "insert into t (a) with b as (select 1 as c) select c from b",
    "delete-in-select": "delete from t where a in (select a from u)",
    "delete-using": "delete from t using u where t.a = u.a",
    "update": "update t set a = 1 where b = 2",
    "update-from": "update t set a = u.a from u where t.b = u.b",
    "merge": "merge into t using u on t.a = u.a when matched then update set b = u.b "
    "when not matched then insert values (u.a, u.b)",
    "lock": "lock table etl.flights_lock",
    "lock-without-table": "lock etl.flights_lock",
    "temp-table-as": "create temp table x as select 1 as a",
    "temp-table-like": "create temp table x (like etl.t)",
    "create-schema": "create schema if not exists etl",
    "drop-table": "drop table if exists x",
    "drop-procedure": "drop procedure etl.p(varchar, bigint)",
    "view": "create or replace view mart.v as select a from mart.t",
    "late-view": "create view mart.v as select a from lake.t with no schema binding",
    "comment": "comment on table mart.t is 'x'",
    "window": "select row_number() over (partition by a order by b) from t",
    "framed-window": "select sum(a) over (order by b rows unbounded preceding) from t",
    "grant-usage": "grant usage on schema mart to analyst",
    "grant-select": "grant select on all tables in schema mart to group readers",
    "grant-execute": "grant execute on procedure etl.p(varchar, varchar, bigint) to etl_loader",
    "grant-temporary": "grant temporary on database dev to etl_loader",
    "grant-language": "grant usage on language plpgsql to etl_loader",
    "revoke": "revoke all on schema public from public",
    "create-user": "create user etl_loader password 'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
    "alter-user": "alter user etl_loader password 'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
    "alter-isolation-level": "alter database dev isolation level snapshot",
    "alter-table": "alter table etl.t add column b varchar(10)",
    "begin": "begin",
    "commit": "commit;",
    "show": "show search_path",
    "explain": "explain select 1",
    "comment-with-semicolon": "select 1 -- a; b\n",
    "words-in-literals": "select 'on conflict returning [1] # truncate' from t",
    "psql-catalogue": "select c.relname from pg_catalog.pg_class c where c.relname "
    "OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default",
}


@pytest.mark.parametrize("statement", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_takes(statement: str) -> None:
    translate(statement)


REFUSED = {
    "truncate": ("truncate etl.t", "TRUNCATE: it commits"),
    "vacuum": ("vacuum etl.t", "VACUUM"),
    "prepare": ("prepare x as select 1", "PREPARE"),
    "copy": ("copy t from 's3://x' iam_role 'y'", "COPY"),
    "do-block": ("do $$ begin null; end $$", "DO: Redshift has no DO"),
    "on-conflict": ("insert into t (a) values (1) on conflict do nothing", "ON CONFLICT"),
    "returning": ("delete from t where a = 1 returning a", "RETURNING"),
    "filter": ("select count(*) filter (where a > 1) from t", "FILTER"),
    "distinct-on": ("select distinct on (a) a, b from t", "DISTINCT ON"),
    "lateral": ("select a from t, lateral (select 1) as x", "LATERAL"),
    "array": ("select array[1, 2]", "arrays"),
    "subscript": ("select a[1] from t", "arrays"),
    "generate-series-in-insert": (
        "insert into t (a) select n from generate_series(1, 3) as n",
        "function generate_series: it runs on Redshift's leader node",
    ),
    "now": ("select now()", "function now"),
    "current-timestamp": ("select current_timestamp", "CURRENT_TIMESTAMP"),
    "string-agg": ("select string_agg(a, ',') from t", "use listagg"),
    "unknown-function": ("select frobnicate(a) from t", "function frobnicate"),
    "function-of-a-schema": ("select etl.f(a) from t", "function etl.f"),
    "function-in-a-call": ("call etl.p(now())", "function now"),
    "super-cast": ("select cast(a as super) from t", "type super"),
    "super-field": ("insert into t (a) select e.a from u as x, x.v as e", "SUPER e.a"),
    "super-entry": ("insert into t (a) select cast(e as bigint) from u as x, x.v as e", "SUPER e"),
    "super-deep": (
        "insert into t (a) select cast(e.a.b as bigint) from u as x, x.v as e",
        "SUPER e.a",
    ),
    "json-operator": ("select a -> 'b' from t", "JSON operators"),
    "jsonb-column": ("create table t (a jsonb)", "type jsonb"),
    "text-column": ("create table t (a text)", "type text"),
    "text-cast": ("select a::text from t", "type text"),
    "serial-column": ("create table t (a serial)", "type serial"),
    "array-column": ("create table t (a integer[])", "arrays"),
    "unknown-type": ("select cast(a as money) from t", "type money"),
    "varchar-too-long": ("create table t (a varchar(65536))", "1 to 65535"),
    "decimal-too-precise": ("create table t (a decimal(39, 0))", "1 to 38"),
    "check-constraint": ("create table t (a integer check (a > 0))", "attribute check"),
    "partition-by": ("create table t (a integer) partition by list (a)", "attribute partition"),
    "on-commit": ("create temp table t (a integer) on commit drop", "attribute on"),
    "unknown-sort-key": ("create table t (a integer) sortkey (b)", "no such column"),
    "if-not-exists-as": ("create table if not exists t as select 1 as a", "IF NOT EXISTS"),
    "create-index": ("create index i on t (a)", "CREATE INDEX"),
    "create-function": (
        "create function f() returns int as $$ select 1 $$ language sql",
        "CREATE F",
    ),
    "create-extension": ("create extension file_fdw", "does not have it"),
    "create-external-table": (
        "create external table lake.t (a varchar(1)) location 's3://x'",
        "CREATE EXTERNAL TABLE",
    ),
    "create-external-database": (
        "create external schema lake from data catalog database 'g' iam_role 'r' "
        "create external database if not exists",
        "CREATE EXTERNAL SCHEMA",
    ),
    "materialized-view": ("create materialized view v as select 1 as a", "MATERIALIZED"),
    "user-if-not-exists": ("create user if not exists u password 'x'", "not Redshift SQL"),
    "sha256-password": ("create user u password 'sha256|a|b'", "md5 verifiers only"),
    "star-over-external": ("select * from lake.flights", r"SELECT \* over lake"),
    "aliased-star-over-external": ("select f.* from lake.flights f join t on true", "SELECT *"),
    "insert-into-external": ("insert into lake.flights (a) select 1", "external tables"),
    "bound-view-over-external": ("create view v as select a from lake.t", "NO SCHEMA BINDING"),
    "grant-on-external-table": ("grant select on lake.flights to u", "external table"),
    "lock-mode": ("lock table t in share mode", "LOCK"),
    "cte-before-insert": ("with a as (select 1 as b) insert into t select b from a", "WITH before"),
    "writing-cte": ("with a as (delete from t where b = 1) select 1", "WITH … that writes"),
    "delete-alias": ("delete from t x where x.a = 1", "DELETE with an alias"),
    "update-row": ("update t set (a, b) = (1, 2)", "UPDATE … SET"),
    "merge-from-query": (
        "merge into t using (select 1 as a) u on t.a = u.a when matched then delete "
        "when not matched then insert values (1)",
        "MERGE",
    ),
    "values-as-table": ("select a from (values (1)) as x (a)", "VALUES as a table"),
    "window-without-frame": ("select sum(a) over (order by b) from t", "wants a frame"),
    "range-frame": (
        "select sum(a) over (order by b range between unbounded preceding and current row) from t",
        "window frame|wants a frame",
    ),
    "named-window": ("select rank() over w from t window w as (order by a)", "WINDOW|not Redshift"),
    "qualify": ("select a from t qualify row_number() over (order by a) = 1", "QUALIFY"),
    "top": ("select top 3 a from t", "TOP"),
    "approximate": ("select approximate count(distinct a) from t", "APPROXIMATE"),
    "is-distinct-from": ("select a is distinct from b from t", "IS DISTINCT FROM"),
    "select-for-update": ("select a from t for update", "FOR UPDATE"),
    "select-into-table": ("select a into x from t", "SELECT INTO"),
    "savepoint": ("savepoint x", "SAVEPOINT"),
    "isolation-level": ("begin isolation level serializable", "BEGIN: only its plain form"),
    "set-local": ("set local search_path to x", "SET LOCAL"),
    "unknown-setting": ("set work_mem to '1GB'", "setting"),
    "alter-database": ("alter database dev owner to etl_admin", "only its isolation level"),
    "alter-append": ("alter table t append from u", "APPEND"),
    "alter-if-exists": ("alter table t add column if not exists a integer", "IF .NOT. EXISTS"),
    "alter-external": ("alter table lake.t add partition (a = 1) location 's3://x'", "external"),
    "single-backslash": (r"select regexp_substr(a, '\d+') from t", "single backslash"),
    "temporary-hash-name": ("select a from #t", "#"),
    "except-all": ("select a from t except all select a from u", "EXCEPT ALL"),
    "overriding": ("insert into t overriding system value select 1", "OVERRIDING"),
    "named-arguments": ("call etl.p(a => 1)", "named arguments"),
    "is-json": ("select a is json from t", "IS JSON"),
    "number-with-underscores": ("select 1_000", "number 1_000"),
    "hexadecimal-number": ("select 0x1F", "number 0x1F"),
    "computed-column": ("create table t (a int generated always as (b + 1) stored)", "IDENTITY"),
    "unlogged-table": ("create unlogged table t (a integer)", "CREATE UNLOGGED"),
    "values-in-a-list": ("select a from t where a in (values (1), (2))", "VALUES as a table"),
    "order-by-using": ("select a from t order by a using <", "USING"),
    "update-only": ("update only t set a = 1", "ONLY"),
    "recursion-without-columns": (
        "with recursive a as (select 1 as n union all select n from a) select n from a",
        "WITH RECURSIVE",
    ),
    "superuser-by-its-other-name": ("create user u with superuser password 'x'", "CREATEUSER"),
    "group-membership": ("grant x to y", "GRANT: only"),
    "role-with-a-grantor": ("grant role r to u granted by v", "not Redshift SQL|GRANT: only"),
    "role-of-an-identity-provider": ("create role r externalid 'x'", "CREATE of such|not Redshift"),
    "assumerole": ("grant assumerole on all to u for copy", "ASSUMEROLE"),
    "subquery-without-alias": ("select a from (select 1 as a)", "without an alias"),
    "temporary-view": ("create temp view v as select 1 as a", "CREATE TEMP VIEW"),
    "alter-add-text": ("alter table t add column a text", "type text"),
    "alter-add-not-null": ("alter table t add column a integer not null", "wants a default"),
    "alter-set-not-null": ("alter table t alter column a set not null", "not a form"),
    "comment-on-procedure": ("comment on procedure p() is 'x'", "COMMENT ON"),
    "prefixed-literal": (r"select e'\n'", "prefixed literals"),
    "session-authorization": ("set session authorization x", "setting"),
    "hidden-column-unquoted": ("select $path from lake.t", "cannot be read"),
    "reserved-word": ("select tag from t", "not Redshift SQL"),
    "no-sql": ("frobnicate the table", "FROBNICATE"),
    "broken-sql": ("select from where", "not Redshift SQL"),
    "two-statements": ("select 1; select 2", "several statements"),
    "open-quote": ("select 'a", "cannot be read"),
    "open-comment": ("select 1 /* a", "comment never ends"),
}


@pytest.mark.parametrize(("statement", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(statement: str, reason: str) -> None:
    with pytest.raises(DialectError, match=reason):
        translate(statement)


ACCEPTED_BODIES = {
    "assignment": "v_n := v_n + 1;",
    "assignment-of-a-query": "v_n := (select count(*) from t);",
    "select-into": "select a, b into v_n, p_y from t where c = p_x;",
    "cte-select-into": "with x as (select 1 as a) select a into v_n from x;",
    "if": "if v_n > 1 then v_n := 1; elsif v_n = 0 then v_n := 2; else v_n := 3; end if;",
    "if-with-case": "if case when v_n > 1 then true else false end then v_n := 1; end if;",
    "if-exists": "if not exists (select 1 from svv_external_schemas) then v_n := 1; end if;",
    "case-statement": "case v_n when 1 then v_n := 2; else v_n := 3; end case;",
    "while": "while v_n < 3 loop v_n := v_n + 1; exit when v_n = 2; end loop;",
    "for-range": "for i in 0 .. v_n - 1 loop insert into t (a) values (i); end loop;",
    "for-query": "for r in select a from t loop v_n := r.a; end loop;",
    "inner-block": "declare v_m integer; begin v_m := 1; end;",
    "lock": "lock table etl.flights_lock;",
    "call": "call etl.other(p_x, p_y);",
    "row-count": "get diagnostics v_n := row_count;",
    "raise": "raise exception 'bad % of % (100%%)', v_n, p_x;",
    "raise-info": "raise info 'done';",
    "literal-execute": "execute 'drop table if exists x';",
    "literal-execute-into": "execute 'select count(*) from t' into v_n;",
    "concatenated-execute": (
        "execute 'delete from mart.' || quote_ident(p_x) || ' where x = ' || quote_literal(p_x);"
    ),
    "concatenated-execute-into": "execute 'select count(*) from ' || quote_ident(p_x) into v_n;",
    "return": "return;",
    "comments-and-quotes": "-- it's; here\nv_n := length('a;b''c'); /* x; */",
    "external-schema": "create external schema lake from data catalog database 'g' iam_role 'r';",
    "handler": "null;\nexception when others then raise exception 'x %', sqlerrm;",
}


@pytest.mark.parametrize("body", ACCEPTED_BODIES.values(), ids=ACCEPTED_BODIES.keys())
def test_takes_in_a_procedure(body: str) -> None:
    translate(procedure(body, "v_n integer := 0; r record;"))


@pytest.mark.parametrize("spelling", ["to", "="])
@pytest.mark.parametrize("security", ["", " security definer", " security invoker"])
def test_pins_the_search_path_of_a_procedure(security: str, spelling: str) -> None:
    tail = f"{security} set search_path {spelling} pg_catalog"

    translated = translate(procedure("null;", tail=tail))

    # What Redshift keeps in pg_catalog and PostgreSQL lacks is in the schema redshift.
    path = "redshift_comparison, pg_catalog, redshift"
    assert translated.endswith(f"language plpgsql{security} set search_path = {path}")


REFUSED_BODIES = {
    "commit": ("commit;", "COMMIT: it ends"),
    "rollback": ("rollback;", "ROLLBACK: it ends"),
    "truncate": ("truncate t;", "TRUNCATE: it commits"),
    "external-table": ("create external table lake.t (a varchar(1));", "CREATE EXTERNAL TABLE"),
    "prepare": ("prepare x as select 1;", "PREPARE"),
    "vacuum": ("vacuum;", "VACUUM"),
    "create-database": ("create database x;", "CREATE of such"),
    "set": ("set search_path to x;", "SET: not vouched for"),
    "on-conflict": ("insert into t (a) values (1) on conflict do nothing;", "ON CONFLICT"),
    "perform": ("perform etl.f();", "PERFORM"),
    "assert": ("assert v_n = 1;", "ASSERT"),
    "foreach": ("foreach v_n in array p_x loop null; end loop;", "FOREACH"),
    "cursor": ("open c;", "OPEN: cursors"),
    "unknown-function-in-if": ("if frobnicate(v_n) then null; end if;", "function frobnicate"),
    "unknown-function-in-assignment": ("v_n := frobnicate(1);", "function frobnicate"),
    "select-without-into": ("select 1;", "SELECT without INTO"),
    "into-strict": ("select a into strict v_n from t;", "INTO"),
    "assigned-input": ("p_x := 'a';", "IN parameter is constant"),
    "select-into-input": ("select a into p_x from t;", "IN parameter is constant"),
    "return-value": ("return 1;", "RETURN with a value"),
    "raise-expression": ("raise exception 'x %', v_n + 1;", "simple variables only"),
    "raise-function": ("raise exception 'x %', length(p_x);", "simple variables only"),
    "raise-concatenation": ("raise exception 'x' || v_n;", "no text after"),
    "raise-using": ("raise exception 'x' using errcode = 'P0001';", "no options"),
    "raise-without-level": ("raise 'x';", "RAISE: a level"),
    "raise-again": ("raise;", "RAISE: a level"),
    "raise-count": ("raise exception '% %', v_n;", "2 places and 1 values"),
    "stacked-diagnostics": (
        "null; exception when others then get stacked diagnostics v_n = message_text;",
        "GET DIAGNOSTICS",
    ),
    "diagnostics-other": ("get diagnostics v_n := pg_context;", "GET DIAGNOSTICS"),
    "named-exception": ("null; exception when unique_violation then null;", "OTHERS only"),
    "two-handlers": (
        "null; exception when others then null; when others then null;",
        "second WHEN",
    ),
    "inner-exception": ("begin null; exception when others then null; end;", "inner block"),
    "return-in-handler": ("null; exception when others then return;", "RETURN in an exception"),
    "raise-record-field": ("raise exception 'x %', r.a;", "simple variables only"),
    "for-by": ("for i in 1 .. 9 by 2 loop null; end loop;", "not Redshift SQL"),
    "execute-expression": ("execute 'drop table ' || p_x;", "EXECUTE of an expression"),
    "execute-unquoted": (
        "execute 'delete from ' || quote_ident(p_x) || p_x;",
        "EXECUTE of an expression",
    ),
    "execute-quoted-in-part": (
        "execute 'delete from ' || quote_ident(p_x) || lower(quote_ident(p_x));",
        "EXECUTE of an expression",
    ),
    "execute-concatenated-refused": ("execute 'truncate ' || quote_ident(p_x);", "TRUNCATE"),
    "execute-concatenated-call": (
        "execute 'call ' || quote_ident(p_x) || '()';",
        "EXECUTE of a CALL",
    ),
    "execute-concatenated-translated": (
        "execute 'select nvl(x, 1) from ' || quote_ident(p_x) into v_n;",
        "would have to be translated",
    ),
    "execute-variable": ("execute p_x;", "EXECUTE of an expression"),
    "execute-using": ("execute 'delete from t' using v_n;", "EXECUTE of an expression"),
    "execute-refused": ("execute 'truncate t';", "TRUNCATE"),
    "execute-call": ("execute 'call etl.p(1)';", "EXECUTE of a CALL"),
    "for-execute": ("for r in execute 'select 1' loop null; end loop;", "FOR … IN EXECUTE"),
    "call-with-unknown-function": ("call etl.other(now());", "function now"),
    "missing-end-if": ("if v_n = 1 then null;", "if expected"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED_BODIES.values(), ids=REFUSED_BODIES.keys())
def test_refuses_in_a_procedure(body: str, reason: str) -> None:
    with pytest.raises(DialectError, match=reason):
        translate(procedure(body))


REFUSED_PROCEDURES = {
    "nonatomic": (
        "create procedure p() nonatomic as $$ begin null; end; $$ language plpgsql",
        "NONATOMIC",
    ),
    "parameter-default": (
        "create procedure p(a integer default 1) as $$ begin null; end; $$ language plpgsql",
        "parameter defaults",
    ),
    "out-parameter": (
        "create procedure p(a out integer) as $$ begin null; end; $$ language plpgsql",
        "use INOUT",
    ),
    "text-parameter": (
        "create procedure p(a text) as $$ begin null; end; $$ language plpgsql",
        "type text",
    ),
    "unnamed-parameter": (
        "create procedure p(integer) as $$ begin null; end; $$ language plpgsql",
        "neither named nor typed",
    ),
    "language-sql": ("create procedure p() as $$ select 1 $$ language sql", "the form vouched for"),
    "language-before-body": (
        "create procedure p() language plpgsql as $$ begin null; end; $$",
        "the form vouched for",
    ),
    "33-parameters": (
        f"create procedure p({', '.join(f'a{n} integer' for n in range(33))}) "
        "as $$ begin null; end; $$ language plpgsql",
        "33 parameters",
    ),
    "refcursor": (procedure("null;", "c refcursor;"), "cursors"),
    "rowtype": (procedure("null;", "r etl.t%rowtype;"), "type etl"),
    "writing-handler-of-a-definer": (
        procedure(
            "null; exception when others then insert into t (a) values (1);",
            tail=" security definer",
        ),
        "SECURITY DEFINER",
    ),
    "writing-handler-of-a-pinned-one": (
        procedure(
            "null; exception when others then insert into t (a) values (1);",
            tail=" set search_path to pg_catalog",
        ),
        "SET",
    ),
    "other-setting": (
        procedure("null;", tail=" set statement_timeout to 1"),
        "the form vouched for",
    ),
    "path-of-two-schemas": (
        procedure("null;", tail=" security definer set search_path to pg_catalog, etl"),
        "the form vouched for",
    ),
}


@pytest.mark.parametrize(
    ("statement", "reason"), REFUSED_PROCEDURES.values(), ids=REFUSED_PROCEDURES.keys()
)
def test_refuses_the_procedure(statement: str, reason: str) -> None:
    with pytest.raises(DialectError, match=reason):
        translate(statement)


def test_a_refusal_names_procedure_and_statement() -> None:
    with pytest.raises(DialectError, match=r"procedure etl\.p: at 'truncate etl\.t'…: TRUNCATE"):
        translate(procedure("v_n := 1;\nif v_n = 1 then truncate etl.t; end if;"))


TRANSLATED = {
    "super": (
        "insert into t (a) select cast(e.key as bigint) from u as x, x.v as e where true",
        "insert into t (a) select cast((e.value ->> 'key') as bigint) from u as x"
        " cross join lateral jsonb_array_elements ( x . v ) as e ( value ) where true",
    ),
    "partition": (
        "select row_number() over (partition by a, lower(b) order by c) from t",
        "select row_number() over (partition by redshift.comparable(a),"
        " redshift.comparable(lower(b)) order by c) from t",
    ),
    "partition-alone": (
        "select max(d) over (partition by a) as m, 1 from t",
        "select max(d) over (partition by redshift.comparable(a)) as m, 1 from t",
    ),
    "system-view": ("select * from pg_catalog.svv_roles", "select * from redshift.svv_roles"),
    "nvl": ("select nvl(a, isnull(b, 1)) from t", "select coalesce(a, coalesce(b, 1)) from t"),
    "postfix-isnull": ("select a from t where a isnull", "select a from t where a isnull"),
    "decode": (
        "select decode(a, 1, 'x', null, 'y', 'z') from t",
        "select (case when a is not distinct from 1 then 'x' "
        "when a is not distinct from null then 'y' else 'z' end) from t",
    ),
    "nvl2": ("select nvl2(a, 1, 2)", "select (case when a is not null then 1 else 2 end)"),
    "getdate": ("select getdate(), sysdate", "select redshift.getdate(), redshift.sysdate()"),
    "listagg": (
        "select listagg(a, ', ') within group (order by b desc) from t",
        "select redshift.within_varchar(string_agg((a)::varchar, ', ' order by b desc)) from t",
    ),
    "listagg-without-separator": (
        "select listagg(distinct a) from t",
        "select redshift.within_varchar(string_agg(distinct (a)::varchar, '')) from t",
    ),
    "try-cast": (
        "select try_cast(nullif(trim(a), '') as integer) from t",
        "select redshift.try_cast_integer(nullif(trim(a), '')) from t",
    ),
    "try-cast-decimal": (
        "select try_cast(a as decimal(8, 2))",
        "select redshift.try_cast_numeric(a, 'numeric(8, 2)')::numeric(8, 2)",
    ),
    "dateadd": (
        "select dateadd(day, 1, dateadd('hours', 2, a))",
        "select redshift.dateadd('day', 1, redshift.dateadd('hour', 2, a))",
    ),
    "extract": (
        "select extract(day from a)",
        "select floor(extract(day from a))::integer",
    ),
    "default-decimal": ("select a::decimal", "select a::numeric(18, 0)"),
    "json-null-if-invalid": (
        "select json_extract_path_text(a, 'b', 'c', true)",
        "select redshift.json_extract_path_text_or_null(a, 'b', 'c')",
    ),
    "folded-identifier": ('select a as "Total"', 'select a as "total"'),
    "double-backslash": (
        r"select regexp_substr(a, '\\d')",
        r"select redshift.regexp_substr(a, E'\\d')",
    ),
    "table": (
        "create table if not exists etl.t (a bigint identity(1, 1) encode az64, b date not null "
        "distkey sortkey, c timestamp default getdate(), d integer references u (e), primary key "
        "(a)) backup no diststyle key compound sortkey (a, b)",
        "create table if not exists etl.t ( a bigint generated always as identity (start with 1 "
        "increment by 1), b date not null, c timestamp default redshift.getdate(), d integer )",
    ),
    "varchar-counts-bytes": (
        "create table t (a varchar)",
        'create table t ( a varchar(256) constraint "a: value too long for type character '
        'varying" check (octet_length(a) <= 256) )',
    ),
    "table-as": (
        "create temp table t distkey(a) sortkey auto as select 1 as a",
        "create temp table t as select 1 as a",
    ),
    "view": (
        "create view v as select a from lake.t with no schema binding",
        "create view v as select a from lake.t",
    ),
    "external-schema": (
        "create external schema if not exists lake from data catalog database 'g' iam_role 'r'",
        "do $redshift$ begin perform redshift.create_external_schema('lake', 'g', 'r', true); "
        "end $redshift$",
    ),
    "drop-schema": (
        "drop schema if exists lake cascade",
        "do $redshift$ begin perform redshift.drop_schema('lake', true, true); end $redshift$",
    ),
    "superuser": (
        "create user u password 'x' createuser",
        "create user u password 'x' superuser",
    ),
    "role": ("create role r", "create role r"),
    "grant-to-a-role": ("grant select on mart.v to role r", "grant select on mart.v to r"),
    "grant-of-a-role": ("grant role r to u", "grant r to u"),
    "grant-of-a-role-to-a-role": ("grant role r to role s", "grant r to s"),
    "revoke-from-a-role": (
        "revoke usage on schema s from role r",
        "revoke usage on schema s from r",
    ),
    "parameters-stay": ("select :a, $1, %(b)s", "select :a, $1, %(b)s"),
    "nothing": ("-- nothing\n", ""),
}


@pytest.mark.parametrize(("statement", "expected"), TRANSLATED.values(), ids=TRANSLATED.keys())
def test_translates(statement: str, expected: str) -> None:
    assert folded(translate(statement)) == expected


def test_a_handler_throws_again() -> None:
    handler = "null;\nexception when others then raise info 'x %', sqlerrm;"
    assert "raise info 'x %', sqlerrm; raise; end;" in folded(translate(procedure(handler)))


def test_a_writing_handler_runs_in_a_transaction_of_its_own() -> None:
    handler = "null;\nexception when others then insert into t (a) values (sqlerrm);"
    assert (
        "when others then rollback; insert into t (a) values (sqlerrm); commit; raise; end;"
        in folded(translate(procedure(handler)))
    )


def test_the_lines_of_a_body_stay_where_they_are() -> None:
    source = procedure("-- one\n\nv_n := nvl(v_n, 0);\n\n/* two\n */ lock table etl.t;")
    translated = translate(source)
    assert translated.index("coalesce") - translated.index("declare") == (
        source.index("nvl") - source.index("declare")
    )
    assert "\nv_n := coalesce(v_n, 0);\n\n/* two\n */ lock table etl.t;" in translated


def test_an_external_schema_inside_a_procedure() -> None:
    create = "create external schema lake from data catalog database 'g' iam_role 'r'"
    quoted = create.replace("'", "''")
    translated = translate(procedure(f"{create};\nexecute '{quoted}';"))
    assert translated.count("redshift.create_external_schema('lake', 'g', 'r', false)") == 2


@pytest.mark.parametrize(
    "path", sorted(SQL.rglob("*.sql")), ids=lambda path: str(path.relative_to(SQL))
)
def test_takes_the_products_own_sql(path: Path) -> None:
    for statement in split(re.sub(r"\$\{\w+\}", "x", path.read_text(encoding="utf-8"))):
        translate(statement)


def test_splits_at_the_semicolons_that_end_statements() -> None:
    script = "-- a; b\nselect ';' /* ; /* ; */ */;\n;create procedure p() as $$ a; b; $$;\n-- end"
    assert split(script) == [
        "select ';'",
        "create procedure p() as $$ a; b; $$",
    ]


def test_a_statement_seen_before_costs_nothing() -> None:
    statement = "with a as (select b, sum(c) as d from t group by b) select b, d from a where d > 1"
    translate(statement)
    started = time.perf_counter()
    translate(statement)
    assert time.perf_counter() - started < 0.01
