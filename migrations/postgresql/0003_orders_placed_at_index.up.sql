-- On a table with rows an index is built beside the running application. This cannot run in a transaction, so it is
-- alone in its file; after a crash Godwit looks whether the index is there, and whether it is valid.
CREATE INDEX CONCURRENTLY orders_placed_at ON orders (placed_at);
