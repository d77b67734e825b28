//! A folder that is named by itself, or worked in, is read as it is from the root of its repository.

use std::path::Path;

use crate::support::{Database, Kind, Said, godwit};

const USERS: &str = "services/user-service/migrations";
const SCRIPT: &str = "001_20240101_000000_users";

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn run(dir: &Path, args: &[&str]) -> Said {
    godwit(dir).args(args).output().unwrap().into()
}

/// A service that reads another's table without saying so, and scripts with a rollback beside them.
fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &format!("{USERS}/0001_users.up.sql"), "CREATE TABLE users (id bigint PRIMARY KEY);\n");
    write(dir.path(), &format!("{USERS}/0001_users.down.sql"), "DROP TABLE users;\n");
    write(dir.path(), &format!("{USERS}/0002_x.up.sql"), "CREATE TABLE other_service.t (id bigint PRIMARY KEY);\n");
    write(
        dir.path(),
        &format!("migrations/scripts/{SCRIPT}.sql"),
        "-- Migration: Users\nCREATE TABLE u (id bigint PRIMARY KEY);\n",
    );
    write(dir.path(), &format!("migrations/rollbacks/{SCRIPT}_rollback.sql"), "DROP TABLE u;\n");
    dir
}

/// What a report says: migrations by id, service and whether they can be undone, and findings by file name and rule.
fn told(said: &Said) -> (Vec<String>, Vec<String>) {
    let report = said.json();
    let migrations = report["migrations"].as_array().unwrap().iter();
    let findings = report["violations"].as_array().unwrap().iter();
    let name = |v: &serde_json::Value| v["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    (
        migrations.map(|m| format!("{} {} {}", m["id"], m["service"], m["reversible"])).collect(),
        findings.map(|v| format!("{} {} {}", name(v), v["rule"], v["severity"])).collect(),
    )
}

