CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    fax TEXT
);
INSERT INTO customers (email, fax) VALUES
    ('ada@example.com', '+44 20 7946 0001'),
    ('grace@example.com', NULL),
    ('linus@example.com', '+358 9 123 456');
