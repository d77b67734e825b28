-- What arrived and what is to be done about it. A delivery and its job are written in one transaction.
-- Times are milliseconds since 1970 in UTC; ids of jobs are ULIDs, so they sort by age.

CREATE TABLE deliveries (
    id          TEXT   NOT NULL PRIMARY KEY, -- X-GitHub-Delivery; a redelivery carries the same one
    event       TEXT   NOT NULL,             -- X-GitHub-Event
    received_at BIGINT NOT NULL
);

CREATE TABLE jobs (
    id          TEXT   NOT NULL PRIMARY KEY,
    serial_key  TEXT   NOT NULL,             -- jobs of one key are worked one after the other
    delivery    TEXT,                        -- correlation: the delivery it follows from
    event       TEXT   NOT NULL,             -- the reduced event as JSON
    state       TEXT   NOT NULL CHECK (state IN ('queued', 'running', 'done', 'dead')),
    attempts    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    claim       TEXT,                        -- token of the claim that holds it; whoever lost it may not finish it
    worker      TEXT,
    claimed_at  BIGINT,
    lease_until BIGINT,
    finished_at BIGINT,
    error       TEXT                         -- of the last attempt, credentials taken out
);

-- Each index holds only the rows that are looked for by it, so they stay small however long the history grows.
CREATE INDEX jobs_queued ON jobs (id) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (serial_key) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (delivery) WHERE state = 'dead';
