//! What the history says, by the findings that people get.

mod asked;
mod blocks;
mod inserted;
mod keys;
mod misfit;
mod policies;
mod published;
mod refused;

use crate::config::LintConfig;
use crate::ids::Risk;
use crate::lint::{Scope, Severity, Violation, check, sample};
use crate::migration::{MigrationRoot, SourceFile, resolve};

/// The findings in the last of the scripts, which are the migrations of one folder.
fn last(scripts: &[&str]) -> Vec<Violation> {
    let names: Vec<String> = (1..=scripts.len()).map(|n| format!("{n:04}_m.up.sql")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(scripts.iter().copied()).collect();
    let (report, _) = sample(&files);
    report.violations.into_iter().filter(|v| Some(&v.file) == names.last()).collect()
}

fn of<'a>(found: &'a [Violation], rule: &str) -> Option<&'a Violation> {
    found.iter().find(|v| v.rule == rule)
}

const ORDERS: &str = "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(20), iban cidr, born timestamp(3));
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers (id), note varchar(20), total numeric(10,2),
  state varchar(10) CHECK (state <> ''), at timestamp, CONSTRAINT has_total CHECK (total IS NOT NULL));
CREATE INDEX orders_customer ON orders (customer_id, state);
CREATE INDEX orders_note ON orders (note);
CREATE INDEX orders_open ON orders (id) WHERE total > 0;
CREATE VIEW dear AS SELECT at FROM orders;";

#[test]
fn p121_to_p124_a_change_of_type_is_judged_by_the_type_that_the_column_has() {
    for (change, risk, part) in [
        (
            "orders ALTER COLUMN note TYPE text",
            Risk::Low,
            "`orders.note` is varchar(20): changing it to text rewrites nothing",
        ),
        ("orders ALTER note SET DATA TYPE varchar(200)", Risk::Low, "rewrites nothing"),
        ("orders ALTER note TYPE text USING note::text", Risk::Low, "rewrites nothing"),
        ("orders ALTER note TYPE text USING lower(note)", Risk::High, "ACCESS EXCLUSIVE"),
        ("orders ALTER note TYPE varchar(5)", Risk::High, "`orders.note` is varchar(20)"),
        ("orders ALTER id TYPE bigint", Risk::High, "`orders.id` is integer: changing it to bigint writes the table"),
        ("orders ALTER total TYPE numeric(14,2)", Risk::High, "the check `has_total`"),
        ("orders ALTER state TYPE text", Risk::High, "runs the check `orders_state_check`"),
        ("orders ALTER at TYPE timestamptz", Risk::High, "unless the session's zone is UTC"),
        ("customers ALTER iban TYPE inet", Risk::Low, "rewrites nothing"),
        ("customers ALTER born TYPE timestamp", Risk::Low, "rewrites nothing"),
        ("elsewhere ALTER a TYPE text", Risk::High, "requires an `ACCESS EXCLUSIVE` lock"),
    ] {
        let found = last(&[ORDERS, &format!("ALTER TABLE {change};")]);
        let finding = of(&found, "changing-column-type").unwrap_or_else(|| panic!("{change}: {found:?}"));
        assert_eq!(finding.risk, risk, "{change}: {}", finding.message);
        assert!(finding.message.contains(part), "{change}: {}", finding.message);
        assert_eq!(finding.severity == Severity::Info, risk == Risk::Low, "{change}");
    }
}

#[test]
fn p116_a_condition_that_the_schema_makes_true_is_told() {
    for (change, part) in [
        ("UPDATE orders SET note = '' WHERE id IS NOT NULL;", Some("`orders.id` refuses NULL, so")),
        ("DELETE FROM orders WHERE orders.customer_id IS NOT NULL;", Some("removes the whole table")),
        ("UPDATE orders SET note = '' WHERE total IS NOT NULL;", Some("`orders.total` refuses NULL")),
        (
            "UPDATE orders SET note = '' WHERE id IS NOT NULL AND customer_id NOTNULL;",
            Some("`orders.customer_id` and `orders.id` refuse NULL"),
        ),
        ("UPDATE orders SET note = '' WHERE at IS NOT NULL;", None),
        ("UPDATE orders SET note = '' WHERE id IS NOT NULL AND at IS NOT NULL;", None),
        ("UPDATE orders SET note = '' WHERE id IS NOT NULL AND state = 'new';", None),
        ("UPDATE orders SET note = '' WHERE id IS NOT NULL OR state = 'new';", None),
        ("UPDATE orders SET note = '' FROM customers c WHERE c.name IS NOT NULL;", None),
        ("UPDATE elsewhere SET note = '' WHERE id IS NOT NULL;", None),
        ("ALTER TABLE orders ALTER customer_id DROP NOT NULL; DELETE FROM orders WHERE customer_id IS NOT NULL;", None),
        ("CREATE TABLE new (id int PRIMARY KEY); DELETE FROM new WHERE id IS NOT NULL;", None),
        ("UPDATE orders SET note = '' WHERE id IS NOT NULL AND /* godwit:batch */ true;", None),
    ] {
        let found = last(&[ORDERS, change]);
        let told = of(&found, "where-always-true").map(|v| v.message.as_str());
        match part {
            Some(part) => assert!(told.is_some_and(|m| m.contains(part)), "{change}: {found:?}"),
            None => assert_eq!(told, None, "{change}"),
        }
    }
}

