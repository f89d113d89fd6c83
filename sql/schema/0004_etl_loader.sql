-- Purpose: the user the pipeline logs in as. It may call the load procedures (each grants
--          itself) and nothing else: they run with the rights of their owner.
create user etl_loader password '${LoaderPasswordHash}';

grant usage on schema etl to etl_loader;
