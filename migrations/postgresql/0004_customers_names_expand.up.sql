-- Expand, first step of turning `full_name` into two columns: add them, nullable and without a default. The running
-- application does not notice; the next release writes both the old column and the new ones.
ALTER TABLE customers
    ADD COLUMN given_name text,
    ADD COLUMN family_name text;
