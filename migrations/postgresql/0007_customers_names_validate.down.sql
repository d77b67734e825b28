ALTER TABLE customers DROP CONSTRAINT customers_names_filled;
ALTER TABLE customers
    ADD CONSTRAINT customers_names_filled CHECK (given_name IS NOT NULL AND family_name IS NOT NULL) NOT VALID;
