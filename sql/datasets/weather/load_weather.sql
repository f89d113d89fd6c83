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
        file_id varchar(32),
        line varchar(65535),
        kind varchar(16),
        reject_reason varchar(1024),
        reject_value varchar(65535),
        origin varchar(256),
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
        insert into load_rows (
            file_id, line, kind, reject_reason, reject_value,
            origin,
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
                source.file_id,
                source.row__line as row__line,
                case when btrim(source.row__line, v_blanks) = '' then 'blank' else 'row' end as row__kind,
                case when source.row__line is null then 'longer than 65,535 bytes, or \\N' when not is_valid_json(btrim(source.row__line, v_blanks)) or left(btrim(source.row__line, v_blanks), 1) <> '{' then 'not a JSON object' end as row__fault,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'origin', true), v_blanks), ''), '\\N') as origin__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'year', true), v_blanks), ''), '\\N') as year__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'month', true), v_blanks), ''), '\\N') as month__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'day', true), v_blanks), ''), '\\N') as day__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'hour', true), v_blanks), ''), '\\N') as hour__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'temp', true), v_blanks), ''), '\\N') as temperature__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'dewp', true), v_blanks), ''), '\\N') as dew_point__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'humid', true), v_blanks), ''), '\\N') as humidity__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'wind', 'dir', true), v_blanks), ''), '\\N') as wind_direction__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'wind', 'speed', true), v_blanks), ''), '\\N') as wind_speed__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'wind', 'gust', true), v_blanks), ''), '\\N') as wind_gust__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'precip', true), v_blanks), ''), '\\N') as precipitation__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'pressure', true), v_blanks), ''), '\\N') as pressure__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'visib', true), v_blanks), ''), '\\N') as visibility__text,
                nullif(nullif(btrim(json_extract_path_text(source.row__line, 'time_hour', true), v_blanks), ''), '\\N') as time_hour__text
            from source
            inner join load_files on source.file_id = load_files.file_id
            -- The superseded ones too: a file that has to be refused is, whenever it comes.
            where load_files.status in ('loaded', 'superseded')
        ),

        typed as (
            select
                cells.*,
                case when len(origin__text) <= 64 then origin__text end as origin,
                case when year__text ~ '^[+-]?[0-9]{1,18}$' then cast(year__text as bigint) end as year,
                case when month__text ~ '^[+-]?[0-9]{1,18}$' then cast(month__text as bigint) end as month,
                case when day__text ~ '^[+-]?[0-9]{1,18}$' then cast(day__text as bigint) end as day,
                case when hour__text ~ '^[+-]?[0-9]{1,18}$' then cast(hour__text as bigint) end as hour,
                case when temperature__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(temperature__text as double precision) end as temperature,
                case when dew_point__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(dew_point__text as double precision) end as dew_point,
                case when humidity__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(humidity__text as double precision) end as humidity,
                case when wind_direction__text ~ '^[+-]?[0-9]{1,18}$' then cast(wind_direction__text as bigint) end as wind_direction,
                case when wind_speed__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(wind_speed__text as double precision) end as wind_speed,
                case when wind_gust__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(wind_gust__text as double precision) end as wind_gust,
                case when precipitation__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(precipitation__text as double precision) end as precipitation,
                case when pressure__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(pressure__text as double precision) end as pressure,
                case when visibility__text ~ '^[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})?$' then cast(visibility__text as double precision) end as visibility,
                try_cast(case when time_hour__text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$' then replace(time_hour__text, 'T', ' ') end as timestamptz) at time zone 'UTC' as time_hour
            from cells
        ),

        computed as (
            select
                typed.*,
                try_cast(year || '-' || month || '-' || day as date) as weather_date
            from typed
        ),

        judged as (
            select
                computed.*,
                case
                    when computed.row__kind = 'blank' then null
                    when computed.row__fault is not null then computed.row__fault
                    when computed.row__kind <> 'row' then null
                    when year__text is not null and year is null then 'year: not a whole number'
                    when month__text is not null and month is null then 'month: not a whole number'
                    when day__text is not null and day is null then 'day: not a whole number'
                    when hour__text is not null and hour is null then 'hour: not a whole number'
                    when temperature__text is not null and temperature is null then 'temperature: not a number'
                    when dew_point__text is not null and dew_point is null then 'dew_point: not a number'
                    when humidity__text is not null and humidity is null then 'humidity: not a number'
                    when wind_direction__text is not null and wind_direction is null then 'wind_direction: not a whole number'
                    when wind_speed__text is not null and wind_speed is null then 'wind_speed: not a number'
                    when wind_gust__text is not null and wind_gust is null then 'wind_gust: not a number'
                    when precipitation__text is not null and precipitation is null then 'precipitation: not a number'
                    when pressure__text is not null and pressure is null then 'pressure: not a number'
                    when visibility__text is not null and visibility is null then 'visibility: not a number'
                    when time_hour__text is not null and time_hour is null then 'time_hour: not a time'
                    when origin__text is null then 'origin: empty'
                    when year__text is null then 'year: empty'
                    when month__text is null then 'month: empty'
                    when day__text is null then 'day: empty'
                    when hour__text is null then 'hour: empty'
                    when time_hour__text is null then 'time_hour: empty'
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
                    when len(origin__text) > 64 then 'origin: longer than 64 characters'
                    when weather_date is null then 'weather_date: cannot be computed'
                end as reject_reason
            from computed
        )

        select
            judged.file_id,
            case when judged.reject_reason is not null or judged.row__kind <> 'row' then judged.row__line end as line,
            judged.row__kind as kind,
            judged.reject_reason,
            case split_part(judged.reject_reason, ':', 1)
                when 'origin' then judged.origin__text
                when 'year' then judged.year__text
                when 'month' then judged.month__text
                when 'day' then judged.day__text
                when 'hour' then judged.hour__text
                when 'temperature' then judged.temperature__text
                when 'dew_point' then judged.dew_point__text
                when 'humidity' then judged.humidity__text
                when 'wind_direction' then judged.wind_direction__text
                when 'wind_speed' then judged.wind_speed__text
                when 'wind_gust' then judged.wind_gust__text
                when 'precipitation' then judged.precipitation__text
                when 'pressure' then judged.pressure__text
                when 'visibility' then judged.visibility__text
                when 'time_hour' then judged.time_hour__text
            end as reject_value,
            judged.origin,
            judged.temperature,
            judged.dew_point,
            judged.humidity,
            judged.wind_direction,
            judged.wind_speed,
            judged.wind_gust,
            judged.precipitation,
            judged.pressure,
            judged.visibility,
            judged.time_hour,
            judged.weather_date
        from judged;
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
        where
            kind = 'row'
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded');
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
        where
            kind = 'row'
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded')
        group by
            file_id,
            weather_date,
            origin;
        get diagnostics v_table_rows := row_count;
        p_aggregate_rows := p_aggregate_rows + v_table_rows;

        select nvl(sum(reports), 0) into v_kept_rows
        from mart.daily_weather_by_file
        where file_id in (select file_id from load_files where status = 'loaded');
        if v_kept_rows <> v_counted_rows then
            raise exception 'load %: mart.daily_weather_by_file stands for % rows of %', p_load_id, v_kept_rows, v_counted_rows;
        end if;

        select min(weather_date), max(weather_date) into v_first_date, v_last_date
        from load_rows
        where
            kind = 'row'
            and reject_reason is null
            and file_id in (select file_id from load_files where status = 'loaded');
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
