//! Rules about files, what stands beside them, and what was merged before, through the binary.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{folder, json, run};

/// `file rule` of every finding of a rule.
fn of(report: &Value, rule: &str) -> Vec<(String, String)> {
    let all = report["violations"].as_array().unwrap().iter().filter(|v| v["rule"] == rule);
    let text = |v: &Value, key: &str| v[key].as_str().unwrap().to_owned();
    all.map(|v| (text(v, "file"), text(v, "severity"))).collect()
}

fn pair(file: &str, severity: &str) -> (String, String) {
    (file.to_owned(), severity.to_owned())
}

pub(super) fn git(dir: &Path, args: &[&str]) {
    let done = std::process::Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A repository with two merged migrations and a branch that is at work.
fn merged() -> tempfile::TempDir {
    let dir = folder(&[
        ("db/migrations/0001_a.up.sql", "create table t (id bigint primary key);\n"),
        ("db/migrations/0001_a.down.sql", "drop table t;\n"),
        ("db/migrations/0002_b.up.sql", "create table u (id bigint primary key);\n"),
        ("db/migrations/0002_b.down.sql", "drop table u;\n"),
        ("readme.md", "a project\n"),
    ]);
    git(dir.path(), &["init", "-q", "-b", "main"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "one"]);
    git(dir.path(), &["checkout", "-qb", "work"]);
    dir
}

#[test]
fn n05_s4_58_a_branch_that_touches_merged_migrations_is_an_error() {
    let dir = merged();
    let at = |path: &str| dir.path().join("db/migrations").join(path);
    let told = || {
        let (code, report) = json(dir.path(), &["--base", "main"]);
        (code, of(&report, "merged-file-changed"))
    };
    fs::write(at("0003_c.up.sql"), "create table v (id bigint primary key);\n").unwrap();
    fs::write(at("0003_c.down.sql"), "drop table v;\n").unwrap();
    fs::write(at("0001_a.down.sql"), "drop table if exists t;\n").unwrap();
    assert_eq!(told(), (Some(0), vec![]), "a new migration, and a way back that is mended");
    fs::write(at("0001_a.up.sql"), "create table t (id bigint primary key, a int);\n").unwrap();
    assert_eq!(told(), (Some(1), vec![pair("db/migrations/0001_a.up.sql", "error")]));
    // What a person has looked at may be let through, and stays in sight.
    let waived = "-- godwit: waive=merged-file-changed reason=\"applied nowhere yet\"\n\
                  create table t (id bigint primary key, a int);\n";
    fs::write(at("0001_a.up.sql"), waived).unwrap();
    assert_eq!(told(), (Some(0), vec![pair("db/migrations/0001_a.up.sql", "error")]));
    git(dir.path(), &["checkout", "-q", "--", "db/migrations/0001_a.up.sql"]);
    fs::remove_file(at("0002_b.up.sql")).unwrap();
    fs::remove_file(at("0002_b.down.sql")).unwrap();
    assert_eq!(told(), (Some(1), vec![pair("db/migrations/0002_b.up.sql", "error")]));
    // Without a base nothing says what was merged.
    assert_eq!(of(&json(dir.path(), &[]).1, "merged-file-changed"), []);
}

#[test]
fn f206_n05_s4_58_paths_hide_no_merged_migration_that_lies_in_them() {
    let dir = merged();
    let at = |path: &str| dir.path().join("db/migrations").join(path);
    let told = |paths: &[&str]| {
        let (code, report) = json(dir.path(), &[&["--base", "main"], paths].concat());
        (code, of(&report, "merged-file-changed"))
    };
    fs::write(at("0001_a.up.sql"), "create table t (id bigint primary key, a int);\n").unwrap();
    fs::remove_file(at("0002_b.up.sql")).unwrap();
    fs::remove_file(at("0002_b.down.sql")).unwrap();
    let (edited, deleted) =
        (pair("db/migrations/0001_a.up.sql", "error"), pair("db/migrations/0002_b.up.sql", "error"));
    let both = (Some(1), vec![edited.clone(), deleted]);
    for paths in [&[][..], &["db/migrations"], &["db"], &["."], &["d*/migrations"]] {
        assert_eq!(told(paths), both, "{paths:?}");
    }
    // A file that is named is compared with itself; what lies elsewhere is not meant.
    assert_eq!(told(&["db/migrations/0001_a.up.sql"]), (Some(1), vec![edited]));
    fs::create_dir(dir.path().join("other")).unwrap();
    assert_eq!(told(&["other"]), (Some(0), vec![]));
    git(dir.path(), &["checkout", "-q", "--", "db/migrations"]);
    fs::write(at("0001_a.down.sql"), "drop table if exists t;\n").unwrap();
    for paths in [&["db/migrations"][..], &["db/migrations/0001_a.down.sql"]] {
        assert_eq!(told(paths), (Some(0), vec![]), "a way back may be mended: {paths:?}");
    }
    fs::rename(at("0002_b.up.sql"), at("0009_b.up.sql")).unwrap();
    assert_eq!(told(&["db/migrations"]), (Some(1), vec![pair("db/migrations/0009_b.up.sql", "error")]));
    // The command of the action says the same.
    let (code, out, _) = run(dir.path(), &["ci", "--base", "main", "--", "db/migrations"]);
    assert!(code == Some(1) && out.contains("was merged as `db/migrations/0002_b.up.sql`"), "{out}");
}

#[test]
fn a_folder_that_no_entry_covers_is_told_where_a_branch_brings_migrations_to_it() {
    let dir = merged();
    fs::write(dir.path().join("godwit.yml"), "version: 1\nmigrations:\n  - path: db/migrations\n").unwrap();
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "two"]);
    git(dir.path(), &["branch", "-f", "main"]);
    fs::create_dir_all(dir.path().join("shop/migrations")).unwrap();
    fs::write(dir.path().join("shop/migrations/1_a.up.sql"), "create table v (id bigint primary key);\n").unwrap();
    fs::write(dir.path().join("shop/migrations/1_a.down.sql"), "drop table v;\n").unwrap();
    let told = |args: &[&str]| {
        let (code, report) = json(dir.path(), args);
        (code, of(&report, "uncovered-folder"))
    };
    assert_eq!(told(&["--base", "main"]), (Some(0), vec![pair("shop/migrations/1_a.up.sql", "info")]));
    assert_eq!(told(&[]), (Some(0), vec![]), "of a whole repository nobody says which folders are meant");
    git(dir.path(), &["add", "."]);
    assert_eq!(told(&["--staged"]).1.len(), 1);
    // Below a folder that is named, of a whole repository too, and once.
    fs::create_dir(dir.path().join("db/migrations/old")).unwrap();
    fs::write(dir.path().join("db/migrations/old/1_z.up.sql"), "create table z (id bigint primary key);\n").unwrap();
    assert_eq!(told(&[]), (Some(0), vec![pair("db/migrations/old/1_z.up.sql", "info")]));
    assert_eq!(told(&["--base", "main"]).1.len(), 2);
    fs::remove_dir_all(dir.path().join("db/migrations/old")).unwrap();
    fs::write(dir.path().join("godwit.yml"), "version: 1\nmigrations:\n  - path: '**/migrations'\n").unwrap();
    assert_eq!(told(&["--base", "main"]), (Some(0), vec![]));
}

