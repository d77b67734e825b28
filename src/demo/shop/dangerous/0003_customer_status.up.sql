-- Customers get a status; nobody sends faxes any more.
ALTER TABLE customers ADD COLUMN status TEXT NOT NULL DEFAULT 'new';
UPDATE customers SET status = 'active';
ALTER TABLE customers DROP COLUMN fax;
