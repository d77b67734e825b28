-- What a turn waits for and what is done with, so that nobody looks at more than may have changed.

-- References of the migrations that must run before it, one a line; none where it waits for something else.
ALTER TABLE turns ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';

-- When every environment that a merged pull request concerns was found to hold it.
ALTER TABLE pulls ADD COLUMN done_at BIGINT;

-- When the repository was first heard of: what was merged before is none of Godwit's business.
ALTER TABLE repositories ADD COLUMN known_at BIGINT;

-- The log is read by pull request and by run at every look.
CREATE INDEX audit_by_pull ON audit (pr);
CREATE INDEX audit_by_run ON audit (run);
