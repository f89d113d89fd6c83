-- See sql/datasets/flights/flights_lock.sql.
create table if not exists etl.readings_lock (
    is_held boolean
);

insert into etl.readings_lock (is_held)
select true
where not exists (select 1 from etl.readings_lock);
