-- Customers get a status; who has ordered is active.
ALTER TABLE customers ADD COLUMN status TEXT NOT NULL DEFAULT 'new';
UPDATE customers SET status = 'active' WHERE id IN (SELECT customer_id FROM orders);

-- Nobody is called by phone any more. The numbers are put aside first, so that the way back loses nothing.
CREATE TABLE customers_phone_retired AS SELECT id, phone FROM customers WHERE phone IS NOT NULL;
ALTER TABLE customers DROP COLUMN phone;
