-- The most frequent models, from mart.planes
select
    manufacturer,
    model,
    count(*) as planes,
    max(seats) as seats
from mart.planes
group by manufacturer, model
order by planes desc, manufacturer, model
limit 5
