//! What a run of the command line leaves in the audit log.

use chrono::Utc;

use crate::ids::TargetName;
use crate::plan::RunReport;
use crate::runner::{Actor, Keeper};
use crate::store::{AuditEntry, Store, StoreError};

/// Appends what a run did to the audit log, if it got as far as the store; before that, what runs did that were cut short
/// and could not say it themselves.
pub(super) async fn audit(keeper: &Keeper, actor: &Actor, action: &str, report: &RunReport, reason: Option<&str>) {
    let Some(store) = keeper.if_open() else { return };
    if let Err(error) = audit_interrupted(store, actor).await {
        super::print::talk(&format!(
            "warning: what an interrupted run did could not be written into the audit log: {error}"
        ));
    }
    let mut entry = AuditEntry::new(Utc::now(), &actor.by, action, report.outcome.as_str());
    entry.environment.clone_from(&report.environment);
    entry.target = report.steps.first().map(|s| s.target.clone());
    entry.digest = Some(report.digest.clone());
    entry.run = Some(report.run.clone());
    entry.basis = reason.map(str::to_owned);
    for step in &report.steps {
        entry.details.insert(format!("{}/{}", step.target, step.migration), step.state.as_str().to_owned());
    }
    if let Some(health) = report.health.as_ref().filter(|health| !health.summary().is_empty()) {
        entry.details.insert("health".to_owned(), crate::redact::text(&health.summary()));
    }
    let proved = store.prove(&mut entry).await;
    if let Err(error) = proved.and(store.append_audit(entry).await) {
        super::print::talk(&format!("warning: the run is recorded, but the audit log could not be written: {error}"));
    }
}

/// Appends what runs did that were cut short.
async fn audit_interrupted(store: &Store, actor: &Actor) -> Result<(), StoreError> {
    for run in store.unaudited_runs().await? {
        let mut entry = AuditEntry::new(Utc::now(), &run.by, format!("{}-interrupted", run.action), "interrupted");
        entry.environment = run.environment;
        entry.basis =
            Some(format!("begun at {}, found by {}", run.started_at.format("%Y-%m-%d %H:%M:%S UTC"), actor.by));
        for step in store.logged_steps(&run.run).await? {
            entry.target = entry.target.or_else(|| TargetName::new(step.target.as_str()).ok());
            entry.details.insert(format!("{}/{}", step.target, step.migration), step.state);
        }
        entry.run = Some(run.run);
        store.prove(&mut entry).await?;
        store.append_audit(entry).await?;
    }
    Ok(())
}
