-- Purpose:    says of each file of a load what its rows are, and refuses a file that cannot be
--             what it should.
-- Parameters: p_header        what the header row of every file reads; empty where there is none
--             p_counted_rows  out: rows that count, in files that do
-- Reads:      the temporary tables load_files (etl.register_files) and load_rows (the dataset's
--             procedure: file_id, line, kind, reject_reason, reject_value), whose kind is
--             row      a row of data
--             header   names the columns, and nothing else
--             padded   likewise, with empty fields behind them, as spreadsheets leave them
--             blank    an empty line
-- Writes:     the temporary table load_counts, one row per file that is read; load_rows, which
--             has no rows of superseded files afterwards
-- Errors:     a file that gave no row although it is not empty; whose header is another, or that
--             has none or several; of which no row can be read
-- Note:       superseded files are judged too: whether a file has to be refused does not hang on
--             when it comes.
-- Rerun:      gives the same.
-- Example:    see a dataset's load procedure, which calls it
create or replace procedure etl.judge_files(
    p_header varchar(65535),
    inout p_counted_rows bigint
)
as $$
declare
    v_bad_files bigint;
    v_padded_rows bigint;
    v_superseded_files bigint;
    v_file_id varchar(32);
    v_object_key varchar(1024);
    v_header_rows bigint;
    v_line varchar(65535);
    v_hint varchar(256);
    v_expected varchar(256);
    v_found varchar(1024);
    v_name varchar(1024);
    v_names integer;
    v_number integer := 0;
    v_lacking integer := 0;
    v_lacked varchar(512) := '';
    v_others varchar(64);
    v_reason varchar(1024);