#[test]
fn f219_f217_f210_what_a_file_says_of_itself_and_leaves_is_told() {
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "-- godwit: risk=LOW\ndrop table t;\n"),
        ("migrations/0001_a.down.sql", "create table t (id bigint);\n"),
        ("migrations/0002_b.up.sql", "\u{feff}create table b (id bigint primary key);\n"),
        ("migrations/0002_b.down.sql", "drop table b;\n"),
        (
            "migrations/0003_c.up.sql",
            "create table c (id bigint primary key);\r\ncreate table d (id bigint primary key);\r\n",
        ),
        ("migrations/0003_c.down.sql", "drop table c;\n"),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(of(&report, "risk-understated"), [pair("migrations/0001_a.up.sql", "warning")]);
    let odd = [pair("migrations/0002_b.up.sql", "info"), pair("migrations/0003_c.up.sql", "info")];
    assert_eq!(of(&report, "odd-bytes"), odd);
    assert_eq!(of(&report, "incomplete-down"), [pair("migrations/0003_c.down.sql", "warning")]);
}

#[test]
fn f208_f210_a_way_back_that_changes_nothing_is_none() {
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "create table t (id bigint primary key);\n"),
        ("migrations/0001_a.down.sql", "-- it may stay\nSELECT 1;\n"),
        ("migrations/0002_b.up.sql", "insert into t values (1);\n"),
        ("migrations/0002_b.down.sql", "select 1;\n"),
    ]);
    let (_, report) = json(dir.path(), &[]);
    assert_eq!(of(&report, "empty-down"), [pair("migrations/0001_a.down.sql", "warning")], "{report}");
    let reversible: Vec<bool> =
        report["migrations"].as_array().unwrap().iter().map(|m| m["reversible"].as_bool().unwrap()).collect();
    assert_eq!(reversible, [false, true], "{report}");
}

