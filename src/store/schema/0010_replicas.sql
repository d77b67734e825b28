-- Processes that serve this store, and work that only some of them may do.

CREATE TABLE replicas (
    id         TEXT   NOT NULL PRIMARY KEY, -- ULID, new at each start
    role       TEXT   NOT NULL,
    region     TEXT   NOT NULL,             -- empty: none
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);

-- The region whose workers alone may do it; empty: any worker without a region.
ALTER TABLE jobs ADD COLUMN region TEXT NOT NULL DEFAULT '';

-- What every process that opens the store must agree on.
CREATE TABLE facts (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
