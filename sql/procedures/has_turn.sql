-- Purpose:    whether a load has its turn: its session holds the lock of the dataset, or waits.
-- Parameters: p_session  the session's process id, as the Data API tells it (RedshiftPid)
--             p_dataset  whose lock is meant: etl.<dataset>_lock
--             p_turn     out: 'has'; 'waits'; 'unknown' where the session does neither
-- Reads:      svv_transactions, in which a user who is no administrator sees its own alone
-- Writes:     nothing
-- Rerun:      answers anew.
-- Example:    call etl.has_turn(1073815670, 'orders', '');
create or replace procedure etl.has_turn(
    p_session integer,
    p_dataset varchar(256),
    inout p_turn varchar(8)
)
as $$
begin
    select
        case
            when sum(case when transactions.granted then 0 else 1 end) > 0 then 'waits'
            when count(*) > 0 then 'has'
            else 'unknown'
        end
    into p_turn
    from pg_catalog.svv_transactions as transactions
    inner join pg_catalog.pg_class as tables on transactions.relation = tables.oid
    inner join pg_catalog.pg_namespace as schemas on tables.relnamespace = schemas.oid
    where
        transactions.pid = p_session
        and schemas.nspname = 'etl'
        and tables.relname = p_dataset || '_lock';
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

grant execute on procedure etl.has_turn(integer, varchar, varchar) to etl_loader;
