-- Fourth step, a migration of its own: check the old rows. Reads and writes go on meanwhile.
ALTER TABLE customers VALIDATE CONSTRAINT customers_names_filled;
