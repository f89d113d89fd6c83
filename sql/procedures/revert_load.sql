-- Purpose:    takes all files of a load out of the aggregates that still count.
-- Parameters: p_load_id         the batch, as etl.loads names it
--             p_files_reverted  out: files of which rows counted until now
--             p_rows_deleted    out: rows of the aggregate table that are gone
-- Reads:      etl.loads, etl.loaded_files
-- Writes:     see etl.revert_files
-- Errors:     a load that is not in the ledger
-- Rerun:      reverts nothing more.
-- Example:    call etl.revert_load('orders-1a2b…', 0, 0);
create or replace procedure etl.revert_load(
    p_load_id varchar(80),
    inout p_files_reverted bigint,
    inout p_rows_deleted bigint
)
as $$
declare
    v_dataset varchar(256);
begin
    select max(dataset) into v_dataset
    from etl.loads
    where load_id = p_load_id;
    if v_dataset is null then
        raise exception 'load %: not in the ledger; find it by its files in etl.loaded_files', p_load_id;
    end if;

    drop table if exists revert_files;
    create temp table revert_files (file_id varchar(32));
    insert into revert_files (file_id)
    select file_id
    from etl.loaded_files
    where load_id = p_load_id and status = 'loaded';
    call etl.revert_files(v_dataset, p_files_reverted, p_rows_deleted);
end;
$$
language plpgsql;
