//! The commands of the systems that people come from, and what runs instead of them: the whole table, one row each.

use clap::Parser as _;
use godwit::cli::{Cli, Command, modern};

/// What somebody typed, and the command that runs.
const ROWS: &[(&str, &str, &str)] = &[
    // A service's own folder, from make targets.
    ("[S1-32] [S1-05]", "create --layout service --service user-service --type table --name add_user_profiles", "new"),
    ("[S1-33]", "create --service user-service --type index --name index_users", "new"),
    ("[S1-34]", "create --service user-service --type data --name fill_users", "new"),
    ("[S1-35]", "lint", "lint"),
    ("[S1-35]", "validate --service user-service", "lint"),
    ("[S1-36]", "deps --service user-service --format mermaid", "graph"),
    ("[S1-36]", "deps --format dot", "graph"),
    ("[S1-36]", "--format dot deps", "graph"),
    ("[S1-36]", "deps --format json", "graph"),
    ("[S1-37] [S1-41]", "init-tracking --service user-service --basic", "init-tracking"),
    ("[S1-38]", "migrate development --service user-service", "apply"),
    ("[S1-39]", "status development --service user-service", "status"),
    ("[S1-40]", "rollback development --service user-service --steps 1", "rollback"),
    ("[S1-42]", "seed", "seed"),
    ("[S1-43]", "seed --env development", "seed"),
    ("[S1-66]", "backup staging", "backup"),
    // Scripts with rollbacks.
    ("[S2-03]", "init", "init"),
    ("[S2-04]", "init env", "init"),
    ("[S2-07] [S2-28]", "create", "new"),
    ("[S2-08]", "create --type SCHEMA_CHANGE --description Add_user_preferences_table", "new"),
    (
        "[S2-29] to [S2-34]",
        "create --type DATA_MIGRATION --description x --risk LOW --duration 5m --author john.doe --ticket PROJ-123",
        "new",
    ),
    ("[S2-21]", "migrate staging", "apply"),
    ("[S2-22]", "status staging --verbose", "status"),
    ("[S2-23]", "rollback staging 001_20240101_000000_sample_migration", "rollback"),
    ("[S2-24]", "validate a.sql b.sql", "lint"),
    ("[S2-25]", "approve 001_20240101_000000_sample_migration dba dora looked", "approve"),
    ("[S2-26]", "lock production sale", "lock"),
    ("[S2-27]", "unlock production", "unlock"),
    ("[S2-77]", "migrate production --force --emergency Critical", "apply"),
    ("[S2-78]", "rollback production 001_x --force --emergency", "rollback"),
    ("[S2-79]", "unlock production --force", "unlock"),
    ("[S2-80]", "reset production --confirm", "reset"),
    ("[S2-81] [S2-113]", "restore production migration_backup_20241204_143022.sql", "restore"),
    ("[S2-111]", "migrate production --backup", "apply"),
    ("[S2-112]", "backup production", "backup"),
    ("[S2-108]", "test development", "rehearse"),
    ("[S2-109] [S0-83]", "benchmark migrations/scripts/001_x.sql --url sqlite:", "benchmark"),
    ("[S2-110]", "test-rollback 001_x --url sqlite:", "rehearse"),
    // Prisma's scripts.
    ("[S3-08] [S3-11] [S3-27]", "migrate dev", "apply"),
    ("[S3-28]", "migrate staging", "apply"),
    ("[S3-29]", "migrate prod", "apply"),
    ("[S3-06]", "status", "status"),
    ("[S3-07] [S3-30]", "migrate development", "apply"),
    ("[S3-31]", "migrate production", "apply"),
    ("[S3-32]", "reset-data development", "reset-data"),
    ("[S3-34]", "seed", "seed"),
    ("[S3-113]", "create --layout prisma --name add_orders", "new"),
    // Typed JSON.
    ("[S4-31] [S4-38]", "migrate", "apply"),
    ("[S4-31] [S4-38]", "migrate --version latest", "apply"),
    ("[S4-32]", "migrate --version 1.2.0", "apply"),
    ("[S4-33]", "migrate --databases mongodb postgresql", "apply"),
    ("[S4-34]", "status", "status"),
    ("[S4-35] [S4-36]", "rollback 1.0.0 --databases mongodb", "rollback"),
    ("[S4-35]", "rollback staging --to 1.0.0", "rollback"),
    ("[S4-45] [S4-46] [S4-47]", "create --layout typed --database mongodb --name add_user_profiles", "new"),
    ("[S4-49]", "test --version 1.1.0 --back-to 1.0.0", "rehearse"),
    ("[S0-32]", "serve", "serve"),
    // What is new.
    ("[S4-80]", "migrate --only 001_x", "apply"),
    ("[S2-118]", "doctor staging", "doctor"),
    ("[S4-80]", "resolve 001_x --as applied --reason seen --env staging", "resolve"),
    ("[S2-138]", "drift --env staging", "drift"),
    ("[S0-52]", "report daily", "report"),
    ("[S0-101]", "report --framework iso27001 --from 2026-01-01 --to 2026-02-01 --format csv", "report"),
    ("[S1-71]", "logs", "logs"),
    ("[S0-59]", "logs prune --older-than 90", "logs"),
    ("[S4-83]", "audit verify", "audit"),
    ("[S1-11]", "docs", "docs"),
    ("[S3-04]", "pending", "pending"),
    ("[S3-03]", "checklist production", "checklist"),
];

