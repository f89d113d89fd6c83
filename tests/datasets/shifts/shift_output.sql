-- Purpose: how much each plant made by day and by night.
-- Grain:   one row per plant and shift
-- Reads:   mart.shift_output_by_file
create or replace view mart.shift_output as
select
    plant,
    shift,
    cast(sum(pieces) as bigint) as pieces
from mart.shift_output_by_file
group by
    plant,
    shift;

grant select on mart.shift_output to role mart_reader;
