-- Purpose:    takes the files in the temporary table revert_files out of the aggregates.
-- Parameters: p_dataset         whose files they are
--             p_files_reverted  out: files of which rows counted until now
--             p_rows_deleted    out: rows of the tables that are gone
-- Reads:      the temporary table revert_files (file_id), made by the procedure that calls this
-- Writes:     the dataset's tables and lock row, etl.loaded_files, etl.loads
-- Errors:     a dataset that has not registered itself
-- Note:       a reverted file is not loaded again; upload it again to bring it back. It keeps its
--             place among the versions of its key, so that an older one does not come to count.
-- Rerun:      reverts nothing more.
-- Example:    see etl.revert_file, which calls it
create or replace procedure etl.revert_files(
    p_dataset varchar(256),
    inout p_files_reverted bigint,
    inout p_rows_deleted bigint
)
as $$
declare
    v_datasets bigint;
    v_lock_table varchar(127);
    v_table record;
    v_rows bigint;
begin
    select count(*), max(lock_table) into v_datasets, v_lock_table
    from etl.datasets
    where dataset = p_dataset;
    if v_datasets <> 1 then
        raise exception 'dataset %: % rows in etl.datasets instead of one; apply its SQL again',
            p_dataset, v_datasets;
    end if;

    -- Waits for a load that is under way; should it have begun after this snapshot, one of the
    -- two fails with error 1023 and can be run again.
    execute 'update etl.' || quote_ident(v_lock_table) || ' set is_held = true';

    p_rows_deleted := 0;
    for v_table in select table_name from etl.dataset_tables where dataset = p_dataset
    loop
        execute 'delete from mart.' || quote_ident(v_table.table_name)
            || ' where file_id in (select file_id from revert_files)';
        get diagnostics v_rows := row_count;
        p_rows_deleted := p_rows_deleted + v_rows;
    end loop;

    update etl.loaded_files
    set status = 'reverted'
    where file_id in (select file_id from revert_files) and status = 'loaded';
    get diagnostics p_files_reverted := row_count;

    update etl.loads
    set status = 'reverted'
    where
        dataset = p_dataset
        and load_id in (
            select load_id from etl.loaded_files
            where file_id in (select file_id from revert_files)
        )
        and load_id not in (select load_id from etl.loaded_files where status = 'loaded');
end;
$$
language plpgsql;