#[test]
fn f202_an_ending_in_capitals_is_told_as_what_it_is() {
    let sql = "create table t (id bigint primary key);\n";
    let dir = folder(&[
        ("migrations/0005_a.up.sql", sql),
        ("migrations/0005_a.down.sql", "drop table t;\n"),
        ("migrations/0006_x.up.SQL", sql),
        ("flyway/sql/V1__a.sql", sql),
        ("flyway/sql/V2__b.Sql", sql),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(1), "{report}");
    let told: Vec<(&str, &str)> = report["violations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|v| v["rule"] == "unsupported-file")
        .map(|v| (v["file"].as_str().unwrap(), v["message"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("flyway/sql/V2__b.Sql", "ends with `.Sql`, which is not read, so it would never run"),
            ("migrations/0006_x.up.SQL", "ends with `.SQL`, which is not read, so it would never run"),
        ]
    );
}

#[test]
fn f217_a_file_that_is_too_large_is_told_and_not_read() {
    let dir = folder(&[("migrations/0001_a.up.sql", "select 1;\n"), ("migrations/0001_a.down.sql", "select 1;\n")]);
    let large = fs::File::create(dir.path().join("migrations/0002_b.up.sql")).unwrap();
    large.set_len(65 * 1024 * 1024).unwrap();
    let (code, report) = json(dir.path(), &[]);
    assert_eq!((code, of(&report, "file-too-large").len()), (Some(1), 1), "{report}");
}

#[test]
fn n11_s1_22_s1_30_a_service_and_its_migrations_are_described() {
    let unit = "services/user-service/migrations";
    let dir = folder(&[
        (&format!("{unit}/0001_users.up.sql"), "create table user_service.users (id bigint primary key);\n"),
        (&format!("{unit}/0001_users.down.sql"), "drop table user_service.users;\n"),
        ("migrations/scripts/001_20240101_000000_a.sql", "create table a (id bigint primary key);\n"),
        ("migrations/rollbacks/001_20240101_000000_a_rollback.sql", "drop table a;\n"),
        ("readme.md", "names of files that are no scripts are known here\n"),
    ]);
    let (_, report) = json(dir.path(), &[]);
    let users = pair(&format!("{unit}/0001_users.up.sql"), "error");
    let script = pair("migrations/scripts/001_20240101_000000_a.sql", "error");
    assert_eq!(of(&report, "missing-docs"), [script, users.clone(), users], "{report}");
    fs::create_dir_all(dir.path().join(unit).join("docs")).unwrap();
    fs::write(dir.path().join(unit).join("README.md"), "# users\n").unwrap();
    fs::write(dir.path().join(unit).join("docs/0001_users.md"), "# why\n").unwrap();
    let script = "-- Migration: Add a\ncreate table a (id bigint primary key);\n";
    fs::write(dir.path().join("migrations/scripts/001_20240101_000000_a.sql"), script).unwrap();
    let (code, report) = json(dir.path(), &[]);
    assert_eq!((code, of(&report, "missing-docs")), (Some(0), vec![]), "{report}");
}

#[test]
fn n16_c01_c02_what_stands_beside_prismas_migrations_is_looked_at() {
    let users = "CREATE TABLE \"users\" (\"id\" TEXT NOT NULL, CONSTRAINT \"users_pkey\" PRIMARY KEY (\"id\"));\n";
    let deploy = "name: Deploy\non: push\njobs:\n  run:\n    runs-on: ubuntu-latest\n    steps:\n      - run: npx prisma migrate reset --force\n";
    let dir = folder(&[
        ("prisma/schema.prisma", "model User {\n  id String @id\n  email String\n  @@map(\"users\")\n}\n"),
        ("prisma/migrations/20240101000000_users/migration.sql", users),
        (".github/workflows/deploy.yml", deploy),
        ("package.json", "{\"scripts\": {\"start\": \"prisma migrate deploy && node .\"}}\n"),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(of(&report, "models-disagree"), [pair("prisma/schema.prisma", "error")]);
    assert_eq!(of(&report, "prisma-dev-command"), [pair(".github/workflows/deploy.yml", "error")]);
    assert_eq!(of(&report, "prisma-deploy-direct"), [pair("package.json", "warning")]);
    // In a playground the two may differ for a while; a database is emptied nowhere.
    let (_, relaxed) = json(dir.path(), &["--profile", "relaxed"]);
    assert_eq!(of(&relaxed, "models-disagree"), [pair("prisma/schema.prisma", "warning")]);
    assert_eq!(of(&relaxed, "prisma-dev-command"), [pair(".github/workflows/deploy.yml", "error")]);
    // Where nothing is Prisma's, nothing of it is looked for.
    fs::remove_dir_all(dir.path().join("prisma")).unwrap();
    fs::create_dir_all(dir.path().join("migrations")).unwrap();
    fs::write(dir.path().join("migrations/0001_a.up.sql"), "select 1;\n").unwrap();
    let (_, report) = json(dir.path(), &[]);
    assert_eq!(of(&report, "prisma-dev-command"), []);
}

#[test]
fn n12_expand_and_contract_do_not_come_together() {
    let dir = merged();
    let at = |path: &str| dir.path().join("db/migrations").join(path);
    fs::write(at("0003_c.up.sql"), "-- godwit: phase=expand\nalter table t add column b int;\n").unwrap();
    fs::write(at("0003_c.down.sql"), "alter table t drop column b;\n").unwrap();
    fs::write(at("0004_d.up.sql"), "-- godwit: phase=contract\nalter table u drop column id;\n").unwrap();
    fs::write(at("0004_d.down.sql"), "alter table u add column id bigint;\n").unwrap();
    let (_, report) = json(dir.path(), &["--base", "main"]);
    assert_eq!(of(&report, "contract-with-expand"), [pair("db/migrations/0004_d.up.sql", "warning")], "{report}");
}

#[test]
fn q03_q10_matters_of_taste_can_be_asked_for() {
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "create table t (id serial primary key, a char(3), b timestamp, c varchar(9));\n"),
        ("migrations/0001_a.down.sql", "drop table t;\n"),
        ("migrations/0002_b.up.sql", "create index concurrently t_a on t (a);\n"),
        ("migrations/0002_b.down.sql", "drop index concurrently t_a;\n"),
        ("policies/lint.yml", "rules: { prefer-robust-stmts: warning }\n"),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(0), "{report}");
    for rule in ["prefer-robust-stmts", "prefer-identity", "ban-char-field", "prefer-timestamp-tz", "prefer-text-field"]
    {
        assert!(!of(&report, rule).is_empty(), "{rule}: {report}");
    }
}

/// What a branch makes wrong with files that it does not touch stops every run as soon as it is merged.
#[test]
fn f203_what_a_branch_makes_wrong_with_merged_files_is_told() {
    let write = |dir: &Path, path: &str, text: &str| {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), text).unwrap();
    };
    let errors = |dir: &Path, args: &[&str]| {
        let (code, report) = json(dir, args);
        let all = report["violations"].as_array().unwrap().clone();
        let of = |v: &Value| format!("{} {}", v["file"].as_str().unwrap(), v["rule"].as_str().unwrap());
        (code, all.iter().filter(|v| v["severity"] == "error").map(of).collect::<Vec<_>>())
    };
    // A number that a merged one has, whichever of the two comes first by its name.
    for name in ["0002_a", "0002_z"] {
        let dir = merged();
        write(dir.path(), &format!("db/migrations/{name}.up.sql"), "create table v (id bigint primary key);\n");
        write(dir.path(), &format!("db/migrations/{name}.down.sql"), "drop table v;\n");
        let told = ["down", "up"].map(|way| format!("db/migrations/{name}.{way}.sql duplicate-version"));
        for paths in [&["--base", "main"][..], &["db/migrations", "--base", "main"]] {
            let (code, found) = errors(dir.path(), paths);
            assert_eq!((code, found), (Some(1), told.to_vec()), "{name} {paths:?}");
        }
    }
    // A circle that it closes; the same one, merged, is another's.
    let dir = merged();
    let needs =
        |id: &str, on: &str| format!("-- godwit: depends_on={on}\ncreate table {id} (id bigint primary key);\n");
    for (path, text) in [("one/0001_x", needs("x", "two/0001_y")), ("two/0001_y", needs("y", "one/0001_x"))] {
        write(dir.path(), &format!("{path}.up.sql"), &text);
        write(dir.path(), &format!("{path}.down.sql"), "select 1;\n");
        if path.starts_with("one") {
            git(dir.path(), &["add", "."]);
            git(dir.path(), &["commit", "-qm", "x"]);
            git(dir.path(), &["branch", "-f", "main"]);
        }
    }
    let (code, found) = errors(dir.path(), &["--base", "main"]);
    assert!(code == Some(1) && found.iter().any(|f| f.ends_with("dependency-cycle")), "{found:?}");
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "y"]);
    git(dir.path(), &["branch", "-f", "main"]);
    write(dir.path(), "db/migrations/0003_c.up.sql", "create table w (id bigint primary key);\n");
    write(dir.path(), "db/migrations/0003_c.down.sql", "drop table w;\n");
    assert_eq!(errors(dir.path(), &["--base", "main"]), (Some(0), vec![]));
}

