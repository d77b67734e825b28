//! What a run's audit row says of the scripts that ran: enough to prove later which bytes they were (B-17).

use serde::Serialize;

use super::plans::migration_of;
use crate::ids::TargetName;
use crate::migration::MigrationSet;
use crate::plan::{RunReport, StepAction};

/// A script that a step ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ran {
    target: TargetName,
    /// `unit/id`.
    migration: String,
    path: String,
    /// Of its raw bytes.
    sha256: String,
}

/// The scripts behind the steps of a report, in their order. A step that ran none has none.
pub(super) fn ran(set: &MigrationSet, report: &RunReport) -> Vec<Ran> {
    let script = |step: &crate::plan::StepReport| {
        let migration = migration_of(set, step)?;
        let script = match step.action {
            StepAction::Apply | StepAction::Baseline => &migration.up,
            StepAction::Rollback | StepAction::Undo => migration.down.as_ref()?,
        };
        let file = migration.files.iter().find(|f| f.path == script.path)?;
        Some(Ran {
            target: step.target.clone(),
            migration: migration.reference(),
            path: file.path.clone(),
            sha256: file.sha256.clone(),
        })
    };
    report.steps.iter().filter_map(script).collect()
}
