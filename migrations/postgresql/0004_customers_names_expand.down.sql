ALTER TABLE customers
    DROP COLUMN given_name,
    DROP COLUMN family_name;
