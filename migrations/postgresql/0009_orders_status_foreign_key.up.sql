-- A table of allowed values, and a foreign key to it that does not look at the old orders yet.
CREATE TABLE order_statuses (
    name text PRIMARY KEY
);
INSERT INTO order_statuses (name) VALUES ('new'), ('paid'), ('shipped'), ('cancelled');
ALTER TABLE orders
    ADD CONSTRAINT orders_status_known FOREIGN KEY (status) REFERENCES order_statuses (name) NOT VALID;
