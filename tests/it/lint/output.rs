//! Forms of output and exit codes.

use super::{folder, found, json, run};

const DANGEROUS: &str = "-- godwit: waive=several-tables-locked reason=\"small\"\n\
    ALTER TABLE orders ADD COLUMN note text;\nCREATE INDEX orders_note ON orders (note);\nUPDATE orders SET state = '';\n";

#[test]
fn json_has_the_fields_other_programs_rely_on() {
    let dir = folder(&[
        ("migrations/postgresql/0004_orders.up.sql", DANGEROUS),
        ("migrations/postgresql/0004_orders.down.sql", "ALTER TABLE orders DROP COLUMN note;\n"),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(1));
    assert_eq!(report["files"], 2);
    let index = report["violations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|v| v["rule"] == "require-concurrent-index-creation")
        .unwrap();
    for (key, value) in [
        ("file", "migrations/postgresql/0004_orders.up.sql"),
        ("category", "lock"),
        ("severity", "warning"),
        ("risk", "HIGH"),
        ("url", "docs/rules/require-concurrent-index-creation.md"),
    ] {
        assert_eq!(index[key], value, "{key}");
    }
    assert_eq!((index["line"].as_u64(), index["column"].as_u64()), (Some(3), Some(1)));
    assert!(index["end_line"].is_u64() && index["end_column"].is_u64());
    assert!(index["message"].is_string() && index["help"].is_string());
    let migration = &report["migrations"][0];
    for (key, value) in [("id", "0004_orders"), ("version", "0004"), ("name", "orders"), ("engine", "postgresql")] {
        assert_eq!(migration[key], value, "{key}");
    }
    assert!(migration["target"].is_null() && migration["service"].is_null());
    assert_eq!(migration["risk"], "HIGH");
    assert!(!migration["reasons"].as_array().unwrap().is_empty());
    assert_eq!((migration["reversible"].as_bool(), migration["transactional"].as_bool()), (Some(true), Some(true)));
    assert!(migration["depends_on"].as_array().unwrap().is_empty());
    for checksum in [&migration["checksum"], &report["digest"]] {
        assert!(checksum.as_str().is_some_and(|c| c.starts_with("sha256:") && c.len() == 71), "{checksum}");
    }
    assert_eq!(report["risk"], "HIGH");
}

#[test]
fn exit_codes_follow_the_worst_finding_and_fail_on() {
    let error = ("0001_a.sql", "update t set a = 1;");
    let warning = ("0001_a.sql", "drop table t;");
    let clean = ("0001_a.sql", "create table t (id bigint primary key);");
    for (file, fail_on, expected) in [
        (error, "error", 1),
        (error, "warning", 1),
        (error, "never", 0),
        (warning, "error", 0),
        (warning, "warning", 1),
        (clean, "warning", 0),
    ] {
        let dir = folder(&[file]);
        let (code, ..) = run(dir.path(), &["lint", "--fail-on", fail_on, "0001_a.sql"]);
        assert_eq!(code, Some(expected), "{file:?} {fail_on}");
    }
}

#[test]
fn sarif_is_what_code_scanning_takes() {
    let dir = folder(&[("db/migrations/0001 ä#.up.sql", ""), ("db/migrations/0002_a.up.sql", DANGEROUS)]);
    let (_, out, err) = run(dir.path(), &["--format", "sarif", "lint"]);
    let log: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {err}"));
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let run = &log["runs"][0];
    assert_eq!(run["automationDetails"]["id"], "godwit/lint/");
    for rule in run["tool"]["driver"]["rules"].as_array().unwrap() {
        assert!(rule["shortDescription"]["text"].as_str().is_some_and(|t| !t.is_empty()), "{rule}");
        assert!(rule["help"]["text"].as_str().is_some_and(|t| !t.is_empty()), "{rule}");
        assert!(rule["properties"]["tags"].as_array().unwrap().len() <= 10);
    }
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.starts_with('/') && !uri.contains([' ', '#', 'ä']), "{uri}");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(place["region"]["startColumn"].as_u64().unwrap() >= 1);
        assert!(result["partialFingerprints"]["primaryLocationLineHash"].is_string());
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
    }
}

#[test]
fn a_waiver_is_shown_and_keeps_the_risk() {
    let dir = folder(&[(
        "0001_a.sql",
        "-- godwit: waive=update-without-where reason=\"twelve rows\" expires=2999-01-01\nupdate t set a = 1;\n",
    )]);
    let (code, report) = json(dir.path(), &["0001_a.sql"]);
    assert_eq!(code, Some(0));
    assert_eq!(report["violations"][0]["waived"], "twelve rows");
    assert_eq!(report["risk"], "HIGH");
}

#[test]
fn waivers_that_do_nothing_are_said() {
    for (mark, rule, code) in [
        ("waive=update-without-where reason=\"x\" expires=2001-01-01", "expired-waiver", 1),
        ("waive=no-such-rule reason=\"x\"", "unknown-waiver", 1),
        ("waive=update-without-where", "invalid-directive", 1),
    ] {
        let dir = folder(&[("0001_a.sql", &format!("-- godwit: {mark}\nupdate t set a = 1;\n"))]);
        let (exit, report) = json(dir.path(), &["0001_a.sql"]);
        assert_eq!(exit, Some(code), "{mark}");
        assert!(found(&report).contains(&(rule.to_owned(), 1)), "{mark}: {report}");
    }
}

