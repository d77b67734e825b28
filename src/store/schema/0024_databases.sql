-- A target of one name may be another database: of another project, or of another address. What was recorded before has none.
CREATE TABLE schemas_left (
    repo TEXT NOT NULL,
    environment TEXT NOT NULL,
    target TEXT NOT NULL,
    -- What identifies the database, as its fence says.
    identity TEXT NOT NULL DEFAULT '',
    run TEXT NOT NULL,
    at BIGINT NOT NULL,
    history_hash TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    objects TEXT NOT NULL,
    PRIMARY KEY (repo, environment, target, identity)
);
INSERT INTO schemas_left (repo, environment, target, run, at, history_hash, fingerprint, objects)
    SELECT repo, environment, target, run, at, history_hash, fingerprint, objects FROM schema_snapshots;
DROP TABLE schema_snapshots;