fn name_of(command: &Command) -> String {
    // `Reset(Args { … })`, in the form of the command line.
    let debug = format!("{command:?}");
    let word = debug.split(['(', ' ', '{']).next().unwrap();
    let mut name = String::new();
    for (n, c) in word.chars().enumerate() {
        if c.is_ascii_uppercase() && n > 0 {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[test]
fn s1_32_to_s4_80_every_command_of_the_sources_runs_under_its_old_name() {
    let mut wrong = Vec::new();
    for (ids, typed, runs) in ROWS {
        let args: Vec<String> = format!("godwit {typed}").split(' ').map(str::to_owned).collect();
        match modern(args)
            .map_err(|e| e.to_string())
            .and_then(|args| Cli::try_parse_from(args).map_err(|e| e.to_string()))
        {
            Ok(cli) if name_of(&cli.command) == *runs => {}
            Ok(cli) => wrong.push(format!("{ids} `{typed}` runs {}, not {runs}", name_of(&cli.command))),
            Err(error) => wrong.push(format!("{ids} `{typed}`: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
}

#[test]
fn s3_33_a_schema_is_not_pushed_past_its_migrations() {
    let dir = tempfile::tempdir().unwrap();
    for words in [&["db:push"][..], &["db", "push"]] {
        let output = crate::support::godwit(dir.path()).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("godwit new"));
    }
}

#[test]
fn s2_10_the_old_dashboard_is_answered_with_where_the_same_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["dashboard"][..], &["--repo", ".", "dashboard", "--port", "5000"]] {
        let output = crate::support::godwit(dir.path()).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let named =
            ["godwit status", "godwit approvals", "godwit logs", "godwit audit list", "godwit serve", "/metrics"];
        assert!(named.iter().all(|part| said.contains(part)), "{said}");
        // What it names is there.
        for words in named[..5].iter().map(|command| command.split(' ').skip(1)) {
            let mut command = <Cli as clap::CommandFactory>::command();
            for word in words {
                command = command.find_subcommand(word).unwrap_or_else(|| panic!("{word}")).clone();
            }
        }
    }
}

#[test]
fn arguments_that_are_not_old_forms_stay_as_they_are() {
    for typed in
        ["godwit", "godwit --help", "godwit lint graph", "godwit --repo graph lint", "godwit --format json graph"]
    {
        let args: Vec<String> = typed.split(' ').map(str::to_owned).collect();
        assert_eq!(modern(args.clone()).unwrap(), args);
    }
    let turned = |typed: &str| modern(typed.split(' ').map(str::to_owned).collect()).unwrap().join(" ");
    assert_eq!(
        turned("godwit test-rollback 001_x --url sqlite: -v 002_y"),
        "godwit rehearse --only 001_x --url sqlite: -v --only 002_y"
    );
    assert_eq!(turned("godwit report daily --format=html --env e"), "godwit report daily --env e --as html");
}
