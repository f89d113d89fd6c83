-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose:    loads one batch of planes files: reads them once, keeps what can be read.
-- Grain:      see the tables
-- Parameters: p_run_id           the partition of lake.planes that holds this run's files
--             p_load_id          the batch
--             p_files            see etl.register_files
--             p_same_key         see etl.register_files
--             p_status …         the answer, one row: see etl.finish_load
-- Reads:      lake.planes (the partition alone), etl.loaded_files
-- Writes:     mart.planes_by_file
--             the ledger, through etl.finish_load
-- Rerun:      a file in the ledger is skipped; a load in the ledger gives its recorded answer.
-- Example:    call etl.load_planes('planes-1a2b', 'planes-1a2b', '[…]', 'replace',
--             '', 0, 0, 0, 0, 0, '', '', '', '', '');
create or replace procedure etl.load_planes(
    p_run_id varchar(80),
    p_load_id varchar(80),
    p_files varchar(65535),
    p_same_key varchar(16),
    inout p_status varchar(16),
    inout p_files_loaded bigint,
    inout p_files_skipped bigint,
    inout p_source_rows bigint,
    inout p_rejected_rows bigint,
    inout p_aggregate_rows bigint,
    inout p_empty_file_ids varchar(4096),
    inout p_dates_covered varchar(32),
    inout p_reject_reasons varchar(4096),
    inout p_rejected_files varchar(8192),
    inout p_same_files varchar(32768)
)
as $$
declare
    -- What may stand around a value: a blank, a tab, the CR of a line end, and, between the quotes
    -- here though no editor shows it, a byte order mark.
    v_blanks varchar(16) := ' ' || chr(9) || chr(13) || '﻿';
    v_started_at timestamp;
    v_new_files bigint;
    v_superseded_files bigint;
    v_replaced_files bigint;
    v_refused_rows bigint := 0;
    v_counted_rows bigint := 0;
    v_table_rows bigint;
    v_kept_rows bigint;
    v_first_date date;
    v_last_date date;
