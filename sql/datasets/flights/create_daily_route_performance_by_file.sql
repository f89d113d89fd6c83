-- Purpose: the aggregate table of the dataset, where it is missing.
-- Grain:   one row per file, flight date, carrier, origin and destination. The file is in the
--          grain so that one file's contribution can be replaced or taken back by deleting its
--          rows; analysts read the view mart.daily_route_performance, which sums over files.
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
            flight_date date not null,
            carrier varchar(256) not null,
            origin varchar(256) not null,
            destination varchar(256) not null,
            flights bigint not null,
            cancelled bigint not null,
            delayed_departures bigint not null,
            departure_delay_minutes bigint not null,
            arrival_delay_minutes bigint not null,
            distance_miles bigint not null
        );
    end if;
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

-- The view over the table needs it before the first load.
call etl.create_daily_route_performance_by_file();

delete from etl.datasets
where dataset = 'flights';

insert into etl.datasets (dataset, aggregate_table, lock_table)
values ('flights', 'daily_route_performance_by_file', 'flights_lock');
