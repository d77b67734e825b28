-- Contract migrations that a person released: each for one place and one content of its script.
CREATE TABLE releases (
    repo TEXT NOT NULL,
    -- The environment, or the target of an ad hoc run.
    place TEXT NOT NULL,
    migration TEXT NOT NULL,
    checksum TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (repo, place, migration, checksum)
);