begin
    -- First of all, before any statement takes a snapshot: what follows sees all that the
    -- load before this one has committed. The update is the hedge, should it not.
    lock table etl.planes_lock;
    update etl.planes_lock set is_held = true;
    v_started_at := getdate();

    call etl.create_lake_schema();
    call etl.create_planes_by_file();
    call etl.register_files('planes', p_files, p_same_key);

    select
        nvl(sum(case when status = 'loaded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'superseded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'replaced' then 1 else 0 end), 0)
    into v_new_files, v_superseded_files, v_replaced_files
    from load_files;

    -- No statement runs that changes nothing: it would take its locks all the same.
    if v_replaced_files > 0 then
        delete from mart.planes_by_file
        where file_id in (select file_id from load_files where status = 'replaced');
    end if;

    drop table if exists load_rows;
    create temp table load_rows (
        row__number bigint identity(1, 1),
        file_id varchar(32),
        line varchar(65535),
        kind varchar(16),
        reject_reason varchar(1024),
        reject_value varchar(65535),
        row__fault varchar(1024),
        tailnum__raw varchar(65535),
        year__raw integer,
        type__raw varchar(65535),
        manufacturer__raw varchar(65535),
        model__raw varchar(65535),
        engines__raw integer,
        seats__raw integer,
        speed__raw integer,
        engine__raw varchar(65535),
        tailnum varchar(64),
        year bigint,
        type varchar(256),
        manufacturer varchar(256),
        model varchar(256),
        engines bigint,
        seats bigint,
        speed bigint,
        engine varchar(256)
    );

    if v_new_files + v_superseded_files > 0 then
        -- Each value is read out of its text here, once; what follows goes by the values.
        insert into load_rows (
            file_id, kind, row__fault,
            tailnum__raw,
            year__raw,
            type__raw,
            manufacturer__raw,
            model__raw,
            engines__raw,
            seats__raw,
            speed__raw,
            engine__raw,
            tailnum,
            year,
            type,
            manufacturer,
            model,
            engines,
            seats,
            speed,
            engine
        )
        with source as (
            select
                split_part(split_part("$path", '/run_id=' || p_run_id || '/', 2), '.', 1) as file_id,
                tailnum as tailnum__raw,
                year as year__raw,
                type as type__raw,
                manufacturer as manufacturer__raw,
                model as model__raw,
                engines as engines__raw,
                seats as seats__raw,
                speed as speed__raw,
                engine as engine__raw
            from lake.planes
            where run_id = p_run_id
        ),

        cells as (
            select
                file_id,
                'row' as kind,
                cast(null as varchar(64)) as row__fault,
                tailnum__raw,
                year__raw,
                type__raw,
                manufacturer__raw,
                model__raw,
                engines__raw,
                seats__raw,
                speed__raw,
                engine__raw,
                nullif(nullif(btrim(tailnum__raw, v_blanks), ''), '\\N') as tailnum__text,
                nullif(nullif(btrim(type__raw, v_blanks), ''), '\\N') as type__text,
                nullif(nullif(btrim(manufacturer__raw, v_blanks), ''), '\\N') as manufacturer__text,
                nullif(nullif(btrim(model__raw, v_blanks), ''), '\\N') as model__text,
                nullif(nullif(btrim(engine__raw, v_blanks), ''), '\\N') as engine__text
            from source
            -- The superseded ones too: a file that has to be refused is, whenever it comes.
            where file_id in (select file_id from load_files where status in ('loaded', 'superseded'))
        )

        select
            file_id,
            kind,
            row__fault,
            tailnum__raw,
            year__raw,
            type__raw,
            manufacturer__raw,
            model__raw,
            engines__raw,
            seats__raw,
            speed__raw,
            engine__raw,
            case when len(tailnum__text) <= 16 then tailnum__text end as tailnum,
            cast(year__raw as bigint) as year,
            case when len(type__text) <= 64 then type__text end as type,
            case when len(manufacturer__text) <= 64 then manufacturer__text end as manufacturer,
            case when len(model__text) <= 64 then model__text end as model,
            cast(engines__raw as bigint) as engines,
            cast(seats__raw as bigint) as seats,
            cast(speed__raw as bigint) as speed,
            case when len(engine__text) <= 64 then engine__text end as engine
        from cells;

        -- Rejected rows alone are written again.
        update load_rows
        set reject_reason = judged.reject_reason
        from (
            select
                row__number,
                case
                    when kind = 'blank' then null
                    when row__fault is not null then row__fault
                    when kind <> 'row' then null
                    when year is null and cast(year__raw as varchar(65535)) is not null then 'year: not a whole number'
                    when engines is null and cast(engines__raw as varchar(65535)) is not null then 'engines: not a whole number'
                    when seats is null and cast(seats__raw as varchar(65535)) is not null then 'seats: not a whole number'
                    when speed is null and cast(speed__raw as varchar(65535)) is not null then 'speed: not a whole number'
                    when nullif(nullif(btrim(tailnum__raw, v_blanks), ''), '\\N') is null then 'tailnum: empty'
                    when year not between 1900 and 2100 then 'year: outside 1900 to 2100'
                    when engines not between 0 and 12 then 'engines: outside 0 to 12'
                    when seats not between 0 and 1000 then 'seats: outside 0 to 1000'
                    when speed not between 0 and 2000 then 'speed: outside 0 to 2000'
                    when len(btrim(tailnum__raw, v_blanks)) > 16 then 'tailnum: longer than 16 characters'
                    when len(btrim(type__raw, v_blanks)) > 64 then 'type: longer than 64 characters'
                    when len(btrim(manufacturer__raw, v_blanks)) > 64 then 'manufacturer: longer than 64 characters'
                    when len(btrim(model__raw, v_blanks)) > 64 then 'model: longer than 64 characters'
                    when len(btrim(engine__raw, v_blanks)) > 64 then 'engine: longer than 64 characters'
                end as reject_reason
            from load_rows
        ) as judged
        where
            load_rows.row__number = judged.row__number
            and judged.reject_reason is not null;
        get diagnostics v_refused_rows := row_count;
    end if;

    if v_refused_rows > 0 then
        update load_rows
        set
            line = nvl(left(cast(tailnum__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(year__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(type__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(manufacturer__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(model__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(engines__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(seats__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(speed__raw as varchar(65535)), 256), '') || ', ' || nvl(left(cast(engine__raw as varchar(65535)), 256), ''),
            reject_value = case split_part(reject_reason, ':', 1)
                when 'tailnum' then nullif(nullif(btrim(tailnum__raw, v_blanks), ''), '\\N')
                when 'year' then cast(year__raw as varchar(65535))
                when 'type' then nullif(nullif(btrim(type__raw, v_blanks), ''), '\\N')
                when 'manufacturer' then nullif(nullif(btrim(manufacturer__raw, v_blanks), ''), '\\N')
                when 'model' then nullif(nullif(btrim(model__raw, v_blanks), ''), '\\N')
                when 'engines' then cast(engines__raw as varchar(65535))
                when 'seats' then cast(seats__raw as varchar(65535))
                when 'speed' then cast(speed__raw as varchar(65535))
                when 'engine' then nullif(nullif(btrim(engine__raw, v_blanks), ''), '\\N')
            end
        where reject_reason is not null;
    end if;

    call etl.judge_files('', v_counted_rows);

    p_aggregate_rows := 0;
    if v_new_files > 0 then
        insert into mart.planes_by_file (
            file_id,
            tailnum,
            year,
            type,
            manufacturer,
            model,
            engines,
            seats,
            speed,
            engine
        )
        select
            file_id,
            tailnum,
            year,
            type,
            manufacturer,
            model,
            engines,
            seats,
            speed,
            engine
        from load_rows
        where kind = 'row' and reject_reason is null;
        get diagnostics v_table_rows := row_count;
        p_aggregate_rows := p_aggregate_rows + v_table_rows;

        select count(*) into v_kept_rows
        from mart.planes_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
        if v_kept_rows <> v_counted_rows then
            raise exception 'load %: mart.planes_by_file stands for % rows of %', p_load_id, v_kept_rows, v_counted_rows;
        end if;

    end if;

    call etl.finish_load(
        'planes', p_run_id, p_load_id, v_started_at, v_counted_rows, v_first_date, v_last_date,
        p_status, p_files_loaded, p_files_skipped, p_source_rows, p_rejected_rows,
        p_aggregate_rows, p_empty_file_ids, p_dates_covered, p_reject_reasons, p_rejected_files,
        p_same_files
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

grant execute on procedure etl.load_planes(
    varchar, varchar, varchar, varchar, varchar, bigint, bigint, bigint, bigint, bigint, varchar,
    varchar, varchar, varchar, varchar
) to etl_loader;
