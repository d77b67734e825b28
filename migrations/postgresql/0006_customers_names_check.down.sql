ALTER TABLE customers DROP CONSTRAINT customers_names_filled;
