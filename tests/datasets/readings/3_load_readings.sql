-- See sql/datasets/flights/load_flights.sql, whose pattern this follows.
create or replace procedure etl.load_readings(
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
    inout p_dates_covered varchar(32)
)
as $$
declare
    v_header varchar(1024) := 'station,day,reading';
    v_started_at timestamp;
    v_new_files bigint;
    v_superseded_files bigint;
    v_replaced_files bigint;
    v_aggregated_rows bigint := 0;
    v_first_date date;
    v_last_date date;
begin
    lock table etl.readings_lock;
    update etl.readings_lock set is_held = true;
    v_started_at := getdate();

    call etl.create_lake_schema();
    call etl.create_daily_readings_by_file();
    call etl.register_files('readings', p_files, p_same_key);

    select
        nvl(sum(case when status = 'loaded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'superseded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'replaced' then 1 else 0 end), 0)
    into v_new_files, v_superseded_files, v_replaced_files
    from load_files;

    if v_replaced_files > 0 then
        delete from mart.daily_readings_by_file
        where file_id in (select file_id from load_files where status = 'replaced');
    end if;

    drop table if exists load_rows;
    create temp table load_rows (
        file_id varchar(32),
        line varchar(65535),
        is_header boolean,
        reject_reason varchar(1024),
        station varchar(260),
        day date,
        reading bigint
    );

    if v_new_files + v_superseded_files > 0 then
        insert into load_rows (file_id, line, is_header, reject_reason, station, day, reading)
        with source as (
            select
                split_part(split_part("$path", '/run_id=' || p_run_id || '/', 2), '.', 1) as file_id,
                station,
                day,
                rtrim(reading, chr(13)) as reading
            from lake.readings
            where run_id = p_run_id
        ),

        typed as (
            select
                source.file_id,
                nvl(source.station, '') || ',' || nvl(source.day, '') || ',' || nvl(source.reading, '') as line,
                trim(source.station) as station,
                try_cast(nullif(trim(source.day), '') as date) as day,
                try_cast(nullif(trim(source.reading), '') as bigint) as reading
            from source
            inner join load_files on source.file_id = load_files.file_id
            -- The superseded ones too: a file that has to be refused is, whenever it comes.
            where load_files.status in ('loaded', 'superseded')
        )

        select
            typed.file_id,
            left(typed.line, 16000) as line,
            typed.line = v_header as is_header,
            case
                when nvl(typed.station, '') = '' or len(typed.station) > 64 then 'station: empty or too long'
                when typed.day is null then 'day: not a date'
                when typed.reading is null then 'reading: not a number'
            end as reject_reason,
            typed.station,
            typed.day,
            typed.reading
        from typed;
    end if;

    p_aggregate_rows := 0;
    if v_new_files > 0 then
        insert into mart.daily_readings_by_file (file_id, station, day, readings, total)
        select
            file_id,
            station,
            day,
            count(*) as readings,
            sum(reading) as total
        from load_rows
        where
            not is_header
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded')
        group by
            file_id,
            station,
            day;
        get diagnostics p_aggregate_rows := row_count;

        select nvl(sum(readings), 0), min(day), max(day)
        into v_aggregated_rows, v_first_date, v_last_date
        from mart.daily_readings_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
    end if;

    call etl.finish_load(
        'readings', p_run_id, p_load_id, v_header, v_started_at, v_aggregated_rows,
        v_first_date, v_last_date, p_status, p_files_loaded, p_files_skipped, p_source_rows, p_rejected_rows,
        p_aggregate_rows, p_empty_file_ids, p_dates_covered
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

grant execute on procedure etl.load_readings(
    varchar, varchar, varchar, varchar, varchar, bigint, bigint, bigint, bigint, bigint, varchar,
    varchar
) to etl_loader;
