-- Purpose: the external schema `lake` over the Glue database, where it is missing: each deployment
--          makes it (sql/deployment/0005_lake.sql), this brings it back where somebody dropped it.
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
    -- With its schema: a temporary table of the caller's would be found before it.
    from pg_catalog.svv_external_schemas
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