#[test]
fn renames_and_moves_are_followed() {
    let steps = "ALTER TABLE orders RENAME TO purchases; ALTER TABLE purchases RENAME COLUMN note TO remark;
        ALTER TABLE purchases ALTER remark TYPE varchar(40); ALTER TABLE purchases SET SCHEMA shop;";
    let found = last(&[ORDERS, steps, "ALTER TABLE shop.purchases ALTER remark TYPE text;"]);
    let finding = of(&found, "changing-column-type").expect("told");
    assert!(finding.message.starts_with("`shop.purchases.remark` is varchar(40)"), "{}", finding.message);
}

#[test]
fn what_cannot_be_followed_is_not_known() {
    for unknown in [
        "DO $$ BEGIN EXECUTE 'ALTER TABLE ' || 'orders' || ' ALTER note TYPE int USING 0'; END $$;",
        "DO $$ BEGIN IF f() THEN ALTER TABLE orders ALTER note TYPE int USING 0; END IF; END $$;",
        "SELECT change_column('orders', 'note');",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'x'; END $$; SELECT f();",
        "ALTER TABLE orders ALTER note TYPE int USING 0; this does not parse;",
        "ALTER SCHEMA public RENAME TO old;",
    ] {
        let found = last(&[ORDERS, unknown, "ALTER TABLE orders ALTER note TYPE text;"]);
        let finding = of(&found, "changing-column-type").expect(unknown);
        assert_eq!(finding.risk, Risk::High, "{unknown}");
        let found = last(&[ORDERS, unknown, "CREATE TABLE orders (id int PRIMARY KEY);"]);
        assert!(of(&found, "existing-object").is_none(), "{unknown}");
    }
}

#[test]
fn p125_set_not_null_is_cheap_behind_a_valid_check() {
    let found = |before: &str| last(&[ORDERS, before, "ALTER TABLE orders ALTER note SET NOT NULL;"]);
    let risk = |found: &[Violation]| of(found, "adding-not-nullable-field").map(|v| v.risk);
    let valid = "ALTER TABLE orders ADD CONSTRAINT c CHECK (note IS NOT NULL) NOT VALID;";
    assert_eq!(risk(&found("SELECT 1;")), Some(Risk::High));
    assert_eq!(risk(&found(valid)), Some(Risk::High));
    let validated = found(&format!("{valid} ALTER TABLE orders VALIDATE CONSTRAINT c;"));
    assert_eq!(risk(&validated), Some(Risk::Low), "{validated:?}");
    let said = of(&validated, "adding-not-nullable-field").map(|v| v.message.as_str());
    assert!(said.is_some_and(|m| m.contains("the valid check `c`")), "{validated:?}");
    let twice = last(&[ORDERS, "ALTER TABLE orders ALTER customer_id SET NOT NULL;"]);
    assert_eq!(risk(&twice), Some(Risk::Low));
}

#[test]
fn p140_a_key_made_of_an_index_scans_nothing_where_no_column_may_be_null() {
    let index = "CREATE UNIQUE INDEX CONCURRENTLY orders_other ON orders (customer_id);";
    let nullable = "CREATE UNIQUE INDEX CONCURRENTLY orders_other ON orders (customer_id, note);";
    let risk = |index: &str, before: &str| {
        let key = "ALTER TABLE orders DROP CONSTRAINT orders_pkey; ALTER TABLE orders ADD PRIMARY KEY USING INDEX orders_other;";
        of(&last(&[ORDERS, index, before, key]), "primary-key-using-index").map(|v| v.risk)
    };
    assert_eq!(risk(index, "SELECT 1;"), Some(Risk::Low));
    assert_eq!(risk(nullable, "SELECT 1;"), Some(Risk::Medium));
    let unproved = "ALTER TABLE orders ADD CONSTRAINT noted CHECK (note IS NOT NULL) NOT VALID;";
    assert_eq!(risk(nullable, unproved), Some(Risk::Medium));
    assert_eq!(risk(nullable, &format!("{unproved} ALTER TABLE orders VALIDATE CONSTRAINT noted;")), Some(Risk::Low));
}

