-- Purpose:    checks that every row read is accounted for, writes the ledger, gives the answer.
-- Parameters: p_dataset, p_run_id, p_load_id   the load
--             p_header                         what the header row of every file must read
--             p_started_at                     when the load got the dataset's lock
--             p_counted_rows                source rows that the aggregates now stand for
--             p_first_date, p_last_date        the dates of those rows; null where there is none
--             p_status           out: loaded
--             p_files_loaded     out: files of this load that were in no load before
--             p_files_skipped    out: files that the ledger had already, or newer versions of
--             p_source_rows      out: rows read, header rows not among them
--             p_rejected_rows    out: of those, rows that could not be read into their types
--             p_aggregate_rows   in and out: rows written to the aggregate table
--             p_empty_file_ids   out: the files that gave no row, separated by commas
--             p_dates_covered    out: yyyy-mm-dd to yyyy-mm-dd; one date where both are the same
--             p_reject_reasons   out: the five most frequent, a line each: how often, and which
--             p_rejected_files   out: file_id:rows of the files that have rejected rows
--             p_same_files       out: files whose content another key of the dataset brought within
--                                the last day, a line each: file_id, a blank, that key; at most 20
-- Reads:      the temporary tables load_manifest and load_files (etl.register_files) and load_rows
--             (the dataset's procedure: file_id, line, kind, reject_reason)
-- Writes:     etl.loads, etl.loaded_files, etl.rejected_rows
-- Errors:     a load that is in the ledger with other files; a file whose header is another, that
--             holds no readable row, or of which nothing was read; rows read <> rows aggregated +
--             rows rejected
-- Rerun:      a load that is in the ledger gives its recorded answer and writes nothing.
-- Example:    see a dataset's load procedure, which calls it
create or replace procedure etl.finish_load(
    p_dataset varchar(256),
    p_run_id varchar(80),
    p_load_id varchar(80),
    p_started_at timestamp,
    p_counted_rows bigint,
    p_first_date date,
    p_last_date date,
    inout p_status varchar(16),
    inout p_files_loaded bigint,
    inout p_files_skipped bigint,
    inout p_source_rows bigint,
    inout p_rejected_rows bigint,
    inout p_aggregate_rows bigint,
    inout p_empty_file_ids varchar(4096),
    inout p_dates_covered varchar(32),
    inout p_reject_reasons varchar(4096),
    inout p_rejected_files varchar(8192),
    inout p_same_files varchar(32768)
)
as $$
declare
    v_recorded_loads bigint;
    v_recorded_files bigint;
    v_given_files bigint;
    v_bad_files bigint;
    v_new_files bigint;
    v_replaced_files bigint;
    v_file_id varchar(32);
    v_object_key varchar(1024);
    v_header_rows bigint;
    v_line varchar(65535);
    v_reason varchar(1024);
begin
    select count(*) into v_recorded_loads
    from etl.loads
    where load_id = p_load_id;

    if v_recorded_loads > 0 then
        -- Its answer stands for the files that it was given, and for no others: they would be
        -- taken for loaded. A file that an earlier load had brought is in the ledger as that one's.
        select nvl(sum(files_loaded + files_skipped), 0) into v_recorded_files
        from etl.loads
        where load_id = p_load_id and dataset = p_dataset;
        select count(*), nvl(sum(case when status = 'skipped' then 0 else 1 end), 0)
        into v_given_files, v_bad_files
        from load_files
        where status <> 'replaced';
        select v_bad_files + count(*) into v_bad_files
        from etl.loaded_files
        where load_id = p_load_id and file_id not in (select file_id from load_files);
        if v_bad_files > 0 or v_given_files <> v_recorded_files then
            raise exception 'load %: the ledger has it with other files (% there, % given here); a load_id stands for one set of files',
                p_load_id, v_recorded_files, v_given_files;
        end if;

        select
            status, files_loaded, files_skipped, source_rows, rejected_rows, aggregate_rows,
            empty_file_ids, nvl(dates_covered, ''), nvl(reject_reasons, ''), nvl(rejected_files, ''),
            nvl(same_files, '')
        into
            p_status, p_files_loaded, p_files_skipped, p_source_rows, p_rejected_rows, p_aggregate_rows,
            p_empty_file_ids, p_dates_covered, p_reject_reasons, p_rejected_files, p_same_files
        from etl.loads
        where load_id = p_load_id;
        return;
    end if;

    select nvl(sum(source_rows), 0), nvl(sum(rejected_rows), 0) into p_source_rows, p_rejected_rows
    from load_counts
    where status = 'loaded';
    if p_source_rows <> p_counted_rows + p_rejected_rows then
        raise exception 'load %: % rows read, but % counted and % rejected',
            p_load_id, p_source_rows, p_counted_rows, p_rejected_rows;
    end if;

    -- A statement that changes nothing takes its locks all the same, hence the questions.
    if p_rejected_rows > 0 then
        insert into etl.rejected_rows (file_id, load_id, line, reason, value)
        with numbered as (
            select
                file_id,
                line,
                reject_reason,
                reject_value,
                row_number() over (partition by file_id order by line) as row_position
            from load_rows
            where kind = 'row' and reject_reason is not null
        )

        select
            numbered.file_id,
            p_load_id as load_id,
            left(numbered.line, 16000) as line,
            numbered.reject_reason,
            left(numbered.reject_value, 16000) as value
        from numbered
        where numbered.row_position <= 1000;
    end if;

    select count(*) into v_replaced_files from load_files where status = 'replaced';
    if v_replaced_files > 0 then
        update etl.loaded_files
        set status = 'replaced'
        where file_id in (select file_id from load_files where status = 'replaced');
    end if;

    select count(*) into v_new_files from load_counts;
    if v_new_files > 0 then
        insert into etl.loaded_files (
            file_id, dataset, load_id, object_key, version_id, sequencer, size_bytes, uploaded_at,
            status, source_rows, rejected_rows, loaded_at, content
        )
        with contents as (
            select
                cast(entry.file_id as varchar(32)) as file_id,
                max(nullif(cast(entry.content as varchar(64)), '')) as content
            from load_manifest as manifest, manifest.entries as entry
            group by cast(entry.file_id as varchar(32))
        )

        select
            load_files.file_id,
            p_dataset as dataset,
            p_load_id as load_id,
            load_files.object_key,
            load_files.version_id,
            load_files.sequencer,
            load_files.size_bytes,
            load_files.uploaded_at,
            load_files.status,
            case when load_files.status = 'loaded' then load_counts.source_rows else 0 end as source_rows,
            case when load_files.status = 'loaded' then load_counts.rejected_rows else 0 end as rejected_rows,
            getdate() as loaded_at,
            contents.content
        from load_files
        inner join load_counts on load_files.file_id = load_counts.file_id
        left join contents on load_files.file_id = contents.file_id;
    end if;

    -- Files without a row are all alike. A further version of a key is no other key.
    select nvl(listagg(same.file_id || ' ' || same.other_key, chr(10)) within group (order by same.file_position), '') into p_same_files
    from (
        select
            given.file_id,
            min(other.object_key) as other_key,
            row_number() over (order by min(given.object_key), given.file_id) as file_position
        from etl.loaded_files as given
        inner join etl.loaded_files as other
            on
                given.content = other.content
                and given.object_key || '.' <> other.object_key || '.'
        where
            given.load_id = p_load_id
            and given.status = 'loaded'
            and given.source_rows > 0
            and other.dataset = p_dataset
            and other.status = 'loaded'
            and other.loaded_at >= dateadd(day, -1, getdate())
        group by given.file_id
    ) as same
    where same.file_position <= 20;

    p_status := 'loaded';
    select
        nvl(sum(case when status = 'loaded' then 1 else 0 end), 0),
        nvl(sum(case when status in ('skipped', 'superseded') then 1 else 0 end), 0)
    into p_files_loaded, p_files_skipped
    from load_files;
    select nvl(listagg(file_id, ',') within group (order by file_id), '') into p_empty_file_ids
    from load_counts
    where source_rows = 0 and status = 'loaded';
    p_dates_covered := nvl(to_char(p_first_date, 'YYYY-MM-DD'), '');
    if p_last_date > p_first_date then
        p_dates_covered := p_dates_covered || ' to ' || to_char(p_last_date, 'YYYY-MM-DD');
    end if;

    select nvl(listagg(reasons.rejected || ' ' || reasons.reject_reason, chr(10)) within group (order by reasons.rejected desc, reasons.reject_reason), '')
    into p_reject_reasons
    from (
        select
            reject_reason,
            count(*) as rejected,
            row_number() over (order by count(*) desc, reject_reason) as reason_position
        from load_rows
        where kind = 'row' and reject_reason is not null
        group by reject_reason
    ) as reasons
    where reasons.reason_position <= 5;
    select nvl(listagg(file_id || ':' || rejected_rows, ',') within group (order by rejected_rows desc, file_id), '')
    into p_rejected_files
    from load_counts
    where rejected_rows > 0 and status = 'loaded';

    insert into etl.loads (
        load_id, dataset, run_id, status, files_loaded, files_skipped, source_rows,
        rejected_rows, aggregate_rows, empty_file_ids, dates_covered, reject_reasons,
        rejected_files, same_files, started_at, finished_at
    )
    values (
        p_load_id, p_dataset, p_run_id, p_status, p_files_loaded, p_files_skipped, p_source_rows,
        p_rejected_rows, p_aggregate_rows, p_empty_file_ids, p_dates_covered, p_reject_reasons,
        p_rejected_files, p_same_files, p_started_at, getdate()
    );
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;
