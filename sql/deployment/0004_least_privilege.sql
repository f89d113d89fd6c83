-- Purpose: nobody may more than was granted.
-- Note:    temporary tables stay everybody's right: without it nobody reads through Spectrum.
revoke create on schema public from public;

grant usage on schema mart to role mart_reader;
