//! Carries out one plan on one target, recording each step; the only caller of `drivers`.

use secrecy::SecretString;

use crate::ids::{CommitSha, DeliveryId, Engine, EnvironmentName, PrNumber, RepoName, TargetName};
use crate::migration::MigrationSet;
use crate::plan::RunReport;
use crate::store::Store;

/// Who causes a run and from what; written into history, store and audit.
#[derive(Debug, Clone)]
pub struct Actor {
    /// A login, or the machine's user name for ad hoc runs.
    pub by: String,
    /// The repository, for runs of the bot.
    pub repo: Option<RepoName>,
    /// The pull request, for runs of the bot.
    pub pr: Option<PrNumber>,
    /// The commit the migrations were read at.
    pub commit: Option<CommitSha>,
    /// The delivery that started it.
    pub correlation: Option<DeliveryId>,
}

/// A database to run on; the URL is complete (no `${VAR}`) and secret.
#[derive(Debug, Clone)]
pub struct Target {
    /// The environment that owns it; `None` for an ad hoc run.
    pub environment: Option<EnvironmentName>,
    /// Its name.
    pub name: TargetName,
    /// Its kind.
    pub engine: Engine,
    /// How to reach it.
    pub url: SecretString,
}

/// What the caller asks for beyond "everything pending".
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// Stop after this version or id.
    pub to: Option<String>,
    /// Write nothing anywhere; tell what would be done.
    pub dry_run: bool,
    /// Bound on the whole run.
    pub timeout: Option<std::time::Duration>,
}

/// Why a run could not even be judged.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The target cannot be reached (exit 5).
    #[error("{0}")]
    Unreachable(String),
    /// The store failed (exit 5).
    #[error("{0}")]
    Store(String),
}

/// Brings `targets` forward to `set`, one after the other, and tells how each step ended. An interrupted earlier run is
/// settled first. Stops at the first failure.
///
/// # Errors
/// When a target or the store cannot be reached; everything else is an outcome in the report.
pub async fn apply(
    store: &Store,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    options: &ApplyOptions,
) -> Result<RunReport, RunError> {
    let _ = (store, set, targets, actor, options);
    Err(RunError::Unreachable(String::new()))
}
