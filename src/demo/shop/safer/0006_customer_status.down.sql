ALTER TABLE customers ADD COLUMN phone TEXT;
UPDATE customers SET phone = (SELECT r.phone FROM customers_phone_retired r WHERE r.id = customers.id)
WHERE id IN (SELECT id FROM customers_phone_retired);
DROP TABLE customers_phone_retired;
ALTER TABLE customers DROP COLUMN status;
