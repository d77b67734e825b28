//! `godwit lock` and `godwit unlock`: freeze an environment in the store, so that nothing runs on it.

use std::fmt::Write as _;

use chrono::Utc;
use serde_json::json;

use super::exit::Failure;
use super::{Exit, Format, Global};
use crate::config::RepoConfig;
use crate::ids::{EnvironmentName, RepoName};
use crate::store::{AuditEntry, EnvironmentLock};

/// Where a lock holds.
#[derive(Debug, clap::Args)]
struct Place {
    /// The environment; it may also stand alone
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// Only for this repository on GitHub, `owner/name` (default: every repository of the store)
    #[arg(long = "for", value_name = "OWNER/NAME")]
    repository: Option<RepoName>,
}

/// Arguments of `godwit lock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit lock --env production \"sale until Monday\"
  godwit lock production \"sale until Monday\"")]
pub struct LockArgs {
    #[command(flatten)]
    place: Place,
    /// The environment, unless `--env` names it, and why; shown to everybody who is stopped by it
    #[arg(value_name = "REASON", required = true, num_args = 1..)]
    words: Vec<String>,
}

/// Arguments of `godwit unlock`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit unlock --env production
  godwit unlock --env production --force")]
pub struct UnlockArgs {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "environment")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Also when somebody else locked it
    #[arg(long)]
    force: bool,
}

/// Freezes an environment.
pub fn lock(global: &Global, args: LockArgs) -> anyhow::Result<Exit> {
    let mut said = args.words;
    let Place { environment, repository } = args.place;
    let environment = match environment {
        Some(environment) => environment,
        None => {
            let word = said.remove(0);
            EnvironmentName::new(word.as_str())
                .map_err(|_| Failure::usage(format!("say where with `--env`: `{word}` is no environment's name")))?
        }
    };
    let environment = global.environment(&environment)?;
    let reason = said.join(" ");
    if reason.trim().is_empty() {
        return Err(Failure::usage("a lock needs a reason; it is shown to everybody who is stopped by it"));
    }
    let by = super::settings::user();
    known(global, &environment)?;
    global.block_on(async {
        let store = global.open_store().await?;
        let held = store.lock_environment(repository.as_ref(), &environment, reason.trim(), &by).await?;
        if let Some(held) = held {
            print(global, "locked", &held, |l| format!("{} is locked already: {}", l.environment, words(l)));
            return Ok(Exit::Blocked);
        }
        let mut entry = AuditEntry::new(Utc::now(), by, "lock", "ok");
        entry.repo.clone_from(&repository);
        entry.environment = Some(environment.clone());
        entry.details.insert("reason".to_owned(), reason);
        store.append_audit(entry).await?;
        if let Some(lock) = store.environment_lock(repository.as_ref(), &environment).await? {
            print(global, "locked", &lock, |l| {
                format!("{0} is locked. Nothing runs on it until `godwit unlock --env {0}`.", l.environment)
            });
        }
        Ok(Exit::Done)
    })
}

/// In a repository with a configuration, a name that it does not know is a slip: nothing would be frozen.
fn known(global: &Global, environment: &EnvironmentName) -> anyhow::Result<()> {
    let configured = global.config.is_some() || global.repo.join(RepoConfig::FILE).is_file();
    if !configured {
        return Ok(());
    }
    let environments = global.repo_config()?.environments;
    if environments.contains(environment) {
        return Ok(());
    }
    let names: Vec<String> = environments.iter().map(|e| format!("`{e}`")).collect();
    Err(Failure::usage(format!("`{environment}` is no environment of this repository; it has {}", names.join(", "))))
}

/// Unfreezes an environment.
pub fn unlock(global: &Global, args: UnlockArgs) -> anyhow::Result<Exit> {
    let by = super::settings::user();
    let Place { environment, repository } = args.place;
    let Some(environment) = args.word.or(environment) else {
        return Err(Failure::usage("say where: `godwit unlock ENVIRONMENT`"));
    };
    let environment = global.environment(&environment)?;
    global.block_on(async {
        let store = global.open_store().await?;
        let own = store
            .environment_lock(repository.as_ref(), &environment)
            .await?
            .filter(|lock| lock.repo.as_ref() == repository.as_ref());
        let Some(lock) = own else {
            match global.format {
                Format::Json => anstream::println!("{}", json!({ "environment": environment, "lock": null })),
                Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
                    anstream::println!("{environment} is not locked");
                }
            }
            return Ok(Exit::Done);
        };
        if lock.by != by && !args.force {
            print(global, "locked", &lock, |l| {
                format!("{} stays locked: {}. Take it off with `--force`.", l.environment, words(l))
            });
            return Ok(Exit::Blocked);
        }
        store.unlock_environment(repository.as_ref(), &environment).await?;
        // What waited for it on a server goes on by itself.
        #[cfg(feature = "bot")]
        store.wake(repository.as_ref(), &environment, None).await?;
        let mut entry = AuditEntry::new(Utc::now(), by, "unlock", "ok");
        entry.repo.clone_from(&repository);
        entry.environment = Some(environment.clone());
        entry.details.insert("locked_by".to_owned(), lock.by.clone());
        entry.details.insert("reason".to_owned(), lock.reason.clone());
        if args.force {
            entry.basis = Some("--force".to_owned());
        }
        store.append_audit(entry).await?;
        print(global, "unlocked", &lock, |l| format!("{} is unlocked; it was {}", l.environment, words(l)));
        Ok(Exit::Done)
    })
}

fn print(global: &Global, state: &str, lock: &EnvironmentLock, text: impl FnOnce(&EnvironmentLock) -> String) {
    match global.format {
        Format::Json => {
            anstream::println!("{}", json!({ "environment": lock.environment, "state": state, "lock": lock }))
        }
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => anstream::println!("{}", text(lock)),
    }
}

fn words(lock: &EnvironmentLock) -> String {
    let mut text = format!("locked by {} since {}", lock.by, lock.at.format("%Y-%m-%d %H:%M UTC"));
    if let Some(repo) = &lock.repo {
        let _ = write!(text, " for {repo}");
    }
    let _ = write!(text, ", {}", lock.reason);
    text
}