#[test]
fn s1_21_s1_20_s1_74_s2_12_a_folder_alone_is_read_as_from_the_root() {
    let dir = repository();
    let lint = ["lint", "--format", "json"];
    let whole = run(dir.path(), &[&lint[..], &["services", "migrations"]].concat());
    let (migrations, findings) = told(&whole);
    assert!(migrations.contains(&r#""0001_users" "user-service" true"#.to_owned()), "{migrations:?}");
    assert!(findings.iter().any(|f| f.starts_with("0002_x.up.sql \"foreign-schema\"")), "{findings:?}");
    assert!(findings.contains(&r#"0002_x.up.sql "missing-down" "error""#.to_owned()), "{findings:?}");
    let of = |parts: &[&str]| -> (Vec<String>, Vec<String>) {
        let is_own = |line: &&String| parts.iter().any(|part| line.contains(part));
        let own = |all: &[String]| all.iter().filter(is_own).cloned().collect();
        (own(&migrations), own(&findings))
    };
    let (service, scripts) = (of(&["0001_", "0002_"]), of(&["001_2024"]));
    assert_eq!(scripts.0, [format!("\"{SCRIPT}\" null true")]);
    for (within, paths, expected) in [
        (".", &[USERS][..], &service),
        ("services/user-service", &["migrations"], &service),
        ("services", &["user-service/migrations"], &service),
        (USERS, &["."], &service),
        (USERS, &[], &service),
        (".", &["migrations/scripts"], &scripts),
        ("migrations", &["scripts"], &scripts),
        ("migrations/scripts", &["."], &scripts),
        ("migrations/scripts", &[], &scripts),
    ] {
        let said = run(&dir.path().join(within), &[&lint[..], paths].concat());
        assert_eq!(&told(&said), expected, "{within} {paths:?}");
        let files = said.json()["violations"].to_string();
        assert!(!files.contains("/../"), "{files}");
    }
    let said = run(&dir.path().join(USERS), &["ci", "--format", "json"]).expect(1);
    assert!(said.stdout.contains("foreign-schema"), "{said:?}");

    // What stands above the root of the repository says nothing.
    write(dir.path(), &format!("{USERS}/godwit.yml"), "version: 1\n");
    let (migrations, _) = told(&run(&dir.path().join(USERS), &lint));
    assert_eq!(migrations, [r#""0001_users" null true"#, r#""0002_x" null false"#]);
}

#[test]
fn s1_18_s1_21_apply_with_a_path_works_in_the_schema_of_the_service() {
    let dir = repository();
    std::fs::remove_file(dir.path().join(USERS).join("0002_x.up.sql")).unwrap();
    let database = Database::fresh(Kind::Postgres);
    let tables = || -> Vec<String> {
        let sql = "select schemaname || '.' || tablename from pg_tables where tablename in ('users', 'u') order by 1";
        database.query(sql).into_iter().map(|row| row[0].clone()).collect()
    };
    run(dir.path(), &["apply", "--url", &database.url, "--path", USERS]).expect(0);
    assert_eq!(tables(), ["user_service.users"]);
    run(&dir.path().join(USERS), &["rollback", "0001_users", "--url", &database.url, "--path", ".", "--yes"]).expect(0);
    assert_eq!(tables(), Vec::<String>::new());
    // Scripts have their way back beside them.
    run(&dir.path().join("migrations"), &["apply", "--url", &database.url, "--path", "scripts"]).expect(0);
    assert_eq!(tables(), ["public.u"]);
    run(dir.path(), &["rollback", SCRIPT, "--url", &database.url, "--path", "migrations/scripts", "--yes"]).expect(0);
    assert_eq!(tables(), Vec::<String>::new());
}

#[test]
fn s1_32_new_within_a_folder_goes_on_with_it() {
    let dir = repository();
    let new = |within: &str, args: &[&str]| -> Vec<String> {
        let said = run(&dir.path().join(within), &[&["new", "--format", "json"], args].concat()).expect(0).json();
        said["files"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_owned()).collect()
    };
    let files = new(USERS, &["create_notes"]);
    assert!(files.contains(&"0003_create_notes.up.sql".to_owned()), "{files:?}");
    let up = std::fs::read_to_string(dir.path().join(USERS).join("0003_create_notes.up.sql")).unwrap();
    assert!(up.contains("CREATE TABLE user_service.notes ("), "{up}");
    // The first one of a service, in its folder and by its path.
    std::fs::create_dir_all(dir.path().join("services/order-service/migrations")).unwrap();
    let files = new("services/order-service/migrations", &["create_orders"]);
    assert!(files.contains(&"0001_create_orders.up.sql".to_owned()), "{files:?}");
    let files = new(".", &["create_parcels", "--path", "services/parcel-service/migrations"]);
    let up = files.iter().find(|f| f.ends_with(".up.sql")).unwrap();
    assert_eq!(up, "services/parcel-service/migrations/0001_create_parcels.up.sql");
    assert!(std::fs::read_to_string(dir.path().join(up)).unwrap().contains("parcel_service.parcels"), "{files:?}");
    // Scripts get their rollback where it is looked for.
    let files = new("migrations/scripts", &["create_more"]);
    assert!(files.iter().any(|f| f.starts_with("../rollbacks/002_") && f.ends_with("_rollback.sql")), "{files:?}");
}

#[test]
fn a_folder_that_the_configuration_names_is_read_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "godwit.yml",
        "version: 1\nmigrations:\n  - { path: db/changes, layout: service, engine: sqlite }\n",
    );
    write(dir.path(), "db/changes/0001_a.up.sql", "CREATE TABLE a (id integer PRIMARY KEY) WITHOUT ROWID;\n");
    let report = |args: &[&str]| run(dir.path(), &[&["lint", "--format", "json"], args].concat()).json();
    let whole = report(&[]);
    assert_eq!(whole["migrations"][0]["engine"], "sqlite", "{whole}");
    for path in ["db/changes", "db/changes/0001_a.up.sql"] {
        let part = report(&[path]);
        assert_eq!(part["migrations"], whole["migrations"], "{path}");
        assert_eq!(part["violations"], whole["violations"], "{path}");
    }
}

#[test]
fn the_name_of_the_tool_whose_files_numbered_are_leads_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(dir.path(), &["init", "--layout", "golang-migrate"]).expect(2);
    assert!(said.stderr.contains("`numbered` (as golang-migrate)"), "{said:?}");
}