#[test]
fn f213_what_is_there_or_is_not_is_said() {
    for (change, rule) in [
        ("CREATE TABLE orders (id int PRIMARY KEY);", Some("existing-object")),
        ("CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY);", None),
        ("CREATE TABLE shop.orders (id int PRIMARY KEY);", None),
        ("CREATE TEMP TABLE orders (id int PRIMARY KEY);", None),
        ("ALTER TABLE orders ADD COLUMN note text;", Some("existing-object")),
        ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;", None),
        ("ALTER TABLE orders DROP COLUMN nothing;", Some("missing-object")),
        ("ALTER TABLE orders DROP COLUMN IF EXISTS nothing;", None),
        ("ALTER TABLE orders ADD CONSTRAINT has_total CHECK (id > 0) NOT VALID;", Some("existing-object")),
        ("CREATE INDEX CONCURRENTLY orders_note ON orders (total);", Some("existing-object")),
        ("ALTER TABLE elsewhere ADD COLUMN note text;", None),
        ("DROP TABLE elsewhere;", None),
        ("DROP TABLE customers;", Some("object-in-use")),
        ("DROP TABLE orders;", Some("object-in-use")),
        ("DROP VIEW dear; DROP TABLE orders;", None),
        ("DROP TABLE orders CASCADE;", None),
        ("ALTER TABLE customers DROP COLUMN id;", Some("object-in-use")),
        ("ALTER TABLE orders ALTER at TYPE date;", Some("object-in-use")),
        ("ALTER TABLE orders DROP COLUMN state;", Some("object-in-use")),
        ("ALTER TABLE orders DROP COLUMN note;", None),
    ] {
        let found = last(&[ORDERS, change]);
        let ours = found
            .iter()
            .map(|v| v.rule.as_str())
            .find(|r| ["existing-object", "missing-object", "object-in-use"].contains(r));
        assert_eq!(ours, rule, "{change}: {found:?}");
    }
    let gone = "ALTER TABLE orders RENAME TO purchases;";
    assert!(of(&last(&[ORDERS, gone, "ALTER TABLE orders ADD COLUMN x int;"]), "missing-object").is_some());
    assert!(of(&last(&[ORDERS, gone, "CREATE TABLE orders (id int PRIMARY KEY);"]), "existing-object").is_none());
}

#[test]
fn f213_a_table_that_a_later_migration_creates_is_not_there_yet() {
    let early = |last: &str, between: &str| {
        let (report, _) = sample(&[
            ("0001_a.up.sql", "ALTER TABLE late ADD COLUMN x int;"),
            ("0002_b.up.sql", between),
            ("0003_c.up.sql", last),
        ]);
        report.violations.iter().any(|v| v.rule == "missing-object" && v.message.contains("`0003_c`"))
    };
    assert!(early("CREATE TABLE late (id int PRIMARY KEY);", "SELECT 1;"));
    assert!(!early("CREATE TABLE IF NOT EXISTS late (id int PRIMARY KEY);", "SELECT 1;"));
    assert!(!early("CREATE TABLE late (id int PRIMARY KEY);", "DROP TABLE late;"));
    assert!(!early("CREATE TABLE late (id int PRIMARY KEY);", "ALTER TABLE late RENAME TO late_old;"));
}

#[test]
fn p135_a_foreign_key_without_an_index_is_told_unless_the_history_builds_one() {
    let key = "CREATE TABLE a (id bigint PRIMARY KEY); CREATE TABLE b (id bigint PRIMARY KEY, a_id bigint REFERENCES a (id));";
    let found = last(&[key]);
    let finding = of(&found, "foreign-key-without-index").expect("told");
    assert_eq!((finding.risk, finding.severity), (Risk::Low, Severity::Warning));
    let later = |sql: &str| {
        let (report, _) = sample(&[("0001_m.up.sql", key), ("0002_m.up.sql", sql)]);
        report.violations.iter().any(|v| v.rule == "foreign-key-without-index")
    };
    assert!(!later("CREATE INDEX CONCURRENTLY b_a ON b (a_id);"));
    assert!(!later("CREATE INDEX CONCURRENTLY b_a ON b (a_id, id);"));
    assert!(later("CREATE INDEX CONCURRENTLY b_a ON b (id, a_id);"));
    assert!(!later("ALTER TABLE b DROP CONSTRAINT b_a_id_fkey;"));
    assert!(!later("DROP TABLE b;"));
    assert!(!later("DO $$ BEGIN EXECUTE 'x'; END $$;"));
}

