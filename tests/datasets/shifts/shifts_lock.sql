-- Purpose: loads of the dataset queue up on this table, and etl.revert_files finds it.
-- Grain:   one row
create table if not exists etl.shifts_lock (
    is_held boolean
);

insert into etl.shifts_lock (is_held)
select true
where not exists (select 1 from etl.shifts_lock);

delete from etl.datasets
where dataset = 'shifts';

insert into etl.datasets (dataset, lock_table)
values ('shifts', 'shifts_lock');
