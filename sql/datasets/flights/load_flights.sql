-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose:    loads one batch of flights files: reads them once, keeps what can be read.
-- Grain:      see the tables
-- Parameters: p_run_id           the partition of lake.flights that holds this run's files
--             p_load_id          the batch
--             p_files            see etl.register_files
--             p_same_key         see etl.register_files
--             p_status …         the answer, one row: see etl.finish_load
-- Reads:      lake.flights (the partition alone), etl.loaded_files
-- Writes:     mart.daily_route_performance_by_file
--             the ledger, through etl.finish_load
-- Rerun:      a file in the ledger is skipped; a load in the ledger gives its recorded answer.
-- Example:    call etl.load_flights('flights-1a2b', 'flights-1a2b', '[…]', 'replace',
--             '', 0, 0, 0, 0, 0, '', '', '', '', '');
create or replace procedure etl.load_flights(
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
    lock table etl.flights_lock;
    update etl.flights_lock set is_held = true;
    v_started_at := getdate();

    call etl.create_lake_schema();
    call etl.create_daily_route_performance_by_file();
    call etl.register_files('flights', p_files, p_same_key);

    select
        nvl(sum(case when status = 'loaded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'superseded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'replaced' then 1 else 0 end), 0)
    into v_new_files, v_superseded_files, v_replaced_files
    from load_files;

    -- No statement runs that changes nothing: it would take its locks all the same.
    if v_replaced_files > 0 then
        delete from mart.daily_route_performance_by_file
        where file_id in (select file_id from load_files where status = 'replaced');
    end if;

    drop table if exists load_rows;
    create temp table load_rows (
        file_id varchar(32),
        line varchar(65535),
        kind varchar(16),
        reject_reason varchar(1024),
        reject_value varchar(65535),
        dep_time bigint,
        dep_delay bigint,
        arr_delay bigint,
        carrier varchar(256),
        origin varchar(256),
        dest varchar(256),
        distance bigint,
        flight_date date
    );

    if v_new_files + v_superseded_files > 0 then
        insert into load_rows (
            file_id, line, kind, reject_reason, reject_value,
            dep_time,
            dep_delay,
            arr_delay,
            carrier,
            origin,
            dest,
            distance,
            flight_date
        )
        with source as (
            select
                split_part(split_part("$path", '/run_id=' || p_run_id || '/', 2), '.', 1) as file_id,
                year,
                month,
                day,
                dep_time,
                sched_dep_time,
                dep_delay,
                arr_time,
                sched_arr_time,
                arr_delay,
                carrier,
                flight,
                tailnum,
                origin,
                dest,
                air_time,
                distance,
                hour,
                minute,
                time_hour,
                row__surplus
            from lake.flights
            where run_id = p_run_id
        ),

        cells as (
            select
                source.file_id,
                nvl(source.year, '') || ',' || nvl(source.month, '') || ',' || nvl(source.day, '') || ',' || nvl(source.dep_time, '') || ',' || nvl(source.sched_dep_time, '') || ',' || nvl(source.dep_delay, '') || ',' || nvl(source.arr_time, '') || ',' || nvl(source.sched_arr_time, '') || ',' || nvl(source.arr_delay, '') || ',' || nvl(source.carrier, '') || ',' || nvl(source.flight, '') || ',' || nvl(source.tailnum, '') || ',' || nvl(source.origin, '') || ',' || nvl(source.dest, '') || ',' || nvl(source.air_time, '') || ',' || nvl(source.distance, '') || ',' || nvl(source.hour, '') || ',' || nvl(source.minute, '') || ',' || nvl(source.time_hour, '') || nvl(',' || source.row__surplus, '') as row__line,
                case when btrim(nvl(source.year, ''), v_blanks) = '' and btrim(nvl(source.month, ''), v_blanks) = '' and btrim(nvl(source.day, ''), v_blanks) = '' and btrim(nvl(source.dep_time, ''), v_blanks) = '' and btrim(nvl(source.sched_dep_time, ''), v_blanks) = '' and btrim(nvl(source.dep_delay, ''), v_blanks) = '' and btrim(nvl(source.arr_time, ''), v_blanks) = '' and btrim(nvl(source.sched_arr_time, ''), v_blanks) = '' and btrim(nvl(source.arr_delay, ''), v_blanks) = '' and btrim(nvl(source.carrier, ''), v_blanks) = '' and btrim(nvl(source.flight, ''), v_blanks) = '' and btrim(nvl(source.tailnum, ''), v_blanks) = '' and btrim(nvl(source.origin, ''), v_blanks) = '' and btrim(nvl(source.dest, ''), v_blanks) = '' and btrim(nvl(source.air_time, ''), v_blanks) = '' and btrim(nvl(source.distance, ''), v_blanks) = '' and btrim(nvl(source.hour, ''), v_blanks) = '' and btrim(nvl(source.minute, ''), v_blanks) = '' and btrim(nvl(source.time_hour, ''), v_blanks) = '' and btrim(nvl(source.row__surplus, ''), v_blanks) = '' then 'blank' when btrim(source.year, v_blanks) = 'year' and btrim(source.month, v_blanks) = 'month' and btrim(source.day, v_blanks) = 'day' and btrim(source.dep_time, v_blanks) = 'dep_time' and btrim(source.sched_dep_time, v_blanks) = 'sched_dep_time' and btrim(source.dep_delay, v_blanks) = 'dep_delay' and btrim(source.arr_time, v_blanks) = 'arr_time' and btrim(source.sched_arr_time, v_blanks) = 'sched_arr_time' and btrim(source.arr_delay, v_blanks) = 'arr_delay' and btrim(source.carrier, v_blanks) = 'carrier' and btrim(source.flight, v_blanks) = 'flight' and btrim(source.tailnum, v_blanks) = 'tailnum' and btrim(source.origin, v_blanks) = 'origin' and btrim(source.dest, v_blanks) = 'dest' and btrim(source.air_time, v_blanks) = 'air_time' and btrim(source.distance, v_blanks) = 'distance' and btrim(source.hour, v_blanks) = 'hour' and btrim(source.minute, v_blanks) = 'minute' and btrim(source.time_hour, v_blanks) = 'time_hour' then case when btrim(nvl(source.row__surplus, ''), v_blanks) = '' and source.row__surplus is not null then 'padded' else 'header' end else 'row' end as row__kind,
                case when source.time_hour is null then 'too few fields, not 19' when btrim(nvl(source.row__surplus, ''), v_blanks) <> '' then 'too many fields, not 19' else case when source.year is null then 'year' when source.month is null then 'month' when source.day is null then 'day' when source.dep_time is null then 'dep_time' when source.sched_dep_time is null then 'sched_dep_time' when source.dep_delay is null then 'dep_delay' when source.arr_time is null then 'arr_time' when source.sched_arr_time is null then 'sched_arr_time' when source.arr_delay is null then 'arr_delay' when source.carrier is null then 'carrier' when source.flight is null then 'flight' when source.tailnum is null then 'tailnum' when source.origin is null then 'origin' when source.dest is null then 'dest' when source.air_time is null then 'air_time' when source.distance is null then 'distance' when source.hour is null then 'hour' when source.minute is null then 'minute' end || ': longer than 65,535 bytes' end as row__fault,
                source.row__surplus,
                nullif(nullif(btrim(source.year, v_blanks), ''), '\\N') as year__text,
                nullif(nullif(btrim(source.month, v_blanks), ''), '\\N') as month__text,
                nullif(nullif(btrim(source.day, v_blanks), ''), '\\N') as day__text,
                nullif(btrim(source.dep_time, v_blanks), 'NA') as dep_time__text,
                nullif(nullif(btrim(source.sched_dep_time, v_blanks), ''), '\\N') as sched_dep_time__text,
                nullif(btrim(source.dep_delay, v_blanks), 'NA') as dep_delay__text,
                nullif(nullif(btrim(source.arr_time, v_blanks), ''), '\\N') as arr_time__text,
                nullif(nullif(btrim(source.sched_arr_time, v_blanks), ''), '\\N') as sched_arr_time__text,
                nullif(btrim(source.arr_delay, v_blanks), 'NA') as arr_delay__text,
                nullif(nullif(btrim(source.carrier, v_blanks), ''), '\\N') as carrier__text,
                nullif(nullif(btrim(source.flight, v_blanks), ''), '\\N') as flight__text,
                nullif(nullif(btrim(source.tailnum, v_blanks), ''), '\\N') as tailnum__text,
                nullif(nullif(btrim(source.origin, v_blanks), ''), '\\N') as origin__text,
                nullif(nullif(btrim(source.dest, v_blanks), ''), '\\N') as dest__text,
                nullif(nullif(btrim(source.air_time, v_blanks), ''), '\\N') as air_time__text,
                nullif(nullif(btrim(source.distance, v_blanks), ''), '\\N') as distance__text,
                nullif(nullif(btrim(source.hour, v_blanks), ''), '\\N') as hour__text,
                nullif(nullif(btrim(source.minute, v_blanks), ''), '\\N') as minute__text,
                nullif(nullif(btrim(source.time_hour, v_blanks), ''), '\\N') as time_hour__text
            from source
            inner join load_files on source.file_id = load_files.file_id
            -- The superseded ones too: a file that has to be refused is, whenever it comes.
            where load_files.status in ('loaded', 'superseded')
        ),

        typed as (
            select
                cells.*,
                case when year__text ~ '^[+-]?[0-9]{1,18}$' then cast(year__text as bigint) end as year,
                case when month__text ~ '^[+-]?[0-9]{1,18}$' then cast(month__text as bigint) end as month,
                case when day__text ~ '^[+-]?[0-9]{1,18}$' then cast(day__text as bigint) end as day,
                case when dep_time__text ~ '^[+-]?[0-9]{1,18}$' then cast(dep_time__text as bigint) end as dep_time,
                case when len(sched_dep_time__text) <= 256 then sched_dep_time__text end as sched_dep_time,
                case when dep_delay__text ~ '^[+-]?[0-9]{1,18}$' then cast(dep_delay__text as bigint) end as dep_delay,
                case when len(arr_time__text) <= 256 then arr_time__text end as arr_time,
                case when len(sched_arr_time__text) <= 256 then sched_arr_time__text end as sched_arr_time,
                case when arr_delay__text ~ '^[+-]?[0-9]{1,18}$' then cast(arr_delay__text as bigint) end as arr_delay,
                case when len(carrier__text) <= 64 then carrier__text end as carrier,
                case when len(flight__text) <= 256 then flight__text end as flight,
                case when len(tailnum__text) <= 256 then tailnum__text end as tailnum,
                case when len(origin__text) <= 64 then origin__text end as origin,
                case when len(dest__text) <= 64 then dest__text end as dest,
                case when len(air_time__text) <= 256 then air_time__text end as air_time,
                case when distance__text ~ '^[+-]?[0-9]{1,18}$' then cast(distance__text as bigint) end as distance,
                case when len(hour__text) <= 256 then hour__text end as hour,
                case when len(minute__text) <= 256 then minute__text end as minute,
                try_cast(case when time_hour__text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$' then replace(time_hour__text, 'T', ' ') end as timestamptz) at time zone 'UTC' as time_hour
            from cells
        ),

        computed as (
            select
                typed.*,
                try_cast(year || '-' || month || '-' || day as date) as flight_date
            from typed
        ),

        judged as (
            select
                computed.*,
                case
                    when computed.row__kind = 'blank' then null
                    when computed.row__kind = 'header' and btrim(computed.row__surplus, v_blanks) <> ''
                        then 'column "' || left(btrim(computed.row__surplus, v_blanks), 100) || '" of the header is not declared'
                    when computed.row__fault is not null then computed.row__fault
                    when computed.row__kind <> 'row' then null
                    when year__text is not null and year is null then 'year: not a whole number'
                    when month__text is not null and month is null then 'month: not a whole number'
                    when day__text is not null and day is null then 'day: not a whole number'
                    when dep_time__text is not null and dep_time is null then 'dep_time: not a whole number'
                    when dep_delay__text is not null and dep_delay is null then 'dep_delay: not a whole number'
                    when arr_delay__text is not null and arr_delay is null then 'arr_delay: not a whole number'
                    when distance__text is not null and distance is null then 'distance: not a whole number'
                    when time_hour__text is not null and time_hour is null then 'time_hour: not a time'
                    when year__text is null then 'year: empty'
                    when month__text is null then 'month: empty'
                    when day__text is null then 'day: empty'
                    when carrier__text is null then 'carrier: empty'
                    when origin__text is null then 'origin: empty'
                    when dest__text is null then 'dest: empty'
                    when distance__text is null then 'distance: empty'
                    when time_hour__text is null then 'time_hour: empty'
                    when year not between 1990 and 2100 then 'year: outside 1990 to 2100'
                    when month not between 1 and 12 then 'month: outside 1 to 12'
                    when day not between 1 and 31 then 'day: outside 1 to 31'
                    when dep_time not between 0 and 2400 then 'dep_time: outside 0 to 2400'
                    when dep_delay not between -1440 and 14400 then 'dep_delay: outside -1440 to 14400'
                    when arr_delay not between -1440 and 14400 then 'arr_delay: outside -1440 to 14400'
                    when distance not between 0 and 20000 then 'distance: outside 0 to 20000'
                    when len(sched_dep_time__text) > 256 then 'sched_dep_time: longer than 256 characters'
                    when len(arr_time__text) > 256 then 'arr_time: longer than 256 characters'
                    when len(sched_arr_time__text) > 256 then 'sched_arr_time: longer than 256 characters'
                    when len(carrier__text) > 64 then 'carrier: longer than 64 characters'
                    when len(flight__text) > 256 then 'flight: longer than 256 characters'
                    when len(tailnum__text) > 256 then 'tailnum: longer than 256 characters'
                    when len(origin__text) > 64 then 'origin: longer than 64 characters'
                    when len(dest__text) > 64 then 'dest: longer than 64 characters'
                    when len(air_time__text) > 256 then 'air_time: longer than 256 characters'
                    when len(hour__text) > 256 then 'hour: longer than 256 characters'
                    when len(minute__text) > 256 then 'minute: longer than 256 characters'
                    when flight_date is null then 'flight_date: cannot be computed'
                    -- Last of all: a file whose header is padded likewise may have it.
                    when computed.row__surplus is not null then 'too many fields, the last of them empty'
                end as reject_reason
            from computed
        )

        select
            judged.file_id,
            case when judged.reject_reason is not null or judged.row__kind <> 'row' then judged.row__line end as line,
            judged.row__kind as kind,
            judged.reject_reason,
            case split_part(judged.reject_reason, ':', 1)
                when 'year' then judged.year__text
                when 'month' then judged.month__text
                when 'day' then judged.day__text
                when 'dep_time' then judged.dep_time__text
                when 'sched_dep_time' then judged.sched_dep_time__text
                when 'dep_delay' then judged.dep_delay__text
                when 'arr_time' then judged.arr_time__text
                when 'sched_arr_time' then judged.sched_arr_time__text
                when 'arr_delay' then judged.arr_delay__text
                when 'carrier' then judged.carrier__text
                when 'flight' then judged.flight__text
                when 'tailnum' then judged.tailnum__text
                when 'origin' then judged.origin__text
                when 'dest' then judged.dest__text
                when 'air_time' then judged.air_time__text
                when 'distance' then judged.distance__text
                when 'hour' then judged.hour__text
                when 'minute' then judged.minute__text
                when 'time_hour' then judged.time_hour__text
            end as reject_value,
            judged.dep_time,
            judged.dep_delay,
            judged.arr_delay,
            judged.carrier,
            judged.origin,
            judged.dest,
            judged.distance,
            judged.flight_date
        from judged;
    end if;

    call etl.judge_files('year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour', v_counted_rows);

    p_aggregate_rows := 0;
    if v_new_files > 0 then
        insert into mart.daily_route_performance_by_file (
            file_id,
            flight_date,
            carrier,
            origin,
            destination,
            flights,
            cancelled,
            delayed_departures,
            departure_delay_minutes,
            arrival_delay_minutes,
            distance_miles
        )
        select
            file_id,
            flight_date,
            carrier,
            origin,
            dest as destination,
            count(*) as flights,
            sum(case when dep_time is null then 1 else 0 end) as cancelled,
            sum(case when dep_delay > 15 then 1 else 0 end) as delayed_departures,
            nvl(sum(dep_delay), 0) as departure_delay_minutes,
            nvl(sum(arr_delay), 0) as arrival_delay_minutes,
            nvl(sum(distance), 0) as distance_miles
        from load_rows
        where
            kind = 'row'
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded')
        group by
            file_id,
            flight_date,
            carrier,
            origin,
            dest;
        get diagnostics v_table_rows := row_count;
        p_aggregate_rows := p_aggregate_rows + v_table_rows;

        select nvl(sum(flights), 0) into v_kept_rows
        from mart.daily_route_performance_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
        if v_kept_rows <> v_counted_rows then
            raise exception 'load %: mart.daily_route_performance_by_file stands for % rows of %', p_load_id, v_kept_rows, v_counted_rows;
        end if;

        select min(flight_date), max(flight_date) into v_first_date, v_last_date
        from load_rows
        where
            kind = 'row'
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded');
    end if;

    call etl.finish_load(
        'flights', p_run_id, p_load_id, v_started_at, v_counted_rows, v_first_date, v_last_date,
        p_status, p_files_loaded, p_files_skipped, p_source_rows, p_rejected_rows,
        p_aggregate_rows, p_empty_file_ids, p_dates_covered, p_reject_reasons, p_rejected_files,
        p_same_files
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

grant execute on procedure etl.load_flights(
    varchar, varchar, varchar, varchar, varchar, bigint, bigint, bigint, bigint, bigint, varchar,
    varchar, varchar, varchar, varchar
) to etl_loader;
