-- What the laptop's warehouse needs to read external tables: each is a file_fdw foreign table whose
-- program is curl on the scan server (local/spectrum.py). Applied by a superuser, after redshift.sql,
-- which has redshift.external_schemas; the setting redshift.scan_endpoint is the server's URL. All of
-- this may be applied twice.

create schema if not exists redshift;

-- The foreign tables of partitions, out of sight of what lists the tables of an external schema.
create schema if not exists redshift_spectrum;

create extension if not exists file_fdw with schema redshift;
create server if not exists spectrum foreign data wrapper file_fdw;

create table if not exists redshift.external_tables (
    schema_name name not null references redshift.external_schemas on delete cascade,
    table_name text not null,
    location text not null,
    partition_column text,
    definition jsonb not null,
    primary key (schema_name, table_name)
);

create table if not exists redshift.external_partitions (
    schema_name name not null,
    table_name text not null,
    partition_value text not null,
    location text not null,
    relation_name text not null,
    primary key (schema_name, table_name, partition_value),
    foreign key (schema_name, table_name) references redshift.external_tables on delete cascade
);

-- A scan that fails sends its error in place of the path: curl's own messages reach only the log.
create or replace function redshift.fail_scan(p_error text) returns boolean
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception using
        errcode = 'XX000',
        message = split_part(p_error, chr(10), 1),
        detail = split_part(p_error, chr(10), 2);
end;
$$;

do $$
begin
    if to_regtype('redshift.scanned_path') is null then
        create domain redshift.scanned_path as text
        check (value is null or value like 's3://%' or redshift.fail_scan(value));
    end if;
end;
$$;

create or replace function redshift.url_encoded(p_value text) returns text
language sql immutable strict set search_path = pg_catalog as $$
    select coalesce(string_agg(
        case
            when letter collate "C" ~ '^[A-Za-z0-9_.~-]$' then letter
            else regexp_replace(upper(encode(convert_to(letter, 'UTF8'), 'hex')), '(..)', '%\1', 'g')
        end, '' order by position), '')
    from regexp_split_to_table(p_value, '') with ordinality as letters (letter, position)
    where letter <> '';
$$;