/// Deletes files in the folder and in git's index.
fn delete(dir: &Path, paths: &[&str]) {
    git(dir, &[&["rm", "-q", "--"], paths].concat());
}

#[test]
fn s4_58_what_a_branch_deletes_of_merged_migrations_is_told_with_its_risk() {
    let dir = merged();
    delete(dir.path(), &["db/migrations/0002_b.up.sql", "db/migrations/0002_b.down.sql"]);
    let (code, report) = json(dir.path(), &["--base", "main"]);
    assert_eq!((code, &report["risk"]), (Some(1), &Value::from("HIGH")), "{report}");
    // The whole folder, also where it is the one that is named.
    delete(dir.path(), &["db/migrations/0001_a.up.sql", "db/migrations/0001_a.down.sql"]);
    let output = dir.path().join("output");
    for paths in [&["db/migrations"][..], &[]] {
        let args = [&["ci", "--base", "main", "--format", "github", "--"], paths].concat();
        let done = super::godwit(dir.path(), &args).env("GITHUB_OUTPUT", &output).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let err = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{text}{err}");
        assert_eq!(text.matches("title=merged-file-changed").count(), 2, "{text}{err}");
        let values = fs::read_to_string(&output).unwrap();
        assert!(values.contains("risk<<godwit-") && values.contains("\nHIGH\n"), "{values}");
        fs::remove_file(&output).unwrap();
    }
    let (code, _, err) = run(dir.path(), &["ci", "--base", "main", "--", "db/nosuch"]);
    assert!(code == Some(2) && err.contains("cannot look at"), "{err}");
}

