-- The coldest days, in degrees Fahrenheit, from mart.daily_weather
select
    weather_date as day,
    origin as airport,
    reports,
    coldest,
    warmest,
    strongest_gust
from mart.daily_weather
order by coldest, weather_date, origin
limit 5
