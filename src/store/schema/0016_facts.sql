-- What the targets said of their tables when a change was judged. Kept by its digest, so that a verdict does not move with
-- every row that is written.
CREATE TABLE table_facts (
    repo   TEXT   NOT NULL,
    pr     BIGINT NOT NULL,
    digest TEXT   NOT NULL,
    at     BIGINT NOT NULL,
    facts  TEXT   NOT NULL,
    PRIMARY KEY (repo, pr, digest)
);