#[test]
fn s1_74_a_way_back_that_is_deleted_is_told_before_and_after_the_commit() {
    let dir = merged();
    let told = |args: &[&str]| of(&json(dir.path(), args).1, "missing-down");
    assert_eq!(told(&["--base", "main"]), []);
    delete(dir.path(), &["db/migrations/0001_a.down.sql"]);
    let expected = [pair("db/migrations/0001_a.up.sql", "warning")];
    assert_eq!(told(&["--base", "main"]), expected);
    assert_eq!(told(&["--base", "main", "db/migrations"]), expected);
    assert_eq!(told(&["--staged"]), expected);
    git(dir.path(), &["commit", "-qm", "less"]);
    assert_eq!(told(&["--staged"]), []);
    assert_eq!(told(&["--base", "main"]), expected);
}

#[test]
fn s1_75_s1_76_what_a_service_said_of_its_migrations_is_not_deleted_in_silence() {
    let at = |name: &str| format!("services/a/migrations/{name}");
    let json_text = r#"{ "migrations": { "0001_a": { "depends_on": [] }, "0002_b": { "depends_on": ["0001_a"] } } }"#;
    let files = [
        ("0001_a.up.sql", "create table a.t (id bigint primary key);\n"),
        ("0001_a.down.sql", "drop table a.t;\n"),
        ("0002_b.up.sql", "create table a.u (id bigint primary key);\n"),
        ("0002_b.down.sql", "drop table a.u;\n"),
        ("dependencies.json", json_text),
        ("README.md", "# a\n"),
        ("docs/0001_a.md", "# a\n"),
        ("docs/0002_b.md", "# b\n"),
    ]
    .map(|(name, text)| (at(name), text));
    let dir = folder(&files.each_ref().map(|(path, text)| (path.as_str(), *text)));
    git(dir.path(), &["init", "-q", "-b", "main"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "one"]);
    git(dir.path(), &["checkout", "-qb", "work"]);
    for (gone, file, rule) in [
        ("docs/0001_a.md", "0001_a.up.sql", "missing-docs"),
        ("README.md", "0001_a.up.sql", "missing-docs"),
        ("dependencies.json", "0002_b.up.sql", "undeclared-dependency"),
    ] {
        delete(dir.path(), &[&at(gone)]);
        for args in [&["--base", "main"][..], &["--staged"]] {
            let (code, report) = json(dir.path(), args);
            assert_eq!((code, of(&report, rule)), (Some(1), vec![pair(&at(file), "error")]), "{gone} {args:?}");
        }
        git(dir.path(), &["reset", "-q", "--hard"]);
    }
}

