-- What Redshift has and PostgreSQL lacks, or answers otherwise: run once per database, by its
-- superuser. The dialect gate sends calls here by the schema's name (local/dialect/functions.py).

create schema redshift;
grant usage on schema redshift to public;

-- Redshift lets everybody create objects there; PostgreSQL used to.
grant create on schema public to public;

-- ---- external schemas ------------------------------------------------------------------------

create table redshift.external_schemas (
    schema_name text primary key,
    database_name text not null,
    role_arn text not null
);
grant select on redshift.external_schemas to public;

-- Callers may create the schema only if they may create schemas; only the record is written
-- with the owner's rights.
create function redshift.record_external_schema(p_schema text, p_database text, p_role text)
returns void language sql security definer set search_path = pg_catalog as $$
    insert into redshift.external_schemas values (p_schema, p_database, p_role);
$$;

create function redshift.create_external_schema(
    p_schema text, p_database text, p_role text, p_if_missing boolean default false
)
returns void language plpgsql as $$
begin
    if exists (select from pg_catalog.pg_namespace where nspname = p_schema) then
        if p_if_missing then
            raise notice 'schema "%" already exists, skipping', p_schema;
            return;
        end if;
        raise duplicate_schema using message = format('schema "%s" already exists', p_schema);
    end if;
    execute format('create schema %I', p_schema);
    perform redshift.record_external_schema(p_schema, p_database, p_role);
end;
$$;

-- An external schema goes without CASCADE: its tables are the Glue catalogue's.
create function redshift.drop_schema(p_schema text, p_if_exists boolean, p_cascade boolean)
returns void language plpgsql as $$
begin
    execute format(
        'drop schema %s %I %s',
        case when p_if_exists then 'if exists' else '' end,
        p_schema,
        case
            when p_cascade
            or exists (select from redshift.external_schemas where schema_name = p_schema)
            then 'cascade'
            else ''
        end
    );
end;
$$;

create function redshift.forget_dropped_schemas()
returns event_trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    delete from redshift.external_schemas as external
    using pg_event_trigger_dropped_objects() as dropped
    where dropped.object_type = 'schema' and dropped.object_name = external.schema_name;
end;
$$;

create event trigger forget_dropped_schemas on sql_drop
when tag in ('DROP SCHEMA', 'DROP OWNED')
execute function redshift.forget_dropped_schemas();

-- ---- system views ----------------------------------------------------------------------------
-- Redshift keeps them in pg_catalog, where they are found without a schema.

create view redshift.svv_external_schemas as
select
    namespace.oid::integer as esoid,
    1::smallint as eskind,
    namespace.nspname as schemaname,
    namespace.nspowner::integer as esowner,
    external.database_name::varchar as databasename,
    json_build_object('IAM_ROLE', external.role_arn)::varchar as esoptions
from redshift.external_schemas as external
join pg_catalog.pg_namespace as namespace on namespace.nspname = external.schema_name;

-- An external table is a partitioned parent, or a foreign table that is nobody's partition.
create view redshift.svv_external_tables as
select namespace.nspname as schemaname, class.relname as tablename
from pg_catalog.pg_class as class
join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
join redshift.external_schemas as external on external.schema_name = namespace.nspname
where class.relkind in ('p', 'f') and not class.relispartition;

create view redshift.svv_external_columns as
select
    external.schemaname,
    external.tablename,
    attribute.attname as columnname,
    pg_catalog.format_type(attribute.atttypid, attribute.atttypmod) as external_type,
    attribute.attnum::integer as columnnum
from redshift.svv_external_tables as external
join pg_catalog.pg_namespace as namespace on namespace.nspname = external.schemaname
join pg_catalog.pg_class as class
    on class.relnamespace = namespace.oid and class.relname = external.tablename
join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid
where attribute.attnum > 0 and not attribute.attisdropped and attribute.attname !~ '^\$';

