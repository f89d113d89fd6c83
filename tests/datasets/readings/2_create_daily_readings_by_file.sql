-- Grain: one row per file, station and day.
create or replace procedure etl.create_daily_readings_by_file()
as $$
declare
    v_tables bigint;
begin
    -- Asked first: where the table is there, nothing is locked.
    select count(*) into v_tables
    from pg_catalog.pg_tables
    where schemaname = 'mart' and tablename = 'daily_readings_by_file';

    if v_tables = 0 then
        create table mart.daily_readings_by_file (
            file_id varchar(32) not null,
            station varchar(256) not null,
            day date not null,
            readings bigint not null,
            total bigint not null
        );
    end if;
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
