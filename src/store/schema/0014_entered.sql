-- Approvals that were entered outside GitHub, when the people of one environment were asked, and what pull requests
-- were last judged to be.

CREATE TABLE entered (
    id          TEXT   NOT NULL PRIMARY KEY, -- ULID
    repo        TEXT   NOT NULL,
    pr          BIGINT,          -- NULL: given for one migration, on the command line
    environment TEXT   NOT NULL,
    role        TEXT   NOT NULL,
    approver    TEXT   NOT NULL,
    entered_by  TEXT   NOT NULL, -- whom the token belongs to
    source      TEXT   NOT NULL, -- cli or api
    comment     TEXT   NOT NULL,
    subject     TEXT   NOT NULL, -- the migration, or the pull request
    digest      TEXT   NOT NULL, -- of what was approved: that migration, or the pull request
    policy_hash TEXT   NOT NULL,
    risk        TEXT   NOT NULL,
    at          BIGINT NOT NULL
);

CREATE INDEX entered_by_digest ON entered (digest, environment);
CREATE INDEX entered_by_pull ON entered (repo, pr);

CREATE TABLE asked_in (
    repo        TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    environment TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    policy_hash TEXT   NOT NULL,
    risk        TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    anew        BIGINT NOT NULL, -- 1: earlier approvals expired and do not count any more
    PRIMARY KEY (repo, pr, environment, digest, policy_hash, risk)
);

CREATE TABLE pulls (
    repo        TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    state       TEXT   NOT NULL, -- open, merged or closed
    look        TEXT   NOT NULL, -- the event that asks for another look, as JSON
    head        TEXT   NOT NULL,
    base_ref    TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    summary     TEXT   NOT NULL,
    risk        TEXT,
    digest      TEXT,
    policy_hash TEXT,
    verdict     TEXT   NOT NULL, -- JSON
    at          BIGINT NOT NULL,
    PRIMARY KEY (repo, pr)
);
