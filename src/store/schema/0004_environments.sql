-- What each environment was brought to, and which are frozen.

CREATE TABLE environment_records (
    id          TEXT   NOT NULL PRIMARY KEY, -- ULID
    repo        TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    pr          BIGINT,
    commit_id   TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    outcome     TEXT   NOT NULL,
    run         TEXT,
    at          BIGINT NOT NULL
);

CREATE INDEX environment_records_by_place ON environment_records (repo, environment, id);

CREATE TABLE environment_locks (
    repo        TEXT   NOT NULL, -- empty: every repository
    environment TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    locked_by   TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (repo, environment)
);