/// DECISIONS 23: a waiver has a reason and a last day.
#[test]
fn dec23_a_waiver_without_a_last_day_holds_and_is_told_with_what_to_write() {
    let json_half = |waive: &str| {
        format!(
            "{{\n\"version\": \"1.0.0\", \"name\": \"a\", \"description\": \"Orders go\",\n{waive},\n\"database_type\": \"postgresql\", \
             \"migration_type\": \"schema\"\n}}"
        )
    };
    let waive = r#""waive": "ban-drop-table", "reason": "empty""#;
    let (forever, until) = (json_half(waive), json_half(&format!("{waive}, \"expires\": \"2999-01-01\"")));
    let several = json_half(r#""waive": [{ "rule": "ban-drop-table", "reason": "empty" }]"#);
    let sql = "-- godwit: waive=update-without-where reason=\"twelve rows\"\nupdate t set a = 1;\n";
    let script = ("migrations/0001_a.sql", sql);
    let path = "migrations/postgresql/001_a";
    let pair = |half: &str| {
        folder(&[
            (&format!("{path}.json"), half),
            (&format!("{path}.sql"), "drop table orders;\n"),
            (&format!("{path}_rollback.sql"), "create table orders (id bigint primary key);\n"),
        ])
    };
    for (dir, waived, expected) in [
        (folder(&[script]), "update-without-where", Some((script.0.to_owned(), 1, "`expires=20"))),
        (pair(&forever), "ban-drop-table", Some((format!("{path}.json"), 3, "`\"expires\": \"20"))),
        (pair(&several), "ban-drop-table", Some((format!("{path}.json"), 3, "`\"expires\": \"20"))),
        (pair(&until), "ban-drop-table", None),
    ] {
        let (code, report) = json(dir.path(), &[]);
        let all = report["violations"].as_array().unwrap();
        let of = |rule: &str| all.iter().find(|v| v["rule"] == rule);
        assert!(of(waived).is_some_and(|v| v["waived"].is_string()), "{report}");
        assert_eq!(code, Some(0), "{report}");
        let Some((file, line, part)) = expected else {
            assert!(of("waiver-without-expiry").is_none(), "{report}");
            continue;
        };
        let told = of("waiver-without-expiry").unwrap_or_else(|| panic!("{report}"));
        assert_eq!((told["file"].as_str(), told["line"].as_u64()), (Some(file.as_str()), Some(line)));
        assert_eq!((told["severity"].as_str(), told["risk"].as_str()), (Some("warning"), Some("LOW")));
        assert!(told["help"].as_str().unwrap().contains(part), "{told}");
    }
    let dir = folder(&[("policies/lint.yml", "rules: { waiver-without-expiry: 'off' }\n"), script]);
    assert!(found(&json(dir.path(), &[]).1).iter().all(|(rule, _)| rule != "waiver-without-expiry"));
}

#[test]
fn comments_for_squawk_hide_no_error() {
    let dir = folder(&[("0001_a.sql", "-- squawk-ignore-file\nupdate t set a = 1;\ndrop table t;\n")]);
    let (code, report) = json(dir.path(), &["0001_a.sql"]);
    assert_eq!(code, Some(1));
    let drop = report["violations"].as_array().unwrap().iter().find(|v| v["rule"] == "ban-drop-table").unwrap();
    assert!(drop["waived"].is_string());
}

#[test]
fn the_policy_sets_levels_and_lets_findings_through() {
    let migration = ("migrations/0001_a.sql", "drop table t;\nupdate t set a = 1;\n");
    let dir = folder(&[
        migration,
        (
            "policies/lint.yml",
            "rules: { ban-drop-table: error, missing-down: 'off' }\nwaivers:\n  - rule: update-without-where\n    \
             paths: ['migrations/0001*']\n    reason: old\n    expires: 2999-01-01\n",
        ),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(1));
    let levels: Vec<_> = report["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["rule"].as_str().unwrap(), v["severity"].as_str().unwrap()))
        .collect();
    assert_eq!(levels, [("ban-drop-table", "error"), ("update-without-where", "info")]);

    let dir = folder(&[migration, ("policies/lint.yml", "rules: { no-such-rule: error }\n")]);
    let (code, _, err) = run(dir.path(), &["lint"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("no-such-rule"), "{err}");
}

#[test]
fn every_rule_is_listed() {
    let dir = folder(&[]);
    let (code, out, _) = run(dir.path(), &["lint", "--rules"]);
    assert_eq!(code, Some(0));
    assert!(out.lines().count() > 100, "{out}");
    assert!(out.contains("update-without-where"));
}

#[test]
fn b20_a_password_in_a_migration_is_found_and_not_shown() {
    let dir = folder(&[("migrations/0001_a.up.sql", "create role app login password 'sesame-4711';\n")]);
    for format in ["text", "json", "sarif", "github", "markdown"] {
        let (code, out, err) = run(dir.path(), &["lint", "--format", format]);
        assert_eq!(code, Some(1));
        assert!(out.contains("password-literal"), "{format}: {out}");
        assert!(!(out + &err).contains("sesame"), "{format}");
    }
    let summary = dir.path().join("summary");
    super::godwit(dir.path(), &["ci"]).env("GITHUB_STEP_SUMMARY", &summary).output().unwrap();
    let text = std::fs::read_to_string(summary).unwrap();
    assert!(text.contains("create role app") && !text.contains("sesame"), "{text}");
}
