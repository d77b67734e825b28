//! `godwit lint` and `godwit ci` through the binary.

mod asked_for;
mod ci;
mod codes;
mod examples;
mod facts;
mod files;
mod fix;
mod foreign;
mod hazards;
mod input;
mod locks;
mod measured;
mod measured_apart;
mod operations;
mod output;
mod pages;
mod severities;
mod sqlite;
mod typed;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The binary with an environment of its own: nothing of a surrounding CI run reaches it.
pub fn godwit(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command.current_dir(dir).args(args).env("NO_COLOR", "1");
    for name in [
        "GITHUB_ACTIONS",
        "GITHUB_BASE_REF",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_OUTPUT",
        "GITHUB_TOKEN",
        "GITHUB_EVENT_PATH",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = godwit(dir, args).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// `lint --format json` with its exit code.
pub fn json(dir: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let (code, out, err) = run(dir, &[&["lint", "--format", "json"], args].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")))
}

/// A folder with files in it.
pub fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// `(rule, line)` of every finding.
pub fn found(report: &Value) -> Vec<(String, u64)> {
    let all = report["violations"].as_array().unwrap();
    all.iter().map(|v| (v["rule"].as_str().unwrap().to_owned(), v["line"].as_u64().unwrap())).collect()
}
