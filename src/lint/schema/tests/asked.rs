//! Columns that expressions name, and where names without a schema lie.

use super::{last, of};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, a int, b text, \"C\" jsonb);\n\
                      CREATE TABLE u (id int PRIMARY KEY, t_id int, kind text);";

#[test]
fn f213_columns_that_expressions_name_are_told_where_they_are_not_there() {
    for (sql, column) in [
        ("UPDATE t SET a = z + 1 WHERE id = 1;", "z"),
        ("UPDATE t SET a = 1 WHERE id = 1 AND z IS NULL;", "z"),
        ("UPDATE t AS x SET a = x.z WHERE x.id = 1;", "z"),
        ("UPDATE t SET a = u.z FROM u WHERE u.t_id = t.id AND u.id = 1;", "z"),
        ("DELETE FROM t WHERE c = '{}';", "c"),
        ("DELETE FROM t WHERE id = 1 RETURNING z;", "z"),
        ("DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.z = t.id) AND id = 1;", "z"),
        ("INSERT INTO u (id, kind) SELECT id, z FROM t;", "z"),
        ("INSERT INTO u (id) SELECT a FROM t UNION ALL SELECT z FROM t;", "z"),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = z;", "z"),
        ("SELECT count(*) FILTER (WHERE z > 1) FROM t;", "z"),
        ("CREATE VIEW v AS SELECT t.id, u.z FROM t JOIN u ON u.t_id = t.id;", "z"),
        ("CREATE MATERIALIZED VIEW v AS SELECT id AS z, y FROM t ORDER BY z;", "y"),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (z > 0) NOT VALID;", "z"),
        ("ALTER TABLE t ADD COLUMN n int CHECK (n < z);", "z"),
        ("ALTER TABLE t ADD COLUMN n int GENERATED ALWAYS AS (a + z) STORED;", "z"),
        ("ALTER TABLE t ALTER COLUMN a TYPE bigint USING z::bigint;", "z"),
        ("CREATE TABLE w (id int, a int, CHECK (a > z));", "z"),
        ("CREATE INDEX CONCURRENTLY i ON t (lower(z));", "z"),
        ("CREATE INDEX CONCURRENTLY i ON t (id) WHERE z IS NULL;", "z"),
        ("CREATE POLICY p ON t USING (z = current_user);", "z"),
        (
            "CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW WHEN (OLD.z IS DISTINCT FROM NEW.z) EXECUTE FUNCTION f();",
            "z",
        ),
    ] {
        let found = last(&[TABLES, sql]);
        let told = of(&found, "missing-object").unwrap_or_else(|| panic!("{sql}: {found:?}"));
        assert!(told.message.contains(&format!("has no column `{column}`")), "{sql}: {}", told.message);
        assert_eq!(found.iter().filter(|v| v.rule == "missing-object").count(), 1, "{sql}");
    }
}

