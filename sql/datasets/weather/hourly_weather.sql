-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: what each airport's station reported, a row an hour.
-- Grain:   one row per row of a file.
-- Reads:   mart.hourly_weather_by_file
create or replace view mart.hourly_weather as
select
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
from mart.hourly_weather_by_file;

grant select on mart.hourly_weather to role mart_reader;