#[test]
fn an_index_that_begins_another_is_a_duplicate() {
    for (sql, expected) in [
        ("CREATE INDEX CONCURRENTLY x ON orders (customer_id);", true),
        ("CREATE INDEX CONCURRENTLY x ON orders (customer_id, state);", true),
        ("CREATE INDEX CONCURRENTLY x ON orders (state);", false),
        ("CREATE INDEX CONCURRENTLY x ON orders (id);", true),
        ("CREATE UNIQUE INDEX CONCURRENTLY x ON orders (note);", false),
        ("CREATE INDEX CONCURRENTLY x ON orders (customer_id) WHERE total > 5;", false),
        ("CREATE INDEX CONCURRENTLY x ON orders (lower(note));", false),
        ("CREATE INDEX CONCURRENTLY x ON orders (note varchar_pattern_ops);", false),
        ("CREATE INDEX CONCURRENTLY x ON orders USING gin (note);", false),
        ("CREATE INDEX CONCURRENTLY x ON elsewhere (note);", false),
    ] {
        let found = last(&[ORDERS, sql]);
        assert_eq!(of(&found, "duplicate-index").is_some(), expected, "{sql}: {found:?}");
    }
}

#[test]
fn f213_what_if_not_exists_leaves_as_it_is_is_not_the_way_backs_to_drop() {
    let told = |up: &str, down: &str| {
        let (report, _) = sample(&[
            ("0001_o.up.sql", ORDERS),
            ("0001_o.down.sql", "DROP VIEW dear; DROP TABLE orders; DROP TABLE customers;"),
            ("0002_m.up.sql", up),
            ("0002_m.down.sql", down),
        ]);
        let found = report.violations.into_iter().find(|v| v.file == "0002_m.up.sql" && v.rule == "existing-object");
        found.map(|v| (v.severity, v.message))
    };
    for (up, down, part) in [
        (
            "CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY);",
            "DROP TABLE IF EXISTS orders;",
            "`orders` is there",
        ),
        ("CREATE TABLE IF NOT EXISTS public.orders (id int);", "DROP TABLE x, orders CASCADE;", "with all its rows"),
        ("CREATE TABLE IF NOT EXISTS orders AS SELECT 1 AS a;", "DROP TABLE orders;", "with all its rows"),
        (
            "ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;",
            "ALTER TABLE orders DROP COLUMN note;",
            "the column `note` of `orders` is there already",
        ),
    ] {
        let (severity, message) = told(up, down).unwrap_or_else(|| panic!("{up}"));
        assert!(severity == Severity::Error && message.contains(part), "{up}: {message}");
    }
    for (up, down) in [
        ("CREATE TABLE IF NOT EXISTS fresh (id int PRIMARY KEY);", "DROP TABLE fresh;"),
        ("CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY);", "DROP TABLE fresh;"),
        ("CREATE TABLE IF NOT EXISTS shop.orders (id int PRIMARY KEY);", "DROP TABLE shop.orders;"),
        ("DROP VIEW dear; DROP TABLE orders; CREATE TABLE IF NOT EXISTS orders (id int);", "DROP TABLE orders;"),
        ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS more text;", "ALTER TABLE orders DROP COLUMN more;"),
        (
            "DO $$ BEGIN EXECUTE 'drop table orders'; END $$; CREATE TABLE IF NOT EXISTS orders (id int);",
            "DROP TABLE orders;",
        ),
    ] {
        assert_eq!(told(up, down), None, "{up}");
    }
}

#[test]
fn a_column_of_a_domain_with_a_constraint_rewrites_the_table() {
    let domains = "CREATE DOMAIN plain AS int; CREATE DOMAIN positive AS int CHECK (value > 0);
        CREATE DOMAIN counted AS int DEFAULT 5 NOT NULL; CREATE DOMAIN shop.deep AS positive;";
    let told = |scripts: &[&str]| {
        let found = last(&[&[ORDERS, domains], scripts].concat());
        of(&found, "adding-field-with-default").map(|v| (v.message.clone(), v.tables.clone()))
    };
    for ty in ["positive NOT NULL DEFAULT 1", "positive", "counted", "shop.deep DEFAULT 1", "public.positive"] {
        let (message, tables) =
            told(&[&format!("ALTER TABLE orders ADD COLUMN c {ty};")]).unwrap_or_else(|| panic!("{ty}"));
        assert!(
            message.contains("is a domain with a constraint: the new column `c` has `orders` rewritten"),
            "{message}"
        );
        assert_eq!(tables, ["orders"]);
    }
    for changed in ["ADD CONSTRAINT some CHECK (value > 1)", "ADD CHECK (value > 1)", "SET NOT NULL"] {
        let alter = format!("ALTER DOMAIN plain {changed}; ALTER DOMAIN plain SET DEFAULT 3;");
        assert!(told(&[&alter, "ALTER TABLE orders ADD COLUMN c plain DEFAULT 1;"]).is_some(), "{changed}");
    }
    for scripts in [
        &["ALTER TABLE orders ADD COLUMN c plain NOT NULL DEFAULT 1;"][..],
        &["ALTER TABLE orders ADD COLUMN c elsewhere DEFAULT 1;"],
        &["CREATE TABLE fresh (id bigint PRIMARY KEY); ALTER TABLE fresh ADD COLUMN c positive;"],
        &[
            "ALTER DOMAIN positive DROP CONSTRAINT positive_check;",
            "ALTER TABLE orders ADD COLUMN c positive DEFAULT 1;",
        ],
        &[
            "DROP DOMAIN positive; CREATE DOMAIN positive AS int;",
            "ALTER TABLE orders ADD COLUMN c positive DEFAULT 1;",
        ],
    ] {
        assert_eq!(told(scripts), None, "{scripts:?}");
    }
}

