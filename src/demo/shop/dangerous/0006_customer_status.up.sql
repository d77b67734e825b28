-- Customers get a status; nobody is called by phone any more.
ALTER TABLE customers ADD COLUMN status TEXT NOT NULL DEFAULT 'new';
UPDATE customers SET status = 'active', phone = NULL;
ALTER TABLE customers DROP COLUMN phone;
