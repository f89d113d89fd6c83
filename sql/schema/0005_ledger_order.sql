-- Purpose: what it takes to order the versions of a key, and to take files back.

-- When the version was uploaded, to the second, UTC. Null where an older release recorded it.
alter table etl.loaded_files add column uploaded_at timestamp;

-- Grain: one row per dataset. Its own files register it; etl.revert_files reads the names here.
create table if not exists etl.datasets (
    dataset varchar(256) not null,
    aggregate_table varchar(127) not null,
    lock_table varchar(127) not null
);
