//! The risk by the tables that are there, asked of a real server by `godwit lint --facts`.

use godwit::ids::{Engine, TargetName};
use godwit::risk::facts::TargetFacts;
use godwit::runner::{Target, facts};
use serde_json::Value;
use sqlx::Connection as _;

use super::{folder, json, run};
use crate::support::reader::Reader;
use crate::support::{Database, Kind, Project};

const CHANGE: &str =
    "ALTER TABLE orders ALTER COLUMN total TYPE bigint;\nALTER TABLE shop.carts ALTER COLUMN total TYPE bigint;\n";

fn project(change: &str, environments: &str) -> tempfile::TempDir {
    folder(&[
        ("migrations/0002_total.up.sql", change),
        ("migrations/0002_total.down.sql", "SELECT now();\n"),
        (
            "godwit.yml",
            "version: 1\nenvironments: [production]\nmigrations:\n  - { path: migrations, engine: postgresql, target: shop }\n",
        ),
        ("policies/environments.yml", environments),
    ])
}

fn told(report: &Value, part: &str) -> Value {
    let all = report["violations"].as_array().unwrap();
    let found =
        all.iter().find(|v| v["rule"] == "changing-column-type" && v["message"].as_str().unwrap().contains(part));
    found.unwrap_or_else(|| panic!("nothing says {part}: {report}")).clone()
}

#[test]
fn the_same_migration_is_high_on_a_million_rows_and_low_on_an_empty_table() {
    let database = Database::fresh(Kind::Postgres);
    database.query("create schema shop; create table orders (id bigint, total int); create table shop.carts (id bigint, total int)");
    let reader = Reader::new();
    let url = reader.url(&database);
    let environments = "production:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_URL}\", reader_url: \"${SHOP_READER_URL}\" }\n";
    let dir = project(CHANGE, environments);
    let risk = |args: &[&str]| {
        let (code, report) = json(dir.path(), args);
        assert_eq!(code, Some(0), "{report}");
        (report["risk"].as_str().unwrap().to_owned(), report)
    };
    assert_eq!(risk(&[]).0, "HIGH", "without facts the rule speaks");
    let (empty, report) = risk(&["--facts", &url]);
    assert_eq!(empty, "LOW", "{report}");
    told(&report, "`orders` is empty");
    told(&report, "`shop.carts` is empty");

    database.query("insert into orders select n, n from generate_series(1, 1100000) n; insert into shop.carts select 1, 1; analyze");
    let (large, report) = risk(&["--facts", &url]);
    assert_eq!(large, "HIGH", "{report}");
    let orders = told(&report, "`orders` has 1.1 M rows");
    assert!(orders["message"].as_str().unwrap().contains("the rewrite takes an ACCESS EXCLUSIVE lock for"), "{orders}");
    assert_eq!((orders["risk"].as_str(), orders["tables"][0].as_str()), (Some("HIGH"), Some("orders")));
    let carts = told(&report, "`shop.carts` has 1 row");
    assert_eq!(carts["risk"], "LOW");
    assert!(report["migrations"][0]["reasons"][0].as_str().unwrap().contains("1.1 M rows"), "{report}");

    // By the environment's name, through the account that may only read.
    let out = super::godwit(dir.path(), &["lint", "--format", "json", "--facts", "production"])
        .env("SHOP_READER_URL", &url)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    told(&report, "In production `orders` has 1.1 M rows");
    assert!(!String::from_utf8_lossy(&out.stdout).contains("reads-only"));
}

