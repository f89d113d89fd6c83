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
    v_refused_rows bigint := 0;
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
        row__number bigint identity(1, 1),
        file_id varchar(32),
        line varchar(65535),
        kind varchar(16),
        reject_reason varchar(1024),
        reject_value varchar(65535),
        row__fault varchar(1024),
        year__raw varchar(65535),
        month__raw varchar(65535),
        day__raw varchar(65535),
        dep_time__raw varchar(65535),
        sched_dep_time__raw varchar(65535),
        dep_delay__raw varchar(65535),
        arr_time__raw varchar(65535),
        sched_arr_time__raw varchar(65535),
        arr_delay__raw varchar(65535),
        carrier__raw varchar(65535),
        flight__raw varchar(65535),
        tailnum__raw varchar(65535),
        origin__raw varchar(65535),
        dest__raw varchar(65535),
        air_time__raw varchar(65535),
        distance__raw varchar(65535),
        hour__raw varchar(65535),
        minute__raw varchar(65535),
        time_hour__raw varchar(65535),
        row__surplus varchar(65535),
        year bigint,
        month bigint,
        day bigint,
        dep_time bigint,
        dep_delay bigint,
        arr_delay bigint,
        carrier varchar(256),
        origin varchar(256),
        dest varchar(256),
        distance bigint,
        time_hour timestamp,
        flight_date date
    );

    if v_new_files + v_superseded_files > 0 then
        -- Each value is read out of its text here, once; what follows goes by the values.
        insert into load_rows (
            file_id, kind, row__fault,
            year__raw,
            month__raw,
            day__raw,
            dep_time__raw,
            sched_dep_time__raw,
            dep_delay__raw,
            arr_time__raw,
            sched_arr_time__raw,
            arr_delay__raw,
            carrier__raw,
            flight__raw,
            tailnum__raw,
            origin__raw,
            dest__raw,
            air_time__raw,
            distance__raw,
            hour__raw,
            minute__raw,
            time_hour__raw,
            row__surplus,
            year,
            month,
            day,
            dep_time,
            dep_delay,
            arr_delay,
            carrier,
            origin,
            dest,
            distance,
            time_hour,
            flight_date
        )
        with source as (
            select
                split_part(split_part("$path", '/run_id=' || p_run_id || '/', 2), '.', 1) as file_id,
                year as year__raw,
                month as month__raw,
                day as day__raw,
                dep_time as dep_time__raw,
                sched_dep_time as sched_dep_time__raw,
                dep_delay as dep_delay__raw,
                arr_time as arr_time__raw,
                sched_arr_time as sched_arr_time__raw,
                arr_delay as arr_delay__raw,
                carrier as carrier__raw,
                flight as flight__raw,
                tailnum as tailnum__raw,
                origin as origin__raw,
                dest as dest__raw,
                air_time as air_time__raw,
                distance as distance__raw,
                hour as hour__raw,
                minute as minute__raw,
                time_hour as time_hour__raw,
                row__surplus
            from lake.flights
            where run_id = p_run_id
        ),

        cells as (
            select
                file_id,
                case when btrim(nvl(year__raw, ''), v_blanks) = '' and btrim(nvl(month__raw, ''), v_blanks) = '' and btrim(nvl(day__raw, ''), v_blanks) = '' and btrim(nvl(dep_time__raw, ''), v_blanks) = '' and btrim(nvl(sched_dep_time__raw, ''), v_blanks) = '' and btrim(nvl(dep_delay__raw, ''), v_blanks) = '' and btrim(nvl(arr_time__raw, ''), v_blanks) = '' and btrim(nvl(sched_arr_time__raw, ''), v_blanks) = '' and btrim(nvl(arr_delay__raw, ''), v_blanks) = '' and btrim(nvl(carrier__raw, ''), v_blanks) = '' and btrim(nvl(flight__raw, ''), v_blanks) = '' and btrim(nvl(tailnum__raw, ''), v_blanks) = '' and btrim(nvl(origin__raw, ''), v_blanks) = '' and btrim(nvl(dest__raw, ''), v_blanks) = '' and btrim(nvl(air_time__raw, ''), v_blanks) = '' and btrim(nvl(distance__raw, ''), v_blanks) = '' and btrim(nvl(hour__raw, ''), v_blanks) = '' and btrim(nvl(minute__raw, ''), v_blanks) = '' and btrim(nvl(time_hour__raw, ''), v_blanks) = '' and btrim(nvl(row__surplus, ''), v_blanks) = '' then 'blank' when btrim(year__raw, v_blanks) = 'year' and btrim(month__raw, v_blanks) = 'month' and btrim(day__raw, v_blanks) = 'day' and btrim(dep_time__raw, v_blanks) = 'dep_time' and btrim(sched_dep_time__raw, v_blanks) = 'sched_dep_time' and btrim(dep_delay__raw, v_blanks) = 'dep_delay' and btrim(arr_time__raw, v_blanks) = 'arr_time' and btrim(sched_arr_time__raw, v_blanks) = 'sched_arr_time' and btrim(arr_delay__raw, v_blanks) = 'arr_delay' and btrim(carrier__raw, v_blanks) = 'carrier' and btrim(flight__raw, v_blanks) = 'flight' and btrim(tailnum__raw, v_blanks) = 'tailnum' and btrim(origin__raw, v_blanks) = 'origin' and btrim(dest__raw, v_blanks) = 'dest' and btrim(air_time__raw, v_blanks) = 'air_time' and btrim(distance__raw, v_blanks) = 'distance' and btrim(hour__raw, v_blanks) = 'hour' and btrim(minute__raw, v_blanks) = 'minute' and btrim(time_hour__raw, v_blanks) = 'time_hour' then case when btrim(nvl(row__surplus, ''), v_blanks) = '' and row__surplus is not null then 'padded' else 'header' end else 'row' end as kind,
                case when time_hour__raw is null then 'too few fields, not 19' when btrim(nvl(row__surplus, ''), v_blanks) <> '' then 'too many fields, not 19' else case when year__raw is null then 'year' when month__raw is null then 'month' when day__raw is null then 'day' when dep_time__raw is null then 'dep_time' when sched_dep_time__raw is null then 'sched_dep_time' when dep_delay__raw is null then 'dep_delay' when arr_time__raw is null then 'arr_time' when sched_arr_time__raw is null then 'sched_arr_time' when arr_delay__raw is null then 'arr_delay' when carrier__raw is null then 'carrier' when flight__raw is null then 'flight' when tailnum__raw is null then 'tailnum' when origin__raw is null then 'origin' when dest__raw is null then 'dest' when air_time__raw is null then 'air_time' when distance__raw is null then 'distance' when hour__raw is null then 'hour' when minute__raw is null then 'minute' end || ': longer than 65,535 bytes' end as row__fault,
                year__raw,
                month__raw,
                day__raw,
                dep_time__raw,
                sched_dep_time__raw,
                dep_delay__raw,
                arr_time__raw,
                sched_arr_time__raw,
                arr_delay__raw,
                carrier__raw,
                flight__raw,
                tailnum__raw,
                origin__raw,
                dest__raw,
                air_time__raw,
                distance__raw,
                hour__raw,
                minute__raw,
                time_hour__raw,
                row__surplus,
                btrim(year__raw, v_blanks) as year__text,
                btrim(month__raw, v_blanks) as month__text,
                btrim(day__raw, v_blanks) as day__text,
                btrim(dep_time__raw, v_blanks) as dep_time__text,
                btrim(dep_delay__raw, v_blanks) as dep_delay__text,
                btrim(arr_delay__raw, v_blanks) as arr_delay__text,
                nullif(nullif(btrim(carrier__raw, v_blanks), ''), '\\N') as carrier__text,
                nullif(nullif(btrim(origin__raw, v_blanks), ''), '\\N') as origin__text,
                nullif(nullif(btrim(dest__raw, v_blanks), ''), '\\N') as dest__text,
                btrim(distance__raw, v_blanks) as distance__text,
                btrim(time_hour__raw, v_blanks) as time_hour__text
            from source
            -- The superseded ones too: a file that has to be refused is, whenever it comes.
            where file_id in (select file_id from load_files where status in ('loaded', 'superseded'))
        ),

        typed as (
            select
                cells.*,
                case when year__text ~ '^[+-]?[0-9]+$' and len(ltrim(year__text, '+-')) <= 18 then cast(year__text as bigint) end as year,
                case when month__text ~ '^[+-]?[0-9]+$' and len(ltrim(month__text, '+-')) <= 18 then cast(month__text as bigint) end as month,
                case when day__text ~ '^[+-]?[0-9]+$' and len(ltrim(day__text, '+-')) <= 18 then cast(day__text as bigint) end as day,
                case when dep_time__text ~ '^[+-]?[0-9]+$' and len(ltrim(dep_time__text, '+-')) <= 18 then cast(dep_time__text as bigint) end as dep_time,
                case when dep_delay__text ~ '^[+-]?[0-9]+$' and len(ltrim(dep_delay__text, '+-')) <= 18 then cast(dep_delay__text as bigint) end as dep_delay,
                case when arr_delay__text ~ '^[+-]?[0-9]+$' and len(ltrim(arr_delay__text, '+-')) <= 18 then cast(arr_delay__text as bigint) end as arr_delay,
                case when len(carrier__text) <= 64 then carrier__text end as carrier,
                case when len(origin__text) <= 64 then origin__text end as origin,
                case when len(dest__text) <= 64 then dest__text end as dest,
                case when distance__text ~ '^[+-]?[0-9]+$' and len(ltrim(distance__text, '+-')) <= 18 then cast(distance__text as bigint) end as distance,
                try_cast(case when time_hour__text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$' then replace(time_hour__text, 'T', ' ') end as timestamptz) at time zone 'UTC' as time_hour
            from cells
        )

        select
            file_id,
            kind,
            row__fault,
            year__raw,
            month__raw,
            day__raw,
            dep_time__raw,
            sched_dep_time__raw,
            dep_delay__raw,
            arr_time__raw,
            sched_arr_time__raw,
            arr_delay__raw,
            carrier__raw,
            flight__raw,
            tailnum__raw,
            origin__raw,
            dest__raw,
            air_time__raw,
            distance__raw,
            hour__raw,
            minute__raw,
            time_hour__raw,
            row__surplus,
            year,
            month,
            day,
            dep_time,
            dep_delay,
            arr_delay,
            carrier,
            origin,
            dest,
            distance,
            time_hour,
            try_cast(year || '-' || month || '-' || day as date) as flight_date
        from typed;

        -- Rejected rows alone are written again.
        update load_rows
        set reject_reason = judged.reject_reason
        from (
            select
                row__number,
                case
                    when kind = 'blank' then null
                    when kind = 'header' and btrim(row__surplus, v_blanks) <> ''
                        then 'column "' || left(btrim(row__surplus, v_blanks), 100) || '" of the header is not declared'
                    when row__fault is not null then row__fault
                    when kind <> 'row' then null
                    when year is null and btrim(year__raw, v_blanks) not in ('', '\\N') then 'year: not a whole number'
                    when month is null and btrim(month__raw, v_blanks) not in ('', '\\N') then 'month: not a whole number'
                    when day is null and btrim(day__raw, v_blanks) not in ('', '\\N') then 'day: not a whole number'
                    when dep_time is null and btrim(dep_time__raw, v_blanks) not in ('NA') then 'dep_time: not a whole number'
                    when dep_delay is null and btrim(dep_delay__raw, v_blanks) not in ('NA') then 'dep_delay: not a whole number'
                    when arr_delay is null and btrim(arr_delay__raw, v_blanks) not in ('NA') then 'arr_delay: not a whole number'
                    when distance is null and btrim(distance__raw, v_blanks) not in ('', '\\N') then 'distance: not a whole number'
                    when time_hour is null and btrim(time_hour__raw, v_blanks) not in ('', '\\N') then 'time_hour: not a time'
                    when year is null then 'year: empty'
                    when month is null then 'month: empty'
                    when day is null then 'day: empty'
                    when nullif(nullif(btrim(carrier__raw, v_blanks), ''), '\\N') is null then 'carrier: empty'
                    when nullif(nullif(btrim(origin__raw, v_blanks), ''), '\\N') is null then 'origin: empty'
                    when nullif(nullif(btrim(dest__raw, v_blanks), ''), '\\N') is null then 'dest: empty'
                    when distance is null then 'distance: empty'
                    when time_hour is null then 'time_hour: empty'
                    when year not between 1990 and 2100 then 'year: outside 1990 to 2100'
                    when month not between 1 and 12 then 'month: outside 1 to 12'
                    when day not between 1 and 31 then 'day: outside 1 to 31'
                    when dep_time not between 0 and 2400 then 'dep_time: outside 0 to 2400'
                    when dep_delay not between -1440 and 14400 then 'dep_delay: outside -1440 to 14400'
                    when arr_delay not between -1440 and 14400 then 'arr_delay: outside -1440 to 14400'
                    when distance not between 0 and 20000 then 'distance: outside 0 to 20000'
                    when len(btrim(sched_dep_time__raw, v_blanks)) > 256 then 'sched_dep_time: longer than 256 characters'
                    when len(btrim(arr_time__raw, v_blanks)) > 256 then 'arr_time: longer than 256 characters'
                    when len(btrim(sched_arr_time__raw, v_blanks)) > 256 then 'sched_arr_time: longer than 256 characters'
                    when len(btrim(carrier__raw, v_blanks)) > 64 then 'carrier: longer than 64 characters'
                    when len(btrim(flight__raw, v_blanks)) > 256 then 'flight: longer than 256 characters'
                    when len(btrim(tailnum__raw, v_blanks)) > 256 then 'tailnum: longer than 256 characters'
                    when len(btrim(origin__raw, v_blanks)) > 64 then 'origin: longer than 64 characters'
                    when len(btrim(dest__raw, v_blanks)) > 64 then 'dest: longer than 64 characters'
                    when len(btrim(air_time__raw, v_blanks)) > 256 then 'air_time: longer than 256 characters'
                    when len(btrim(hour__raw, v_blanks)) > 256 then 'hour: longer than 256 characters'
                    when len(btrim(minute__raw, v_blanks)) > 256 then 'minute: longer than 256 characters'
                    when flight_date is null then 'flight_date: cannot be computed'
                    -- Last of all: a file whose header is padded likewise may have it.
                    when row__surplus is not null then 'too many fields, the last of them empty'
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
            line = nvl(year__raw, '') || ',' || nvl(month__raw, '') || ',' || nvl(day__raw, '') || ',' || nvl(dep_time__raw, '') || ',' || nvl(sched_dep_time__raw, '') || ',' || nvl(dep_delay__raw, '') || ',' || nvl(arr_time__raw, '') || ',' || nvl(sched_arr_time__raw, '') || ',' || nvl(arr_delay__raw, '') || ',' || nvl(carrier__raw, '') || ',' || nvl(flight__raw, '') || ',' || nvl(tailnum__raw, '') || ',' || nvl(origin__raw, '') || ',' || nvl(dest__raw, '') || ',' || nvl(air_time__raw, '') || ',' || nvl(distance__raw, '') || ',' || nvl(hour__raw, '') || ',' || nvl(minute__raw, '') || ',' || nvl(time_hour__raw, '') || nvl(',' || row__surplus, ''),
            reject_value = case split_part(reject_reason, ':', 1)
                when 'year' then nullif(nullif(btrim(year__raw, v_blanks), ''), '\\N')
                when 'month' then nullif(nullif(btrim(month__raw, v_blanks), ''), '\\N')
                when 'day' then nullif(nullif(btrim(day__raw, v_blanks), ''), '\\N')
                when 'dep_time' then nullif(btrim(dep_time__raw, v_blanks), 'NA')
                when 'sched_dep_time' then nullif(nullif(btrim(sched_dep_time__raw, v_blanks), ''), '\\N')
                when 'dep_delay' then nullif(btrim(dep_delay__raw, v_blanks), 'NA')
                when 'arr_time' then nullif(nullif(btrim(arr_time__raw, v_blanks), ''), '\\N')
                when 'sched_arr_time' then nullif(nullif(btrim(sched_arr_time__raw, v_blanks), ''), '\\N')
                when 'arr_delay' then nullif(btrim(arr_delay__raw, v_blanks), 'NA')
                when 'carrier' then nullif(nullif(btrim(carrier__raw, v_blanks), ''), '\\N')
                when 'flight' then nullif(nullif(btrim(flight__raw, v_blanks), ''), '\\N')
                when 'tailnum' then nullif(nullif(btrim(tailnum__raw, v_blanks), ''), '\\N')
                when 'origin' then nullif(nullif(btrim(origin__raw, v_blanks), ''), '\\N')
                when 'dest' then nullif(nullif(btrim(dest__raw, v_blanks), ''), '\\N')
                when 'air_time' then nullif(nullif(btrim(air_time__raw, v_blanks), ''), '\\N')
                when 'distance' then nullif(nullif(btrim(distance__raw, v_blanks), ''), '\\N')
                when 'hour' then nullif(nullif(btrim(hour__raw, v_blanks), ''), '\\N')
                when 'minute' then nullif(nullif(btrim(minute__raw, v_blanks), ''), '\\N')
                when 'time_hour' then nullif(nullif(btrim(time_hour__raw, v_blanks), ''), '\\N')
            end
        where reject_reason is not null;
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
        where kind = 'row' and reject_reason is null
        group by
            file_id,
            flight_date,
            carrier,
            origin,
            dest;
        get diagnostics v_table_rows := row_count;
        p_aggregate_rows := p_aggregate_rows + v_table_rows;

        select nvl(sum(flights), 0), min(flight_date), max(flight_date)
        into v_kept_rows, v_first_date, v_last_date
        from mart.daily_route_performance_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
        if v_kept_rows <> v_counted_rows then
            raise exception 'load %: mart.daily_route_performance_by_file stands for % rows of %', p_load_id, v_kept_rows, v_counted_rows;
        end if;

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
