-- Purpose: remembers which files of sql/ this warehouse holds, and in which wording.
-- Grain:   one row per file.
-- Note:    pending_checksum is set before a file is applied and becomes checksum in the
--          file's own transaction, so that record and effect cannot part.
create schema if not exists etl;

create table if not exists etl.schema_version (
    path varchar(256) not null,
    checksum varchar(64) not null,
    pending_checksum varchar(64),
    applied_at timestamp
)
diststyle all;
