//! What runs did that were cut short before anybody was told: the run that follows tells of it too (B-8).

use super::Bot;
use super::error::JobError;
use super::merge_run::Journey;
use crate::ids::{EnvironmentName, TargetName};
use crate::migration::execution::{Execution, execution, statements};
use crate::migration::{Migration, MigrationSet};
use crate::plan::{MigrationState, Outcome, RunReport, StepReport};
use crate::store::ledger::AppliedStep;

impl Bot {
    /// Puts what earlier runs of the pull request applied in `environment`, to `targets` or where none are given to any, and
    /// no record tells of, before the steps of `report`.
    pub(super) async fn tell_of_earlier(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        targets: Option<&[TargetName]>,
        report: &mut RunReport,
    ) -> Result<(), JobError> {
        let (repo, number) = (&journey.place.repository.name, journey.gathered.snapshot.number);
        let mut untold = self.store.untold_steps(repo, number, environment).await?;
        untold.retain(|step| targets.is_none_or(|targets| targets.contains(&step.target)));
        add(report, untold, &journey.merged.contents.set);
        Ok(())
    }
}

fn add(report: &mut RunReport, untold: Vec<AppliedStep>, set: &MigrationSet) {
    let mut earlier: Vec<StepReport> = Vec::new();
    for step in untold.into_iter().filter(|s| s.run != report.run) {
        let is_told = |s: &StepReport| s.migration == step.migration && s.target == step.target;
        if report.steps.iter().chain(&earlier).any(is_told) {
            continue;
        }
        if !report.ended.contains(&step.run) {
            report.ended.push(step.run.clone());
        }
        let migration = set.migrations.iter().find(|m| m.unit == step.unit && m.id == step.migration);
        let (count, in_transaction) = migration.map_or((0, true), shape);
        earlier.push(StepReport {
            unit: step.unit,
            migration: step.migration,
            target: step.target,
            engine: step.engine,
            action: step.action,
            recovery: step.recovery,
            in_transaction,
            recovery_reason: String::new(),
            probe: None,
            locks: None,
            rows: None,
            statements: vec![String::new(); count],
            state: MigrationState::Applied,
            notices: Vec::new(),
            verified: 0,
            duration_ms: step.duration_ms,
            error: None,
        });
    }
    if earlier.is_empty() {
        return;
    }
    if report.outcome == Outcome::Nothing {
        report.outcome = Outcome::Applied;
    }
    earlier.append(&mut report.steps);
    report.steps = earlier;
}

/// How many statements a migration has, and whether they are one transaction.
fn shape(migration: &Migration) -> (usize, bool) {
    let count = statements(migration.engine, &migration.up.text).map_or(0, |s| s.len());
    let how = execution(migration.engine, &migration.up.text, migration.directives.no_transaction);
    (count, !matches!(how, Ok(Execution::Statements(_))))
}
