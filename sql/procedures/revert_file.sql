-- Purpose:    takes one file out of the aggregates, as if it had never been loaded.
-- Parameters: p_file_id         the version, as etl.loaded_files names it
--             p_files_reverted  out: 1
--             p_rows_deleted    out: rows of the aggregate table that are gone
-- Reads:      etl.loaded_files
-- Writes:     see etl.revert_files
-- Errors:     a file that is not in the ledger, or of which nothing counts
-- Rerun:      is an error that says so.
-- Example:    call etl.revert_file('0f1e…', 0, 0);
create or replace procedure etl.revert_file(
    p_file_id varchar(32),
    inout p_files_reverted bigint,
    inout p_rows_deleted bigint
)
as $$
declare
    v_dataset varchar(256);
    v_status varchar(16);
begin
    select max(dataset), max(status) into v_dataset, v_status
    from etl.loaded_files
    where file_id = p_file_id;
    if v_status is null then
        raise exception 'file %: not in the ledger; find it by its key in etl.loaded_files', p_file_id;
    end if;
    if v_status <> 'loaded' then
        raise exception 'file %: nothing of it counts, its status is %', p_file_id, v_status;
    end if;

    drop table if exists revert_files;
    create temp table revert_files (file_id varchar(32));
    insert into revert_files (file_id) values (p_file_id);
    call etl.revert_files(v_dataset, p_files_reverted, p_rows_deleted);
end;
$$
language plpgsql;
