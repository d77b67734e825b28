//! `godwit cancel`: asks what runs in an environment to stop before its next statement.

use chrono::Utc;
use serde_json::json;

use super::exit::Failure;
use super::{Exit, Format, Global};
use crate::ids::{EnvironmentName, RepoName};
use crate::store::AuditEntry;

/// Arguments of `godwit cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit cancel --env staging
  godwit cancel staging")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", required_unless_present = "environment")]
    word: Option<EnvironmentName>,
    /// The environment
    #[arg(long = "env", value_name = "ENVIRONMENT", conflicts_with = "word")]
    environment: Option<EnvironmentName>,
    /// Only runs of this repository on GitHub, `owner/name` (default: of every repository of the store)
    #[arg(long = "for", value_name = "OWNER/NAME")]
    repository: Option<RepoName>,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let by = super::settings::user();
    let environment = args.environment.or(args.word).ok_or_else(|| Failure::usage("name the environment"))?;
    global.block_on(async {
        let store = global.open_store().await?;
        let runs = store.open_runs(args.repository.as_ref(), &environment).await?;
        for run in &runs {
            store.ask_to_stop(run, &by).await?;
            let mut entry = AuditEntry::new(Utc::now(), by.as_str(), "cancel", "asked");
            entry.repo.clone_from(&args.repository);
            entry.environment = Some(environment.clone());
            entry.run = Some(run.clone());
            store.append_audit(entry).await?;
        }
        match global.format {
            Format::Json => anstream::println!("{}", json!({ "environment": environment, "runs": runs })),
            Format::Text | Format::Sarif | Format::Github | Format::Markdown if runs.is_empty() => {
                anstream::println!("nothing runs in {}", environment);
            }
            Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
                for run in &runs {
                    anstream::println!("run {run} in {} ends before its next statement", environment);
                }
            }
        }
        Ok(Exit::Done)
    })
}
