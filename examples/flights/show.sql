-- The ten busiest routes of the week, from mart.daily_route_performance
select
    origin,
    destination,
    sum(flights) as flights,
    sum(cancelled) as cancelled,
    sum(delayed_departures) as delayed,
    sum(departure_delay_minutes) as delay_in_minutes
from mart.daily_route_performance
group by origin, destination
order by flights desc, origin, destination
limit 10
