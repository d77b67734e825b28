//! The command line itself: its forms of output and its exit codes.

mod beginning_anew;
mod broken_store;
mod data;
mod exits;
mod folders;
mod former;
mod papers;
mod shims;
mod words;

use clap::CommandFactory as _;

use crate::support::godwit;

#[test]
fn a_form_of_output_that_a_command_does_not_have_is_refused_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("m")).unwrap();
    std::fs::write(dir.path().join("m/0001_a.up.sql"), "create table a (n integer);").unwrap();
    let place = ["--url", "sqlite:a.db", "--path", "m"];
    for command in [
        &["apply", "--yes"][..],
        &["plan"],
        &["status"],
        &["resume"],
        &["rollback", "--steps", "1"],
        &["baseline", "--to", "1"],
        &["resolve", "0001_a", "--as", "applied", "--reason", "r"],
        &["lock", "--env", "e", "why"],
        &["unlock", "--env", "e"],
        &["cancel", "--env", "e"],
        &["audit", "verify"],
        &["policy", "check"],
        &["lint", "--rules"],
        &["completions", "bash"],
    ] {
        for format in ["sarif", "github", "markdown"] {
            let mut run = godwit(dir.path());
            run.args(command).args(["--format", format]);
            if ["apply", "plan", "status", "resume", "rollback", "baseline", "resolve"].contains(&command[0]) {
                run.args(place);
            }
            let output = run.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{command:?} {format}: {said}");
            assert!(said.contains("--format json"), "{command:?}: {said}");
        }
    }
    assert!(!dir.path().join("a.db").exists() && !dir.path().join("state").exists());
}

#[test]
fn every_mistake_of_the_configuration_is_told_at_once_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = "version: 1\nfirst: 1\nmigrations:\n  - path: m\n    second: x\n    third: y\n";
    std::fs::write(dir.path().join("godwit.yml"), text).unwrap();
    for command in [&["lint"][..], &["plan", "--env", "staging"]] {
        let output = godwit(dir.path()).args(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        for place in [
            "godwit.yml:2:1: unknown key `first`",
            "godwit.yml:5:5: unknown key `second`",
            "godwit.yml:6:5: unknown key `third`",
        ] {
            assert!(said.contains(place), "{place}: {said}");
        }
    }
}

#[test]
fn every_command_shows_examples() {
    let cli = godwit::cli::Cli::command();
    let without: Vec<&str> = cli
        .get_subcommands()
        .filter(|c| {
            // Some begin with a variable.
            let help = c.get_after_help().map(ToString::to_string).unwrap_or_default();
            !help.starts_with("Examples:\n  ") || !help.contains(&format!("godwit {}", c.get_name()))
        })
        .map(clap::Command::get_name)
        .collect();
    assert!(without.is_empty(), "no `Examples:` in the help of {without:?}");
}
