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
        file_id varchar(32),
        line varchar(65535),
        kind varchar(16),
        reject_reason varchar(1024),
        reject_value varchar(65535),
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
        insert into load_rows (
            file_id, line, kind, reject_reason, reject_value,
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
                tailnum,
                year,
                type,
                manufacturer,
                model,
                engines,
                seats,
                speed,
                engine
            from lake.planes
            where run_id = p_run_id
        ),

        cells as (
            select
                source.file_id,
                nvl(left(cast(source.tailnum as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.year as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.type as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.manufacturer as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.model as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.engines as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.seats as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.speed as varchar(65535)), 256), '') || ', ' || nvl(left(cast(source.engine as varchar(65535)), 256), '') as row__line,
                'row' as row__kind,
                cast(null as varchar(64)) as row__fault,
                nullif(nullif(btrim(source.tailnum, v_blanks), ''), '\\N') as tailnum__text,
                cast(source.year as varchar(65535)) as year__text,
                nullif(nullif(btrim(source.type, v_blanks), ''), '\\N') as type__text,
                nullif(nullif(btrim(source.manufacturer, v_blanks), ''), '\\N') as manufacturer__text,
                nullif(nullif(btrim(source.model, v_blanks), ''), '\\N') as model__text,
                cast(source.engines as varchar(65535)) as engines__text,
                cast(source.seats as varchar(65535)) as seats__text,
                cast(source.speed as varchar(65535)) as speed__text,
                nullif(nullif(btrim(source.engine, v_blanks), ''), '\\N') as engine__text,
                source.year as year__typed,
                source.engines as engines__typed,
                source.seats as seats__typed,
                source.speed as speed__typed
            from source
            inner join load_files on source.file_id = load_files.file_id
            -- The superseded ones too: a file that has to be refused is, whenever it comes.
            where load_files.status in ('loaded', 'superseded')
        ),

        typed as (
            select
                cells.*,
                case when len(tailnum__text) <= 16 then tailnum__text end as tailnum,
                cast(year__typed as bigint) as year,
                case when len(type__text) <= 64 then type__text end as type,
                case when len(manufacturer__text) <= 64 then manufacturer__text end as manufacturer,
                case when len(model__text) <= 64 then model__text end as model,
                cast(engines__typed as bigint) as engines,
                cast(seats__typed as bigint) as seats,
                cast(speed__typed as bigint) as speed,
                case when len(engine__text) <= 64 then engine__text end as engine
            from cells
        ),

        judged as (
            select
                typed.*,
                case
                    when typed.row__kind = 'blank' then null
                    when typed.row__fault is not null then typed.row__fault
                    when typed.row__kind <> 'row' then null
                    when year__text is not null and year is null then 'year: not a whole number'
                    when engines__text is not null and engines is null then 'engines: not a whole number'
                    when seats__text is not null and seats is null then 'seats: not a whole number'
                    when speed__text is not null and speed is null then 'speed: not a whole number'
                    when tailnum__text is null then 'tailnum: empty'
                    when year not between 1900 and 2100 then 'year: outside 1900 to 2100'
                    when engines not between 0 and 12 then 'engines: outside 0 to 12'
                    when seats not between 0 and 1000 then 'seats: outside 0 to 1000'
                    when speed not between 0 and 2000 then 'speed: outside 0 to 2000'
                    when len(tailnum__text) > 16 then 'tailnum: longer than 16 characters'
                    when len(type__text) > 64 then 'type: longer than 64 characters'
                    when len(manufacturer__text) > 64 then 'manufacturer: longer than 64 characters'
                    when len(model__text) > 64 then 'model: longer than 64 characters'
                    when len(engine__text) > 64 then 'engine: longer than 64 characters'
                end as reject_reason
            from typed
        )

        select
            judged.file_id,
            case when judged.reject_reason is not null or judged.row__kind <> 'row' then judged.row__line end as line,
            judged.row__kind as kind,
            judged.reject_reason,
            case split_part(judged.reject_reason, ':', 1)
                when 'tailnum' then judged.tailnum__text
                when 'year' then judged.year__text
                when 'type' then judged.type__text
                when 'manufacturer' then judged.manufacturer__text
                when 'model' then judged.model__text
                when 'engines' then judged.engines__text
                when 'seats' then judged.seats__text
                when 'speed' then judged.speed__text
                when 'engine' then judged.engine__text
            end as reject_value,
            judged.tailnum,
            judged.year,
            judged.type,
            judged.manufacturer,
            judged.model,
            judged.engines,
            judged.seats,
            judged.speed,
            judged.engine
        from judged;
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
        where
            kind = 'row'
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded');
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
