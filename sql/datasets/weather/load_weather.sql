-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose:    loads one batch of weather files: reads them once, keeps what can be read.
-- Grain:      see the tables
-- Parameters: p_run_id           the partition of lake.weather that holds this run's files
--             p_load_id          the batch
--             p_files            see etl.register_files
--             p_same_key         see etl.register_files
--             p_status …         the answer, one row: see etl.finish_load
-- Reads:      lake.weather (the partition alone), etl.loaded_files
-- Writes:     mart.hourly_weather_by_file
--             mart.daily_weather_by_file
--             the ledger, through etl.finish_load
-- Rerun:      a file in the ledger is skipped; a load in the ledger gives its recorded answer.
-- Example:    call etl.load_weather('weather-1a2b', 'weather-1a2b', '[…]', 'append',
--             '', 0, 0, 0, 0, 0, '', '', '', '', '');
create or replace procedure etl.load_weather(
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
    lock table etl.weather_lock;
    update etl.weather_lock set is_held = true;
    v_started_at := getdate();

    call etl.create_lake_schema();
    call etl.create_hourly_weather_by_file();
    call etl.create_daily_weather_by_file();
    call etl.register_files('weather', p_files, p_same_key);

    select
        nvl(sum(case when status = 'loaded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'superseded' then 1 else 0 end), 0),
        nvl(sum(case when status = 'replaced' then 1 else 0 end), 0)
    into v_new_files, v_superseded_files, v_replaced_files
    from load_files;

    -- No statement runs that changes nothing: it would take its locks all the same.
    if v_replaced_files > 0 then
        delete from mart.hourly_weather_by_file
        where file_id in (select file_id from load_files where status = 'replaced');
        delete from mart.daily_weather_by_file
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
        row__line varchar(65535),
        origin varchar(256),
        year bigint,
        month bigint,
        day bigint,
        hour bigint,
        temperature double precision,
        dew_point double precision,
        humidity double precision,
        wind_direction bigint,
        wind_speed double precision,
        wind_gust double precision,
        precipitation double precision,
        pressure double precision,
        visibility double precision,
        time_hour timestamp,
        weather_date date
    );

    if v_new_files + v_superseded_files > 0 then
        -- Each value is read out of its text here, once; what follows goes by the values.
        insert into load_rows (
            file_id, kind, row__fault,
            row__line,
            origin,
            year,
            month,
            day,
            hour,
            temperature,
            dew_point,
            humidity,
            wind_direction,
            wind_speed,
            wind_gust,
            precipitation,
            pressure,
            visibility,
            time_hour,
            weather_date
        )
        with source as (
            select
                split_part(split_part("$path", '/run_id=' || p_run_id || '/', 2), '.', 1) as file_id,
                row__line
            from lake.weather
            where run_id = p_run_id
        ),

        cells as (
            select
                file_id,
                case when btrim(row__line, v_blanks) = '' then 'blank' else 'row' end as kind,
                case when row__line is null then 'longer than 65,535 bytes, or \\N' when not is_valid_json(btrim(row__line, v_blanks)) or left(btrim(row__line, v_blanks), 1) <> '{' then 'not a JSON object' end as row__fault,
                row__line,
                nullif(nullif(btrim(json_extract_path_text(row__line, 'origin', true), v_blanks), ''), '\\N') as origin__text,
                btrim(json_extract_path_text(row__line, 'year', true), v_blanks) as year__text,
                btrim(json_extract_path_text(row__line, 'month', true), v_blanks) as month__text,
                btrim(json_extract_path_text(row__line, 'day', true), v_blanks) as day__text,
                btrim(json_extract_path_text(row__line, 'hour', true), v_blanks) as hour__text,
                btrim(json_extract_path_text(row__line, 'temp', true), v_blanks) as temperature__text,
                btrim(json_extract_path_text(row__line, 'dewp', true), v_blanks) as dew_point__text,
                btrim(json_extract_path_text(row__line, 'humid', true), v_blanks) as humidity__text,
                btrim(json_extract_path_text(row__line, 'wind', 'dir', true), v_blanks) as wind_direction__text,
                btrim(json_extract_path_text(row__line, 'wind', 'speed', true), v_blanks) as wind_speed__text,
                btrim(json_extract_path_text(row__line, 'wind', 'gust', true), v_blanks) as wind_gust__text,
                btrim(json_extract_path_text(row__line, 'precip', true), v_blanks) as precipitation__text,
                btrim(json_extract_path_text(row__line, 'pressure', true), v_blanks) as pressure__text,
                btrim(json_extract_path_text(row__line, 'visib', true), v_blanks) as visibility__text,
                btrim(json_extract_path_text(row__line, 'time_hour', true), v_blanks) as time_hour__text
            from source
            -- The superseded ones too: a file that has to be refused is, whenever it comes.
            where file_id in (select file_id from load_files where status in ('loaded', 'superseded'))
        ),

        typed as (
            select
                cells.*,
                case when len(origin__text) <= 64 then origin__text end as origin,
                case when year__text ~ '^[+-]?[0-9]+$' and len(ltrim(year__text, '+-')) <= 18 then cast(year__text as bigint) end as year,
                case when month__text ~ '^[+-]?[0-9]+$' and len(ltrim(month__text, '+-')) <= 18 then cast(month__text as bigint) end as month,
                case when day__text ~ '^[+-]?[0-9]+$' and len(ltrim(day__text, '+-')) <= 18 then cast(day__text as bigint) end as day,
                case when hour__text ~ '^[+-]?[0-9]+$' and len(ltrim(hour__text, '+-')) <= 18 then cast(hour__text as bigint) end as hour,
                case when temperature__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(temperature__text as double precision) end as temperature,
                case when dew_point__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(dew_point__text as double precision) end as dew_point,
                case when humidity__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(humidity__text as double precision) end as humidity,
                case when wind_direction__text ~ '^[+-]?[0-9]+$' and len(ltrim(wind_direction__text, '+-')) <= 18 then cast(wind_direction__text as bigint) end as wind_direction,
                case when wind_speed__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(wind_speed__text as double precision) end as wind_speed,
                case when wind_gust__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(wind_gust__text as double precision) end as wind_gust,
                case when precipitation__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(precipitation__text as double precision) end as precipitation,
                case when pressure__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(pressure__text as double precision) end as pressure,
                case when visibility__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(visibility__text as double precision) end as visibility,
                try_cast(case when time_hour__text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$' then replace(time_hour__text, 'T', ' ') end as timestamptz) at time zone 'UTC' as time_hour
            from cells
        )

        select
            file_id,
            kind,
            row__fault,
            row__line,
            origin,
            year,
            month,
            day,
            hour,
            temperature,
            dew_point,
            humidity,
            wind_direction,
            wind_speed,
            wind_gust,
            precipitation,
            pressure,
            visibility,
            time_hour,
            try_cast(year || '-' || month || '-' || day as date) as weather_date
        from typed;

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
                    when year is null and btrim(json_extract_path_text(row__line, 'year', true), v_blanks) not in ('', '\\N') then 'year: not a whole number'
                    when month is null and btrim(json_extract_path_text(row__line, 'month', true), v_blanks) not in ('', '\\N') then 'month: not a whole number'
                    when day is null and btrim(json_extract_path_text(row__line, 'day', true), v_blanks) not in ('', '\\N') then 'day: not a whole number'
                    when hour is null and btrim(json_extract_path_text(row__line, 'hour', true), v_blanks) not in ('', '\\N') then 'hour: not a whole number'
                    when temperature is null and btrim(json_extract_path_text(row__line, 'temp', true), v_blanks) not in ('', '\\N') then 'temperature: not a number'
                    when dew_point is null and btrim(json_extract_path_text(row__line, 'dewp', true), v_blanks) not in ('', '\\N') then 'dew_point: not a number'
                    when humidity is null and btrim(json_extract_path_text(row__line, 'humid', true), v_blanks) not in ('', '\\N') then 'humidity: not a number'
                    when wind_direction is null and btrim(json_extract_path_text(row__line, 'wind', 'dir', true), v_blanks) not in ('', '\\N') then 'wind_direction: not a whole number'
                    when wind_speed is null and btrim(json_extract_path_text(row__line, 'wind', 'speed', true), v_blanks) not in ('', '\\N') then 'wind_speed: not a number'
                    when wind_gust is null and btrim(json_extract_path_text(row__line, 'wind', 'gust', true), v_blanks) not in ('', '\\N') then 'wind_gust: not a number'
                    when precipitation is null and btrim(json_extract_path_text(row__line, 'precip', true), v_blanks) not in ('', '\\N') then 'precipitation: not a number'
                    when pressure is null and btrim(json_extract_path_text(row__line, 'pressure', true), v_blanks) not in ('', '\\N') then 'pressure: not a number'
                    when visibility is null and btrim(json_extract_path_text(row__line, 'visib', true), v_blanks) not in ('', '\\N') then 'visibility: not a number'
                    when time_hour is null and btrim(json_extract_path_text(row__line, 'time_hour', true), v_blanks) not in ('', '\\N') then 'time_hour: not a time'
                    when nullif(nullif(btrim(json_extract_path_text(row__line, 'origin', true), v_blanks), ''), '\\N') is null then 'origin: empty'
                    when year is null then 'year: empty'
                    when month is null then 'month: empty'
                    when day is null then 'day: empty'
                    when hour is null then 'hour: empty'
                    when time_hour is null then 'time_hour: empty'
                    when year not between 1990 and 2100 then 'year: outside 1990 to 2100'
                    when month not between 1 and 12 then 'month: outside 1 to 12'
                    when day not between 1 and 31 then 'day: outside 1 to 31'
                    when hour not between 0 and 23 then 'hour: outside 0 to 23'
                    when temperature not between -60 and 140 then 'temperature: outside -60 to 140'
                    when dew_point not between -60 and 140 then 'dew_point: outside -60 to 140'
                    when humidity not between 0 and 100 then 'humidity: outside 0 to 100'
                    when wind_direction not between 0 and 360 then 'wind_direction: outside 0 to 360'
                    when wind_speed not between 0 and 250 then 'wind_speed: outside 0 to 250'
                    when wind_gust not between 0 and 250 then 'wind_gust: outside 0 to 250'
                    when precipitation not between 0 and 20 then 'precipitation: outside 0 to 20'
                    when pressure not between 850 and 1100 then 'pressure: outside 850 to 1100'
                    when visibility not between 0 and 100 then 'visibility: outside 0 to 100'
                    when len(btrim(json_extract_path_text(row__line, 'origin', true), v_blanks)) > 64 then 'origin: longer than 64 characters'
                    when weather_date is null then 'weather_date: cannot be computed'
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
            line = row__line,
            reject_value = case split_part(reject_reason, ':', 1)
                when 'origin' then nullif(nullif(btrim(json_extract_path_text(row__line, 'origin', true), v_blanks), ''), '\\N')
                when 'year' then nullif(nullif(btrim(json_extract_path_text(row__line, 'year', true), v_blanks), ''), '\\N')
                when 'month' then nullif(nullif(btrim(json_extract_path_text(row__line, 'month', true), v_blanks), ''), '\\N')
                when 'day' then nullif(nullif(btrim(json_extract_path_text(row__line, 'day', true), v_blanks), ''), '\\N')
                when 'hour' then nullif(nullif(btrim(json_extract_path_text(row__line, 'hour', true), v_blanks), ''), '\\N')
                when 'temperature' then nullif(nullif(btrim(json_extract_path_text(row__line, 'temp', true), v_blanks), ''), '\\N')
                when 'dew_point' then nullif(nullif(btrim(json_extract_path_text(row__line, 'dewp', true), v_blanks), ''), '\\N')
                when 'humidity' then nullif(nullif(btrim(json_extract_path_text(row__line, 'humid', true), v_blanks), ''), '\\N')
                when 'wind_direction' then nullif(nullif(btrim(json_extract_path_text(row__line, 'wind', 'dir', true), v_blanks), ''), '\\N')
                when 'wind_speed' then nullif(nullif(btrim(json_extract_path_text(row__line, 'wind', 'speed', true), v_blanks), ''), '\\N')
                when 'wind_gust' then nullif(nullif(btrim(json_extract_path_text(row__line, 'wind', 'gust', true), v_blanks), ''), '\\N')
                when 'precipitation' then nullif(nullif(btrim(json_extract_path_text(row__line, 'precip', true), v_blanks), ''), '\\N')
                when 'pressure' then nullif(nullif(btrim(json_extract_path_text(row__line, 'pressure', true), v_blanks), ''), '\\N')
                when 'visibility' then nullif(nullif(btrim(json_extract_path_text(row__line, 'visib', true), v_blanks), ''), '\\N')
                when 'time_hour' then nullif(nullif(btrim(json_extract_path_text(row__line, 'time_hour', true), v_blanks), ''), '\\N')
            end
        where reject_reason is not null;
    end if;

    call etl.judge_files('', v_counted_rows);

    p_aggregate_rows := 0;
    if v_new_files > 0 then
        insert into mart.hourly_weather_by_file (
            file_id,
            origin,
            time_hour,
            temperature,
            dew_point,
            humidity,
            wind_direction,
            wind_speed,
            wind_gust,
            precipitation,
            pressure,
            visibility
        )
        select
            file_id,
            origin,
            time_hour,
            temperature,
            dew_point,
            humidity,
            wind_direction,
            wind_speed,
            wind_gust,
            precipitation,
            pressure,
            visibility
        from load_rows
        where kind = 'row' and reject_reason is null;
        get diagnostics v_table_rows := row_count;
        p_aggregate_rows := p_aggregate_rows + v_table_rows;

        select count(*) into v_kept_rows
        from mart.hourly_weather_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
        if v_kept_rows <> v_counted_rows then
            raise exception 'load %: mart.hourly_weather_by_file stands for % rows of %', p_load_id, v_kept_rows, v_counted_rows;
        end if;

        insert into mart.daily_weather_by_file (
            file_id,
            weather_date,
            origin,
            reports,
            coldest,
            warmest,
            strongest_gust,
            precipitation_inches
        )
        select
            file_id,
            weather_date,
            origin,
            count(*) as reports,
            min(temperature) as coldest,
            max(temperature) as warmest,
            max(wind_gust) as strongest_gust,
            nvl(sum(precipitation), 0) as precipitation_inches
        from load_rows
        where kind = 'row' and reject_reason is null
        group by
            file_id,
            weather_date,
            origin;
        get diagnostics v_table_rows := row_count;
        p_aggregate_rows := p_aggregate_rows + v_table_rows;

        select nvl(sum(reports), 0), min(weather_date), max(weather_date)
        into v_kept_rows, v_first_date, v_last_date
        from mart.daily_weather_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
        if v_kept_rows <> v_counted_rows then
            raise exception 'load %: mart.daily_weather_by_file stands for % rows of %', p_load_id, v_kept_rows, v_counted_rows;
        end if;

    end if;

    call etl.finish_load(
        'weather', p_run_id, p_load_id, v_started_at, v_counted_rows, v_first_date, v_last_date,
        p_status, p_files_loaded, p_files_skipped, p_source_rows, p_rejected_rows,
        p_aggregate_rows, p_empty_file_ids, p_dates_covered, p_reject_reasons, p_rejected_files,
        p_same_files
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

grant execute on procedure etl.load_weather(
    varchar, varchar, varchar, varchar, varchar, bigint, bigint, bigint, bigint, bigint, varchar,
    varchar, varchar, varchar, varchar
) to etl_loader;
