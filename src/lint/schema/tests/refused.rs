//! Statements that cannot succeed on what the earlier migrations made.

use super::{last, of};
use crate::lint::Severity;

/// Statements behind some migrations, each with a part of what the rule says, or with nothing where it is silent.
pub(super) fn told(rule: &str, before: &[&str], statements: &[(&str, Option<&str>)]) {
    for (statement, part) in statements {
        let scripts: Vec<&str> = before.iter().copied().chain([*statement]).collect();
        let found = last(&scripts);
        let said = of(&found, rule).map(|v| (v.severity, v.message.as_str()));
        match part {
            Some(part) => assert!(
                said.is_some_and(|(severity, message)| severity == Severity::Error && message.contains(part)),
                "{scripts:?}: {found:?}"
            ),
            None => assert_eq!(said, None, "{scripts:?}"),
        }
    }
}

pub(super) const REFUSES: &str = "postgresql-refuses";
const PARENT: &str = "CREATE TABLE ev (id bigint NOT NULL, k int NOT NULL, u_id bigint) PARTITION BY RANGE (k);";

#[test]
fn p164_what_a_partitioned_table_does_not_have_is_refused() {
    told(
        REFUSES,
        &[PARENT, "CREATE INDEX ev_u ON ev (u_id);"],
        &[
            ("CREATE INDEX CONCURRENTLY i ON ev (id);", Some("`ev` is partitioned")),
            ("CREATE INDEX CONCURRENTLY IF NOT EXISTS ev_u ON ONLY ev (id);", Some("`CONCURRENTLY`")),
            ("CREATE INDEX i ON ev (id);", None),
            ("CREATE INDEX CONCURRENTLY i ON other (id);", None),
            ("DROP INDEX CONCURRENTLY ev_u;", Some("drop its index `CONCURRENTLY`")),
            ("DROP INDEX ev_u;", None),
            ("CREATE UNIQUE INDEX i ON ev (id);", Some("partitioned by `k`")),
            ("CREATE UNIQUE INDEX i ON ONLY ev (id) INCLUDE (k);", Some("partitioned by `k`")),
            ("CREATE UNIQUE INDEX i ON ev (id, k);", None),
            ("CREATE INDEX i ON ev (id) WHERE u_id > 0;", None),
            ("ALTER TABLE ev ADD CONSTRAINT c UNIQUE (id);", Some("partitioned by `k`")),
            ("ALTER TABLE ev ADD PRIMARY KEY (id);", Some("partitioned by `k`")),
            ("ALTER TABLE ev ADD COLUMN w int UNIQUE;", Some("partitioned by `k`")),
            ("ALTER TABLE ev ADD PRIMARY KEY (k, id);", None),
            ("ALTER TABLE ev ADD CONSTRAINT c UNIQUE USING INDEX ev_u;", Some("no constraint of an index")),
            ("CREATE TABLE n (id int PRIMARY KEY, k int) PARTITION BY LIST (k);", Some("`n` is partitioned by `k`")),
            ("CREATE TABLE n (id int, k int, UNIQUE (id)) PARTITION BY LIST ((k % 9));", Some("by an expression")),
            ("CREATE TABLE n (id int, k int, PRIMARY KEY (id, k)) PARTITION BY HASH (id);", None),
            (
                "ALTER TABLE ev ADD CONSTRAINT f FOREIGN KEY (u_id) REFERENCES u (id) NOT VALID;",
                Some("cannot be `NOT VALID`"),
            ),
            ("ALTER TABLE ev ADD CONSTRAINT f FOREIGN KEY (u_id) REFERENCES u (id);", None),
            ("ALTER TABLE other ADD CONSTRAINT f FOREIGN KEY (u_id) REFERENCES u (id) NOT VALID;", None),
            ("ALTER TABLE ev ADD CONSTRAINT c CHECK (id > 0) NOT VALID;", None),
        ],
    );
    // By which column it is partitioned nobody knows any more; that it is one stays.
    let renamed = [PARENT, "ALTER TABLE ev RENAME COLUMN k TO m;"];
    told(
        REFUSES,
        &renamed,
        &[
            ("CREATE UNIQUE INDEX i ON ev (id);", Some("partitioned by `m`")),
            ("CREATE UNIQUE INDEX i ON ev (id, m);", None),
        ],
    );
    for unknown in ["SELECT change('ev');", "DROP TABLE ev; CREATE TABLE ev (id bigint, k int);"] {
        told(REFUSES, &[PARENT, unknown], &[("CREATE INDEX CONCURRENTLY i ON ev (id);", None)]);
    }
    told(
        REFUSES,
        &[PARENT, "CREATE TABLE p PARTITION OF ev FOR VALUES FROM (1) TO (2);"],
        &[("ALTER TABLE ev DETACH PARTITION p CONCURRENTLY;", None)],
    );
    told(
        REFUSES,
        &[PARENT, "CREATE TABLE rest PARTITION OF ev DEFAULT;"],
        &[
            ("ALTER TABLE ev DETACH PARTITION p CONCURRENTLY;", Some("the default partition `rest`")),
            ("ALTER TABLE ev DETACH PARTITION p;", None),
            ("DROP TABLE rest;\nALTER TABLE ev DETACH PARTITION p CONCURRENTLY;", None),
        ],
    );
}