#[test]
fn f213_what_may_be_there_is_not_told() {
    for sql in [
        "UPDATE t SET a = DEFAULT, b = \"C\" ->> 'z', \"C\" = (\"C\").z WHERE id = 1 AND ctid IS NOT NULL AND xmin::text <> '';",
        "UPDATE t SET b = current_user, a = extract(epoch FROM now())::int WHERE id = 1;",
        "UPDATE t SET a = z FROM u WHERE u.t_id = t.id AND u.id = 1;",
        "UPDATE t SET a = z.n FROM (SELECT 1 AS n) z WHERE id = 1;",
        "UPDATE t SET a = (SELECT kind FROM u WHERE t_id = t.id LIMIT 1)::int WHERE id = 1;",
        "WITH z AS (SELECT 1 AS n) UPDATE t SET a = z.n FROM z WHERE t.id = 1;",
        "WITH t AS (SELECT 1 AS z) SELECT z, t.z FROM t;",
        "UPDATE t SET b = t::text, a = t.name::int WHERE id = 1;",
        "DELETE FROM t WHERE id = (SELECT z FROM elsewhere);",
        "DELETE FROM t USING elsewhere WHERE z = 1 AND id = 1;",
        "INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a, b = t.b WHERE t.a <> 1;",
        "INSERT INTO u (id) SELECT x.n FROM t AS x (n);",
        "INSERT INTO u (id) SELECT n FROM t, generate_series(1, 3) AS n;",
        "INSERT INTO u (id) SELECT z FROM elsewhere;",
        "CREATE VIEW v AS SELECT x.*, u.kind FROM t x JOIN u ON u.t_id = x.id; SELECT t.* FROM t;",
        "SELECT id AS z, count(*) FROM t GROUP BY z ORDER BY z;",
        "SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY b);",
        "SELECT make_date(year => a, month => 1, day => 1) FROM t;",
        "ALTER TABLE t ADD COLUMN z int, ADD CONSTRAINT c CHECK (z > 0 AND a > 0);",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (z > 0) NOT VALID, ADD COLUMN z int;",
        "CREATE TABLE w (CHECK (a > id), id int, a int CHECK (a <> 1), b int GENERATED ALWAYS AS (a * 2) STORED);",
        "CREATE TABLE w (LIKE t, CHECK (z > 0));",
        "CREATE TABLE IF NOT EXISTS t (id int, z int CHECK (z > 0));",
        "CREATE TABLE w (id int, CHECK (z > 0)) INHERITS (elsewhere);",
        "CREATE INDEX CONCURRENTLY i ON t (lower(b) text_pattern_ops, (\"C\" ->> 'z'), (b COLLATE \"C\")) WHERE a > 1;",
        "CREATE INDEX CONCURRENTLY i ON elsewhere (lower(z));",
        "CREATE POLICY p ON t USING (EXISTS (SELECT 1 FROM elsewhere WHERE z = t.id));",
        "CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION f('z');",
        "CREATE FUNCTION full_name(t) RETURNS text LANGUAGE sql AS 'SELECT 1'; SELECT t.full_name FROM t;",
        "CREATE TEMP TABLE t (z int); DELETE FROM t WHERE z = 1;",
        "DO $$ DECLARE z int; BEGIN UPDATE t SET a = z WHERE id = 1; END $$;",
        "MERGE INTO t USING u ON u.t_id = t.id WHEN MATCHED THEN UPDATE SET a = u.z;",
    ] {
        let found = last(&[TABLES, sql]);
        assert!(of(&found, "missing-object").is_none(), "{sql}: {found:?}");
    }
}

#[test]
fn f213_set_config_puts_names_where_set_does() {
    const TWO: &str =
        "CREATE TABLE t (id int PRIMARY KEY); CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, z int);";
    let told = |path: &str| {
        let found = last(&[TWO, &format!("{path}\nUPDATE t SET z = 1 WHERE id = 1;\nALTER TABLE t ADD COLUMN z int;")]);
        ["missing-object", "existing-object"].into_iter().find(|rule| of(&found, rule).is_some())
    };
    for (path, expected) in [
        ("", Some("missing-object")),
        ("SET search_path = s;", Some("existing-object")),
        ("SET SCHEMA 's';", Some("existing-object")),
        ("SELECT set_config('search_path', 's, public', false);", Some("existing-object")),
        ("SELECT pg_catalog.set_config('search_path', '\"s\"', true);", Some("existing-object")),
        ("DO $$ BEGIN PERFORM set_config('search_path', 's', false); END $$;", Some("existing-object")),
        ("SELECT set_config('search_path', 'public', false);", Some("missing-object")),
        ("SELECT set_config('lock_timeout', '1s', false);", Some("missing-object")),
        // Where they lie then cannot be told.
        ("SELECT set_config('search_path', '', false);", None),
        ("SELECT set_config('search_path', '$user, s', false);", None),
        ("SELECT set_config('search_path', name, false) FROM places;", None),
        ("SELECT set_config('search_path', 's', false) WHERE EXISTS (SELECT FROM places);", None),
        ("DO $$ BEGIN IF true THEN PERFORM set_config('search_path', 's', false); END IF; END $$;", None),
        ("SET search_path = s; RESET search_path;", None),
        ("SET search_path = s; DISCARD ALL;", None),
    ] {
        assert_eq!(told(path), expected, "{path}");
    }
}
