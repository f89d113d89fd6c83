-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: adds the columns that the table lacks at its end, after a change of dataset.yaml, and
--          refuses any other difference between the two.
-- Reads:   svv_columns
-- Writes:  mart.daily_weather_by_file
-- Rerun:   does nothing.
-- Example: call etl.extend_daily_weather_by_file();
create or replace procedure etl.extend_daily_weather_by_file()
as $$
declare
    v_columns bigint := 0;
begin
    call etl.check_columns(
        'weather', 'daily_weather_by_file',
        'file_id varchar(32);weather_date date;origin varchar(256);reports bigint;coldest double precision;warmest double precision;strongest_gust double precision;precipitation_inches double precision',
        v_columns
    );
    if v_columns < 2 then
        alter table mart.daily_weather_by_file add column weather_date date;
    end if;
    if v_columns < 3 then
        alter table mart.daily_weather_by_file add column origin varchar(256);
    end if;
    if v_columns < 4 then
        alter table mart.daily_weather_by_file add column reports bigint;
    end if;
    if v_columns < 5 then
        alter table mart.daily_weather_by_file add column coldest double precision;
    end if;
    if v_columns < 6 then
        alter table mart.daily_weather_by_file add column warmest double precision;
    end if;
    if v_columns < 7 then
        alter table mart.daily_weather_by_file add column strongest_gust double precision;
    end if;
    if v_columns < 8 then
        alter table mart.daily_weather_by_file add column precipitation_inches double precision;
    end if;
end;
$$
language plpgsql;

call etl.extend_daily_weather_by_file();
