//! The scripts and make targets that pipelines call today, and what they run.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

/// A program that prints what it is called with.
fn echo(dir: &Path) -> std::path::PathBuf {
    let program = dir.join("echo.sh");
    std::fs::write(&program, "#!/bin/sh\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    program
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn s2_16_s3_08_scripts_of_the_old_names_run_the_new_commands() {
    let dir = tempfile::tempdir().unwrap();
    let program = echo(dir.path());
    for (script, args, runs) in [
        ("tools/migrate.sh", "rollback staging 001_x", "rollback staging 001_x"),
        ("tools/create-migration.sh", "--type HOTFIX --description x", "new --type HOTFIX --description x"),
        ("tools/backup-database.sh", "production", "backup production"),
        ("tools/restore-database.sh", "production f.sql", "restore production f.sql"),
        ("tools/test-migrations.sh", "development", "test development"),
        ("tools/benchmark-migration.sh", "f.sql", "benchmark f.sql"),
        ("tools/test-rollback.sh", "001_x", "test-rollback 001_x"),
        ("tools/setup-migration-framework.sh", "", "init"),
        ("tools/setup-environment.sh", "", "init env"),
        ("scripts/run-migrations.sh", "prod", "migrate prod"),
    ] {
        let mut run = Command::new(root().join(script));
        let output = run.args(args.split_whitespace()).env("GODWIT", &program).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), runs, "{script}");
    }
}

/// The recipes, read rather than run: not every machine that runs the tests has make.
#[test]
fn s1_32_to_s1_43_make_targets_name_commands_that_there_are() {
    let text = std::fs::read_to_string(root().join("tools/migrations.mk")).unwrap();
    for (target, recipe, command) in [
        ("db-migration-generate", "create --name $(NAME) $(if $(TYPE),--type $(TYPE)) $(service)", "create"),
        ("db-validate", "lint $(service)", "lint"),
        ("db-migration-deps", "deps $(service)", "deps"),
        ("db-migrate-init-orchestrator", "init-tracking $(ENV) $(service)", "init-tracking"),
        ("db-migrate-up", "migrate $(ENV) $(service)", "migrate"),
        ("db-migrate-status-orchestrator", "status $(ENV) $(service)", "status"),
        ("db-migrate-down", "rollback $(ENV) --steps $(or $(STEPS),1) $(service)", "rollback"),
        ("db-seed db-seed-enhanced", "seed $(ENV)", "seed"),
        ("db-backup", "backup $(ENV)", "backup"),
    ] {
        assert!(text.contains(&format!("\n{target}:\n\t$(GODWIT) {recipe}\n")), "{target}");
        let known = |c: &clap::Command| c.get_name() == command || c.get_all_aliases().any(|a| a == command);
        let cli = <godwit::cli::Cli as clap::CommandFactory>::command();
        assert!(cli.get_subcommands().any(known), "{command}");
    }
}
