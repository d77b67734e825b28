ALTER TABLE customers ADD COLUMN fax TEXT;
UPDATE customers SET fax = (SELECT r.fax FROM customers_fax_retired r WHERE r.id = customers.id)
WHERE id IN (SELECT id FROM customers_fax_retired);
DROP TABLE customers_fax_retired;
ALTER TABLE customers DROP COLUMN status;
