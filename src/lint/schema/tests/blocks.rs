//! What `DO` blocks do to the schema, for certain or perhaps.

use super::{ORDERS, last, of};
use crate::ids::Risk;
use crate::lint::{Severity, sample};

fn block(body: &str) -> String {
    format!("DO $$\nDECLARE n int;\nBEGIN\n  {body}\nEND $$;")
}

#[test]
fn p122_a_change_of_type_in_a_block_is_judged_by_the_type_that_the_column_has() {
    for (body, risk) in [
        ("ALTER TABLE orders ALTER note TYPE text;", Risk::Low),
        ("ALTER TABLE orders ALTER note TYPE varchar(5);", Risk::High),
        ("ALTER TABLE orders ALTER note TYPE varchar(5); ALTER TABLE customers ALTER name TYPE text;", Risk::High),
        ("EXECUTE 'ALTER TABLE orders ALTER note TYPE text';", Risk::Low),
        // Whether it runs or not, this is what it costs.
        ("IF EXISTS (SELECT 1 FROM customers) THEN ALTER TABLE orders ALTER note TYPE text; END IF;", Risk::Low),
        ("PERFORM change('orders'); ALTER TABLE orders ALTER note TYPE text;", Risk::High),
        ("n := change('orders'); ALTER TABLE orders ALTER note TYPE text;", Risk::High),
        ("EXECUTE format('ALTER TABLE %I DROP a', n); ALTER TABLE orders ALTER note TYPE text;", Risk::High),
    ] {
        let found = last(&[ORDERS, &block(body)]);
        let told = of(&found, "changing-column-type").unwrap_or_else(|| panic!("{body}: {found:?}"));
        assert_eq!(told.risk, risk, "{body}: {}", told.message);
    }
    // Afterwards the column has the new type.
    let found = last(&[
        ORDERS,
        &block("ALTER TABLE orders ALTER note TYPE int USING 0;"),
        "ALTER TABLE orders ALTER note TYPE text;",
    ]);
    let told = of(&found, "changing-column-type").expect("told");
    assert!(told.message.contains("`orders.note` is integer"), "{}", told.message);
}

#[test]
fn f213_what_a_block_makes_or_takes_is_followed() {
    const RULES: [&str; 4] = ["existing-object", "missing-object", "object-in-use", "postgresql-refuses"];
    for (body, expected) in [
        ("ALTER TABLE orders ADD COLUMN note text;", Some(("existing-object", 4))),
        ("ALTER TABLE orders DROP COLUMN nothing;", Some(("missing-object", 4))),
        ("ALTER TABLE orders DROP COLUMN at;", Some(("object-in-use", 4))),
        ("DROP TABLE customers;", Some(("object-in-use", 4))),
        ("SELECT 1 INTO n;\n  UPDATE orders SET nothing = 1 WHERE id = n;", Some(("missing-object", 5))),
        ("UPDATE orders SET nothing = 1 WHERE id = 1 RETURNING id INTO n;", Some(("missing-object", 4))),
        ("EXECUTE 'DROP INDEX orders_pkey';", Some(("object-in-use", 4))),
        ("ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;", None),
        ("ALTER TABLE orders ADD COLUMN more text; UPDATE orders SET more = '' WHERE id = 1;", None),
        ("IF NOT EXISTS (SELECT 1 FROM pg_attribute) THEN ALTER TABLE orders ADD COLUMN note text; END IF;", None),
        ("BEGIN ALTER TABLE orders ADD COLUMN note text; EXCEPTION WHEN duplicate_column THEN NULL; END;", None),
        ("FOR n IN 1..3 LOOP ALTER TABLE orders DROP COLUMN nothing; END LOOP;", None),
        ("IF n = 1 THEN RETURN; END IF; ALTER TABLE orders ADD COLUMN note text;", None),
        ("CASE n WHEN 1 THEN ALTER TABLE orders ADD COLUMN note text; ELSE NULL; END CASE;", None),
        ("ALTER TABLE elsewhere ADD COLUMN note text;", None),
    ] {
        let found = last(&[ORDERS, &block(body)]);
        let told = found.iter().find(|v| RULES.contains(&v.rule.as_str())).map(|v| (v.rule.as_str(), v.line));
        assert_eq!(told, expected, "{body}: {found:?}");
    }
    let handled =
        "DO $$ BEGIN ALTER TABLE orders ADD COLUMN note text; EXCEPTION WHEN duplicate_column THEN NULL; END $$;";
    assert!(of(&last(&[ORDERS, handled]), "existing-object").is_none());
}

