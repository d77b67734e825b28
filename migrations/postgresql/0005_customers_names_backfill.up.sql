-- Second step: fill the old rows, a thousand at a time, in a migration without any change of the schema. On a large
-- table the application does this in the background, and this statement finds nothing left to do.
-- godwit: waive=opaque-block reason="touches customers.given_name and family_name only, 1000 rows a turn" expires=2099-12-31
DO $$
DECLARE
    changed bigint;
BEGIN
    LOOP
        UPDATE customers
        SET given_name = split_part(full_name, ' ', 1),
            family_name = substr(full_name, length(split_part(full_name, ' ', 1)) + 2)
        WHERE id IN (SELECT id FROM customers WHERE given_name IS NULL ORDER BY id LIMIT 1000);
        GET DIAGNOSTICS changed = ROW_COUNT;
        EXIT WHEN changed = 0;
        RAISE NOTICE 'filled % rows', changed;
    END LOOP;
END
$$;
