-- Purpose: the loader has the password of this deployment's secret, in whatever warehouse, and
--          whoever had deployed to it before.
alter user etl_loader password '${LoaderPasswordHash}';

grant usage on schema etl to etl_loader;
