-- What GitHub cannot tell afterwards: what a review or a label was given for, since when people are asked, who pushed.

CREATE TABLE bindings (
    repo        TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    subject     TEXT   NOT NULL, -- review:ID or label:NAME
    login       TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    policy_hash TEXT   NOT NULL,
    risk        TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (repo, pr, subject)
);

CREATE TABLE asked (
    repo        TEXT   NOT NULL,
    pr          BIGINT NOT NULL,
    digest      TEXT   NOT NULL,
    policy_hash TEXT   NOT NULL,
    risk        TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (repo, pr, digest, policy_hash, risk)
);

CREATE TABLE pushers (
    repo  TEXT   NOT NULL,
    pr    BIGINT NOT NULL,
    login TEXT   NOT NULL, -- lower case: GitHub does not tell logins apart by case
    PRIMARY KEY (repo, pr, login)
);
