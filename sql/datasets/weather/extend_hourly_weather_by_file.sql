-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: adds the columns that the table lacks at its end, after a change of dataset.yaml, and
--          refuses any other difference between the two.
-- Reads:   svv_columns
-- Writes:  mart.hourly_weather_by_file
-- Rerun:   does nothing.
-- Example: call etl.extend_hourly_weather_by_file();
create or replace procedure etl.extend_hourly_weather_by_file()
as $$
declare
    v_columns bigint := 0;
begin
    call etl.check_columns(
        'weather', 'hourly_weather_by_file',
        'file_id varchar(32);origin varchar(256);time_hour timestamp;temperature double precision;dew_point double precision;humidity double precision;wind_direction bigint;wind_speed double precision;wind_gust double precision;precipitation double precision;pressure double precision;visibility double precision',
        v_columns
    );
    if v_columns < 2 then
        alter table mart.hourly_weather_by_file add column origin varchar(256);
    end if;
    if v_columns < 3 then
        alter table mart.hourly_weather_by_file add column time_hour timestamp;
    end if;
    if v_columns < 4 then
        alter table mart.hourly_weather_by_file add column temperature double precision;
    end if;
    if v_columns < 5 then
        alter table mart.hourly_weather_by_file add column dew_point double precision;
    end if;
    if v_columns < 6 then
        alter table mart.hourly_weather_by_file add column humidity double precision;
    end if;
    if v_columns < 7 then
        alter table mart.hourly_weather_by_file add column wind_direction bigint;
    end if;
    if v_columns < 8 then
        alter table mart.hourly_weather_by_file add column wind_speed double precision;
    end if;
    if v_columns < 9 then
        alter table mart.hourly_weather_by_file add column wind_gust double precision;
    end if;
    if v_columns < 10 then
        alter table mart.hourly_weather_by_file add column precipitation double precision;
    end if;
    if v_columns < 11 then
        alter table mart.hourly_weather_by_file add column pressure double precision;
    end if;
    if v_columns < 12 then
        alter table mart.hourly_weather_by_file add column visibility double precision;
    end if;
end;
$$
language plpgsql;

call etl.extend_hourly_weather_by_file();
