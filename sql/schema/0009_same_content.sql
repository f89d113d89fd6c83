-- Purpose: what it takes to tell that the same bytes were loaded under two keys.

-- The beginning of the content's SHA-256, in Base64. Null where nobody computed it.
alter table etl.loaded_files add column content varchar(64);

-- Files whose content another key brought within the day, a line each: file_id, a blank, that key.
alter table etl.loads add column same_files varchar(32768);