#[test]
fn p164_an_index_is_dropped_in_the_forms_that_there_are() {
    told(
        REFUSES,
        &["CREATE TABLE t (a int, b int);", "CREATE INDEX i ON t (a); CREATE INDEX j ON t (b);"],
        &[
            ("DROP INDEX CONCURRENTLY i, j;", Some("no more than one index")),
            ("DROP INDEX CONCURRENTLY x, y;", Some("no more than one index")),
            ("DROP INDEX CONCURRENTLY i CASCADE;", Some("`CASCADE`")),
            ("DROP INDEX CONCURRENTLY i;", None),
            ("DROP INDEX i, j;", None),
        ],
    );
    const KEYED: &str = "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b int CONSTRAINT only_b UNIQUE);";
    told(
        "object-in-use",
        &[KEYED, "CREATE UNIQUE INDEX t_b ON t (b);"],
        &[
            ("DROP INDEX t_pkey;", Some("the constraint `t_pkey` of `t` needs this index")),
            ("DROP INDEX CONCURRENTLY IF EXISTS t_a_key;", Some("`t_a_key`")),
            ("DROP INDEX only_b CASCADE;", Some("`only_b`")),
            ("DROP INDEX t_b;", None),
            ("DROP INDEX elsewhere_pkey;", None),
            ("ALTER TABLE t DROP CONSTRAINT t_a_key;\nDROP INDEX IF EXISTS t_a_key;", None),
            ("ALTER TABLE t RENAME CONSTRAINT only_b TO b_only;\nDROP INDEX IF EXISTS only_b;", None),
            ("ALTER TABLE t RENAME CONSTRAINT only_b TO b_only;\nDROP INDEX b_only;", Some("`b_only`")),
            ("ALTER INDEX only_b RENAME TO b_only;\nDROP INDEX b_only;", Some("`b_only`")),
            ("ALTER TABLE t ADD CONSTRAINT k UNIQUE USING INDEX t_b;\nDROP INDEX k;", Some("`k`")),
            // Which constraint went nobody knows.
            ("ALTER TABLE t DROP CONSTRAINT something;\nDROP INDEX t_a_key;", None),
        ],
    );
}

#[test]
fn p151_a_view_is_refreshed_beside_readers_only_by_a_unique_index() {
    const VIEW: &str = "CREATE TABLE t (a int, b int); CREATE MATERIALIZED VIEW mv AS SELECT a, b FROM t;";
    const REFRESH: &str = "REFRESH MATERIALIZED VIEW CONCURRENTLY mv;";
    for (before, part) in [
        (&[VIEW][..], Some("no unique index")),
        (&[VIEW, "CREATE INDEX i ON mv (a);"], Some("no unique index")),
        (&[VIEW, "CREATE UNIQUE INDEX i ON mv (a) WHERE a > 0;"], Some("no unique index")),
        (&[VIEW, "CREATE UNIQUE INDEX i ON mv ((a + b));"], Some("no unique index")),
        (&[VIEW, "CREATE UNIQUE INDEX i ON mv (a);", "DROP INDEX i;"], Some("no unique index")),
        (&[VIEW, "CREATE UNIQUE INDEX i ON mv (a, b);"], None),
        (&[VIEW, "CREATE UNIQUE INDEX i ON mv (a DESC) INCLUDE (b);"], None),
        (&["SELECT 1;"], None),
        (&[VIEW, "SELECT index_views('mv');"], None),
        (&[VIEW, "ALTER MATERIALIZED VIEW mv RENAME TO old;"], None),
        (&[VIEW, "CREATE UNIQUE INDEX i ON mv (a);", "SELECT drop_index('i');"], None),
        (
            &["CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a WITH NO DATA;", "CREATE UNIQUE INDEX i ON mv (a);"],
            Some("`WITH NO DATA`"),
        ),
        (
            &[
                "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a WITH NO DATA;",
                "CREATE UNIQUE INDEX i ON mv (a); REFRESH MATERIALIZED VIEW mv;",
            ],
            None,
        ),
        (
            &[
                "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a WITH NO DATA; CREATE UNIQUE INDEX i ON mv (a);",
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN REFRESH MATERIALIZED VIEW mv; RETURN NULL; END $$;",
            ],
            None,
        ),
    ] {
        told(REFUSES, before, &[(REFRESH, part), ("REFRESH MATERIALIZED VIEW mv;", None)]);
    }
}

