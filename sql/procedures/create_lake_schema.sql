-- Purpose: the external schema `lake` over the Glue database, where it is missing.
-- Reads:   svv_external_schemas
-- Writes:  the schema `lake`
-- Rerun:   does nothing when the schema is there.
-- Example: call etl.create_lake_schema();
create or replace procedure etl.create_lake_schema()
as $$
declare
    v_schemas bigint;
begin
    select count(*) into v_schemas
    from svv_external_schemas
    where schemaname = 'lake';

    if v_schemas = 0 then
        create external schema lake
        from data catalog
        database '${GlueDatabase}'
        iam_role '${SpectrumRoleArn}';
    end if;
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;

-- Made at deploy time too: AWS does not say in so many words that a procedure may do it.
create external schema if not exists lake
from data catalog
database '${GlueDatabase}'
iam_role '${SpectrumRoleArn}';
