-- Purpose:    loads one batch of flights files: reads them once, aggregates what can be read.
-- Grain:      mart.daily_route_performance_by_file
-- Parameters: p_run_id           the partition of lake.flights that holds this run's files
--             p_load_id          the batch
--             p_files            see etl.register_files
--             p_same_key         see etl.register_files
--             p_status …         the answer, one row: see etl.finish_load
-- Reads:      lake.flights (the partition alone), etl.loaded_files
-- Writes:     mart.daily_route_performance_by_file, and the ledger through etl.finish_load
-- Rerun:      a file in the ledger is skipped; a load in the ledger gives its recorded answer.
-- Example:    call etl.load_flights('flights-1a2b', 'flights-1a2b', '[…]', 'replace',
--             '', 0, 0, 0, 0, 0, '', '');
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
    inout p_dates_covered varchar(32)
)
as $$
declare
    v_header varchar(1024) := 'year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour';
    v_started_at timestamp;
    v_new_files bigint;
    v_superseded_files bigint;
    v_replaced_files bigint;
    v_aggregated_rows bigint := 0;
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
        is_header boolean,
        reject_reason varchar(1024),
        flight_date date,
        carrier varchar(260),
        origin varchar(260),
        destination varchar(260),
        is_cancelled boolean,
        departure_delay_minutes bigint,
        arrival_delay_minutes bigint,
        distance_miles bigint
    );

    if v_new_files + v_superseded_files > 0 then
        insert into load_rows (
            file_id, line, is_header, reject_reason, flight_date, carrier, origin, destination,
            is_cancelled, departure_delay_minutes, arrival_delay_minutes, distance_miles
        )
        with source as (
            select
                split_part(split_part("$path", '/run_id=' || p_run_id || '/', 2), '.', 1) as file_id,
                year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time,
                arr_delay, carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute,
                -- Nobody could say whether the CR of a CRLF stays at the end of a line.
                rtrim(time_hour, chr(13)) as time_hour
            from lake.flights
            where run_id = p_run_id
        ),

        typed as (
            select
                source.file_id,
                nvl(source.year, '') || ',' || nvl(source.month, '') || ',' || nvl(source.day, '')
                || ',' || nvl(source.dep_time, '') || ',' || nvl(source.sched_dep_time, '')
                || ',' || nvl(source.dep_delay, '') || ',' || nvl(source.arr_time, '')
                || ',' || nvl(source.sched_arr_time, '') || ',' || nvl(source.arr_delay, '')
                || ',' || nvl(source.carrier, '') || ',' || nvl(source.flight, '')
                || ',' || nvl(source.tailnum, '') || ',' || nvl(source.origin, '')
                || ',' || nvl(source.dest, '') || ',' || nvl(source.air_time, '')
                || ',' || nvl(source.distance, '') || ',' || nvl(source.hour, '')
                || ',' || nvl(source.minute, '') || ',' || nvl(source.time_hour, '') as line,
                -- lpad would cut a longer text down to a month that is not meant.
                case when len(source.year) = 4 and len(source.month) <= 2 and len(source.day) <= 2
                    then try_cast(
                        source.year || '-' || lpad(source.month, 2, '0') || '-' || lpad(source.day, 2, '0') as date
                    )
                end as flight_date,
                left(trim(source.carrier), 65) as carrier,
                left(trim(source.origin), 65) as origin,
                left(trim(source.dest), 65) as destination,
                trim(source.dep_time) as departure_time,
                trim(source.dep_delay) as departure_delay,
                trim(source.arr_delay) as arrival_delay,
                try_cast(nullif(trim(source.dep_time), '') as bigint) as departure_time_of_day,
                try_cast(nullif(trim(source.dep_delay), '') as bigint) as departure_delay_minutes,
                try_cast(nullif(trim(source.arr_delay), '') as bigint) as arrival_delay_minutes,
                try_cast(nullif(trim(source.distance), '') as bigint) as distance_miles,
                source.time_hour
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
                when typed.time_hour is null then 'fewer than 19 columns'
                when typed.flight_date is null then 'year, month, day: not a date'
                when nvl(typed.carrier, '') = '' or len(typed.carrier) > 64 then 'carrier: empty or too long'
                when nvl(typed.origin, '') = '' or len(typed.origin) > 64 then 'origin: empty or too long'
                when nvl(typed.destination, '') = '' or len(typed.destination) > 64 then 'dest: empty or too long'
                when typed.departure_time <> 'NA' and typed.departure_time_of_day is null
                    then 'dep_time: neither a number nor NA'
                when typed.departure_delay <> 'NA' and typed.departure_delay_minutes is null
                    then 'dep_delay: neither a number nor NA'
                when typed.arrival_delay <> 'NA' and typed.arrival_delay_minutes is null
                    then 'arr_delay: neither a number nor NA'
                when typed.distance_miles is null then 'distance: not a number'
            end as reject_reason,
            typed.flight_date,
            typed.carrier,
            typed.origin,
            typed.destination,
            typed.departure_time = 'NA' as is_cancelled,
            typed.departure_delay_minutes,
            typed.arrival_delay_minutes,
            typed.distance_miles
        from typed;
    end if;

    p_aggregate_rows := 0;
    if v_new_files > 0 then
        insert into mart.daily_route_performance_by_file (
            file_id, flight_date, carrier, origin, destination, flights, cancelled,
            delayed_departures, departure_delay_minutes, arrival_delay_minutes, distance_miles
        )
        select
            file_id,
            flight_date,
            carrier,
            origin,
            destination,
            count(*) as flights,
            sum(case when is_cancelled then 1 else 0 end) as cancelled,
            sum(case when departure_delay_minutes > 15 then 1 else 0 end) as delayed_departures,
            sum(nvl(departure_delay_minutes, 0)) as departure_delay_minutes,
            sum(nvl(arrival_delay_minutes, 0)) as arrival_delay_minutes,
            sum(distance_miles) as distance_miles
        from load_rows
        where
            not is_header
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded')
        group by
            file_id,
            flight_date,
            carrier,
            origin,
            destination;
        get diagnostics p_aggregate_rows := row_count;

        select nvl(sum(flights), 0), min(flight_date), max(flight_date)
        into v_aggregated_rows, v_first_date, v_last_date
        from mart.daily_route_performance_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
    end if;

    call etl.finish_load(
        'flights', p_run_id, p_load_id, v_header, v_started_at, v_aggregated_rows,
        v_first_date, v_last_date, p_status, p_files_loaded, p_files_skipped, p_source_rows, p_rejected_rows,
        p_aggregate_rows, p_empty_file_ids, p_dates_covered
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

grant execute on procedure etl.load_flights(
    varchar, varchar, varchar, varchar, varchar, bigint, bigint, bigint, bigint, bigint, varchar,
    varchar
) to etl_loader;