#[test]
fn p113_a_table_that_others_refer_to_is_not_emptied_by_itself() {
    told(
        "object-in-use",
        &[
            "CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a (id));",
            "CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a (id));",
        ],
        &[
            ("TRUNCATE a;", Some("the foreign key `b_a_id_fkey` of `b` refers to `a`")),
            ("TRUNCATE ONLY a RESTART IDENTITY;", Some("`b`")),
            ("TRUNCATE a, c;", Some("`b`")),
            ("TRUNCATE a, b;", None),
            ("TRUNCATE b;", None),
            ("TRUNCATE a CASCADE;", None),
            ("TRUNCATE elsewhere;", None),
            ("ALTER TABLE b DROP CONSTRAINT b_a_id_fkey;\nTRUNCATE a;", None),
            ("DROP TABLE b;\nTRUNCATE a;", None),
        ],
    );
}

#[test]
fn f213_columns_that_are_not_there_are_told_wherever_they_are_named() {
    const TABLES: &str =
        "CREATE TABLE t (id serial PRIMARY KEY, a int, \"B\" text); CREATE TABLE u (id int PRIMARY KEY);";
    told(
        "missing-object",
        &[TABLES],
        &[
            ("CREATE INDEX CONCURRENTLY i ON t (z);", Some("`t` has no column `z`")),
            ("CREATE INDEX CONCURRENTLY i ON t (a) INCLUDE (b);", Some("no column `b`")),
            ("CREATE INDEX CONCURRENTLY i ON t (A, \"B\") INCLUDE (id);", None),
            ("UPDATE t SET z = 1 WHERE id = 1;", Some("no column `z`")),
            ("UPDATE t x SET (a, z) = (1, 2) FROM u WHERE u.id = x.id;", Some("no column `z`")),
            ("UPDATE t SET a = z.a FROM z WHERE z.id = t.id;", None),
            ("INSERT INTO t (a, z) VALUES (1, 2);", Some("no column `z`")),
            ("INSERT INTO public.t (id, \"B\") SELECT 1, 'x';", None),
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE (z);", Some("no column `z`")),
            ("ALTER TABLE t ADD FOREIGN KEY (z) REFERENCES u (id);", Some("`t` has no column `z`")),
            ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (z) NOT VALID;", Some("`u` has no column `z`")),
            ("ALTER TABLE t ADD COLUMN u_id int REFERENCES u (z);", Some("`u` has no column `z`")),
            ("ALTER TABLE t ADD COLUMN n int UNIQUE;", None),
            // PostgreSQL adds columns before constraints, wherever they stand.
            ("ALTER TABLE t ADD CONSTRAINT c UNIQUE (n), ADD COLUMN n int;", None),
            ("ALTER TABLE t ALTER COLUMN z SET DEFAULT 1;", Some("no column `z`")),
            ("COMMENT ON COLUMN t.z IS 'x';", Some("no column `z`")),
            ("COMMENT ON COLUMN public.t.a IS 'x'; COMMENT ON COLUMN t.ctid IS 'x';", None),
            ("COMMENT ON COLUMN elsewhere.z IS 'x';", None),
            ("CREATE TEMP TABLE t (z int);\nINSERT INTO t (z) VALUES (1);", None),
            ("CREATE TEMP TABLE t AS SELECT 1 AS z;\nUPDATE t SET z = 2;", None),
        ],
    );
    for unknown in [
        "CREATE TABLE m (a int) INHERITS (t);",
        "CREATE TABLE m (LIKE t);",
        "CREATE TABLE m AS SELECT * FROM t;",
        "CREATE TABLE m (id int); SELECT add_column('m', 'z');",
        "CREATE TABLE m (id int); ALTER TABLE m INHERIT t;",
        "CREATE TABLE m (id int); ALTER TABLE p ATTACH PARTITION m DEFAULT; ALTER TABLE p ADD COLUMN z int;",
        "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE m PARTITION OF p DEFAULT; ALTER TABLE p ADD z int;",
        "CREATE VIEW m AS SELECT 1 AS z;",
    ] {
        told("missing-object", &[TABLES, unknown], &[("UPDATE m SET z = 1 WHERE id = 1;", None)]);
    }
}

