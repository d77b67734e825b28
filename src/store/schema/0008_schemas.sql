-- The schema that the last run on each target of an environment left behind; drift is told against it.
CREATE TABLE schema_snapshots (
    repo TEXT NOT NULL,
    environment TEXT NOT NULL,
    target TEXT NOT NULL,
    run TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- Of the target's history at that moment: with another one the two cannot be compared.
    history_hash TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    objects TEXT NOT NULL,
    PRIMARY KEY (repo, environment, target)
);
