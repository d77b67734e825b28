-- Nullable: rows that are there keep going, and the running application need not know the column.
ALTER TABLE customers ADD COLUMN phone TEXT;