#[test]
fn p104_a_column_that_may_be_null_becomes_no_identity() {
    told(
        REFUSES,
        &["CREATE TABLE t (id int, n int NOT NULL, s bigserial, k int PRIMARY KEY);"],
        &[
            ("ALTER TABLE t ALTER id ADD GENERATED ALWAYS AS IDENTITY;", Some("`t.id` may be NULL")),
            ("ALTER TABLE t ALTER n ADD GENERATED BY DEFAULT AS IDENTITY;", None),
            ("ALTER TABLE t ALTER s DROP DEFAULT, ALTER s ADD GENERATED BY DEFAULT AS IDENTITY;", None),
            ("ALTER TABLE t ALTER k ADD GENERATED BY DEFAULT AS IDENTITY;", None),
            ("ALTER TABLE t ALTER id ADD GENERATED ALWAYS AS IDENTITY, ALTER id SET NOT NULL;", None),
            ("ALTER TABLE t ADD COLUMN m int GENERATED ALWAYS AS IDENTITY;", None),
            ("ALTER TABLE elsewhere ALTER id ADD GENERATED ALWAYS AS IDENTITY;", None),
        ],
    );
}

#[test]
fn p150_a_view_that_is_replaced_keeps_its_columns() {
    const VIEW: &str =
        "CREATE TABLE t (id int, a int); CREATE VIEW v AS SELECT id, t.a, count(*) FROM t GROUP BY 1, 2;";
    const STAR: &str = "CREATE VIEW w (x) AS SELECT a, id AS b, * FROM t;";
    told(
        REFUSES,
        &[VIEW, STAR],
        &[
            ("CREATE OR REPLACE VIEW v AS SELECT id, a FROM t;", Some("some of its columns would go")),
            ("CREATE OR REPLACE VIEW v AS SELECT id FROM t;", Some("its column `a` would go")),
            ("CREATE OR REPLACE VIEW v AS SELECT a, id, 1 FROM t;", Some("`a` stands where its column `id` is")),
            ("CREATE OR REPLACE VIEW v AS SELECT id, a AS b, 1 FROM t;", Some("`b` stands where its column `a` is")),
            ("CREATE OR REPLACE VIEW v (id, b) AS SELECT id, a, 1 FROM t;", Some("`b` stands where")),
            ("CREATE OR REPLACE VIEW v AS SELECT id, a, 1, 2 AS more FROM t;", None),
            ("CREATE OR REPLACE VIEW v AS SELECT * FROM t;", None),
            ("CREATE OR REPLACE VIEW v AS SELECT id, a, 1 UNION SELECT 1, 2, 3;", None),
            ("CREATE OR REPLACE VIEW w AS SELECT id AS x, a AS b FROM t;", None),
            ("CREATE OR REPLACE VIEW w AS SELECT a, id AS b FROM t;", Some("`a` stands where its column `x` is")),
            ("DROP VIEW v;\nCREATE OR REPLACE VIEW v AS SELECT a FROM t;", None),
            ("ALTER VIEW v RENAME COLUMN id TO i;\nCREATE OR REPLACE VIEW v AS SELECT id AS i, a, 1 FROM t;", None),
            ("DROP FUNCTION count(int) CASCADE;\nCREATE OR REPLACE VIEW v AS SELECT a FROM t;", None),
            ("CREATE OR REPLACE TEMP VIEW v AS SELECT a FROM t;", None),
            ("CREATE OR REPLACE VIEW elsewhere AS SELECT a FROM t;", None),
        ],
    );
}

#[test]
fn a_foreign_key_that_is_not_enforced_is_not_said_to_keep_a_table_from_being_emptied() {
    const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY);\n\
                          CREATE TABLE v (t_id int REFERENCES t, u_id int, FOREIGN KEY (u_id) REFERENCES u NOT ENFORCED);";
    told(
        "object-in-use",
        &[TABLES],
        &[("TRUNCATE t;", Some("refers to `t`")), ("TRUNCATE u;", None), ("DROP TABLE u;", Some("`u`"))],
    );
}
