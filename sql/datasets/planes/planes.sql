-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: what is known of each plane.
-- Grain:   one row per row of a file.
-- Reads:   mart.planes_by_file
create or replace view mart.planes as
select
    tailnum,
    year,
    type,
    manufacturer,
    model,
    engines,
    seats,
    speed,
    engine
from mart.planes_by_file;

grant select on mart.planes to role mart_reader;
