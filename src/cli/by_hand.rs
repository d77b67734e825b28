//! What the commands have in common that change a target outside any migration: when they may, and how they are refused.

use super::Exit;
use super::exit::Failure;
use crate::approval::Policy;
use crate::ids::EnvironmentName;
use crate::plan::Refusal;
use crate::runner;
use crate::store::Store;

/// A gate that is closed.
pub(super) fn blocked(message: String) -> anyhow::Error {
    Failure { exit: Exit::Blocked, message }.into()
}

/// Why a target cannot be had, with its exit code.
pub(super) fn refused(refusal: Refusal) -> anyhow::Error {
    let exit = Exit::of_refusals(std::slice::from_ref(&refusal));
    Failure { exit, message: format!("{}; {}", refusal.message, refusal.what_to_do) }.into()
}

/// Fails where somebody has frozen the environment.
///
/// # Errors
/// By whom and why; a store that fails.
pub(super) async fn not_frozen(store: &Store, environment: &EnvironmentName) -> anyhow::Result<()> {
    match store.environment_lock(None, environment).await? {
        None => Ok(()),
        Some(lock) => Err(refused(runner::freeze(environment, &lock))),
    }
}

/// Whether an environment is one whose data nobody plays with: `production`, and the last of the promotion order unless it
/// is a playground by its name.
pub(super) fn is_production(policy: &Policy, environment: &EnvironmentName) -> bool {
    let playground = matches!(environment.as_str(), "development" | "testing");
    environment.as_str() == "production" || (policy.repo.environments.last() == Some(environment) && !playground)
}
