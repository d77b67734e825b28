-- Third step: from now on the new columns must be filled. NOT VALID leaves the rows that are there alone, so the lock
-- is held for a moment only.
ALTER TABLE customers
    ADD CONSTRAINT customers_names_filled CHECK (given_name IS NOT NULL AND family_name IS NOT NULL) NOT VALID;
