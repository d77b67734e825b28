//! `godwit lint --fix`, profiles and the policy's waivers, through the binary.

use std::fs;

use super::files::git;
use super::{folder, found, json, run};

const POLICY: &str =
    "development: { branch: develop, validation: relaxed, targets: {} }\nproduction: { targets: {} }\n";

#[test]
fn mechanical_rewrites_are_written_and_the_rest_is_told() {
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "\u{feff}create index i on t (a);\r\n"),
        ("migrations/0001_a.down.sql", "drop index i;\n"),
        ("migrations/0002_b.up.sql", "-- ä\nalter table t add column d timestamp; alter table t drop column c;\n"),
        ("migrations/0002_b.down.sql", "alter table t drop column d;\n"),
        ("migrations/0003_c.up.sql", "insert into t values (1);\ncreate index j on t (a);\n"),
        ("migrations/0003_c.down.sql", "drop index j;\n"),
    ]);
    let read = |path: &str| fs::read_to_string(dir.path().join("migrations").join(path)).unwrap();
    let (_, report) = json(dir.path(), &["migrations"]);
    let first = report["violations"].as_array().unwrap().iter().find(|v| v["fix"].is_object()).unwrap();
    assert_eq!(first["fix"]["edits"][0]["line"], 1, "{first}");

    let (code, out, err) = run(dir.path(), &["lint", "--fix", "migrations"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(read("0001_a.up.sql"), "\u{feff}create index concurrently i on t (a);\r\n");
    assert!(read("0002_b.up.sql").starts_with("-- ä\nalter table t add column d timestamptz; alter table t drop"));
    assert_eq!(read("0003_c.up.sql"), "insert into t values (1);\ncreate index j on t (a);\n", "it would not run");
    assert_eq!(read("0001_a.down.sql"), "drop index i;\n");
    assert!(err.contains("fixed migrations/0001_a.up.sql:1:"), "{err}");
    assert!(out.contains("ban-drop-column") && !out.contains("prefer-timestamp-tz"), "{out}");

    let (_, _, err) = run(dir.path(), &["lint", "--fix", "migrations"]);
    assert!(!err.contains("fixed"), "the second time nothing is left: {err}");
}

#[test]
fn what_may_be_applied_is_not_rewritten_unasked() {
    let dir = folder(&[("migrations/0001_a.up.sql", "create index i on t (a);\n")]);
    let (code, _, err) = run(dir.path(), &["lint", "--fix"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("--base"), "{err}");
    assert_eq!(run(dir.path(), &["lint", "--fix", "--staged"]).0, Some(2));
}

#[test]
fn what_is_committed_is_rewritten_only_with_a_base_or_by_its_name() {
    let (slow, fast) = (
        |name| format!("create index {name} on t (a);\n"),
        |name| format!("create index concurrently {name} on t (a);\n"),
    );
    let dir = folder(&[
        ("migrations/0001_a.up.sql", &slow("i")),
        ("migrations/0001_a.down.sql", "drop index i;\n"),
        ("migrations/0002_b.up.sql", &slow("j")),
        ("migrations/0002_b.down.sql", "drop index j;\n"),
    ]);
    git(dir.path(), &["init", "-q", "-b", "main"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "one"]);
    git(dir.path(), &["checkout", "-qb", "work"]);
    fs::write(dir.path().join("migrations/0003_c.up.sql"), slow("k")).unwrap();
    fs::write(dir.path().join("migrations/0003_c.down.sql"), "drop index k;\n").unwrap();
    let read = || {
        ["0001_a", "0002_b", "0003_c"]
            .map(|m| fs::read_to_string(dir.path().join(format!("migrations/{m}.up.sql"))).unwrap())
    };

    let (_, _, err) = run(dir.path(), &["lint", "--fix", "migrations"]);
    assert_eq!(read(), [slow("i"), slow("j"), fast("k")], "{err}");
    assert!(err.contains("2 rewrites are not written") && err.contains("--base origin/main"), "{err}");
    let (_, _, err) = run(dir.path(), &["lint", "--fix", "migrations/0001_a.up.sql", "migrations/0002_b.up.sql"]);
    assert_eq!(read(), [slow("i"), slow("j"), fast("k")], "a shell may have filled in the names: {err}");
    let (_, _, err) = run(dir.path(), &["lint", "--fix", "migrations/0001_a.up.sql"]);
    assert_eq!(read(), [fast("i"), slow("j"), fast("k")], "{err}");
    assert!(!err.contains("not written"), "{err}");
    // Against a base only what the branch brings is rewritten, committed or not.
    git(dir.path(), &["checkout", "-q", "--", "migrations/0001_a.up.sql"]);
    fs::write(dir.path().join("migrations/0003_c.up.sql"), slow("k")).unwrap();
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "two"]);
    let (_, _, err) = run(dir.path(), &["lint", "--fix", "--base", "main"]);
    assert_eq!(read(), [slow("i"), slow("j"), fast("k")], "{err}");
}