#[test]
fn f213_a_constraint_that_is_not_there_cannot_be_validated() {
    let told = |scripts: &[&str]| {
        let found = last(&[&[ORDERS], scripts].concat());
        of(&found, "missing-object").map(|v| (v.severity, v.message.clone()))
    };
    for (validated, part) in [
        ("has_totals", "`orders` has no constraint `has_totals`"),
        ("orders_pkey", "`orders_pkey` of `orders` is no foreign key and no check"),
    ] {
        let (severity, message) = told(&[&format!("ALTER TABLE orders VALIDATE CONSTRAINT {validated};")])
            .unwrap_or_else(|| panic!("{validated}"));
        assert!(severity == Severity::Error && message.contains(part), "{message}");
    }
    for scripts in [
        &["ALTER TABLE orders VALIDATE CONSTRAINT has_total;"][..],
        &["ALTER TABLE orders VALIDATE CONSTRAINT orders_customer_id_fkey;"],
        // What PostgreSQL itself may have called so, and what nobody can follow.
        &["ALTER TABLE orders VALIDATE CONSTRAINT orders_total_check1;"],
        &["ALTER TABLE orders INHERIT older;", "ALTER TABLE orders VALIDATE CONSTRAINT has_totals;"],
        &["ALTER TABLE elsewhere VALIDATE CONSTRAINT has_totals;"],
        &["ALTER TABLE orders ADD CONSTRAINT k CHECK (id > 0) NOT VALID;", "ALTER TABLE orders VALIDATE CONSTRAINT k;"],
    ] {
        assert_eq!(told(scripts), None, "{scripts:?}");
    }
}

#[test]
fn p164_a_partition_with_a_valid_check_is_attached_without_a_scan() {
    const NEW: &str = "CREATE TABLE p (id bigint) PARTITION BY RANGE (id); CREATE TABLE part (id bigint);";
    const CHECK: &str = "ALTER TABLE part ADD CONSTRAINT within CHECK (id >= 1 AND id < 9) NOT VALID;";
    const ATTACH: &str = "ALTER TABLE p ATTACH PARTITION part FOR VALUES FROM (1) TO (9);";
    let told = |scripts: &[&str]| {
        let found = last(scripts);
        of(&found, "attach-partition").map(|v| (v.severity, v.risk, v.tables.clone()))
    };
    let scanned = Some((Severity::Warning, Risk::High, vec!["part".to_owned()]));
    assert_eq!(told(&[NEW, ATTACH]), scanned);
    assert_eq!(told(&[NEW, CHECK, ATTACH]), scanned, "nobody has validated it");
    let (severity, risk, _) =
        told(&[NEW, CHECK, "ALTER TABLE part VALIDATE CONSTRAINT within;", ATTACH]).expect("told");
    assert_eq!((severity, risk), (Severity::Info, Risk::Medium));
    // A new parent does not make an old partition's rows new.
    let parent = "CREATE TABLE q (id bigint) PARTITION BY RANGE (id);\nALTER TABLE q ATTACH PARTITION part FOR VALUES FROM (1) TO (9);";
    assert_eq!(told(&["CREATE TABLE part (id bigint);", parent]), scanned);
}