#[test]
fn s1_78_what_is_staged_is_linted_and_not_what_lies_in_the_folder() {
    let dir = merged();
    let at = |path: &str| dir.path().join("db/migrations").join(path);
    let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
    let told = |paths: &[&str]| {
        let (code, report) = json(dir.path(), &[&["--staged"], paths].concat());
        (code, report["violations"].as_array().unwrap().iter().map(|v| v["rule"].clone()).collect::<Vec<_>>())
    };
    write("0003_c.up.sql", "SELEC 1;\n");
    write("0003_c.down.sql", "select 1;\n");
    git(dir.path(), &["add", "."]);
    for paths in [&[][..], &["db/migrations"], &["db/migrations/0003_c.up.sql"]] {
        fs::remove_file(at("0003_c.up.sql")).unwrap();
        let (code, rules) = told(paths);
        assert!(code == Some(1) && rules.iter().any(|r| r == "syntax-error"), "{rules:?}");
        write("0003_c.up.sql", "select 1;\n");
        let (code, rules) = told(paths);
        assert!(code == Some(1) && rules.iter().any(|r| r == "syntax-error"), "{rules:?}");
    }
    // What is broken since is not what is recorded; and what is not staged is not there.
    git(dir.path(), &["add", "."]);
    write("0003_c.up.sql", "SELEC 1;\n");
    assert_eq!(told(&[]).0, Some(0));
    assert_eq!(told(&["db/migrations/0003_c.up.sql"]).0, Some(0));
    git(dir.path(), &["rm", "-q", "--cached", "db/migrations/0003_c.down.sql"]);
    assert!(told(&[]).1.iter().any(|r| r == "missing-down"));
    assert!(told(&["db/migrations/0003_c.up.sql"]).1.iter().any(|r| r == "missing-down"));
    // What is not staged is nothing of the commit, named or not.
    write("0004_d.up.sql", "SELEC 1;\n");
    assert_eq!(told(&["db/migrations/0004_d.up.sql"]), (Some(0), vec![]));
}

