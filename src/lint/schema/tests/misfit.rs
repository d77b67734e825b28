//! Queries, aggregates and values that change, where none can stand.

use super::refused::{REFUSES, told};

#[test]
fn p137_what_is_reckoned_from_a_row_holds_no_query() {
    told(
        REFUSES,
        &["CREATE TABLE t (id int PRIMARY KEY, a int, b text); CREATE TABLE u (id int PRIMARY KEY, a int);"],
        &[
            ("ALTER TABLE t ADD CHECK (a IN (SELECT a FROM u)) NOT VALID;", Some("no query in a check")),
            ("ALTER TABLE t ADD COLUMN c int DEFAULT (SELECT max(id) FROM u);", Some("no query in a default")),
            ("ALTER TABLE t ALTER a SET DEFAULT (SELECT 1);", Some("no query in a default")),
            ("ALTER TABLE t ADD COLUMN c int GENERATED ALWAYS AS ((SELECT 1)) STORED;", Some("a generated column")),
            ("ALTER TABLE t ALTER a TYPE bigint USING (SELECT 1);", Some("`USING` of a change of type")),
            ("CREATE TABLE c (a int CHECK (EXISTS (SELECT 1 FROM u)));", Some("a check")),
            ("CREATE DOMAIN d AS int CHECK (VALUE IN (SELECT id FROM u));", Some("a check")),
            ("CREATE INDEX i ON t (a) WHERE a IN (SELECT id FROM u);", Some("an index")),
            ("ALTER TABLE t ADD CHECK (a IN (1, 2)), ALTER a SET DEFAULT 1 + 1;", None),
            ("CREATE TABLE c (a int CHECK (a > 0), b text DEFAULT 'select 1');", None),
            ("CREATE INDEX i ON t (a) WHERE a IN (1, 2);", None),
            ("CREATE TABLE c AS SELECT id FROM t WHERE a IN (SELECT id FROM u);", None),
            ("CREATE POLICY p ON t USING (a IN (SELECT id FROM u));", None),
            ("UPDATE t SET a = (SELECT max(id) FROM u) WHERE id = 1;", None),
        ],
    );
}

#[test]
fn what_is_reckoned_from_a_row_holds_no_aggregate_and_what_is_kept_nothing_that_changes() {
    let aggregate = |part: &str| format!("in {part}: it is reckoned from many rows");
    let (check, index) = (aggregate("a check"), aggregate("an index"));
    told(
        REFUSES,
        &["CREATE TABLE t (id int PRIMARY KEY, a int, b text, at timestamp);"],
        &[
            ("ALTER TABLE t ADD CHECK (count(a) > 1) NOT VALID;", Some(&check)),
            ("ALTER TABLE t ADD CHECK (pg_catalog.sum(a) > 1) NOT VALID;", Some(&check)),
            ("ALTER TABLE t ADD CHECK (count(*) > 1) NOT VALID;", Some(&check)),
            ("ALTER TABLE t ADD CHECK (row_number() OVER () > 1) NOT VALID;", Some(&check)),
            ("CREATE INDEX i ON t (max(a));", Some(&index)),
            ("ALTER TABLE t ADD CHECK (own.sum(a) > 1 AND max(a, 2) > 1 AND greatest(a, 1) > 0) NOT VALID;", None),
            ("CREATE INDEX i ON t (now());", Some("`now()` is not `IMMUTABLE`")),
            ("CREATE INDEX i ON t (a) WHERE at > now() - interval '1 day';", Some("an index keeps what comes out")),
            ("CREATE INDEX i ON t (a) WHERE at > CURRENT_TIMESTAMP;", Some("`CURRENT_TIMESTAMP` is not")),
            ("CREATE INDEX i ON t (a) WHERE at::date = current_date;", Some("`CURRENT_DATE` is not")),
            ("CREATE INDEX i ON t (to_char(at, 'YYYY'));", Some("`to_char()` is not `IMMUTABLE`")),
            ("ALTER TABLE t ADD c timestamptz GENERATED ALWAYS AS (now()) STORED;", Some("a generated column keeps")),
            ("CREATE TABLE c (a text, b text GENERATED ALWAYS AS (concat(a, 'x')) STORED);", Some("`concat()` is not")),
            ("CREATE INDEX i ON t (lower(b), date_trunc('day', at), (a + 1)) WHERE at > '2026-01-01';", None),
            ("CREATE INDEX i ON t (a) INCLUDE (b) WHERE b <> 'now()';", None),
            ("CREATE INDEX i ON t (own.now());", None),
            ("ALTER TABLE t ADD CHECK (at > now()) NOT VALID, ALTER at SET DEFAULT now();", None),
            ("CREATE TABLE c (a int GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT current_timestamp);", None),
        ],
    );
}
