-- What open pull requests touch, and which of them were found in each other's way.

CREATE TABLE open_changes (
    repo    TEXT   NOT NULL,
    pr      BIGINT NOT NULL,
    touched TEXT   NOT NULL, -- JSON
    PRIMARY KEY (repo, pr)
);

CREATE TABLE collisions (
    repo    TEXT   NOT NULL,
    pr      BIGINT NOT NULL, -- the lower number of the two
    other   BIGINT NOT NULL,
    what    TEXT   NOT NULL, -- JSON: the sentences
    settled TEXT,            -- how it ended; NULL while it lasts
    PRIMARY KEY (repo, pr, other)
);
