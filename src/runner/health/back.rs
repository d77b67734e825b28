//! The way back after a check that failed: what the run applied is undone where that takes nothing else away, else the
//! commands are named. A backup is never brought back by itself.

use super::super::{ApplyOptions, Call, rollback};
use super::HealthWish;
use crate::config::health::OnFailure;
use crate::migration::naming::quoted;
use crate::migration::{Migration, MigrationSet};
use crate::plan::health::unsafe_to_undo;
use crate::plan::planner::{Selector, belongs};
use crate::plan::{MigrationState, Outcome, RunReport, StepAction, StepReport};

/// Undoes, newest first, and says what was undone or how it is done.
pub(super) async fn take_back(call: &Call<'_>, report: &mut RunReport, wish: &HealthWish) -> String {
    let applied: Vec<usize> = (0..report.steps.len())
        .rev()
        .filter(|n| {
            let step = &report.steps[*n];
            step.state == MigrationState::Applied && step.action == StepAction::Apply
        })
        .collect();
    if applied.is_empty() {
        return format!("this run applied nothing; look at what fails{}", restoring(report));
    }
    let mut found = Vec::with_capacity(applied.len());
    for n in applied {
        match find(call, &report.steps[n]) {
            Ok(migration) if wish.checks.on_failure == OnFailure::Rollback => found.push((n, migration)),
            Ok(_) => return by_hand(call.set, report, "`on_failure` is `stop`"),
            Err(why) => return by_hand(call.set, report, &why),
        }
    }
    let mut undone = Vec::new();
    for (n, migration) in found {
        let reference = migration.reference();
        let target = call.targets.iter().find(|t| t.name == report.steps[n].target);
        let Some(target) = target else { return by_hand(call.set, report, "a database is missing") };
        let options = ApplyOptions {
            health: None,
            run: None,
            backup: None,
            approved: None,
            to: None,
            service: None,
            accept_data_loss: false,
            by_itself: true,
            beside: call.targets.iter().filter(|t| t.name != target.name).cloned().collect(),
            ..call.options.clone()
        };
        let target = std::slice::from_ref(target);
        let selector = Selector::Migration(reference.clone());
        let back = Box::pin(rollback(call.keeper, call.set, target, call.actor, &options, selector)).await;
        let why = match back {
            Ok(back) if back.outcome == Outcome::Applied => {
                report.steps[n].state = MigrationState::RolledBack;
                undone.push(format!("`{reference}`"));
                continue;
            }
            Ok(back) => {
                let step = back.steps.iter().find_map(|s| s.error.as_ref()).map(|e| e.message.clone());
                step.or_else(|| back.blocked_by.first().map(|r| r.message.clone())).unwrap_or_default()
            }
            Err(error) => error.to_string(),
        };
        let said = by_hand(call.set, report, &format!("undoing `{reference}` did not work: {why}"));
        return if undone.is_empty() { said } else { format!("{} was undone; {said}", undone.join(", ")) };
    }
    format!("{} was undone by itself; correct the cause and bring it in again", undone.join(", "))
}

/// The migration of a step, if it may be undone by itself.
fn find<'a>(call: &Call<'a>, step: &StepReport) -> Result<&'a Migration, String> {
    let mut all =
        call.set.migrations.iter().filter(|m| m.id == step.migration && belongs(m, &step.target, step.engine));
    let (Some(migration), None) = (all.next(), all.next()) else {
        return Err(format!("`{}` is the name of several migrations", step.migration));
    };
    match unsafe_to_undo(migration) {
        None => Ok(migration),
        Some(why) => Err(format!("`{}` is not undone by itself: {why}", migration.reference())),
    }
}

/// How a person does it.
fn by_hand(set: &MigrationSet, report: &RunReport, why: &str) -> String {
    let environment = report.environment.as_ref().map_or(" --url … --path …".to_owned(), |e| format!(" --env {e}"));
    let applied = report
        .steps
        .iter()
        .rev()
        .filter(|s| s.state == MigrationState::Applied && s.action == StepAction::Apply)
        .map(|s| format!("`godwit rollback{environment} {}`", quoted(&set.name(&s.unit, s.migration.as_str()))))
        .collect::<Vec<_>>()
        .join(", then ");
    format!("{why}; to undo: {applied}{}", restoring(report))
}

/// The backup, if one was made.
fn restoring(report: &RunReport) -> String {
    match (&report.backup, &report.environment) {
        (Some(backup), Some(environment)) => {
            let files = backup.split(", ").map(|file| format!("`godwit restore {environment} {file}`"));
            format!("; or bring the backup back: {}", files.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}
