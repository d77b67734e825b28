ALTER TABLE orders DROP CONSTRAINT orders_status_known;
ALTER TABLE orders
    ADD CONSTRAINT orders_status_known FOREIGN KEY (status) REFERENCES order_statuses (name) NOT VALID;
