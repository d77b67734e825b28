-- Commands that are neither lost nor obeyed twice, and work that is given up aloud.

-- Comments whose commands were dealt with, by GitHub's id.
CREATE TABLE answered (
    comment BIGINT NOT NULL PRIMARY KEY,
    how     TEXT   NOT NULL CHECK (how IN ('done', 'given-up')),
    at      BIGINT NOT NULL
);

-- Commands written before are not looked for; where it is empty, since the repository is known.
ALTER TABLE repositories ADD COLUMN commands_from BIGINT;
-- When its comments were last looked through for commands.
ALTER TABLE repositories ADD COLUMN commands_read BIGINT;
-- What was delivered before comments were written down here was dealt with then.
UPDATE repositories SET commands_from = (SELECT MAX(received_at) FROM deliveries);

-- Attempts that failed because GitHub or a server did not answer: they do not count.
ALTER TABLE jobs ADD COLUMN outages BIGINT NOT NULL DEFAULT 0;
-- Whether people were told that it was given up: 1 when they were.
ALTER TABLE jobs ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
UPDATE jobs SET told = 1 WHERE state = 'dead';
