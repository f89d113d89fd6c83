-- Purpose: the external schema `lake` over this deployment's Glue database, read in its role.
-- Reads:   svv_external_schemas
-- Note:    ALTER EXTERNAL SCHEMA cannot change the database.
select 1 as is_another
where not exists (
    select 1
    from svv_external_schemas
    where
        schemaname = 'lake'
        and databasename = '${GlueDatabase}'
        and strpos(esoptions, '"${SpectrumRoleArn}"') > 0
);

drop schema if exists lake;

create external schema lake
from data catalog
database '${GlueDatabase}'
iam_role '${SpectrumRoleArn}';
