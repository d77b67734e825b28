//! SQLite's own word on SQLite migrations, through the binary (DECISIONS 18).

use std::path::Path;

use super::{folder, found, godwit, json};

#[test]
fn what_sqlite_would_refuse_is_found_before_it_runs() {
    let dir = folder(&[
        ("migrations/sqlite/0001_a.up.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT);\n"),
        ("migrations/sqlite/0001_a.down.sql", "DROP TABLE a;\n"),
        ("migrations/sqlite/0002_c.up.sql", "-- a typo\nCREATE TABEL c (id INTEGER);\n"),
        ("migrations/sqlite/0002_c.down.sql", "DROP TABLE IF EXISTS c;\n"),
        ("migrations/sqlite/0003_d.up.sql", "ALTER TABLE a ADD COLUMN d TEXT;\n\nCREATE INDEX a_e ON a (e);\n"),
        ("migrations/sqlite/0003_d.down.sql", "ALTER TABLE a DROP COLUMN dd;\n"),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(1), "{report}");
    let of = |file: &str| {
        let all = report["violations"].as_array().unwrap();
        let v = all.iter().find(|v| v["file"] == format!("migrations/sqlite/{file}")).unwrap();
        (v["rule"].as_str().unwrap(), v["line"].as_u64().unwrap(), v["column"].as_u64().unwrap(), v["message"].clone())
    };
    assert_eq!(of("0002_c.up.sql"), ("syntax-error", 2, 8, "near \"TABEL\": syntax error".into()));
    let (rule, line, _, message) = of("0003_d.up.sql");
    assert_eq!((rule, line), ("sqlite-refuses", 3));
    assert!(
        message.as_str().unwrap().contains("no such column: e")
            || message.as_str().unwrap().contains("no column named e")
    );
    let (rule, line, _, message) = of("0003_d.down.sql");
    assert_eq!((rule, line), ("sqlite-refuses", 1));
    assert!(message.as_str().unwrap().contains("no such column: \"dd\""), "{message}");
    assert_eq!(found(&report).len(), 3, "{report}");
    assert_eq!(report["migrations"][1]["risk"], "HIGH");
    assert_eq!(json(dir.path(), &[]).1, report, "the same twice");
}

#[test]
fn a_lone_file_is_judged_by_its_syntax_only() {
    let dir = folder(&[
        ("0007_x.sql", "ALTER TABLE users ADD COLUMN x TEXT;\nUPDATE users SET y = 1 WHERE id = 1;\n"),
        ("0008_y.sql", "ALTER TABLE users ADD COLUM x TEXT,;\n"),
    ]);
    let errors =
        |report: &serde_json::Value| found(report).iter().filter(|(r, _)| r.contains("s")).cloned().collect::<Vec<_>>();
    let (code, report) = json(dir.path(), &["--engine", "sqlite", "0007_x.sql"]);
    assert_eq!(code, Some(0), "{report}");
    let (code, report) = json(dir.path(), &["--engine", "sqlite", "0008_y.sql"]);
    assert_eq!((code, errors(&report)), (Some(1), vec![("syntax-error".to_owned(), 1)]));
}

#[test]
fn a_waiver_and_the_policy_hold_for_sqlites_word_too() {
    let up = "-- godwit: waive=sqlite-refuses reason=\"the column was added by hand\" expires=2099-01-01\nUPDATE a SET z = 1 WHERE b = 2;\n";
    let dir = folder(&[
        ("migrations/sqlite/0001_a.up.sql", "CREATE TABLE a (b TEXT);\n"),
        ("migrations/sqlite/0002_c.up.sql", up),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(0), "{report}");
    let all = report["violations"].as_array().unwrap();
    assert!(
        all.iter().any(|v| v["rule"] == "sqlite-refuses" && v["waived"] == "the column was added by hand"),
        "{report}"
    );
}

#[test]
fn no_statement_of_a_script_writes_a_file() {
    let dir = folder(&[(
        "migrations/sqlite/0001_a.up.sql",
        "-- godwit: no-transaction\nATTACH 'evil.db' AS evil;\nCREATE TABLE evil.t (a);\nVACUUM INTO 'copy.db';\n\
         CREATE TABLE b AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n;\n",
    )]);
    assert!(godwit(dir.path(), &["ci"]).output().unwrap().status.code().is_some_and(|c| c < 2));
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["migrations"]);
}

#[test]
fn the_products_sqlite_examples_stay_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (_, report) = json(root, &["migrations/sqlite"]);
    let rules: Vec<_> = found(&report).into_iter().map(|(r, _)| r).collect();
    assert!(!rules.iter().any(|r| r == "sqlite-refuses" || r == "syntax-error"), "{rules:?}");
}
