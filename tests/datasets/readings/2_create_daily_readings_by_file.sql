-- Grain: one row per file, station and day.
create or replace procedure etl.create_daily_readings_by_file()
as $$
begin
    create table if not exists mart.daily_readings_by_file (
        file_id varchar(32) not null,
        station varchar(256) not null,
        day date not null,
        readings bigint not null,
        total bigint not null
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

call etl.create_daily_readings_by_file();

delete from etl.datasets
where dataset = 'readings';

insert into etl.datasets (dataset, aggregate_table, lock_table)
values ('readings', 'daily_readings_by_file', 'readings_lock');
