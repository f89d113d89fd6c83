-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: the table behind the view mart.daily_route_performance, where it is missing.
-- Grain:   one row per file, flight_date, carrier, origin and destination
-- Note:    the file is in the grain so that its part can be replaced or taken back by deleting
--          rows; analysts read the view, which adds up the files.
-- Writes:  mart.daily_route_performance_by_file
-- Rerun:   does nothing when the table is there.
-- Example: call etl.create_daily_route_performance_by_file();
create or replace procedure etl.create_daily_route_performance_by_file()
as $$
declare
    v_tables bigint;
begin
    -- Asked first: where the table is there, nothing is locked.
    select count(*) into v_tables
    from pg_catalog.pg_tables
    where schemaname = 'mart' and tablename = 'daily_route_performance_by_file';

    if v_tables = 0 then
        create table mart.daily_route_performance_by_file (
            file_id varchar(32) not null,
            flight_date date,
            carrier varchar(256),
            origin varchar(256),
            destination varchar(256),
            flights bigint,
            cancelled bigint,
            delayed_departures bigint,
            departure_delay_minutes bigint,
            arrival_delay_minutes bigint,
            distance_miles bigint
        );
    end if;
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

-- The view needs it before the first load.
call etl.create_daily_route_performance_by_file();

delete from etl.dataset_tables
where dataset = 'flights' and table_name = 'daily_route_performance_by_file';

insert into etl.dataset_tables (dataset, table_name)
values ('flights', 'daily_route_performance_by_file');
