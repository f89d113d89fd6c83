-- Written by `make datasets` from dataset.yaml: change that, and run it again.
-- Purpose: loads of the dataset queue up on this table. Nobody reads it, so that locking it
--          holds up no analyst.
-- Grain:   one row. Every load updates it once it has the lock: were a load's snapshot older than
--          the load before it, the two updates would collide (error 1023) instead of both
--          loads counting the same file.
create table if not exists etl.planes_lock (
    is_held boolean
);

insert into etl.planes_lock (is_held)
select true
where not exists (select 1 from etl.planes_lock);

delete from etl.datasets
where dataset = 'planes';

insert into etl.datasets (dataset, lock_table)
values ('planes', 'planes_lock');
