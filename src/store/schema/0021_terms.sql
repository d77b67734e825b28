-- Where a run goes and how it goes there, as it was when people had agreed to a content in an environment, and as it was found
-- to be when the run was about to begin, if that was something else. JSON.

CREATE TABLE terms (
    repo        TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    environment TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    policy_hash TEXT   NOT NULL,
    agreed      TEXT   NOT NULL,
    agreed_at   BIGINT NOT NULL, -- milliseconds since 1970
    found       TEXT,
    PRIMARY KEY (repo, pr, environment, digest, policy_hash)
);
