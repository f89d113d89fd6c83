-- Purpose:    says for each file of a batch what it means to this load.
-- Parameters: p_dataset   the dataset's name
--             p_files     JSON array of at most 100 {file_id, key, version_id, sequencer, size,
--                         uploaded_at, is_gone, content}; uploaded_at is ISO 8601 in UTC,
--                         is_gone says that the version could not be staged, since it is not in
--                         raw/ any more; content is the same for the same bytes
--             p_same_key  what a further version of a key means: replace or append
-- Reads:      etl.loaded_files
-- Writes:     the temporary tables load_manifest (the entries, as given) and load_files, one row a
--             file, whose status is
--             loaded      to be loaded now
--             skipped     in the ledger already, whatever batch brought it and whatever
--                         became of it since
--             superseded  (replace) a newer version of its key is here or in the ledger
--             replaced    (replace) counted until now; a file of this batch takes its place
-- Errors:     a file that is gone and is not in the ledger; an entry that is none of the dataset's,
--             or of a time to come: it would win over each correction that follows
-- Note:       the versions of a key have one order: by the second of their upload, then by S3's
--             sequencer (a file found by listing has none), then by file_id. Of all that are
--             known the greatest counts, whichever came first.
-- Rerun:      the files of a load that has succeeded come out as skipped.
-- Example:    call etl.register_files('orders', '[{"file_id": "0f…", "key": "raw/orders/a.csv",
--             "version_id": "v1", "sequencer": "0055AED6DCD90281E5", "size": 123,
--             "uploaded_at": "2013-01-02T04:00:00.000Z", "is_gone": false}]', 'replace');
create or replace procedure etl.register_files(
    p_dataset varchar(256),
    p_files varchar(65535),
    p_same_key varchar(16)
)
as $$
declare
    v_given_files bigint;
    v_bad_entries bigint;
    v_lost_files bigint;
    v_object_key varchar(1024);
    v_others varchar(64);
