-- Parts of an environment that are done while others still wait, where its targets belong to the workers of several regions.

CREATE TABLE legs (
    run         TEXT   NOT NULL PRIMARY KEY,
    repo        TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    digest      TEXT   NOT NULL,
    targets     TEXT   NOT NULL, -- their names, a space between two
    report      TEXT   NOT NULL, -- JSON
    ended       BIGINT NOT NULL, -- 1: a record of the whole environment tells of it, or it was undone
    at          BIGINT NOT NULL
);

CREATE INDEX legs_by_pull ON legs (repo, environment, pr);