#[test]
fn p164_a_partition_beside_a_default_partition_is_told() {
    const PARENT: &str = "CREATE TABLE p (id bigint NOT NULL) PARTITION BY RANGE (id);";
    const REST: &str = "CREATE TABLE rest PARTITION OF p DEFAULT;";
    const NEW: &str = "CREATE TABLE part PARTITION OF p FOR VALUES FROM (1) TO (9);";
    const CHECK: &str = "ALTER TABLE rest ADD CONSTRAINT apart CHECK (id < 1 OR id >= 9) NOT VALID;";
    let told = |scripts: &[&str]| {
        let found = last(scripts);
        of(&found, "partition-beside-default").map(|v| (v.severity, v.risk, v.tables.join(" ")))
    };
    let scanned = Some((Severity::Warning, Risk::High, "rest".to_owned()));
    assert_eq!(told(&[PARENT, REST, NEW]), scanned);
    assert_eq!(
        told(&[PARENT, "CREATE TABLE rest (id bigint NOT NULL);", "ALTER TABLE p ATTACH PARTITION rest DEFAULT;", NEW]),
        scanned
    );
    assert_eq!(
        told(&[
            PARENT,
            REST,
            "ALTER TABLE p RENAME TO q;",
            "CREATE TABLE part PARTITION OF q FOR VALUES FROM (1) TO (9);"
        ]),
        scanned
    );
    assert_eq!(
        told(&[
            PARENT,
            REST,
            "CREATE TABLE n (id bigint NOT NULL);\nALTER TABLE p ATTACH PARTITION n FOR VALUES FROM (1) TO (9);"
        ]),
        scanned
    );
    assert_eq!(told(&[PARENT, REST, CHECK, NEW]), scanned, "nobody has validated it");
    assert_eq!(
        told(&[PARENT, REST, CHECK, "ALTER TABLE rest VALIDATE CONSTRAINT apart;", NEW])
            .map(|(severity, risk, _)| (severity, risk)),
        Some((Severity::Info, Risk::Medium))
    );
    for quiet in [
        &[PARENT, NEW][..],
        &[
            PARENT,
            "CREATE TABLE rest PARTITION OF p DEFAULT;\nCREATE TABLE part PARTITION OF p FOR VALUES FROM (1) TO (9);",
        ],
        &[PARENT, REST, "DROP TABLE rest;", NEW],
        &[PARENT, REST, "ALTER TABLE p DETACH PARTITION rest;", NEW],
        &[PARENT, REST, "CREATE TABLE other PARTITION OF q FOR VALUES FROM (1) TO (9);"],
        // `attach-partition` speaks of it.
        &[
            PARENT,
            REST,
            "CREATE TABLE n (id bigint NOT NULL);",
            "ALTER TABLE p ATTACH PARTITION n FOR VALUES FROM (1) TO (9);",
        ],
    ] {
        assert_eq!(told(quiet), None, "{quiet:?}");
    }
}

#[test]
fn p164_what_comes_in_one_change_with_its_default_partition_waits_for_nobody() {
    let scripts = [
        "CREATE TABLE p (id bigint NOT NULL) PARTITION BY RANGE (id);",
        "CREATE TABLE rest PARTITION OF p DEFAULT;",
        "CREATE TABLE part PARTITION OF p FOR VALUES FROM (1) TO (9);",
    ];
    let files: Vec<SourceFile> =
        (1..).zip(scripts).map(|(n, text)| SourceFile::new(format!("{n:04}_m.up.sql"), text.as_bytes())).collect();
    let set = resolve(&files, &[MigrationRoot::folder("")]);
    let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
    for (new, expected) in [(2, true), (1, false), (0, false)] {
        let scope = Scope::Paths(files[new..].iter().map(|f| f.path.clone()).collect());
        let report = check(&set, &LintConfig::default(), &scope, today);
        let told = report.violations.iter().any(|v| v.rule == "partition-beside-default");
        assert_eq!(told, expected, "from the {new}th on: {:?}", report.violations);
    }
}

/// To the next migration of the same change, a table that took the place of another is the one that programs use.
#[test]
fn p102_a_table_that_takes_the_place_of_another_is_not_new_to_the_next_migration() {
    for (first, expected) in [
        ("create table v_new (id bigint primary key); drop table v; alter table v_new rename to v;", true),
        ("create table v_new (id bigint primary key); alter table v rename to w; alter table v_new rename to v;", true),
        ("create table v_new (id bigint primary key); alter table v_new rename to v;", false),
        ("create table v (id bigint primary key);", false),
    ] {
        let second = "alter table v add column n bigint default random();";
        let files: Vec<SourceFile> = (1..)
            .zip([first, second])
            .map(|(n, text)| SourceFile::new(format!("{n:04}_m.up.sql"), text.as_bytes()))
            .collect();
        let set = resolve(&files, &[MigrationRoot::folder("")]);
        let scope = Scope::Paths(files.iter().map(|f| f.path.clone()).collect());
        let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
        let report = check(&set, &LintConfig::default(), &scope, today);
        let told = report.violations.iter().any(|v| v.rule == "adding-field-with-default");
        assert_eq!(told, expected, "{first}: {:?}", report.violations);
    }
}

#[test]
fn p111_the_check_on_the_way_to_not_null_goes_without_a_loss() {
    const CHECK: &str = "ALTER TABLE orders ADD CONSTRAINT c CHECK (note IS NOT NULL) NOT VALID;";
    const VALIDATE: &str = "ALTER TABLE orders VALIDATE CONSTRAINT c;";
    const DROP: &str = "ALTER TABLE orders DROP CONSTRAINT c;";
    let told = |scripts: &[&str]| {
        let found = last(scripts);
        of(&found, "ban-drop-constraint").map(|v| (v.severity, v.risk))
    };
    let set = "ALTER TABLE orders ALTER COLUMN note SET NOT NULL;";
    assert_eq!(told(&[ORDERS, CHECK, VALIDATE, set, DROP]), Some((Severity::Info, Risk::Low)));
    assert_ne!(told(&[ORDERS, CHECK, VALIDATE, DROP]), Some((Severity::Info, Risk::Low)), "nothing else says it");
}

