//! What targets say of their tables, for the risk of a change. Changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::connect::with_driver;
use super::{RunError, Target};
use crate::drivers::Driver as _;
use crate::risk::facts::TargetFacts;

/// How long a target may take to answer before it counts as one that does not.
const PATIENCE: Duration = Duration::from_secs(20);

/// What each target says, in their order; `None` of an engine that is not asked. `only`: nothing but these tables, with or
/// without their schema.
pub async fn read(targets: &[Target], only: Option<&BTreeSet<String>>) -> Vec<Result<Option<TargetFacts>, RunError>> {
    // Boxed: the types of all drivers' connections in one are more than the compiler follows.
    let asked = targets.iter().map(|target| patiently(target, only).boxed());
    futures_util::future::join_all(asked).await
}

async fn patiently(target: &Target, only: Option<&BTreeSet<String>>) -> Result<Option<TargetFacts>, RunError> {
    match tokio::time::timeout(PATIENCE, one(target, only)).await {
        Ok(answer) => answer,
        Err(_) => Err(RunError::Unreachable(format!("no answer within {} seconds", PATIENCE.as_secs()))),
    }
}

async fn one(target: &Target, only: Option<&BTreeSet<String>>) -> Result<Option<TargetFacts>, RunError> {
    Ok(with_driver!(target, driver => driver.facts(only).await.map_err(unreachable)?))
}
