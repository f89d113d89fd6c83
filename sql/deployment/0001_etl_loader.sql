-- Purpose: the user that the pipeline logs in as, where the warehouse lacks it. It may call the
--          load procedures (each grants itself) and nothing else: they run with their owner's
--          rights.
-- Note:    users belong to all databases of a warehouse, and to no stack: see 0002. The files
--          that grant it something are applied again.
select 1 as is_missing
where not exists (
    select 1
    from pg_user
    where usename = 'etl_loader'
);

create user etl_loader password '${LoaderPasswordHash}';

update etl.schema_version
set checksum = ''
where path not like 'schema/%';