#[test]
fn a_new_table_under_another_name_is_new() {
    let found = last(&[
        "CREATE TABLE x (id bigint PRIMARY KEY, a int);\nALTER TABLE x RENAME TO y;\nCREATE INDEX i ON y (a);\nUPDATE y SET a = 1;",
    ]);
    assert!(found.iter().all(|v| v.severity == Severity::Info || v.rule == "missing-down"), "{found:?}");
    let found =
        last(&["CREATE TABLE x (id bigint PRIMARY KEY);\nALTER TABLE y RENAME TO z;\nCREATE INDEX i ON z (a);"]);
    assert!(of(&found, "require-concurrent-index-creation").is_some(), "{found:?}");
}

#[test]
fn p122_another_way_to_compare_builds_indexes_and_writes_no_row() {
    let table = "CREATE TABLE t (id bigint PRIMARY KEY, a text, b varchar(20), c char(4));\nCREATE INDEX t_a ON t (a);";
    for (change, part, risk) in [
        ("a TYPE citext", "the indexes on it (`t_a`)", Risk::High),
        ("a TYPE text COLLATE \"C\"", "another collation of text rewrites no row", Risk::High),
        ("b TYPE citext", "its indexes, where it has some,", Risk::Medium),
        ("b TYPE citext USING lower(b)", "is rewritten", Risk::High),
        ("c TYPE citext", "is rewritten", Risk::High),
        ("b TYPE varchar(10) COLLATE \"C\"", "anew", Risk::High),
    ] {
        let found = last(&[table, &format!("ALTER TABLE t ALTER COLUMN {change};")]);
        let told = of(&found, "changing-column-type").expect(change);
        assert!(told.message.contains(part), "{change}: {}", told.message);
        assert_eq!((told.severity, told.risk), (Severity::Warning, risk), "{change}");
    }
}

