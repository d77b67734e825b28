//! `godwit ci` as the action runs it.

use std::fs;

use super::{folder, godwit, run};
use crate::support::postgres_server;

#[test]
fn annotations_sarif_summary_and_outputs() {
    let dir = folder(&[("migrations/0001_a.up.sql", "update t set a = 1;\n")]);
    let (summary, output) = (dir.path().join("summary.md"), dir.path().join("output"));
    let done = godwit(dir.path(), &["ci", "--sarif-file", "logs of it/out.sarif", "--fail-on", "error"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_OUTPUT", &output)
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.starts_with("::error file=migrations/0001_a.up.sql,line=1,"), "{text}");
    let log: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("logs of it/out.sarif")).unwrap()).unwrap();
    assert!(!log["runs"][0]["results"].as_array().unwrap().is_empty());
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains("update-without-where") && summary.contains("```sql"), "{summary}");
    let output = fs::read_to_string(output).unwrap();
    for part in ["risk<<godwit-", "\nHIGH\n", "digest<<", "violations<<", "sarif-file<<", "\nlogs of it/out.sarif\n"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

#[test]
fn p13_a_usage_error_is_an_annotation_of_its_job() {
    let dir = folder(&[
        ("migrations/0001_a.up.sql", "select 1;\n"),
        ("godwit.yml", "version: 1\npolicy: a%b\nmigration: x\n"),
    ]);
    let told = |args: &[&str], actions: &str| {
        let done = godwit(dir.path(), args).env("GITHUB_ACTIONS", actions).output().unwrap();
        assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(2), &b""[..]), "{args:?}");
        String::from_utf8(done.stderr).unwrap()
    };
    // What clap refuses, what the configuration has wrong, and a form that there is not.
    for (args, part) in [
        (&["ci", "--fail-on", "100%"][..], "invalid value '100%25' for '--fail-on <LEVEL>'%0A"),
        (&["--color", "never", "ci", "--profile", "loose"], "invalid value 'loose'"),
        (&["ci", "--unknown"], "unexpected argument '--unknown'"),
        (&["ci"], "::error title=godwit::godwit.yml:2:1: unknown key `policy`; allowed: "),
        (&["ci"], "%0Agodwit.yml:3:1: unknown key `migration`"),
        (&["ci", "--repo", "nowhere"], "nowhere"),
    ] {
        let text = told(args, "true");
        assert!(text.starts_with("::error title=godwit::") && text.contains(part), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert!(told(args, "").starts_with("error: "), "{args:?}");
    }
    // Another command is read by whoever typed it.
    assert!(told(&["lint"], "true").starts_with("error: "));
    let help = godwit(dir.path(), &["ci", "--help"]).env("GITHUB_ACTIONS", "true").output().unwrap();
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--fail-on"));
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

/// A folder with a sound migration, and one whose way back leaves a column behind.
fn with_a_bad_way_back() -> tempfile::TempDir {
    folder(&[
        ("migrations/0001_a.up.sql", "create table rehearsed (id bigint primary key);\n"),
        ("migrations/0001_a.down.sql", "drop table rehearsed;\n"),
        (
            "migrations/0002_b.up.sql",
            "alter table rehearsed add column b bigint;\nalter table rehearsed add column c bigint;\n",
        ),
        ("migrations/0002_b.down.sql", "alter table rehearsed drop column b;\n"),
    ])
}

#[test]
fn a_scratch_server_tries_what_the_change_brings_and_the_summary_tells() {
    let dir = with_a_bad_way_back();
    let (summary, output) = (dir.path().join("summary.md"), dir.path().join("output"));
    let done = godwit(dir.path(), &["ci", "--rehearse-url", &postgres_server()])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_OUTPUT", &output)
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&done.stderr));
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("::error file=migrations/0002_b.up.sql,line=1,title=rehearsal::0002_b: "), "{text}");
    assert!(first.contains("did not restore"), "{text}");
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains("### Rehearsal") && summary.contains("| ✅ | `0001_a` |"), "{summary}");
    assert!(summary.contains("| ❌ | `0002_b` |") && summary.contains("AccessExclusive"), "{summary}");
    assert!(fs::read_to_string(output).unwrap().contains("rehearsal<<godwit-"));

    let (code, out, _) =
        run(dir.path(), &["ci", "--format", "json", "--rehearse-url", "sqlite:", "--fail-on", "never"]);
    assert_eq!(code, Some(0));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["rehearsal"], serde_json::json!([]), "none of it is for SQLite");
    assert_eq!(report["migrations"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_scratch_server_that_cannot_be_reached_is_told_without_its_password() {
    let dir = with_a_bad_way_back();
    for (url, code) in [("postgres://u:sesame-77@127.0.0.1:1/db", 5), ("oracle://u:sesame-77@h/db", 2)] {
        let (ended, out, err) = run(dir.path(), &["ci", "--rehearse-url", url]);
        assert_eq!(ended, Some(code), "{err}");
        assert!(!(out + &err).contains("sesame-77"));
    }
}

#[test]
fn s1_78_what_is_staged_is_linted_before_a_commit() {
    let dir = folder(&[
        ("migrations/0001_old.up.sql", "update t set a = 1;\n"),
        ("migrations/0002_new.up.sql", "delete from t;\n"),
    ]);
    assert_eq!(run(dir.path(), &["lint", "--staged"]).0, Some(2), "no repository");
    let repository = git2::Repository::init(dir.path()).unwrap();
    let mut index = repository.index().unwrap();
    let mut stage = |path: &str| {
        index.add_path(std::path::Path::new(path)).unwrap();
        index.write().unwrap();
        index.write_tree().unwrap()
    };
    let findings = || {
        let (code, report) = super::json(dir.path(), &["--staged"]);
        let files: std::collections::BTreeSet<String> =
            report["violations"].as_array().unwrap().iter().map(|v| v["file"].as_str().unwrap().to_owned()).collect();
        (code, files.into_iter().collect::<Vec<_>>())
    };
    assert_eq!(findings(), (Some(0), vec![]), "nothing is staged");
    let tree = stage("migrations/0001_old.up.sql");
    assert_eq!(findings().1, ["migrations/0001_old.up.sql"], "before the first commit");
    let by = git2::Signature::now("Ada", "ada@example.com").unwrap();
    repository.commit(Some("HEAD"), &by, &by, "first", &repository.find_tree(tree).unwrap(), &[]).unwrap();
    stage("migrations/0002_new.up.sql");
    assert_eq!(findings(), (Some(1), vec!["migrations/0002_new.up.sql".to_owned()]));
    fs::write(dir.path().join("migrations/0002_new.up.sql"), "delete from t where a = 1;\n").unwrap();
    let (_, _, err) = run(dir.path(), &["lint", "--staged"]);
    assert!(err.contains("`migrations/0002_new.up.sql` has changes that are not staged"), "{err}");
}

#[test]
fn the_action_runs_offline_with_a_binary_and_takes_no_input_as_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let action = fs::read_to_string(root.join("action.yml")).unwrap();
    let run = action.split("      run: |\n").nth(1).unwrap();
    assert!(!run.contains("${{"), "an expression inside `run:` would be shell code");
    assert!(action.contains(&format!("default: {}\n", env!("CARGO_PKG_VERSION"))), "the default release is this one");
    for input in
        ["path", "base", "config", "fail-on", "profile", "sarif-file", "comment", "rehearse-url", "version", "bin"]
    {
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
        ("PROFILE", "strict"),
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
    assert!(fs::read_to_string(&output).unwrap().contains("HIGH"));

    // A service container's address reaches the program, and GitHub is told to mask it.
    let mended = folder(&[("m/0001_y.up.sql", "create table action_tried (id bigint primary key);\n")]);
    command
        .current_dir(mended.path())
        .env("GODWIT_INPUT_PATH", "m")
        .env("GODWIT_INPUT_REHEARSE_URL", postgres_server());
    let done = command.output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.contains("::add-mask::"), "{text}");
    let outputs = fs::read_to_string(output).unwrap();
    assert!(outputs.contains("\nsound\n"), "{outputs}");
}

/// Every `uses:` of our own workflows is a commit, and no input or event text becomes shell code.
#[test]
fn workflows_pin_what_they_use_and_take_no_text_as_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for file in ["ci.yml", "release.yml"] {
        let text = fs::read_to_string(root.join(".github/workflows").join(file)).unwrap();
        for used in text.lines().filter_map(|l| l.trim_start_matches([' ', '-']).strip_prefix("uses: ")) {
            let commit = used.split_whitespace().next().and_then(|u| u.split_once('@')).map(|(_, c)| c).unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{file}: {used}");
            seen += 1;
        }
        let workflow: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        for (name, job) in workflow["jobs"].as_mapping().unwrap() {
            for code in job["steps"].as_sequence().unwrap().iter().filter_map(|s| s["run"].as_str()) {
                assert!(!code.contains("${{"), "{file}, {name:?}: an expression is shell code in: {code}");
            }
        }
    }
    assert!(seen >= 8);
    let action = fs::read_to_string(root.join("action.yml")).unwrap();
    let release = fs::read_to_string(root.join(".github/workflows/release.yml")).unwrap();
    let targets: Vec<&str> = action.lines().filter_map(|l| l.split_once("target=")?.1.split(' ').next()).collect();
    assert_eq!(targets.len(), 4);
    for target in targets {
        assert!(release.contains(target), "the action downloads {target}, which no release builds");
    }
}