-- The command that fetches one path of the scan server. A reader that needs no more rows closes the
-- pipe; curl reports that as 23, where file_fdw forgives only a death by SIGPIPE (141).
create or replace function redshift.fetch_program(p_path text, p_arguments text[]) returns text
language sql stable set search_path = pg_catalog as $$
    select format(
        'curl -q --silent --show-error --fail --no-buffer --http1.1 --noproxy ''*'' --max-redirs 0 '
        '''%s/%s?%s''; r=$?; [ $r = 23 ] && exit 141; exit $r',
        current_setting('redshift.scan_endpoint'), p_path,
        string_agg(p_arguments[i] || '=' || redshift.url_encoded(p_arguments[i + 1]), '&' order by i))
    from generate_series(1, array_length(p_arguments, 1), 2) as i;
$$;

create or replace function redshift.create_scan(
    p_relation text, p_columns text, p_path text, p_arguments text[]
) returns void
language plpgsql set search_path = pg_catalog as $$
begin
    execute format(
        'create foreign table %s (%s) server spectrum options (format ''text'', encoding ''UTF8'', program %L)',
        p_relation, p_columns, redshift.fetch_program(p_path, p_arguments));
end;
$$;

-- The Glue database as its role sees it now, or {"error": text}.
create or replace function redshift.fetch_catalog(p_schema text, p_arguments text[]) returns jsonb
language plpgsql set search_path = pg_catalog as $$
declare
    v_program text := redshift.fetch_program('catalog', p_arguments);
    v_relation text := format('redshift_spectrum.%I', 'catalog_' || md5(p_schema || ' ' || v_program));
    v_document text;
begin
    if to_regclass(v_relation) is null then
        -- A delimiter and a quote that JSON never holds: each line is one value, as it is.
        execute format(
            'create foreign table %s (document text) server spectrum options '
            '(format ''csv'', delimiter %L, quote %L, program %L)', v_relation, chr(2), chr(1), v_program);
    end if;
    execute format('select document from %s', v_relation) into strict v_document;
    return v_document::jsonb;
end;
$$;

-- Makes every value that has no partition of its own an error: without the catalog nobody can say
-- whether it has rows, and no rows would pass for an empty load.
create or replace function redshift.refuse_unknown_partitions(p_schema text, p_arguments text[]) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    v_table record;
    v_refusal text;
begin
    for v_table in
        select * from redshift.external_tables
        where schema_name = p_schema and partition_column is not null
    loop
        v_refusal := format('redshift_spectrum.%I', 'refusal_' || md5(p_schema || '.' || v_table.table_name));
        if to_regclass(v_refusal) is null then
            perform redshift.create_scan(
                v_refusal, v_table.definition ->> 'columns', 'refusal',
                p_arguments || array[
                    'table', v_table.table_name, 'width', v_table.definition ->> 'width']);
            execute format(
                'alter table %I.%I attach partition %s default', p_schema, v_table.table_name, v_refusal);
        end if;
    end loop;
end;
$$;

-- Partitions that the catalog no longer has. Dropping one needs the table for itself, so it waits for
-- a moment when no load reads the table; until then a scan of it finds nothing, as on Spectrum.
create or replace function redshift.drop_stale_partitions(
    p_schema text, p_table text, p_values text[]
) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    v_partition record;
begin
    if not exists (
        select from redshift.external_partitions
        where schema_name = p_schema and table_name = p_table and partition_value <> all (p_values)
    ) then
        return;
    end if;
    execute format('lock table %I.%I in access exclusive mode nowait', p_schema, p_table);
    for v_partition in
        delete from redshift.external_partitions
        where schema_name = p_schema and table_name = p_table and partition_value <> all (p_values)
        returning relation_name
    loop
        execute format('drop foreign table redshift_spectrum.%I', v_partition.relation_name);
    end loop;
exception
    when lock_not_available then null;
end;
$$;

create or replace function redshift.drop_external_table(p_schema text, p_table text) returns void
language plpgsql set search_path = pg_catalog as $$
begin
    if (select relkind from pg_class where oid = to_regclass(format('%I.%I', p_schema, p_table))) = 'f' then
        execute format('drop foreign table %I.%I', p_schema, p_table);
    else
        execute format('drop table if exists %I.%I', p_schema, p_table);
    end if;
    delete from redshift.external_tables where schema_name = p_schema and table_name = p_table;
end;
$$;

create or replace function redshift.create_external_table(
    p_schema text, p_table jsonb, p_definition jsonb, p_arguments text[]
) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    v_relation text := format('%I.%I', p_schema, p_table ->> 'name');
begin
    if p_table ->> 'partition_column' is null then
        perform redshift.create_scan(v_relation, p_definition ->> 'columns', 'scan', p_arguments);
    else
        execute format(
            'create table %s (%s) partition by list (%I)',
            v_relation, p_definition ->> 'columns', p_table ->> 'partition_column');
    end if;
    -- On Redshift, usage of an external schema is the right to read its tables.
    execute format('grant select on %s to public', v_relation);
    insert into redshift.external_tables
    values (p_schema, p_table ->> 'name', p_table ->> 'location', p_table ->> 'partition_column', p_definition);
end;
$$;

create or replace function redshift.attach_partition(
    p_schema text, p_table text, p_partition jsonb, p_columns text, p_arguments text[]
) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    v_value text := p_partition ->> 'value';
    v_name text := 'partition_' || md5(format('%I.%I %s', p_schema, p_table, v_value));
begin
    perform redshift.create_scan(
        format('redshift_spectrum.%I', v_name), p_columns, 'scan', p_arguments || array['partition', v_value]);
    execute format(
        'alter table %I.%I attach partition redshift_spectrum.%I for values in (%L)',
        p_schema, p_table, v_name, v_value);
    insert into redshift.external_partitions
    values (p_schema, p_table, v_value, p_partition ->> 'location', v_name);
end;
$$;

create or replace function redshift.refresh_external_table(
    p_schema text, p_table jsonb, p_arguments text[]
) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    v_name text := p_table ->> 'name';
    v_arguments text[] := p_arguments || array[
        'table', v_name, 'width', jsonb_array_length(p_table -> 'columns')::text];
    v_columns text := (
        select string_agg(format('%I %s', element ->> 0, element ->> 1), ', ' order by position)
        from jsonb_array_elements(p_table -> 'columns') with ordinality as columns (element, position)
    ) || ', "$path" redshift.scanned_path, "$size" bigint';
    v_definition jsonb := jsonb_build_object(
        'columns', v_columns,
        'width', jsonb_array_length(p_table -> 'columns'),
        'partition_column', p_table ->> 'partition_column',
        'program', redshift.fetch_program('scan', v_arguments));
    v_recorded jsonb := (
        select definition from redshift.external_tables
        where schema_name = p_schema and table_name = v_name);
    v_partition jsonb;
begin
    if v_recorded is distinct from v_definition then
        if v_recorded is not null then
            perform redshift.drop_external_table(p_schema, v_name);
        end if;
        perform redshift.create_external_table(p_schema, p_table, v_definition, v_arguments);
    end if;

    -- The catalog can be read again.
    if to_regclass('redshift_spectrum.refusal_' || md5(p_schema || '.' || v_name)) is not null then
        execute format('drop foreign table redshift_spectrum.%I', 'refusal_' || md5(p_schema || '.' || v_name));
    end if;

    for v_partition in
        select element from jsonb_array_elements(p_table -> 'partitions') as listed (element)
        where not exists (
            select from redshift.external_partitions
            where schema_name = p_schema and table_name = v_name
                and partition_value = element ->> 'value')
    loop
        perform redshift.attach_partition(p_schema, v_name, v_partition, v_columns, v_arguments);
    end loop;

    perform redshift.drop_stale_partitions(
        p_schema, v_name,
        array(select element ->> 'value' from jsonb_array_elements(p_table -> 'partitions') as listed (element)));
end;
$$;

-- Brings one external schema's tables up to the Data Catalog. Returns why that failed, or null.
-- The lock comes before the catalog is read: no one may put an older state over a newer one.
create or replace function redshift.refresh_external_schema(p_schema text) returns text
language plpgsql security definer set search_path = pg_catalog as $$
declare
    v_arguments text[];
    v_catalog jsonb;
    v_table jsonb;
    v_gone text;
    v_failure text;
begin
    perform pg_advisory_xact_lock(hashtextextended('external schema ' || p_schema, 0));
    select array['database', database_name, 'role', role_arn] into v_arguments
    from redshift.external_schemas where schema_name = p_schema;
    if v_arguments is null then
        return null;
    end if;

    v_catalog := redshift.fetch_catalog(p_schema, v_arguments);
    if v_catalog ? 'error' then
        perform redshift.refuse_unknown_partitions(p_schema, v_arguments);
        return v_catalog ->> 'error';
    end if;

    for v_table in select element from jsonb_array_elements(v_catalog -> 'tables') as listed (element) loop
        begin
            perform redshift.refresh_external_table(p_schema, v_table, v_arguments);
        exception
            -- A view holds the table's old columns. Its scans fail where their number differs.
            when dependent_objects_still_exist then v_failure := sqlerrm;
        end;
    end loop;

    for v_gone in
        select table_name from redshift.external_tables
        where schema_name = p_schema and not jsonb_path_exists(
            v_catalog, '$.tables[*] ? (@.name == $name)', jsonb_build_object('name', table_name))
    loop
        begin
            perform redshift.drop_external_table(p_schema, v_gone);
        exception
            when dependent_objects_still_exist then v_failure := sqlerrm;
        end;
    end loop;
    return v_failure;
end;
$$;

-- A new external schema has its tables at once, also for the rest of the procedure that makes it.
create or replace function redshift.fill_external_schema() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    perform redshift.refresh_external_schema(new.schema_name);
    return null;
end;
$$;

create or replace trigger fill_external_schema
after insert on redshift.external_schemas
for each row execute function redshift.fill_external_schema();

create or replace function redshift.refresh_external_schemas()
returns table (schema_name text, failure text)
language sql security definer set search_path = pg_catalog as $$
    select s.schema_name, redshift.refresh_external_schema(s.schema_name)
    from (select schema_name from redshift.external_schemas order by schema_name) as s;
$$;
