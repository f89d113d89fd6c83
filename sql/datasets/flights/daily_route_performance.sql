-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: how each route performed on each day.
-- Grain:   one row per flight_date, carrier, origin and destination.
-- Reads:   mart.daily_route_performance_by_file
create or replace view mart.daily_route_performance as
select
    flight_date,
    carrier,
    origin,
    destination,
    cast(sum(flights) as bigint) as flights,
    cast(sum(cancelled) as bigint) as cancelled,
    cast(sum(delayed_departures) as bigint) as delayed_departures,
    cast(sum(departure_delay_minutes) as bigint) as departure_delay_minutes,
    cast(sum(arrival_delay_minutes) as bigint) as arrival_delay_minutes,
    cast(sum(distance_miles) as bigint) as distance_miles
from mart.daily_route_performance_by_file
group by
    flight_date,
    carrier,
    origin,
    destination;

grant select on mart.daily_route_performance to role mart_reader;
