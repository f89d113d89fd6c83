-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: adds the columns that the table lacks at its end, after a change of dataset.yaml, and
--          refuses any other difference between the two.
-- Reads:   svv_columns
-- Writes:  mart.daily_route_performance_by_file
-- Rerun:   does nothing.
-- Example: call etl.extend_daily_route_performance_by_file();
create or replace procedure etl.extend_daily_route_performance_by_file()
as $$
declare
    v_columns bigint := 0;
begin
    call etl.check_columns(
        'flights', 'daily_route_performance_by_file',
        'file_id varchar(32);flight_date date;carrier varchar(256);origin varchar(256);destination varchar(256);flights bigint;cancelled bigint;delayed_departures bigint;departure_delay_minutes bigint;arrival_delay_minutes bigint;distance_miles bigint',
        v_columns
    );
    if v_columns < 2 then
        alter table mart.daily_route_performance_by_file add column flight_date date;
    end if;
    if v_columns < 3 then
        alter table mart.daily_route_performance_by_file add column carrier varchar(256);
    end if;
    if v_columns < 4 then
        alter table mart.daily_route_performance_by_file add column origin varchar(256);
    end if;
    if v_columns < 5 then
        alter table mart.daily_route_performance_by_file add column destination varchar(256);
    end if;
    if v_columns < 6 then
        alter table mart.daily_route_performance_by_file add column flights bigint;
    end if;
    if v_columns < 7 then
        alter table mart.daily_route_performance_by_file add column cancelled bigint;
    end if;
    if v_columns < 8 then
        alter table mart.daily_route_performance_by_file add column delayed_departures bigint;
    end if;
    if v_columns < 9 then
        alter table mart.daily_route_performance_by_file add column departure_delay_minutes bigint;
    end if;
    if v_columns < 10 then
        alter table mart.daily_route_performance_by_file add column arrival_delay_minutes bigint;
    end if;
    if v_columns < 11 then
        alter table mart.daily_route_performance_by_file add column distance_miles bigint;
    end if;
end;
$$
language plpgsql;

call etl.extend_daily_route_performance_by_file();
