-- Grain: one row per station and day.
create or replace view mart.daily_readings as
select
    station,
    day,
    cast(sum(readings) as bigint) as readings,
    cast(sum(total) as bigint) as total
from mart.daily_readings_by_file
group by
    station,
    day;

grant select on mart.daily_readings to role mart_reader;