#[test]
fn s3_04_s3_47_pending_plan_and_status_tell_one_risk_of_a_database_given_by_its_url() {
    let database = Database::fresh(Kind::Postgres);
    database.query(
        "create table orders (id bigint, total int, note text); \
         insert into orders select n, n, 'x' from generate_series(1, 200000) n; analyze",
    );
    for (change, back, risk, downtime) in [
        ("ALTER TABLE orders DROP COLUMN note;\n", "SELECT now();\n", "HIGH", "none is expected"),
        (
            "CREATE UNIQUE INDEX orders_id ON orders (id);\nALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0);\n",
            "ALTER TABLE orders DROP CONSTRAINT c;\nDROP INDEX orders_id;\n",
            "MEDIUM",
            "reads or writes may wait for a moment",
        ),
        ("CREATE TABLE fresh (id bigint PRIMARY KEY);\n", "DROP TABLE fresh;\n", "LOW", "none is expected"),
    ] {
        let dir = folder(&[("m/0001_a.up.sql", change), ("m/0001_a.down.sql", back)]);
        let asked = |command: &[&str]| {
            let place = ["--url", database.url.as_str(), "--path", "m", "--format", "json"];
            let (code, out, err) = run(dir.path(), &[command, &place].concat());
            let value: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {code:?} {out}{err}"));
            value
        };
        let pending = asked(&["pending"]);
        assert_eq!((&pending["risk"], &pending["migrations"][0]["risk"]), (&risk.into(), &risk.into()), "{pending}");
        assert_eq!(asked(&["plan"])["risk"], risk, "{change}");
        let (found, is_low, is_high) = (&pending["migrations"][0], risk == "LOW", risk == "HIGH");
        if !is_low {
            assert_eq!(asked(&["status", "-v"])["targets"][0]["migrations"][0]["risk"], risk, "{change}");
        }
        assert_eq!(found["downtime"], downtime, "{found}");
        assert_eq!(found["reasons"].as_array().unwrap().is_empty(), is_low, "{found}");
        assert_eq!(!found["communication"]["who"].as_array().unwrap().is_empty(), is_high, "{found}");
        let (_, said, _) = run(dir.path(), &["pending", "--url", &database.url, "--path", "m"]);
        assert_eq!(said.contains("tell: "), is_high, "{said}");
    }
}

#[test]
fn a_sqlite_file_is_a_database_given_by_its_url_too() {
    let up = "create table t (id integer primary key);\n";
    let dir = folder(&[("m/0001_a.up.sql", up), ("m/0001_a.down.sql", "drop table t;\n")]);
    let (code, out, err) = run(dir.path(), &["pending", "--url", "sqlite:x.db", "--path", "m"]);
    assert!(code == Some(0) && out.starts_with("1 migration pending, risk LOW"), "{out}{err}");
    let (code, _, err) = run(dir.path(), &["lint", "--engine", "sqlite", "--facts", "sqlite:x.db", "m"]);
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = run(dir.path(), &["lint", "--facts", "nowhere", "m"]);
    assert!(code == Some(2) && err.contains("there is no environment `nowhere`"), "{err}");
}

