-- Purpose: nobody may more than was granted. What Redshift lets everybody do goes; analysts get a
--          role, which sees the schema mart and, in it, what grants itself: the views.
-- Note:    a temporary table of the caller's would stand before any table that a procedure names
--          without its schema. The load procedures make theirs with the rights of their owner.
revoke create on schema public from public;

revoke temp on database ${Database} from public;

create role mart_reader;

grant usage on schema mart to role mart_reader;
