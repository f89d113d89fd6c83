-- Purpose: what it takes for a dataset to keep several tables, and to say which rows it rejected.

-- Grain: one row per table that a dataset keeps files' parts in. Its own files register it;
-- etl.revert_files reads the names here.
create table if not exists etl.dataset_tables (
    dataset varchar(256) not null,
    table_name varchar(127) not null
);

alter table etl.datasets drop column aggregate_table;

-- The text that a row was rejected for. Null where its shape was wrong.
alter table etl.rejected_rows add column value varchar(65535);

-- The most frequent reasons, a line each: how often, and which.
alter table etl.loads add column reject_reasons varchar(4096);

-- The files that have rejected rows, separated by commas: file_id, a colon, how many.
alter table etl.loads add column rejected_files varchar(8192);
