-- Purpose: the role that analysts have, where the warehouse lacks it. In the schema mart it sees
--          what grants itself: the views.
-- Note:    as for the loader, the files that grant it something are applied again.
select 1 as is_missing
where not exists (
    select 1
    from svv_roles
    where role_name = 'mart_reader'
);

create role mart_reader;

update etl.schema_version
set checksum = ''
where path not like 'schema/%';