#[test]
fn what_a_block_may_have_done_is_not_known() {
    const NOTE: &str = "ALTER TABLE orders ADD COLUMN note text;";
    const MORE: &str = "ALTER TABLE orders DROP COLUMN more;";
    for (body, next, rule) in [
        ("ALTER TABLE orders DROP COLUMN note;", NOTE, None),
        ("ALTER TABLE orders ADD COLUMN more text;", MORE, None),
        ("ALTER TABLE customers ADD COLUMN more text;", MORE, Some("missing-object")),
        ("IF n = 1 THEN ALTER TABLE orders DROP COLUMN note; END IF;", NOTE, None),
        ("IF n = 1 THEN ALTER TABLE customers DROP COLUMN name; END IF;", NOTE, Some("existing-object")),
        ("BEGIN DROP TABLE orders CASCADE; EXCEPTION WHEN others THEN NULL; END;", NOTE, None),
        ("IF n = 1 THEN EXECUTE 'ALTER TABLE orders ADD COLUMN more text'; END IF;", MORE, None),
        ("EXECUTE 'ALTER TABLE ' || n || ' ADD COLUMN more text';", MORE, None),
        ("EXECUTE format('UPDATE orders SET note = %L WHERE id = 1', n);", MORE, Some("missing-object")),
        ("FOR n IN SELECT change('orders') LOOP NULL; END LOOP;", MORE, None),
        ("ASSERT change('orders');", MORE, None),
        ("RAISE NOTICE 'orders %', count(n);", MORE, Some("missing-object")),
        ("EXIT WHEN n = 1; ALTER TABLE orders DROP COLUMN note;", NOTE, None),
        ("IF n = 1 THEN DROP TABLE customers CASCADE; END IF;", "DROP TABLE orders;", None),
        ("IF n = 1 THEN DROP VIEW dear; END IF;", "DROP TABLE orders;", None),
        ("IF n = 1 THEN CREATE TABLE fresh (id int); END IF;", "CREATE TABLE fresh (id int PRIMARY KEY);", None),
        ("CREATE TABLE fresh (id int);", "CREATE TABLE fresh (id int PRIMARY KEY);", Some("existing-object")),
        // What is there already is not made, whether that is tried or not.
        ("IF n = 1 THEN ALTER TABLE orders ADD COLUMN note text; END IF;", NOTE, Some("existing-object")),
        (
            "BEGIN CREATE TABLE orders (id int); EXCEPTION WHEN duplicate_table THEN NULL; END;",
            NOTE,
            Some("existing-object"),
        ),
        ("IF n = 1 THEN CREATE INDEX orders_note ON orders (id); END IF;", NOTE, Some("existing-object")),
        ("IF n = 1 THEN CREATE OR REPLACE VIEW dear AS SELECT 1; END IF;", "DROP TABLE orders;", None),
        ("this is nothing; ALTER TABLE orders DROP COLUMN note;", NOTE, None),
    ] {
        let found = last(&[ORDERS, &block(body), next]);
        let rules = ["existing-object", "missing-object", "object-in-use"];
        let told = found.iter().map(|v| v.rule.as_str()).find(|rule| rules.contains(rule));
        // A view of the fixture hangs on the table in any case.
        let told =
            told.filter(|rule| next != "DROP TABLE orders;" || *rule != "object-in-use" || body.contains("dear"));
        assert_eq!(told, rule, "{body} {next}: {found:?}");
    }
}

#[test]
fn a_table_that_a_block_creates_is_new_to_the_rest_of_the_file() {
    const INDEX: &str = "require-concurrent-index-creation";
    let told = |body: &str, rule: &str, behind: &str| {
        let found = last(&[ORDERS, &format!("{}\n{behind}", block(body))]);
        of(&found, rule).map(|v| v.severity)
    };
    for body in [
        "CREATE TABLE fresh (id bigint PRIMARY KEY, a int);",
        "EXECUTE 'CREATE TABLE fresh (id bigint PRIMARY KEY, a int)';",
        "IF n = 1 THEN CREATE TABLE fresh (id bigint PRIMARY KEY, a int); END IF;",
        "CREATE TABLE raw (id bigint PRIMARY KEY, a int); ALTER TABLE raw RENAME TO fresh;",
    ] {
        assert_eq!(told(body, INDEX, "CREATE INDEX i ON fresh (a);"), None, "{body}");
    }
    assert_eq!(told("NULL;", INDEX, "CREATE INDEX i ON fresh (a);"), Some(Severity::Warning));
    // What may have been there loses its rows.
    let made = "CREATE TABLE fresh (id bigint PRIMARY KEY);";
    assert_eq!(told(made, "ban-drop-table", "DROP TABLE fresh;"), None);
    assert!(told(&format!("IF n = 1 THEN {made} END IF;"), "ban-drop-table", "DROP TABLE fresh;").is_some());
    // What a body says is not rewritten.
    let found = last(&[ORDERS, &block("CREATE TABLE fresh (id bigint PRIMARY KEY, o int REFERENCES orders (id));")]);
    let key = of(&found, "foreign-key-without-index").expect("told");
    assert_eq!((key.line, &key.fix), (4, &None));
}

#[test]
fn f210_a_way_back_undoes_what_a_block_did() {
    let told = |up: &str, down: &str| {
        let (report, _) = sample(&[("0001_m.up.sql", up), ("0001_m.down.sql", down)]);
        report.violations.into_iter().find(|v| v.rule == "incomplete-down").map(|v| v.message)
    };
    let both = block("CREATE TABLE u (id int); ALTER TABLE t ADD COLUMN a int;");
    assert_eq!(told(&both, "ALTER TABLE t DROP COLUMN a; DROP TABLE u;"), None);
    assert!(told(&both, "DROP TABLE u;").is_some_and(|m| m.contains("the column `t.a`")));
    for unsure in [&block("IF n = 1 THEN CREATE TABLE u (id int); END IF; ALTER TABLE t ADD COLUMN a int;"), &both] {
        let back = block("IF n = 1 THEN DROP TABLE u; END IF; ALTER TABLE t DROP COLUMN a;");
        assert_eq!(told(unsure, &back), None, "{unsure}");
    }
}
