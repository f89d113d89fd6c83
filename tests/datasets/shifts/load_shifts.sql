-- Purpose:    loads one batch of shifts files: each of their rows becomes two of the table.
-- Grain:      see mart.shift_output_by_file
-- Parameters: see etl.load_flights: the state machine calls all load procedures alike
-- Reads:      lake.shifts (the partition alone)
-- Writes:     mart.shift_output_by_file; the ledger, through etl.finish_load
-- Rerun:      a file in the ledger is skipped; a load in the ledger gives its recorded answer.
-- Example:    call etl.load_shifts('shifts-1a2b', 'shifts-1a2b', '[…]', 'append',
--             '', 0, 0, 0, 0, 0, '', '', '', '', '');
create or replace procedure etl.load_shifts(
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
    v_started_at timestamp;
    v_counted_rows bigint := 0;
    v_date date;
begin
    lock table etl.shifts_lock;
    update etl.shifts_lock set is_held = true;
    v_started_at := getdate();

    call etl.create_lake_schema();
    call etl.register_files('shifts', p_files, p_same_key);

    drop table if exists load_rows;
    create temp table load_rows (
        file_id varchar(32),
        line varchar(65535),
        kind varchar(16),
        reject_reason varchar(1024),
        reject_value varchar(65535),
        plant varchar(256),
        by_day bigint,
        by_night bigint
    );

    insert into load_rows (
        file_id, line, kind, reject_reason, reject_value, plant, by_day, by_night
    )
    with source as (
        select
            split_part(split_part("$path", '/run_id=' || p_run_id || '/', 2), '.', 1) as file_id,
            plant,
            by_day,
            by_night,
            row__surplus
        from lake.shifts
        where run_id = p_run_id
    ),

    typed as (
        select
            source.file_id,
            nvl(source.plant, '') || ',' || nvl(source.by_day, '') || ',' || nvl(source.by_night, '') as line,
            case when source.plant = 'plant' then 'header' else 'row' end as kind,
            source.plant,
            case when source.by_day ~ '^[0-9]{1,6}$' then cast(source.by_day as bigint) end as by_day,
            case when source.by_night ~ '^[0-9]{1,6}$' then cast(source.by_night as bigint) end as by_night,
            source.row__surplus
        from source
        inner join load_files on source.file_id = load_files.file_id
        where load_files.status in ('loaded', 'superseded')
    )

    select
        typed.file_id,
        typed.line,
        typed.kind,
        case
            when typed.kind = 'header' then null
            when typed.row__surplus is not null then 'too many fields'
            when typed.plant is null or typed.plant = '' or len(typed.plant) > 64 then 'plant: not a name'
            when typed.by_day is null or typed.by_night is null then 'not a number of pieces'
        end as reject_reason,
        cast(null as varchar(65535)) as reject_value,
        left(typed.plant, 64) as plant,
        typed.by_day,
        typed.by_night
    from typed;

    call etl.judge_files('plant,by_day,by_night', v_counted_rows);

    insert into mart.shift_output_by_file (
        file_id, plant, shift, pieces
    )
    with counted as (
        select
            load_rows.file_id,
            load_rows.plant,
            load_rows.by_day,
            load_rows.by_night
        from load_rows
        inner join load_files on load_rows.file_id = load_files.file_id
        where
            load_rows.kind = 'row'
            and load_rows.reject_reason is null
            and load_files.status = 'loaded'
    )

    select
        file_id,
        plant,
        'day' as shift,
        sum(by_day) as pieces
    from counted
    group by
        file_id,
        plant
    union all
    select
        file_id,
        plant,
        'night' as shift,
        sum(by_night) as pieces
    from counted
    group by
        file_id,
        plant;
    get diagnostics p_aggregate_rows := row_count;

    call etl.finish_load(
        'shifts', p_run_id, p_load_id, v_started_at, v_counted_rows, v_date, v_date,
        p_status, p_files_loaded, p_files_skipped, p_source_rows, p_rejected_rows,
        p_aggregate_rows, p_empty_file_ids, p_dates_covered, p_reject_reasons, p_rejected_files,
        p_same_files
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

grant execute on procedure etl.load_shifts(
    varchar, varchar, varchar, varchar, varchar, bigint, bigint, bigint, bigint, bigint, varchar,
    varchar, varchar, varchar, varchar
) to etl_loader;
