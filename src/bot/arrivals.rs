//! How far a merged pull request came, for its summary.

use super::Bot;
use super::decide;
use super::error::JobError;
use super::gather::{Gathered, Place};
use super::merge_run::{REPORT, RUN_FINISHED};
use super::plans::taking;
use crate::ids::RunId;
use crate::migration::Migration;
use crate::plan::{MigrationState, Outcome, RunReport};
use crate::report::arrival::{Arrival, Stand};
use crate::store::turns::{Turn, TurnState};
use crate::store::{AuditFilter, AuditRecord, EnvironmentRecord};

impl Bot {
    /// How every environment of the branch stands; `None` for what is not merged.
    pub(super) async fn arrivals(&self, place: &Place, gathered: &Gathered) -> Result<Option<Vec<Arrival>>, JobError> {
        let Some(merged) = &gathered.merged else { return Ok(None) };
        let Some(digest) = &merged.contents.digest else { return Ok(Some(Vec::new())) };
        let own: Vec<&Migration> = merged.contents.own_migrations().collect();
        let (repo, number) = (&place.repository.name, gathered.snapshot.number);
        let mut arrivals = Vec::new();
        for (environment, _) in taking(place, gathered, &own) {
            let record = self.store.latest_environment(repo, environment, digest).await?;
            let turn = self.store.turns(repo, environment).await?.into_iter().find(|t| t.pr == number);
            let ended = match record.as_ref().and_then(|r| r.run.clone()) {
                Some(run) => self.end_of_run(run).await?,
                None => None,
            };
            let report = ended.and_then(|row| serde_json::from_str::<RunReport>(row.body.details.get(REPORT)?).ok());
            let stand = stand(record.as_ref(), turn.as_ref(), report.as_ref());
            arrivals.push(Arrival { environment: environment.clone(), stand, report });
        }
        Ok(Some(arrivals))
    }

    /// The audit row of a run's end.
    pub(super) async fn end_of_run(&self, run: RunId) -> Result<Option<AuditRecord>, JobError> {
        let filter = AuditFilter { run: Some(run), actions: vec![RUN_FINISHED], ..AuditFilter::default() };
        Ok(self.store.audit(&filter).await?.pop())
    }
}

fn stand(record: Option<&EnvironmentRecord>, turn: Option<&Turn>, report: Option<&RunReport>) -> Stand {
    if decide::holds(record) {
        return Stand::Holds;
    }
    // Whoever waits or runs again after a failure is further than the record of it.
    if let Some(turn) = turn {
        return match turn.state {
            TurnState::Waiting => Stand::Waits(turn.reason.clone()),
            TurnState::Queued => Stand::Waits("turn".to_owned()),
            TurnState::Running if turn.rests() => Stand::Waits("busy".to_owned()),
            TurnState::Running => Stand::Runs,
        };
    }
    let undone = report.is_some_and(|r| r.steps.iter().any(|s| s.state == MigrationState::RolledBack));
    match record.map(|r| r.outcome) {
        Some(Outcome::NeedsHuman) => Stand::NeedsHuman,
        Some(Outcome::Failed) if undone => Stand::Undone,
        Some(Outcome::Failed) => Stand::Failed,
        Some(Outcome::Blocked) => {
            let reason = report.and_then(|r| r.blocked_by.first()).map(|refusal| refusal.reason.clone());
            Stand::Waits(reason.unwrap_or_default())
        }
        Some(Outcome::Applied | Outcome::Nothing | Outcome::Planned) | None => Stand::Ahead,
    }
}
