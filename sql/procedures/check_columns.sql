-- Purpose:    says how many of its declared columns a table has, if they are the first of them.
-- Parameters: p_dataset  whose table it is
--             p_table    the table, in the schema mart
--             p_columns  its columns in order, as "name type", separated by semicolons
--             p_found    out: how many columns it has
-- Reads:      svv_columns
-- Errors:     a column that has another name or type in the warehouse, or is there alone
-- Rerun:      gives the same.
-- Example:    see etl.extend_daily_route_performance_by_file, which calls it
create or replace procedure etl.check_columns(
    p_dataset varchar(256),
    p_table varchar(127),
    p_columns varchar(65535),
    inout p_found bigint
)
as $$
declare
    v_column record;
    v_there varchar(256);
    v_declared varchar(256);
begin
    p_found := 0;
    for v_column in
        select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale
        from svv_columns
        where table_schema = 'mart' and table_name = p_table
        order by ordinal_position
    loop
        p_found := p_found + 1;
        v_declared := split_part(p_columns, ';', p_found);
        v_there := v_column.column_name || ' ' || case v_column.data_type
            when 'character varying' then 'varchar(' || v_column.character_maximum_length || ')'
            when 'numeric' then 'decimal(' || v_column.numeric_precision || ', ' || v_column.numeric_scale || ')'
            when 'timestamp without time zone' then 'timestamp'
            else v_column.data_type
        end;
        if v_there <> v_declared then
            raise exception 'dataset %: column % of mart.% is "%" in the warehouse and "%" in dataset.yaml; only columns at its end can be added: see docs/datasets.md, "A spec that changes"',
                p_dataset, p_found, p_table, v_there, v_declared;
        end if;
    end loop;
end;
$$
language plpgsql;
