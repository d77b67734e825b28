//! `godwit lock` and `godwit unlock`.

use super::{Exit, Global};

/// Arguments of `godwit lock`.
#[derive(Debug, clap::Args)]
pub struct LockArgs {}

/// Arguments of `godwit unlock`.
#[derive(Debug, clap::Args)]
pub struct UnlockArgs {}

/// Freezes an environment.
pub fn lock(global: &Global, args: LockArgs) -> anyhow::Result<Exit> {
    let _ = (global, args);
    Ok(Exit::Done)
}

/// Unfreezes an environment.
pub fn unlock(global: &Global, args: UnlockArgs) -> anyhow::Result<Exit> {
    let _ = (global, args);
    Ok(Exit::Done)
}
