-- Purpose: loads of the dataset queue up on this table. It stays empty and nobody reads it,
--          so that locking it holds up no analyst.
create table if not exists etl.flights_lock (
    is_held boolean
);