#[test]
fn p164_nothing_is_offered_that_postgresql_refuses_on_a_partitioned_table() {
    const PARENT: &str = "CREATE TABLE ev (id bigint NOT NULL, u_id bigint) PARTITION BY RANGE (id);";
    const INDEXED: &str = "CREATE INDEX ev_u ON ev (u_id);";
    const REST: &str = "CREATE TABLE rest PARTITION OF ev DEFAULT;";
    const INDEX: &str = "require-concurrent-index-creation";
    const KEY: &str = "constraint-missing-not-valid";
    const DETACH: &str = "require-concurrent-partition-detach";
    let (fk, detach) =
        ("ALTER TABLE ev ADD CONSTRAINT f FOREIGN KEY (u_id) REFERENCES u (id);", "ALTER TABLE ev DETACH PARTITION p;");
    for (before, change, rule, help) in [
        (&[PARENT][..], "CREATE INDEX i ON ev (id);", INDEX, Some("`ON ONLY`")),
        (&[PARENT], "CREATE UNIQUE INDEX ON public.ev (id);", INDEX, Some("ATTACH PARTITION")),
        // A partition tells it of its table, and a call that names the table makes it no other.
        (&["CREATE TABLE p PARTITION OF ev DEFAULT;"], "CREATE INDEX i ON ev (id);", INDEX, Some("`ON ONLY`")),
        (&["ALTER TABLE ev ATTACH PARTITION p DEFAULT;"], "CREATE INDEX i ON ev (id);", INDEX, Some("`ON ONLY`")),
        (&[PARENT, "SELECT create_parent('public.ev');"], "CREATE INDEX i ON ev (id);", INDEX, Some("`ON ONLY`")),
        (
            &["CREATE TABLE e (id int) PARTITION BY LIST (id);", "ALTER TABLE e RENAME TO ev;"],
            "CREATE INDEX i ON ev (id);",
            INDEX,
            Some("`ON ONLY`"),
        ),
        (&[PARENT, "DROP TABLE ev;", "CREATE TABLE ev (id bigint);"], "CREATE INDEX i ON ev (id);", INDEX, None),
        (&[PARENT, REST], "CREATE INDEX i ON rest (id);", INDEX, None),
        (&["CREATE TABLE t (id bigint);"], "CREATE INDEX i ON ONLY t (id);", INDEX, None),
        (&[], "CREATE INDEX i ON ONLY ev (id);", INDEX, Some("leave `ONLY` out")),
        (&["CREATE VIEW ev AS SELECT 1 AS id;"], "CREATE INDEX i ON ev (id);", INDEX, Some("a materialized one")),
        (&[PARENT], fk, KEY, Some("takes them over")),
        (
            &[PARENT],
            "ALTER TABLE ev ADD COLUMN w bigint REFERENCES u (id) DEFAULT 1;",
            "adding-foreign-key-constraint",
            Some("takes them over"),
        ),
        (&["CREATE TABLE ev (u_id bigint);"], fk, KEY, None),
        (&[PARENT], "ALTER TABLE ev ADD CONSTRAINT c CHECK (id > 0);", KEY, None),
        (
            &[PARENT],
            "ALTER TABLE ev ADD CONSTRAINT k UNIQUE (id);",
            "disallowed-unique-constraint",
            Some("`ALTER TABLE ONLY`"),
        ),
        (
            &[PARENT],
            "ALTER TABLE ev ADD PRIMARY KEY (id);",
            "adding-serial-primary-key-field",
            Some("`ALTER TABLE ONLY`"),
        ),
        (&[PARENT, REST], detach, DETACH, Some("`lock_timeout`")),
        (&[PARENT], detach, DETACH, None),
        (&[PARENT, INDEXED], "DROP INDEX ev_u;", "require-concurrent-index-deletion", Some("`lock_timeout`")),
        (
            &["CREATE TABLE t (a int);", "CREATE INDEX i ON t (a);"],
            "DROP INDEX i;",
            "require-concurrent-index-deletion",
            None,
        ),
        (&[], "DROP INDEX a, b;", "require-concurrent-index-deletion", Some("for each of them")),
        (&[], "DROP INDEX a CASCADE;", "require-concurrent-index-deletion", Some("`CASCADE`")),
    ] {
        let scripts: Vec<&str> = before.iter().copied().chain([change]).collect();
        let found = last(&scripts);
        let told = of(&found, rule).unwrap_or_else(|| panic!("{scripts:?}: {found:?}"));
        assert_eq!(told.severity, Severity::Warning, "{scripts:?}: {}", told.message);
        assert_eq!(told.fix.is_none(), help.is_some(), "{scripts:?}: {told:?}");
        if let Some(help) = help {
            assert!(told.help.as_ref().is_some_and(|h| h.contains(help)), "{scripts:?}: {told:?}");
        }
    }
    let found = last(&[PARENT, "ALTER TABLE ev ADD COLUMN w bigint REFERENCES u (id);"]);
    let told = of(&found, "adding-foreign-key-constraint").expect("told");
    assert_eq!((told.severity, told.risk, &told.fix), (Severity::Info, Risk::Low, &None), "{}", told.message);
    assert!(told.message.starts_with("no row is read"), "{}", told.message);
    let found = last(&[PARENT, "CREATE INDEX i ON ONLY ev (id);"]);
    let told = of(&found, INDEX).expect("told");
    assert_eq!((told.severity, told.risk, &told.fix), (Severity::Info, Risk::Low, &None), "{}", told.message);
    let found = last(&["CREATE MATERIALIZED VIEW ev AS SELECT 1 AS id;", "CREATE INDEX i ON ev (id);"]);
    let told = of(&found, INDEX).expect("told");
    assert_eq!((told.severity, told.risk), (Severity::Info, Risk::Low), "{}", told.message);
    let found = last(&[
        "CREATE TABLE u (id bigint PRIMARY KEY);",
        "CREATE TABLE ev (id bigint, u_id bigint REFERENCES u (id)) PARTITION BY RANGE (id);",
    ]);
    let told = of(&found, "foreign-key-without-index").expect("told");
    assert!(told.help.as_ref().is_some_and(|h| h.contains("`ON ONLY`")), "{told:?}");
}

#[test]
fn p164_from_postgresql_18_on_a_partitioned_table_takes_a_foreign_key_that_is_not_valid() {
    let scripts = [
        "CREATE TABLE ev (id bigint, u_id bigint) PARTITION BY RANGE (id);",
        "ALTER TABLE ev ADD CONSTRAINT f FOREIGN KEY (u_id) REFERENCES u (id);",
    ];
    for (version, offered) in [("15", false), ("17.2", false), ("18", true)] {
        let files: Vec<SourceFile> = ["0001_a.up.sql", "0002_b.up.sql"]
            .iter()
            .zip(scripts)
            .map(|(path, sql)| SourceFile::new(*path, sql.as_bytes()))
            .collect();
        let set = resolve(&files, &[MigrationRoot::folder("")]);
        let config = LintConfig { postgres_version: Some(version.to_owned()), ..LintConfig::default() };
        let today = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
        let report = check(&set, &config, &Scope::All, today);
        let told = of(&report.violations, "constraint-missing-not-valid").expect("told");
        assert_eq!(told.fix.is_some(), offered, "{version}: {told:?}");
    }
}
