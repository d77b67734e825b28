//! Queries where none can stand.

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
