-- Purpose: the ledger, which alone says what has been loaded. It is written in the same
--          transaction as the aggregates.

-- Grain: one row per load (a batch of files), written once it has succeeded.
create table if not exists etl.loads (
    load_id varchar(80) not null,
    dataset varchar(256) not null,
    run_id varchar(80) not null,
    status varchar(16) not null,
    files_loaded bigint not null,
    files_skipped bigint not null,
    source_rows bigint not null,
    rejected_rows bigint not null,
    aggregate_rows bigint not null,
    empty_file_ids varchar(4096) not null,
    started_at timestamp not null,
    finished_at timestamp not null
);

-- Grain: one row per object version. status: loaded (it counts), superseded (a newer version
-- of its key was there first), replaced (it counted until a newer version came).
create table if not exists etl.loaded_files (
    file_id varchar(32) not null,
    dataset varchar(256) not null,
    load_id varchar(80) not null,
    object_key varchar(1024) not null,
    version_id varchar(1024),
    sequencer varchar(64),
    size_bytes bigint not null,
    status varchar(16) not null,
    source_rows bigint not null,
    rejected_rows bigint not null,
    loaded_at timestamp not null
);

-- Grain: one row per source row that could not be read into its types, at most 1,000 a file.
-- The exact number of them is etl.loaded_files.rejected_rows.
create table if not exists etl.rejected_rows (
    file_id varchar(32) not null,
    load_id varchar(80) not null,
    line varchar(65535),
    reason varchar(1024) not null
);
