-- Purpose: which files have rows that were rejected, and why, for analysts.
-- Grain:   one row per file and reason. kept_rows counts what etl.rejected_rows keeps: at most
--          1,000 rows a file. file_rejected_rows is the exact number of the whole file.
-- Reads:   etl.rejected_rows, etl.loaded_files
-- Note:    the rows themselves and their values stay in etl: they may be what nobody is to see.
create or replace view mart.rejected_rows as
select
    loaded_files.dataset,
    loaded_files.object_key,
    loaded_files.load_id,
    loaded_files.loaded_at,
    loaded_files.status as file_status,
    loaded_files.rejected_rows as file_rejected_rows,
    rejected_rows.reason,
    count(*) as kept_rows
from etl.rejected_rows
inner join etl.loaded_files on rejected_rows.file_id = loaded_files.file_id
group by
    loaded_files.dataset,
    loaded_files.object_key,
    loaded_files.load_id,
    loaded_files.loaded_at,
    loaded_files.status,
    loaded_files.rejected_rows,
    rejected_rows.reason;

grant select on mart.rejected_rows to role mart_reader;
