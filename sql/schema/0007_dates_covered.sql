-- Purpose: what dates the rows of a load are of, for the mail to the business team.

-- As yyyy-mm-dd to yyyy-mm-dd. Null where an older release recorded the load.
alter table etl.loads add column dates_covered varchar(32);