-- "values" is a JSON array, as on Redshift: ["run-1"].
create view redshift.svv_external_partitions as
select
    external.schemaname,
    external.tablename,
    json_build_array(
        replace(
            substring(pg_catalog.pg_get_expr(part.relpartbound, part.oid) from '^FOR VALUES IN \(''(.*)''\)$'),
            '''''', ''''
        )
    )::varchar as "values"
from redshift.svv_external_tables as external
join pg_catalog.pg_namespace as namespace on namespace.nspname = external.schemaname
join pg_catalog.pg_class as parent
    on parent.relnamespace = namespace.oid and parent.relname = external.tablename
join pg_catalog.pg_inherits as inheritance on inheritance.inhparent = parent.oid
join pg_catalog.pg_class as part on part.oid = inheritance.inhrelid
where pg_catalog.pg_get_expr(part.relpartbound, part.oid) <> 'DEFAULT';

create view redshift.svv_columns as
select
    columns.table_catalog::varchar,
    columns.table_schema::varchar,
    columns.table_name::varchar,
    columns.column_name::varchar,
    columns.ordinal_position::integer,
    columns.column_default::varchar,
    columns.is_nullable::varchar,
    columns.data_type::varchar,
    columns.character_maximum_length::integer,
    columns.numeric_precision::integer,
    columns.numeric_scale::integer
from information_schema.columns as columns
where columns.table_schema <> 'redshift';

create view redshift.svv_tables as
select
    tables.table_catalog::varchar,
    tables.table_schema::varchar,
    tables.table_name::varchar,
    case
        when external.schema_name is not null then 'EXTERNAL TABLE'
        else tables.table_type::varchar
    end as table_type
from information_schema.tables as tables
left join redshift.external_schemas as external on external.schema_name = tables.table_schema
where tables.table_schema <> 'redshift';

create view redshift.svv_roles as
select oid::integer as role_id, rolname as role_name
from pg_catalog.pg_roles
where not rolcanlogin and rolname !~ '^pg_';

-- How concurrent transactions of a database are kept apart. A setting to be read: the laptop's
-- transactions are what they are (local/warehouse.py).
create table redshift.isolation_levels (
    database_name name primary key,
    isolation_level text not null
);
insert into redshift.isolation_levels values (current_database(), 'Snapshot Isolation');

create view redshift.svv_redshift_databases as
select database_name, 'local'::varchar as database_type, isolation_level as database_isolation_level
from redshift.isolation_levels;

create view redshift.stv_db_isolation_level as
select database_name::char(128) as db_name, isolation_level::char(20) as isolation_level
from redshift.isolation_levels;

-- A superuser may change it, or whoever may create databases.
create function redshift.alter_isolation_level(p_database text, p_level text)
returns void language plpgsql security definer set search_path = pg_catalog as $$
begin
    if not (select rolsuper or rolcreatedb from pg_roles where rolname = session_user) then
        raise insufficient_privilege using message = 'permission denied to alter the isolation level';
    end if;
    update redshift.isolation_levels
    set isolation_level = case p_level when 'snapshot' then 'Snapshot Isolation' else 'Serializable' end
    where database_name = p_database;
    if not found then
        raise invalid_catalog_name using message = format('database "%s" does not exist', p_database);
    end if;
end;
$$;

-- A user who is no administrator sees its own transactions alone.
create view redshift.svv_transactions as
select
    sessions.usename::text as txn_owner,
    sessions.datname::text as txn_db,
    sessions.backend_xid::text::bigint as xid,
    locks.pid,
    sessions.xact_start at time zone 'UTC' as txn_start,
    locks.mode::text as lock_mode,
    locks.locktype::text as lockable_object_type,
    locks.relation::integer,
    locks.granted
from pg_catalog.pg_locks as locks
join pg_catalog.pg_stat_activity as sessions on sessions.pid = locks.pid
where
    locks.locktype in ('relation', 'transactionid')
    and (
        sessions.usename = current_user
        or (select rolsuper from pg_catalog.pg_roles where rolname = current_user)
    );

grant select on all tables in schema redshift to public;

-- ---- time ------------------------------------------------------------------------------------

-- The time of a statement; within a procedure that of the inner one, which PostgreSQL does not tell.
create function redshift.getdate() returns timestamp language sql volatile as
$$ select date_trunc('second', clock_timestamp() at time zone 'UTC') $$;

create function redshift.sysdate() returns timestamp language sql stable as
$$ select transaction_timestamp() at time zone 'UTC' $$;

create function redshift.dateadd(p_part text, p_count bigint, p_from timestamp)
returns timestamp language sql immutable as $$
    select p_from + case p_part
        when 'quarter' then p_count * interval '3 months'
        when 'dow' then p_count * interval '1 day'
        when 'doy' then p_count * interval '1 day'
        when 'epoch' then p_count * interval '1 second'
        else p_count * ('1 ' || p_part)::interval
    end
$$;

create function redshift.datediff(p_part text, p_from timestamp, p_to timestamp)
returns bigint language sql immutable as $$
    select case p_part
        when 'millennium' then trunc((date_part('year', p_to) - 1) / 1000) - trunc((date_part('year', p_from) - 1) / 1000)
        when 'century' then trunc((date_part('year', p_to) - 1) / 100) - trunc((date_part('year', p_from) - 1) / 100)
        when 'decade' then floor(date_part('year', p_to) / 10) - floor(date_part('year', p_from) / 10)
        when 'year' then date_part('year', p_to) - date_part('year', p_from)
        when 'quarter' then
            (date_part('year', p_to) - date_part('year', p_from)) * 4
            + date_part('quarter', p_to) - date_part('quarter', p_from)
        when 'month' then
            (date_part('year', p_to) - date_part('year', p_from)) * 12
            + date_part('month', p_to) - date_part('month', p_from)
        -- Redshift's weeks begin on Sunday; 2000-01-02 was one.
        when 'week' then floor((p_to::date - date '2000-01-02') / 7.0) - floor((p_from::date - date '2000-01-02') / 7.0)
        when 'hour' then extract(epoch from date_trunc('hour', p_to) - date_trunc('hour', p_from)) / 3600
        when 'minute' then extract(epoch from date_trunc('minute', p_to) - date_trunc('minute', p_from)) / 60
        when 'second' then extract(epoch from date_trunc('second', p_to) - date_trunc('second', p_from))
        when 'epoch' then extract(epoch from date_trunc('second', p_to) - date_trunc('second', p_from))
        when 'millisecond' then extract(epoch from date_trunc('milliseconds', p_to) - date_trunc('milliseconds', p_from)) * 1000
        when 'microsecond' then extract(epoch from p_to - p_from) * 1000000
        else p_to::date - p_from::date
    end::bigint
$$;

create function redshift.date_trunc(text, timestamp) returns timestamp language sql immutable as
$$ select pg_catalog.date_trunc($1, $2) $$;
create function redshift.date_trunc(text, date) returns timestamp language sql immutable as
$$ select pg_catalog.date_trunc($1, $2::timestamp) $$;
create function redshift.date_trunc(text, timestamptz) returns timestamptz language sql stable as
$$ select pg_catalog.date_trunc($1, $2) $$;

create function redshift.last_day(timestamp) returns date language sql immutable as
$$ select (pg_catalog.date_trunc('month', $1) + interval '1 month - 1 day')::date $$;

-- The last day of a month stays the last day.
create function redshift.add_months(p_from timestamp, p_months integer)
returns timestamp language sql immutable as $$
    select case
        when p_from::date = redshift.last_day(p_from)
        then redshift.last_day(p_from + p_months * interval '1 month') + p_from::time
        else p_from + p_months * interval '1 month'
    end
$$;

create function redshift.months_between(p_to timestamp, p_from timestamp)
returns double precision language sql immutable as $$
    select redshift.datediff('month', p_from, p_to) + case
        when date_part('day', p_to) = date_part('day', p_from) then 0
        when p_to::date = redshift.last_day(p_to) and p_from::date = redshift.last_day(p_from) then 0
        else (date_part('day', p_to) - date_part('day', p_from)) / 31.0
    end
$$;

create function redshift.convert_timezone(p_from text, p_to text, p_at timestamp)
returns timestamp language sql stable as
$$ select p_at at time zone p_from at time zone p_to $$;
create function redshift.convert_timezone(p_to text, p_at timestamp)
returns timestamp language sql stable as
$$ select p_at at time zone 'UTC' at time zone p_to $$;

-- ---- text ------------------------------------------------------------------------------------

create function redshift.len(text) returns integer language sql immutable as
$$ select pg_catalog.length($1) $$;

create function redshift.charindex(p_part text, p_text text)
returns integer language sql immutable as
$$ select pg_catalog.strpos(p_text, p_part) $$;

-- PostgreSQL's passes over nulls.
create function redshift.concat(text, text) returns varchar language sql immutable as
$$ select $1 || $2 $$;

create function redshift.split_part(p_text text, p_separator text, p_part bigint)
returns varchar language plpgsql immutable strict as $$
begin
    if p_part < 1 then
        raise invalid_parameter_value using message = 'field position must be greater than zero';
    end if;
    return pg_catalog.split_part(p_text, p_separator, p_part::integer);
end;
$$;

-- Redshift answers an empty string where nothing matches.
create function redshift.regexp_substr(
    p_text text, p_pattern text, p_position integer default 1, p_occurrence integer default 1
)
returns varchar language sql immutable strict as
$$ select coalesce(pg_catalog.regexp_substr(p_text, p_pattern, p_position, p_occurrence), '') $$;

-- Redshift replaces every match.
create function redshift.regexp_replace(
    p_text text, p_pattern text, p_replacement text default '', p_position integer default 1
)
returns varchar language sql immutable strict as
$$ select pg_catalog.regexp_replace(p_text, p_pattern, p_replacement, p_position, 0) $$;

create function redshift.sha2(p_text text, p_bits integer)
returns varchar language sql immutable strict as $$
    select encode(
        case p_bits
            when 224 then sha224(convert_to(p_text, 'UTF8'))
            when 384 then sha384(convert_to(p_text, 'UTF8'))
            when 512 then sha512(convert_to(p_text, 'UTF8'))
            else sha256(convert_to(p_text, 'UTF8'))
        end,
        'hex'
    )
$$;

create function redshift.strtol(p_text text, p_base integer)
returns bigint language plpgsql immutable strict as $$
declare
    v_digits text := lower(regexp_replace(trim(p_text), '^([+-]?)(0x)?', '\1', 'i'));
    v_sign integer := case when v_digits like '-%' then -1 else 1 end;
    v_value numeric := 0;
    v_digit integer;
begin
    foreach v_digits in array string_to_array(ltrim(v_digits, '+-'), null) loop
        v_digit := strpos('0123456789abcdefghijklmnopqrstuvwxyz', v_digits) - 1;
        if v_digit < 0 or v_digit >= p_base then
            raise invalid_text_representation using
                message = format('The input %s is not valid to be converted to base %s', p_text, p_base);
        end if;
        v_value := v_value * p_base + v_digit;
    end loop;
    return v_sign * v_value;
end;
$$;

create function redshift.within_varchar(p_text text)
returns varchar language plpgsql immutable strict as $$
begin
    if octet_length(p_text) > 65535 then
        raise string_data_right_truncation using message = 'Result size exceeds LISTAGG limit';
    end if;
    return p_text;
end;
$$;

-- VARCHARs that differ in trailing blanks alone are equal on Redshift. PostgreSQL's char(n) compares
-- that way, so its functions do it here. In procedures that pin their search path these operators go
-- before PostgreSQL's: for =, <>, in, not in, nullif and joins.
create schema redshift_comparison;
grant usage on schema redshift_comparison to public;

create function redshift_comparison.equal(text, text)
returns boolean language internal immutable strict parallel safe as 'bpchareq';
create function redshift_comparison.not_equal(text, text)
returns boolean language internal immutable strict parallel safe as 'bpcharne';
create function redshift_comparison.hash(text)
returns integer language internal immutable strict parallel safe as 'hashbpchar';
create operator redshift_comparison.= (
    function = redshift_comparison.equal, leftarg = text, rightarg = text,
    commutator = operator(redshift_comparison.=), negator = operator(redshift_comparison.<>),
    restrict = eqsel, join = eqjoinsel, hashes
);
create operator redshift_comparison.<> (
    function = redshift_comparison.not_equal, leftarg = text, rightarg = text,
    commutator = operator(redshift_comparison.<>), negator = operator(redshift_comparison.=),
    restrict = neqsel, join = neqjoinsel
);
create operator class redshift_comparison.text_hash for type text using hash as
operator 1 redshift_comparison.= (text, text), function 1 redshift_comparison.hash(text);

-- What PARTITION BY goes by; the gate calls it.
create function redshift.comparable(p_value anyelement) returns anyelement language sql immutable as
$$ select p_value $$;
create function redshift.comparable(p_value text) returns text language sql immutable as
$$ select rtrim(p_value, ' ') $$;
create function redshift.comparable(p_value varchar) returns varchar language sql immutable as
$$ select rtrim(p_value, ' ') $$;

-- ---- numbers ---------------------------------------------------------------------------------

create function redshift.round(numeric) returns numeric language sql immutable as
$$ select pg_catalog.round($1) $$;
create function redshift.round(numeric, integer) returns numeric language sql immutable as
$$ select pg_catalog.round($1, $2) $$;
create function redshift.round(double precision) returns double precision language sql immutable as
$$ select pg_catalog.round($1::numeric)::double precision $$;
create function redshift.round(double precision, integer)
returns double precision language sql immutable as
$$ select pg_catalog.round($1::numeric, $2)::double precision $$;

create function redshift.trunc(numeric, integer default 0) returns numeric language sql immutable as
$$ select pg_catalog.trunc($1, $2) $$;
create function redshift.trunc(double precision, integer default 0)
returns double precision language sql immutable as
$$ select pg_catalog.trunc($1::numeric, $2)::double precision $$;
create function redshift.trunc(timestamp) returns date language sql immutable as
$$ select $1::date $$;

-- The sum of bigint is bigint.
create aggregate redshift.sum(smallint) (sfunc = pg_catalog.int2_sum, stype = bigint);
create aggregate redshift.sum(integer) (sfunc = pg_catalog.int4_sum, stype = bigint);
create aggregate redshift.sum(bigint) (sfunc = pg_catalog.int8pl, stype = bigint);
create aggregate redshift.sum(double precision) (sfunc = pg_catalog.float8pl, stype = float8);
create aggregate redshift.sum(numeric) (sfunc = pg_catalog.numeric_add, stype = numeric);

-- The average of whole numbers is whole, cut towards zero.
create function redshift.whole_average(bigint[]) returns bigint language sql immutable as
$$ select $1[2] / nullif($1[1], 0) $$;
create aggregate redshift.avg(smallint) (
    sfunc = pg_catalog.int2_avg_accum, stype = bigint[], initcond = '{0,0}',
    finalfunc = redshift.whole_average
);
create aggregate redshift.avg(integer) (
    sfunc = pg_catalog.int4_avg_accum, stype = bigint[], initcond = '{0,0}',
    finalfunc = redshift.whole_average
);
create function redshift.add_to_average(bigint[], bigint)
returns bigint[] language sql immutable strict as $$ select array[$1[1] + 1, $1[2] + $2] $$;
create aggregate redshift.avg(bigint) (
    sfunc = redshift.add_to_average, stype = bigint[], initcond = '{0,0}',
    finalfunc = redshift.whole_average
);
create aggregate redshift.avg(double precision) (
    sfunc = pg_catalog.float8_accum, stype = float8[], initcond = '{0,0,0}',
    finalfunc = pg_catalog.float8_avg
);
-- Redshift keeps the argument's scale, which an aggregate cannot know.
create function redshift.refuse_average(numeric, numeric)
returns numeric language plpgsql immutable as $$
begin
    raise feature_not_supported using
        message = 'avg(decimal): Redshift cuts it to the argument''s scale, the laptop cannot; '
            'write sum(x) / count(x) with a cast';
end;
$$;
create aggregate redshift.avg(numeric) (sfunc = redshift.refuse_average, stype = numeric);

-- ---- try_cast --------------------------------------------------------------------------------
-- Null where the text is no such value. A blank text is an error, as on Redshift. PostgreSQL
-- reads more than Redshift does (1_000, 0x1F, 'today'), hence the patterns. Not in the language SQL:
-- such functions are put in place of their calls, and would work their argument out several times.

create function redshift.reject_blank(p_type text) returns boolean language plpgsql stable as $$
begin
    raise invalid_text_representation using
        message = format('try_cast of a blank string to %s; write nullif(trim(x), '''')', p_type);
end;
$$;

do $types$
declare
    v_type record;
begin
    for v_type in
        select *
        from (
            values
                ('smallint', '^\s*[+-]?\d+\s*$'),
                ('integer', '^\s*[+-]?\d+\s*$'),
                ('bigint', '^\s*[+-]?\d+\s*$'),
                ('real', '^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$'),
                ('double precision', '^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$'),
                ('boolean', '^\s*\w+\s*$'),
                ('date', '^\s*\d[\d:/. T+-]*\s*$'),
                ('timestamp', '^\s*\d[\d:/. T+-]*\s*$'),
                ('timestamptz', '^\s*\d[\d:/. TZ+-]*\s*$'),
                ('time', '^\s*\d[\d:.]*\s*$'),
                ('timetz', '^\s*\d[\d:.Z+-]*\s*$')
        ) as types (name, pattern)
    loop
        execute format(
            $function$
            create function redshift.try_cast_%s(p_text text) returns %s
            language plpgsql stable strict as
            $body$
            begin
                if p_text ~ %L and pg_input_is_valid(p_text, %L) then
                    return cast(p_text as %s);
                elsif trim(p_text) = '' then
                    perform redshift.reject_blank(%L);
                end if;
                return null;
            end;
            $body$
            $function$,
            replace(v_type.name, ' ', '_'), v_type.name, v_type.pattern, v_type.name, v_type.name,
            v_type.name
        );
    end loop;
end;
$types$;

create function redshift.try_cast_numeric(p_text text, p_type text)
returns numeric language sql stable as $$
    select cast(
        case
            when p_text ~ '^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$'
            and pg_input_is_valid(p_text, p_type)
            then p_text
            when coalesce(trim(p_text) = '', false) and redshift.reject_blank(p_type) then null
        end as numeric
    )
$$;

-- ---- JSON in text ----------------------------------------------------------------------------

create function redshift.is_valid_json(p_text text) returns boolean language sql stable as
$$ select p_text is json object $$;
create function redshift.is_valid_json_array(p_text text) returns boolean language sql stable as
$$ select p_text is json array $$;

create function redshift.json_text(p_text text, p_null_if_invalid boolean)
returns json language plpgsql immutable as $$
begin
    if p_text is null or p_text is json then
        return p_text;
    end if;
    if p_null_if_invalid then
        return null;
    end if;
    raise invalid_json_text using message = 'JSON parsing error';
end;
$$;

create function redshift.json_parse(p_text text) returns jsonb language plpgsql immutable strict as $$
begin
    return p_text::jsonb;
exception
    when others then
        raise invalid_json_text using message = 'JSON parsing error';
end;
$$;

create function redshift.json_array_length(p_text text, p_null_if_invalid boolean default false)
returns integer language sql immutable as $$
    select case json_typeof(value) when 'array' then pg_catalog.json_array_length(value) end
    from (select redshift.json_text(p_text, p_null_if_invalid) as value) as parsed
$$;

create function redshift.json_extract_array_element_text(
    p_text text, p_position integer, p_null_if_invalid boolean default false
)
returns varchar language sql immutable as $$
    select case when p_position >= 0 and json_typeof(value) = 'array' then value ->> p_position end
    from (select redshift.json_text(p_text, p_null_if_invalid) as value) as parsed
$$;

create function redshift.json_extract_path_text(p_text text, variadic p_path text[])
returns varchar language sql immutable as
$$ select redshift.json_text(p_text, false) #>> p_path $$;
create function redshift.json_extract_path_text_or_null(p_text text, variadic p_path text[])
returns varchar language sql immutable as
$$ select redshift.json_text(p_text, true) #>> p_path $$;