#[test]
fn s1_24_s1_54_no_branch_loosens_for_itself_how_severe_its_findings_are() {
    const ASKS: &str = "services/shop/migrations/environments.json";
    let dir = folder(&[
        ("services/shop/migrations/0001_t.up.sql", "create table shop.t (id bigint primary key);\n"),
        ("services/shop/migrations/0001_t.down.sql", "drop table shop.t;\n"),
        (ASKS, "{ \"development\": { \"validation\": \"strict\" } }"),
        ("policies/environments.yml", POLICY),
    ]);
    git(dir.path(), &["init", "-q", "-b", "main"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "one"]);
    git(dir.path(), &["checkout", "-qb", "work"]);
    fs::write(dir.path().join("services/shop/migrations/0002_u.up.sql"), "drop table shop.u cascade;\n").unwrap();
    fs::write(dir.path().join("services/shop/migrations/0002_u.down.sql"), "create table shop.u (id bigint);\n")
        .unwrap();
    let level = |base: &str| {
        let (_, report) = json(dir.path(), &["--env", "development", "--base", base]);
        let all = report["violations"].as_array().unwrap();
        all.iter().find(|v| v["rule"] == "drop-cascade").unwrap()["severity"].as_str().unwrap().to_owned()
    };
    assert_eq!(level("main"), "error");
    for loosened in [Some("{ \"development\": { \"validation\": \"relaxed\" } }"), None] {
        match loosened {
            Some(text) => fs::write(dir.path().join(ASKS), text).unwrap(),
            None => fs::remove_file(dir.path().join(ASKS)).unwrap(),
        }
        assert_eq!(level("main"), "error", "{loosened:?}");
    }
    // What it asks for itself holds at once, and what nobody asks for any more does not.
    let again = |text: &str| {
        git(dir.path(), &["add", "."]);
        git(dir.path(), &["commit", "-qm", "more"]);
        fs::write(dir.path().join("services/shop/migrations/0002_u.up.sql"), text).unwrap();
    };
    again("drop table shop.u cascade; \n");
    assert_eq!(level("work"), "warning");
    fs::write(dir.path().join(ASKS), "{ \"development\": { \"validation\": \"strict\" } }").unwrap();
    assert_eq!(level("work"), "error");
    // Nor does a branch loosen the environment itself.
    fs::remove_file(dir.path().join(ASKS)).unwrap();
    fs::write(dir.path().join("policies/environments.yml"), POLICY.replace("validation: relaxed, ", "")).unwrap();
    again("drop table shop.u cascade;\n");
    fs::write(dir.path().join("policies/environments.yml"), POLICY).unwrap();
    assert_eq!(level("work"), "error");
}

#[test]
fn s1_50_s1_54_an_environment_chooses_its_profile() {
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "drop table t cascade;\n"),
        ("migrations/0001_a.down.sql", "create table t (id bigint);\n"),
        ("policies/environments.yml", POLICY),
    ]);
    let level = |args: &[&str]| {
        let (code, report) = json(dir.path(), args);
        let all = report["violations"].as_array().unwrap();
        let of = all.iter().find(|v| v["rule"] == "drop-cascade").unwrap()["severity"].as_str().unwrap().to_owned();
        (code, of, report["risk"].as_str().unwrap().to_owned())
    };
    let strict = (Some(1), "error".to_owned(), "HIGH".to_owned());
    let relaxed = (Some(0), "warning".to_owned(), "HIGH".to_owned());
    assert_eq!(level(&[]), strict);
    assert_eq!(level(&["--env", "production"]), strict);
    assert_eq!(level(&["--env", "development"]), relaxed, "less severe, but of the same risk");
    assert_eq!(level(&["--profile", "relaxed"]), relaxed);
    // What the policy says stands in every profile.
    fs::write(dir.path().join("policies/lint.yml"), "rules: { drop-cascade: error }\n").unwrap();
    assert_eq!(level(&["--profile", "relaxed"]), strict);
    let (code, _, err) = run(dir.path(), &["lint", "--env", "staging"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("`development`, `production`") || err.contains("development"), "{err}");
    assert_eq!(run(dir.path(), &["lint", "--env", "production", "--profile", "strict"]).0, Some(2));
}

#[test]
fn a_waiver_of_the_policy_that_is_over_is_told_where_it_stands() {
    let waivers = "waivers:\n  - rule: ban-drop-table\n    reason: nobody reads it\n    expires: 2026-01-31\n  \
                   - rule: ban-drop-column\n    reason: gone\n    expires: 2999-01-31\n";
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "drop table t;\n"),
        ("migrations/0001_a.down.sql", "create table t (id bigint);\n"),
        ("policies/lint.yml", waivers),
    ]);
    let (_, report) = json(dir.path(), &[]);
    let rules = found(&report);
    assert!(rules.contains(&("expired-waiver".to_owned(), 2)), "{rules:?}");
    assert_eq!(rules.iter().filter(|(rule, _)| rule == "expired-waiver").count(), 1);
    let over = report["violations"].as_array().unwrap().iter().find(|v| v["rule"] == "expired-waiver").unwrap();
    assert_eq!(over["file"], "policies/lint.yml");
    assert!(over["message"].as_str().unwrap().contains("held until 2026-01-31"));
}