begin
    if p_same_key not in ('replace', 'append') then
        raise exception 'dataset %: same_key must be replace or append, not "%"', p_dataset, p_same_key;
    end if;
    -- Parsed once, whatever the number of its entries.
    drop table if exists load_manifest;
    create temp table load_manifest (entries super);
    insert into load_manifest (entries) values (json_parse(p_files));
    select count(*) into v_given_files
    from load_manifest as manifest, manifest.entries as entry;
    if v_given_files > 100 then
        raise exception 'dataset %: a load takes at most 100 files, not %', p_dataset, v_given_files;
    end if;

    drop table if exists load_files;
    create temp table load_files (
        file_id varchar(32),
        object_key varchar(1024),
        version_id varchar(1024),
        sequencer varchar(64),
        size_bytes bigint,
        uploaded_at timestamp,
        is_gone boolean,
        status varchar(16)
    );

    insert into load_files (
        file_id, object_key, version_id, sequencer, size_bytes, uploaded_at, is_gone, status
    )
    with given as (
        select
            cast(entry.file_id as varchar(32)) as file_id,
            cast(entry.key as varchar(1024)) as object_key,
            cast(entry.version_id as varchar(1024)) as version_id,
            cast(entry.sequencer as varchar(64)) as sequencer,
            cast(entry.size as bigint) as size_bytes,
            cast(
                replace(left(cast(entry.uploaded_at as varchar(32)), 19), 'T', ' ') as timestamp
            ) as uploaded_at,
            cast(entry.is_gone as boolean) as is_gone
        from load_manifest as manifest, manifest.entries as entry
    ),

    -- A file that is given twice is one file. What S3 told of it, with a sequencer, goes first.
    batch as (
        select
            numbered.file_id,
            numbered.object_key,
            numbered.version_id,
            numbered.sequencer,
            numbered.size_bytes,
            numbered.uploaded_at,
            numbered.is_gone
        from (
            select
                given.file_id,
                given.object_key,
                given.version_id,
                given.sequencer,
                given.size_bytes,
                given.uploaded_at,
                given.is_gone,
                row_number() over (
                    partition by given.file_id
                    order by given.sequencer desc, given.uploaded_at
                ) as occurrence
            from given
        ) as numbered
        where numbered.occurrence = 1
    ),

    -- Keys are compared with a dot at their end: trailing blanks, which tell objects apart, would
    -- not count.
    ledger as (
        select
            loaded_files.file_id,
            loaded_files.object_key,
            loaded_files.version_id,
            loaded_files.sequencer,
            loaded_files.size_bytes,
            loaded_files.uploaded_at,
            loaded_files.status
        from etl.loaded_files
        where
            loaded_files.dataset = p_dataset
            and loaded_files.object_key || '.' in (select batch.object_key || '.' from batch)
    ),

    candidates as (
        select
            batch.file_id,
            batch.object_key,
            batch.version_id,
            batch.sequencer,
            batch.size_bytes,
            batch.uploaded_at,
            batch.is_gone,
            'new' as status
        from batch
        where batch.file_id not in (select ledger.file_id from ledger)
        union all
        select
            ledger.file_id,
            ledger.object_key,
            ledger.version_id,
            ledger.sequencer,
            ledger.size_bytes,
            ledger.uploaded_at,
            false as is_gone,
            ledger.status
        from ledger
    ),

    -- Sequencers compare as text once they are of one length.
    ranked as (
        select
            candidates.file_id,
            candidates.object_key,
            candidates.version_id,
            candidates.sequencer,
            candidates.size_bytes,
            candidates.uploaded_at,
            candidates.is_gone,
            candidates.status,
            row_number() over (
                partition by candidates.object_key || '.'
                order by
                    nvl(candidates.uploaded_at, cast('1970-01-01' as timestamp)) desc,
                    rpad(candidates.sequencer, 64, '0') desc,
                    candidates.file_id desc
            ) as recency
        from candidates
    )

    select
        ranked.file_id,
        ranked.object_key,
        ranked.version_id,
        ranked.sequencer,
        ranked.size_bytes,
        ranked.uploaded_at,
        ranked.is_gone,
        case
            when ranked.status = 'new' and (p_same_key = 'append' or ranked.recency = 1) then 'loaded'
            when ranked.status = 'new' then 'superseded'
            else 'replaced'
        end as status
    from ranked
    where
        ranked.status = 'new'
        or (ranked.status = 'loaded' and p_same_key = 'replace' and ranked.recency > 1)
    union all
    select
        batch.file_id,
        batch.object_key,
        batch.version_id,
        batch.sequencer,
        batch.size_bytes,
        batch.uploaded_at,
        batch.is_gone,
        'skipped' as status
    from batch
    where batch.file_id in (select ledger.file_id from ledger);

    -- The clocks of S3 and of the warehouse may differ by as much as the load machine lets them.
    select nvl(sum(case
        when
            length(file_id) = 32
            and size_bytes >= 0
            and left(object_key, length(p_dataset) + 5) = 'raw/' || p_dataset || '/'
            and uploaded_at <= dateadd(minute, 15, getdate())
            then 0
        else 1
    end), 0)
    into v_bad_entries
    from load_files
    where status <> 'replaced';
    if v_bad_entries > 0 then
        raise exception 'dataset %: % entries of the manifest are no files of this dataset, or of a time to come',
            p_dataset, v_bad_entries;
    end if;

    select count(*), min(object_key) into v_lost_files, v_object_key
    from load_files
    where is_gone and status in ('loaded', 'superseded');
    if v_lost_files > 0 then
        v_others := case when v_lost_files > 1 then ' (' || v_lost_files || ' such files in this load)' else '' end;
        raise exception 'file %: this version is no longer in the raw bucket and was never loaded%',
            v_object_key, v_others;
    end if;
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;