#[test]
fn who_holds_a_table_and_how_large_its_partitions_are_is_seen_by_an_account_that_may_only_read() {
    let database = Database::fresh(Kind::Postgres);
    database.query(
        "create table orders (id bigint); create table parts (id int) partition by range (id); \
         create table parts_1 partition of parts for values from (0) to (100000); create materialized view seen as select 1 as n; \
         insert into orders select 1; insert into parts select n from generate_series(0, 9999) n; analyze",
    );
    let reader = Reader::new();
    let url = reader.url(&database);
    let target = Target {
        environment: None,
        name: TargetName::new("shop").unwrap(),
        engine: Engine::Postgresql,
        url: secrecy::SecretString::from(url),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut holder = runtime.block_on(sqlx::PgConnection::connect(&database.url)).unwrap();
    runtime.block_on(sqlx::raw_sql("begin; select * from orders").execute(&mut holder)).unwrap();
    let ask = || {
        let mut answers = runtime.block_on(facts::read(std::slice::from_ref(&target), None));
        answers.remove(0).unwrap().expect("PostgreSQL is asked")
    };
    let seen = ask();
    let table = |seen: &TargetFacts, name: &str| seen.tables.iter().find(|t| t.name == name).unwrap().clone();
    assert!(seen.version.parse::<u32>().unwrap() >= 13, "{}", seen.version);
    assert!(table(&seen, "orders").held.is_some(), "{seen:?}");
    assert_eq!(table(&seen, "parts").held, None);
    let parts = table(&seen, "parts");
    assert_eq!((parts.rows, parts.visible, parts.schema.as_str()), (Some(9_999 + 1), true, "public"));
    assert!(parts.heap >= 9_999 * 24 && parts.bytes >= parts.heap, "{parts:?}");
    assert!(table(&seen, "seen").heap > 0);
    assert!(!seen.tables.iter().any(|t| t.schema.starts_with("pg_")));
    drop(holder);
}

#[test]
fn places_that_are_not_there_are_named() {
    let dir =
        project(CHANGE, "production:\n  targets:\n    shop: { engine: postgresql, url: \"${NOWHERE_SHOP_URL}\" }\n");
    for (place, code, part) in [
        ("staging", 2, "there is no environment `staging`"),
        ("production", 2, "NOWHERE_SHOP_URL"),
        ("postgres://u:sesame-9@127.0.0.1:1/db", 5, "127.0.0.1"),
        ("oracle://u:sesame-9@h/db", 2, "scheme"),
    ] {
        let (ended, out, err) = run(dir.path(), &["lint", "--facts", place]);
        assert_eq!(ended, Some(code), "{place}: {err}");
        assert!(err.contains(part), "{place}: {err}");
        assert!(!(out + &err).contains("sesame-9"), "{place}");
    }
}

#[test]
fn a_plan_a_run_and_a_status_reckon_with_the_tables_of_their_target() {
    let database = Database::fresh(Kind::Postgres);
    database.query("create table orders (id bigint, total int); create table other (id bigint)");
    let change = "alter table orders alter column total type bigint;\n";
    let project = Project::of(database, &[("0001_total.up.sql", change), ("0001_total.down.sql", "select now();\n")]);
    let plan = || project.run(&["plan", "--format", "json"]).expect(0).json();
    let risk_in_status = || {
        let status = project.run(&["status", "--format", "json"]).expect(0).json();
        status["targets"][0]["migrations"][0]["risk"].as_str().unwrap_or_default().to_owned()
    };
    let told = |plan: &Value| plan["notes"].to_string();
    let empty = plan();
    assert_eq!(empty["risk"], "LOW", "{empty}");
    assert!(told(&empty).contains("`orders` is empty"), "{empty}");
    assert_eq!(risk_in_status(), "LOW");

    project.database.query("insert into orders select n, n from generate_series(1, 1100000) n; analyze");
    let large = plan();
    assert_eq!(large["risk"], "HIGH", "{large}");
    for part in
        ["0001_total, line 1: ", "`orders` has 1.1 M rows", "the rewrite takes an ACCESS EXCLUSIVE lock for", "HIGH"]
    {
        assert!(told(&large).contains(part), "{part}: {large}");
    }
    assert!(!told(&large).contains("`other`"));
    assert_eq!(risk_in_status(), "HIGH");
    let text = project.run(&["plan"]).expect(0);
    assert!(text.stdout.contains("1.1 M rows") && text.stdout.contains("risk HIGH"), "{}", text.stdout);
    assert!(project.run(&["apply", "--dry-run"]).expect(0).stdout.contains("1.1 M rows"));
    // Whoever is asked at the terminal sees it first; nobody is there here.
    let asked = project.run(&["apply"]).expect(2);
    assert!(asked.stderr.contains("1.1 M rows") && asked.stderr.contains("--yes"), "{}", asked.stderr);
    project.run(&["apply", "--yes"]).expect(0);
    assert!(!told(&plan()).contains("`orders`"), "with nothing to do nothing is asked");

    // What no finding depends on is not looked at.
    project.write("0002_new.up.sql", "create table fresh (id bigint primary key);\n");
    project.write("0002_new.down.sql", "drop table fresh;\n");
    let plain = plan();
    assert!(!told(&plain).contains("rows") && plain["risk"] == "LOW", "{plain}");

    // A finding that no table adds anything to is no note.
    project.write("0003_drop.up.sql", "alter table fresh drop column id;\n");
    assert!(!told(&plan()).contains("ban-drop-column"), "{}", told(&plan()));
}
