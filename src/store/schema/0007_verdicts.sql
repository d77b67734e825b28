-- What people agreed to, as the server judged it: one row for each migration that may run in an environment. The
-- command line, which cannot ask GitHub, reads it.

CREATE TABLE verdicts (
    repo        TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    environment TEXT   NOT NULL,
    digest      TEXT   NOT NULL, -- of that one migration
    policy_hash TEXT   NOT NULL,
    risk        TEXT   NOT NULL, -- of the pull request when it was judged
    basis       TEXT   NOT NULL, -- who filled which role
    expires_at  BIGINT,          -- when the approvals go stale
    PRIMARY KEY (repo, pr, environment, digest)
);

CREATE INDEX verdicts_by_place ON verdicts (environment, digest);
