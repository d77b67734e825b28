-- What each pull request says by a check on the commit at its head. GitHub shows one check per commit and name, and a commit
-- may be the head of several pull requests, or of a merge group.

CREATE TABLE said_on_heads (
    repo       TEXT   NOT NULL,
    pr         BIGINT NOT NULL, -- 0: a merge group
    head       TEXT   NOT NULL,
    check_name TEXT   NOT NULL,
    base_ref   TEXT   NOT NULL,
    conclusion TEXT   NOT NULL,
    title      TEXT   NOT NULL,
    at         BIGINT NOT NULL, -- milliseconds since 1970
    PRIMARY KEY (repo, pr, check_name, head)
);

CREATE INDEX said_on_heads_by_head ON said_on_heads (repo, head);
