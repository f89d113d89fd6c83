-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: the extremes of each day at each airport.
-- Grain:   one row per weather_date and origin.
-- Reads:   mart.daily_weather_by_file
create or replace view mart.daily_weather as
select
    weather_date,
    origin,
    cast(sum(reports) as bigint) as reports,
    min(coldest) as coldest,
    max(warmest) as warmest,
    max(strongest_gust) as strongest_gust,
    sum(precipitation_inches) as precipitation_inches
from mart.daily_weather_by_file
group by
    weather_date,
    origin;

grant select on mart.daily_weather to role mart_reader;
