//! `godwit ci` as the action runs it.

use std::fs;

use super::{folder, godwit, run};

#[test]
fn annotations_sarif_summary_and_outputs() {
    let dir = folder(&[("migrations/0001_a.up.sql", "update t set a = 1;\n")]);
    let (summary, output) = (dir.path().join("summary.md"), dir.path().join("output"));
    let done = godwit(dir.path(), &["ci", "--sarif-file", "out.sarif", "--fail-on", "error"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_OUTPUT", &output)
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.starts_with("::error file=migrations/0001_a.up.sql,line=1,"), "{text}");
    let log: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("out.sarif")).unwrap()).unwrap();
    assert!(!log["runs"][0]["results"].as_array().unwrap().is_empty());
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains("update-without-where") && summary.contains("```sql"), "{summary}");
    let output = fs::read_to_string(output).unwrap();
    for part in ["risk<<godwit-", "\nHIGH\n", "digest<<", "violations<<", "sarif-file<<", "\nout.sarif\n"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

#[test]
fn a_fork_without_rights_ends_by_its_findings() {
    let dir = folder(&[("migrations/0001_a.up.sql", "create table t (id bigint primary key);\n")]);
    let done = godwit(dir.path(), &["ci", "--comment"]).output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&done.stderr).contains("no comment was written"));
}

#[test]
fn a_base_that_is_not_fetched_lints_everything_and_says_so() {
    let dir = folder(&[("migrations/0001_a.up.sql", "update t set a = 1;\n")]);
    let done = godwit(dir.path(), &["ci"]).env("GITHUB_BASE_REF", "main").output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("every migration is linted"));
}

#[test]
fn rehearsing_is_refused_without_showing_the_password() {
    let dir = folder(&[]);
    let (code, out, err) = run(dir.path(), &["ci", "--rehearse-url", "postgres://u:sesame-77@h/db"]);
    assert_eq!(code, Some(2));
    assert!(!(out + &err).contains("sesame-77"));
}

#[test]
fn the_action_runs_offline_with_a_binary_and_takes_no_input_as_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let action = fs::read_to_string(root.join("action.yml")).unwrap();
    let run = action.split("      run: |\n").nth(1).unwrap();
    assert!(!run.contains("${{"), "an expression inside `run:` would be shell code");
    assert!(action.contains(&format!("default: {}\n", env!("CARGO_PKG_VERSION"))), "the default release is this one");
    for input in ["path", "base", "config", "fail-on", "sarif-file", "comment", "rehearse-url", "version", "bin"] {
        assert!(action.contains(&format!("${{{{ inputs.{input} }}}}")), "{input}");
    }

    let script: String = run.lines().map(|l| format!("{}\n", l.strip_prefix("        ").unwrap_or(l))).collect();
    let dir = folder(&[("a b/0001_x.up.sql", "update t set a = 1;\n"), ("c/0001_y.up.sql", "drop table t cascade;\n")]);
    let output = dir.path().join("output");
    let mut command = std::process::Command::new("bash");
    command.current_dir(dir.path()).arg("-c").arg(&script).env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &output);
    command.env_remove("GITHUB_STEP_SUMMARY").env_remove("GITHUB_BASE_REF");
    for (name, value) in [
        ("PATH", "a b\nc\n$(touch pwned)"),
        ("BASE", ""),
        ("CONFIG", ""),
        ("FAIL_ON", "never"),
        ("SARIF_FILE", ""),
        ("COMMENT", "false"),
        ("REHEARSE_URL", ""),
        ("VERSION", ""),
        ("BIN", env!("CARGO_BIN_EXE_godwit")),
    ] {
        command.env(format!("GODWIT_INPUT_{name}"), value);
    }
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(2), "the third path is not there");
    assert!(!dir.path().join("pwned").exists());
    let done = command.env("GODWIT_INPUT_PATH", "a b\nc").output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("file=a b/0001_x.up.sql") && text.contains("file=c/0001_y.up.sql"), "{text}");
    assert!(fs::read_to_string(output).unwrap().contains("HIGH"));
}
