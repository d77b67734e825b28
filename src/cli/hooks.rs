//! Programs that a repository names and the command line starts: what follows a run (`hooks.post_run`), what fills a
//! database (`seed.command`). No shell is started, and the server starts none of them (DECISIONS 22).

use std::process::{Command, Stdio};

use super::exit::Failure;
use super::targets::Gathered;
use super::{Exit, Global};
use crate::ids::EnvironmentName;

/// Starts what `godwit.yml` names once an environment was brought forward [S3-09] [S3-35].
///
/// # Errors
/// Exit 1 when one fails; the migrations stay applied.
pub(super) fn after(global: &Global, gathered: &Gathered) -> anyhow::Result<()> {
    let (Some(policy), Some(environment)) = (&gathered.policy, &gathered.environment) else { return Ok(()) };
    for line in &policy.repo.post_run {
        start(global, line, environment).map_err(|why| Failure {
            exit: Exit::Failed,
            message: format!("the migrations are applied, but what follows them failed: {why}"),
        })?;
    }
    Ok(())
}

/// Starts one program in the repository and waits for its end. What it prints goes where talk goes, so that data stays
/// data.
///
/// # Errors
/// Why it could not be started, or how it ended.
pub(super) fn start(global: &Global, line: &str, environment: &EnvironmentName) -> Result<(), String> {
    let words =
        shlex::split(line).filter(|w| !w.is_empty()).ok_or_else(|| format!("`{line}` cannot be read as words"))?;
    if !global.quiet {
        anstream::eprintln!("> {line}");
    }
    let status = Command::new(&words[0])
        .args(&words[1..])
        .current_dir(&global.repo)
        .env("GODWIT_ENVIRONMENT", environment.as_str())
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|e| format!("`{}` cannot be started: {e}", words[0]))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}
