-- Attempts to bring targets forward: what was meant before the first statement, and what came of it.
-- Times are milliseconds since 1970 in UTC. A run without `finished_at` was interrupted or is under way.

CREATE TABLE runs (
    id          TEXT   NOT NULL PRIMARY KEY, -- ULID
    action      TEXT   NOT NULL,
    environment TEXT,                        -- NULL: ad hoc
    repo        TEXT,
    pr          BIGINT,
    commit_id   TEXT,
    actor       TEXT   NOT NULL,
    correlation TEXT,                        -- the delivery that started it
    digest      TEXT   NOT NULL,
    tool        TEXT   NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT,
    outcome     TEXT
);

CREATE INDEX runs_by_environment ON runs (environment, id);

-- The intent for one target, durable before the target sees a statement.
CREATE TABLE run_targets (
    run          TEXT   NOT NULL REFERENCES runs (id),
    target       TEXT   NOT NULL,
    engine       TEXT   NOT NULL,
    fingerprint  TEXT   NOT NULL, -- what the database says it is
    epoch        BIGINT NOT NULL,
    plan_hash    TEXT   NOT NULL,
    history_hash TEXT   NOT NULL,
    PRIMARY KEY (run, target)
);

CREATE INDEX run_targets_by_fingerprint ON run_targets (fingerprint, epoch);

CREATE TABLE run_steps (
    run         TEXT   NOT NULL,
    target      TEXT   NOT NULL,
    position    BIGINT NOT NULL,
    unit        TEXT   NOT NULL,
    migration   TEXT   NOT NULL,
    checksum    TEXT   NOT NULL,
    action      TEXT   NOT NULL,
    recovery    TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    duration_ms BIGINT NOT NULL,
    error       TEXT,
    PRIMARY KEY (run, target, position),
    FOREIGN KEY (run, target) REFERENCES run_targets (run, target)
);

-- Appended to, never changed: intents of single statements, probes, what became of them.
CREATE TABLE run_events (
    id       TEXT   NOT NULL PRIMARY KEY, -- ULID
    run      TEXT   NOT NULL,
    target   TEXT   NOT NULL,
    position BIGINT NOT NULL,
    event    TEXT   NOT NULL,
    detail   TEXT   NOT NULL,
    at       BIGINT NOT NULL
);

CREATE INDEX run_events_by_step ON run_events (run, target, position, id);
