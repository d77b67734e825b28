//! Tables that are published without a key.

use super::{last, of};

const RULE: &str = "published-without-key";
const T: &str = "CREATE TABLE t (id bigint NOT NULL, v int); CREATE TABLE keyed (id bigint PRIMARY KEY);";

#[test]
fn a_table_without_a_key_is_told_where_it_is_published() {
    for (before, sql) in [
        (T, "CREATE PUBLICATION feed FOR TABLE t;"),
        (T, "CREATE PUBLICATION feed FOR TABLE keyed, t WITH (publish = 'insert, update');"),
        (T, "CREATE PUBLICATION feed FOR TABLE t WITH (publish_via_partition_root = true);"),
        (T, "CREATE PUBLICATION feed; ALTER PUBLICATION feed ADD TABLE t;"),
        (T, "CREATE PUBLICATION feed FOR TABLE keyed; ALTER PUBLICATION feed SET TABLE t;"),
        (T, "CREATE TABLE fresh (id int); CREATE PUBLICATION feed FOR TABLE fresh;"),
        (T, "ALTER TABLE t REPLICA IDENTITY DEFAULT; CREATE PUBLICATION feed FOR TABLE t;"),
        (T, "ALTER TABLE keyed DROP CONSTRAINT keyed_pkey; CREATE PUBLICATION feed FOR TABLE keyed;"),
    ] {
        let found = last(&[before, sql]);
        let told = of(&found, RULE).unwrap_or_else(|| panic!("{sql}: {found:?}"));
        assert!(told.message.contains("each UPDATE and DELETE"), "{told:?}");
        assert_eq!(found.iter().filter(|v| v.rule == RULE).count(), 1, "{sql}: {found:?}");
    }
}

#[test]
fn a_table_whose_rows_are_told_apart_or_that_only_grows_may_be_published() {
    for sql in [
        "CREATE PUBLICATION feed FOR TABLE keyed;",
        "CREATE PUBLICATION feed FOR TABLE t WITH (publish = 'insert');",
        "CREATE PUBLICATION feed FOR TABLE t WITH (publish = 'insert, truncate');",
        "CREATE PUBLICATION feed WITH (publish = 'insert'); ALTER PUBLICATION feed ADD TABLE t;",
        "CREATE PUBLICATION feed; ALTER PUBLICATION feed SET (publish = 'insert'); ALTER PUBLICATION feed ADD TABLE t;",
        "CREATE PUBLICATION feed; DROP PUBLICATION feed; ALTER PUBLICATION feed ADD TABLE t;",
        "ALTER PUBLICATION elsewhere ADD TABLE t;",
        "ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION feed FOR TABLE t;",
        "CREATE PUBLICATION feed FOR TABLE t; ALTER TABLE t REPLICA IDENTITY FULL;",
        "CREATE PUBLICATION feed FOR TABLE t; ALTER TABLE t ADD PRIMARY KEY (id);",
        "ALTER TABLE t ADD COLUMN k bigserial PRIMARY KEY; CREATE PUBLICATION feed FOR TABLE t;",
        "CREATE UNIQUE INDEX i ON t (id); ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY USING INDEX i; CREATE PUBLICATION feed FOR TABLE t;",
        "CREATE PUBLICATION feed FOR TABLE elsewhere;",
        "CREATE PUBLICATION feed FOR TABLES IN SCHEMA public;",
        "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE PUBLICATION feed FOR TABLE p;",
        "CREATE TABLE l (LIKE keyed INCLUDING ALL); CREATE PUBLICATION feed FOR TABLE l;",
        "DO $$ BEGIN EXECUTE 'ALTER TABLE t ADD PRIMARY KEY (id)'; END $$; CREATE PUBLICATION feed FOR TABLE t;",
        "DO $$ BEGIN IF true THEN ALTER TABLE t ADD PRIMARY KEY (id); END IF; END $$; CREATE PUBLICATION feed FOR TABLE t;",
    ] {
        let found = last(&[T, sql]);
        assert!(of(&found, RULE).is_none(), "{sql}: {found:?}");
    }
}
