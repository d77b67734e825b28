ALTER TABLE orders DROP CONSTRAINT orders_status_known;
DROP TABLE order_statuses;
