-- What Godwit knows of GitHub's side besides pull requests: installations, names of repositories, what people were told
-- once, workflow jobs that wait for a word.

CREATE TABLE installations (
    id    BIGINT NOT NULL PRIMARY KEY, -- GitHub's
    state TEXT   NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
    at    BIGINT NOT NULL
);

CREATE TABLE repositories (
    id           BIGINT NOT NULL PRIMARY KEY, -- GitHub's; it stays when the repository is renamed
    name         TEXT   NOT NULL,
    installation BIGINT NOT NULL,
    removed_at   BIGINT                       -- when it was taken out of the installation
);

-- Rows of the audit log keep the name that a repository had when they were written.
CREATE TABLE former_names (
    former     TEXT   NOT NULL,
    repository BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    PRIMARY KEY (former, repository)
);

CREATE TABLE told (
    repo TEXT   NOT NULL,
    pr   BIGINT NOT NULL,
    what TEXT   NOT NULL,
    said TEXT   NOT NULL,
    at   BIGINT NOT NULL,
    PRIMARY KEY (repo, pr, what)
);

CREATE TABLE protection_requests (
    repo        TEXT   NOT NULL,
    run_id      BIGINT NOT NULL, -- the workflow run
    environment TEXT   NOT NULL, -- as the workflow calls it
    commit_id   TEXT   NOT NULL,
    said        TEXT   NOT NULL, -- the last report; empty before the first
    reports     BIGINT NOT NULL,
    answered_at BIGINT,
    at          BIGINT NOT NULL,
    PRIMARY KEY (repo, run_id, environment)
);