#[test]
fn s1_78_a_document_is_linted_as_it_is_staged() {
    let dir = merged();
    let at = dir.path().join("mongodb/001_a.json");
    let file = |operation: &str| {
        format!(
            r#"{{"version":"1.0.0","name":"a","description":"Orders","database_type":"mongodb","migration_type":"schema","operations":[{operation}]}}"#
        )
    };
    let sound = file(r#"{"type":"create_collection","collection":"c"}"#);
    let told = |paths: &[&str]| json(dir.path(), &[&["--staged"], paths].concat()).0;
    fs::create_dir_all(dir.path().join("mongodb")).unwrap();
    fs::write(&at, file(r#"{"type":"fly"}"#)).unwrap();
    git(dir.path(), &["add", "."]);
    fs::write(&at, &sound).unwrap();
    assert_eq!(told(&["mongodb/001_a.json"]), Some(1));
    fs::remove_dir_all(dir.path().join("mongodb")).unwrap();
    assert_eq!((told(&["mongodb/001_a.json"]), told(&["mongodb"])), (Some(1), Some(1)), "in git's index alone");
    fs::create_dir_all(dir.path().join("mongodb")).unwrap();
    fs::write(&at, &sound).unwrap();
    git(dir.path(), &["add", "."]);
    fs::write(&at, file(r#"{"type":"fly"}"#)).unwrap();
    assert_eq!(told(&["mongodb/001_a.json"]), Some(0));
}

#[test]
fn s1_78_configuration_and_policy_are_those_that_are_staged() {
    let dir = merged();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let code = |more: &[&str]| run(dir.path(), &[&["lint", "--staged"], more].concat()).0;
    write("db/migrations/0003_c.up.sql", "drop table t;\n");
    write("db/migrations/0003_c.down.sql", "create table t (id bigint primary key);\n");
    write("policies/lint.yml", "rules: { ban-drop-table: error }\n");
    git(dir.path(), &["add", "."]);
    // Loosened since, which the commit does not have.
    write("policies/lint.yml", "rules: { ban-drop-table: off }\n");
    for paths in [&[][..], &["db/migrations"], &["db/migrations/0003_c.up.sql"]] {
        assert_eq!(code(paths), Some(1), "{paths:?}");
    }
    fs::remove_file(dir.path().join("policies/lint.yml")).unwrap();
    assert_eq!(code(&[]), Some(1));
    // Loosened in the commit, tightened since.
    write("policies/lint.yml", "rules: { ban-drop-table: off }\n");
    git(dir.path(), &["add", "."]);
    write("policies/lint.yml", "rules: { ban-drop-table: error }\n");
    assert_eq!(code(&[]), Some(0));
    // The configuration: broken since, then broken in the commit.
    write("policies/lint.yml", "rules: { ban-drop-table: off }\n");
    write("godwit.yml", "version: 1\nmigrations: [{ path: db/migrations }]\n");
    git(dir.path(), &["add", "."]);
    write("godwit.yml", "version: two\n");
    assert_eq!(code(&[]), Some(0));
    git(dir.path(), &["add", "."]);
    fs::remove_file(dir.path().join("godwit.yml")).unwrap();
    assert_eq!(code(&[]), Some(2));
    // One that git does not know is not there; one that is named is meant.
    git(dir.path(), &["rm", "-q", "--cached", "godwit.yml"]);
    write("godwit.yml", "version: two\n");
    assert_eq!(code(&[]), Some(0));
    assert_eq!(code(&["--config", "godwit.yml"]), Some(2));
    // An environment's own level is that of the commit as well.
    write("policies/environments.yml", "development: { validation: strict }\n");
    git(dir.path(), &["add", "policies"]);
    write("policies/environments.yml", "development: { validatoin: x }\n");
    assert_ne!(code(&["--env", "development"]), Some(2));
}

#[test]
fn numbered_scripts_beside_another_layout_are_not_passed_over() {
    let dir = folder(&[
        ("web/prisma/migrations/20240101000000_a/migration.sql", "create table a (id bigint primary key);\n"),
        ("db/0001_a.sql", "create table t (id bigint primary key);\n"),
        ("db/0002_b.sql", "create table u (id bigint primary key);\n"),
        ("reports/2024_sales.sql", "select 1;\n"),
    ]);
    assert_eq!(of(&json(dir.path(), &[]).1, "uncovered-folder"), [pair("db/0001_a.sql", "info")]);
    git(dir.path(), &["init", "-q", "-b", "main"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "one"]);
    git(dir.path(), &["checkout", "-qb", "work"]);
    fs::write(dir.path().join("db/0003_c.sql"), "drop table t;\n").unwrap();
    assert_eq!(of(&json(dir.path(), &["--base", "main"]).1, "uncovered-folder"), [pair("db/0003_c.sql", "info")]);
    let (code, _, err) = run(dir.path(), &["init"]);
    assert!(code == Some(0) && err.contains("`db` reads as a folder of migrations"), "{err}");
}

#[test]
fn s1_27_init_writes_no_folder_that_reads_like_an_environment() {
    let dir = folder(&[
        ("services/u/migrations/0001_a.up.sql", "create table u.t (id bigint primary key);\n"),
        ("services/u/migrations/0001_a.down.sql", "drop table u.t;\n"),
        ("services/u/migrations/prod/0002_x.up.sql", "insert into u.t values (1);\n"),
    ]);
    let (code, _, err) = run(dir.path(), &["init"]);
    assert!(code == Some(0) && err.contains("`prod`, which reads like an environment"), "{err}");
    assert!(!fs::read_to_string(dir.path().join("godwit.yml")).unwrap().contains("migrations/prod"));
    let (code, report) = json(dir.path(), &[]);
    let told = of(&report, "file-name");
    assert_eq!((code, told), (Some(1), vec![pair("services/u/migrations/prod/0002_x.up.sql", "error")]));
}

#[test]
fn a_folder_below_the_one_that_is_run_is_noted() {
    let dir = folder(&[
        ("m/0001_x.up.sql", "create table t (id integer primary key);\n"),
        ("m/0001_x.down.sql", "drop table t;\n"),
        ("m/sub/0002_b.up.sql", "create table u (id integer primary key);\n"),
        ("m/notes/read.me", "a\n"),
    ]);
    let url = format!("sqlite:{}", dir.path().join("x.db").display());
    for command in ["plan", "status", "apply"] {
        let (code, _, err) = run(dir.path(), &[command, "--url", &url, "--path", "m"]);
        assert!(err.contains("`m/sub` holds migrations too"), "{command} {code:?}: {err}");
        assert!(!err.contains("m/notes"), "{err}");
    }
}

#[test]
fn s2_24_a_migration_that_is_a_folder_is_linted_by_its_path_wherever_it_stands() {
    let first = "create table a (id bigint primary key);\n";
    for around in ["", "prisma/migrations/"] {
        let at = |folder: &str| format!("{around}{folder}/migration.sql");
        // One of them is called as a script is.
        let (one, two) = (at("20240101000000_a"), at("20240102000000_add_b.sql"));
        let dir = folder(&[(&one, first), (&two, "alter table a add column b int not null;\n")]);
        let (code, whole) = json(dir.path(), &[]);
        assert_eq!((code, of(&whole, "adding-required-field").len()), (Some(0), 1), "{around}: {whole}");
        assert_eq!(of(&whole, "symlink"), []);
        for path in [two.as_str(), two.trim_end_matches("/migration.sql"), two.trim_end_matches("migration.sql")] {
            let (_, report) = json(dir.path(), &[path]);
            assert_eq!(of(&report, "adding-required-field"), [pair(&two, "warning")], "{path}: {report}");
            assert_eq!(report["migrations"].as_array().unwrap().len(), 1, "{path}: {report}");
        }
        if !around.is_empty() {
            assert_eq!(of(&json(dir.path(), &[around]).1, "symlink"), []);
        }
    }
}
