-- Customers get a status; who has ordered is active.
ALTER TABLE customers ADD COLUMN status TEXT NOT NULL DEFAULT 'new';
UPDATE customers SET status = 'active' WHERE id IN (SELECT customer_id FROM orders);

-- Nobody sends faxes any more. The numbers are put aside first, so that the way back loses nothing.
CREATE TABLE customers_fax_retired AS SELECT id, fax FROM customers WHERE fax IS NOT NULL;
ALTER TABLE customers DROP COLUMN fax;
