-- Whose turn it is in an environment, what people asked to be undone, and which runs were asked to stop.

CREATE TABLE turns (
    repo        TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    targets     TEXT   NOT NULL, -- names with a space between
    merged_at   BIGINT NOT NULL,
    state       TEXT   NOT NULL, -- waiting (a gate is closed), queued, running
    reason      TEXT   NOT NULL,
    run         TEXT,
    event       TEXT   NOT NULL, -- what asks for another look, as JSON
    since       BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    PRIMARY KEY (repo, environment, pr)
);

CREATE TABLE rollback_requests (
    id           TEXT   NOT NULL PRIMARY KEY, -- ULID
    repo         TEXT   NOT NULL,
    environment  TEXT   NOT NULL,
    pr           BIGINT NOT NULL,
    migration    TEXT   NOT NULL, -- unit/id
    brought_by   BIGINT,          -- the pull request whose run applied it
    steps        TEXT   NOT NULL, -- hash of what would be undone
    asked_by     TEXT   NOT NULL,
    asked_in     BIGINT NOT NULL, -- the comment
    line         BIGINT NOT NULL, -- which of its commands
    confirmed_by TEXT,
    state        TEXT   NOT NULL, -- pending, ready, done, refused, withdrawn
    asked_at     BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    UNIQUE (repo, asked_in, line)
);

CREATE INDEX rollback_requests_by_place ON rollback_requests (repo, pr, state);

CREATE TABLE run_stops (
    run     TEXT   NOT NULL PRIMARY KEY,
    by_whom TEXT   NOT NULL,
    at      BIGINT NOT NULL
);
