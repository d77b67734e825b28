//! The tables of the folders' own tools, handed to the session that keeps them.

use std::collections::BTreeSet;

use crate::drivers::{DriverError, Session};
use crate::migration::MigrationSet;
use crate::plan::planner::{Index, Native};
use crate::plan::{HistoryRow, MigrationState, Step, StepAction};

/// Has the session keep the tables of the folders' own tools: those that are there, and those that the steps make. A new
/// one gets what was applied before it was there.
pub(super) async fn keep_native<S: Session>(
    session: &mut S,
    set: &MigrationSet,
    mut native: Native,
    steps: &[Step],
    history: &[HistoryRow],
) -> Result<(), DriverError> {
    if native.book.is_empty() {
        return Ok(());
    }
    let index = Index::new(set, history);
    let mut applied = Vec::new();
    for migration in &set.migrations {
        let Some(row) = index.of(migration) else { continue };
        native.book.also_known(&row.unit, &migration.unit);
        if row.state == MigrationState::Applied {
            applied.push((migration.unit.clone(), migration.id.clone()));
        }
    }
    let forward = steps.iter().filter(|s| matches!(s.action, StepAction::Apply | StepAction::Baseline));
    let units: BTreeSet<&str> = forward.map(|s| s.unit.as_str()).collect();
    session.keep_native(&native.book, &native.found, &units, &applied).await
}
