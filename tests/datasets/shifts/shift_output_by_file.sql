-- Purpose: a file's part of what analysts read.
-- Grain:   one row per file, plant and shift
create table if not exists mart.shift_output_by_file (
    file_id varchar(32) not null,
    plant varchar(256) not null,
    shift varchar(8) not null,
    pieces bigint not null
);

delete from etl.dataset_tables
where dataset = 'shifts';

insert into etl.dataset_tables (dataset, table_name)
values ('shifts', 'shift_output_by_file');
