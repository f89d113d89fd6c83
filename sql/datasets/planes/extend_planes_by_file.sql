-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: adds the columns that the table lacks at its end, after a change of dataset.yaml, and
--          refuses any other difference between the two.
-- Reads:   svv_columns
-- Writes:  mart.planes_by_file
-- Rerun:   does nothing.
-- Example: call etl.extend_planes_by_file();
create or replace procedure etl.extend_planes_by_file()
as $$
declare
    v_columns bigint := 0;
begin
    call etl.check_columns(
        'planes', 'planes_by_file',
        'file_id varchar(32);tailnum varchar(64);year bigint;type varchar(256);manufacturer varchar(256);model varchar(256);engines bigint;seats bigint;speed bigint;engine varchar(256)',
        v_columns
    );
    if v_columns < 2 then
        alter table mart.planes_by_file add column tailnum varchar(64);
    end if;
    if v_columns < 3 then
        alter table mart.planes_by_file add column year bigint;
    end if;
    if v_columns < 4 then
        alter table mart.planes_by_file add column type varchar(256);
    end if;
    if v_columns < 5 then
        alter table mart.planes_by_file add column manufacturer varchar(256);
    end if;
    if v_columns < 6 then
        alter table mart.planes_by_file add column model varchar(256);
    end if;
    if v_columns < 7 then
        alter table mart.planes_by_file add column engines bigint;
    end if;
    if v_columns < 8 then
        alter table mart.planes_by_file add column seats bigint;
    end if;
    if v_columns < 9 then
        alter table mart.planes_by_file add column speed bigint;
    end if;
    if v_columns < 10 then
        alter table mart.planes_by_file add column engine varchar(256);
    end if;
end;
$$
language plpgsql;

call etl.extend_planes_by_file();
