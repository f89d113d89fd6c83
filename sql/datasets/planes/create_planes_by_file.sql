-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: the table behind the view mart.planes, where it is missing.
-- Grain:   one row per file and row of it
-- Note:    the file is in the grain so that its part can be replaced or taken back by deleting
--          rows; analysts read the view, which adds up the files.
-- Writes:  mart.planes_by_file
-- Rerun:   does nothing when the table is there.
-- Example: call etl.create_planes_by_file();
create or replace procedure etl.create_planes_by_file()
as $$
declare
    v_tables bigint;
begin
    -- Asked first: where the table is there, nothing is locked.
    select count(*) into v_tables
    from pg_catalog.pg_tables
    where schemaname = 'mart' and tablename = 'planes_by_file';

    if v_tables = 0 then
        create table mart.planes_by_file (
            file_id varchar(32) not null,
            tailnum varchar(64),
            year bigint,
            type varchar(256),
            manufacturer varchar(256),
            model varchar(256),
            engines bigint,
            seats bigint,
            speed bigint,
            engine varchar(256)
        );
    end if;
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

-- The view needs it before the first load.
call etl.create_planes_by_file();

delete from etl.dataset_tables
where dataset = 'planes' and table_name = 'planes_by_file';

insert into etl.dataset_tables (dataset, table_name)
values ('planes', 'planes_by_file');
