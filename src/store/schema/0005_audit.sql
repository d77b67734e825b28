-- The audit log: each row's hash covers the row and the hash of the row before, keyed by a secret that is not in here.

CREATE TABLE audit (
    seq         BIGINT NOT NULL PRIMARY KEY, -- 1, 2, 3, … without gaps
    at          BIGINT NOT NULL,
    actor       TEXT   NOT NULL,
    basis       TEXT,
    action      TEXT   NOT NULL,
    result      TEXT   NOT NULL,
    repo        TEXT,
    pr          BIGINT,
    environment TEXT,
    target      TEXT,
    commit_id   TEXT,
    digest      TEXT,
    policy_hash TEXT,
    sql_hash    TEXT,
    run         TEXT,
    correlation TEXT,
    details     TEXT   NOT NULL,             -- JSON object of texts
    previous    TEXT   NOT NULL,
    hash        TEXT   NOT NULL
);
