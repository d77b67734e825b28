-- Contract, the last step, once no running release reads or writes `full_name`: the values are gone after this, so the
-- risk is HIGH and people have to agree. The rollback can only put them together again.
ALTER TABLE customers DROP COLUMN full_name;