begin
    drop table if exists load_counts;
    create temp table load_counts (
        file_id varchar(32),
        object_key varchar(1024),
        size_bytes bigint,
        status varchar(16),
        header_rows bigint,
        padded_rows bigint,
        refused_headers bigint,
        blank_rows bigint,
        source_rows bigint,
        rejected_rows bigint,
        surplus_rows bigint
    );

    insert into load_counts (
        file_id, object_key, size_bytes, status, header_rows, padded_rows, refused_headers, blank_rows,
        source_rows, rejected_rows, surplus_rows
    )
    -- The rows are read here, once; what follows asks these counts first.
    with counted as (
        select
            file_id,
            kind,
            count(*) as all_rows,
            count(reject_reason) as rejected_rows,
            sum(case when reject_reason = 'too many fields, the last of them empty' then 1 else 0 end) as surplus_rows
        from load_rows
        group by
            file_id,
            kind
    )

    select
        load_files.file_id,
        load_files.object_key,
        load_files.size_bytes,
        load_files.status,
        sum(case when counted.kind in ('header', 'padded') then counted.all_rows else 0 end) as header_rows,
        sum(case when counted.kind = 'padded' then counted.all_rows else 0 end) as padded_rows,
        sum(case when counted.kind in ('header', 'padded') then counted.rejected_rows else 0 end) as refused_headers,
        sum(case when counted.kind = 'blank' then counted.all_rows else 0 end) as blank_rows,
        sum(case when counted.kind = 'row' then counted.all_rows else 0 end) as source_rows,
        sum(case when counted.kind = 'row' then counted.rejected_rows else 0 end) as rejected_rows,
        sum(case when counted.kind = 'row' then counted.surplus_rows else 0 end) as surplus_rows
    from load_files
    left join counted on load_files.file_id = counted.file_id
    where load_files.status in ('loaded', 'superseded')
    group by
        load_files.file_id,
        load_files.object_key,
        load_files.size_bytes,
        load_files.status;

    -- Who pads the header pads the rows.
    select nvl(sum(padded_rows), 0) into v_padded_rows from load_counts;
    if v_padded_rows > 0 then
        update load_rows
        set reject_reason = null
        where
            reject_reason = 'too many fields, the last of them empty'
            and file_id in (select file_id from load_counts where padded_rows > 0);
        update load_rows set kind = 'header' where kind = 'padded';
        update load_counts set rejected_rows = rejected_rows - surplus_rows where padded_rows > 0;
    end if;

    -- A file that is not empty gives one row at least. Compressed, an empty file still has a few
    -- dozen bytes.
    select count(*), min(file_id) into v_bad_files, v_file_id
    from load_counts
    where
        header_rows + blank_rows + source_rows = 0
        and size_bytes > case
            when
                lower(object_key) like '%.br' or lower(object_key) like '%.bz2'
                or lower(object_key) like '%.deflate' or lower(object_key) like '%.gz'
                or lower(object_key) like '%.lz4' or lower(object_key) like '%.lzo'
                or lower(object_key) like '%.snappy' or lower(object_key) like '%.xz'
                or lower(object_key) like '%.zip' or lower(object_key) like '%.zst'
                then 100
            else 0
        end;
    if v_bad_files > 0 then
        select object_key into v_object_key from load_counts where file_id = v_file_id;
        v_others := case when v_bad_files > 1 then ' (' || v_bad_files || ' such files in this load)' else '' end;
        raise exception 'file %: nothing was read from it although it is not empty%', v_object_key, v_others;
    end if;

    select count(*), min(file_id) into v_bad_files, v_file_id
    from load_counts
    where refused_headers > 0;
    if v_bad_files > 0 then
        select object_key into v_object_key from load_counts where file_id = v_file_id;
        select max(reject_reason) into v_reason
        from load_rows
        where file_id = v_file_id and kind = 'header';
        raise exception 'file %: %', v_object_key, v_reason;
    end if;

    select count(*), min(file_id) into v_bad_files, v_file_id
    from load_counts
    where p_header <> '' and header_rows <> 1 and source_rows > 0;
    if v_bad_files > 0 then
        select object_key, header_rows into v_object_key, v_header_rows
        from load_counts
        where file_id = v_file_id;
        select nvl(max(', and one begins with a byte order mark that was encoded twice'), '') into v_hint
        from load_rows
        where file_id = v_file_id and kind = 'row' and left(line, 3) = 'ï»¿';
        -- Letters sort behind digits: among rows of numbers the greatest is the stray header. It may be a
        -- row of data all the same, so none of its text is told, but which of the names it lacks.
        select ',' || left(nvl(max(lower(line)), ''), 16000) || ',' into v_line
        from load_rows
        where file_id = v_file_id and kind = 'row';
        if v_bad_files > 1 then
            v_hint := v_hint || ' (' || v_bad_files || ' such files in this load)';
        end if;
        v_names := len(p_header) - len(replace(p_header, ',', '')) + 1;
        while v_number < v_names loop
            v_number := v_number + 1;
            v_name := split_part(p_header, ',', v_number);
            if strpos(v_line, ',' || lower(v_name) || ',') = 0 then
                v_lacking := v_lacking + 1;
                if v_lacking <= 3 then
                    v_lacked := v_lacked || case when v_lacking > 1 then ', ' else '' end || left(v_name, 60);
                end if;
            end if;
        end loop;
        v_found := v_header_rows || case
            when v_header_rows > 1 then ''
            when v_lacking = v_names then '; no row of it names any of these columns'
            when v_lacking = 0 then '; a row of it has all of these names, but in another order, in other letters, or with others between them'
            when v_lacking > 3 then '; the row that comes nearest lacks ' || v_lacked || ' and ' || (v_lacking - 3) || ' more'
            else '; the row that comes nearest lacks ' || v_lacked
        end || v_hint;
        v_expected := substring(p_header, 1, 60) || case when len(p_header) > 60 then '...' else '' end;
        raise exception 'file %: expected one header row "%", found %',
            v_object_key, v_expected, v_found;
    end if;

    select count(*), min(file_id) into v_bad_files, v_file_id
    from load_counts
    where source_rows > 0 and rejected_rows = source_rows;
    if v_bad_files > 0 then
        select object_key into v_object_key from load_counts where file_id = v_file_id;
        select max(reject_reason) into v_reason from load_rows where file_id = v_file_id and kind = 'row';
        v_others := case when v_bad_files > 1 then ' (' || v_bad_files || ' such files in this load)' else '' end;
        raise exception 'file %: none of its rows can be read, for example "%"%', v_object_key, v_reason, v_others;
    end if;

    -- Judged, the rows of superseded files are of no more use. Whoever reads load_rows from here on
    -- need not ask for each row whose it is.
    select count(*) into v_superseded_files from load_counts where status = 'superseded';
    if v_superseded_files > 0 then
        delete from load_rows
        where file_id in (select file_id from load_counts where status = 'superseded');
    end if;

    select nvl(sum(source_rows - rejected_rows), 0) into p_counted_rows
    from load_counts
    where status = 'loaded';
end;
$$
language plpgsql
security definer
set search_path to pg_catalog;
