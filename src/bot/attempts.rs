//! What an attempt leaves in the audit log: one that only waits, or finds what the one before found, leaves nothing new.

use super::Bot;
use super::error::JobError;
use super::merge_run::{Journey, REPORT, RUN_FINISHED};
use crate::ids::{EnvironmentName, RunId};
use crate::plan::{Outcome, Refusal, RunReport};
use crate::store::{AuditFilter, EnvironmentRecord};

/// The audit word for the beginning of a run.
const RUN_STARTED: &str = "run-started";

impl Bot {
    /// Writes down that a run begins and what allows it, once for as long as that stays the same.
    pub(super) async fn note_started(
        &self,
        journey: &Journey<'_>,
        environment: &EnvironmentName,
        run: &RunId,
        basis: &str,
    ) -> Result<(), JobError> {
        let filter = AuditFilter { run: Some(run.clone()), actions: vec![RUN_STARTED], ..AuditFilter::default() };
        let before = self.store.audit(&filter).await?;
        if before.last().is_some_and(|row| row.body.basis.as_deref() == Some(basis)) {
            return Ok(());
        }
        let mut started = self.entry(journey, environment, RUN_STARTED, "running");
        started.basis = Some(basis.to_owned());
        started.run = Some(run.clone());
        self.store.append_audit(started).await?;
        Ok(())
    }

    /// Whether what keeps a run from beginning is what kept the one before from it, and people were told.
    pub(super) async fn is_told(
        &self,
        before: Option<&EnvironmentRecord>,
        refused: &[Refusal],
    ) -> Result<bool, JobError> {
        let Some(run) = before.filter(|b| b.outcome == Outcome::Blocked).and_then(|b| b.run.clone()) else {
            return Ok(false);
        };
        let filter = AuditFilter { run: Some(run), actions: vec![RUN_FINISHED], ..AuditFilter::default() };
        let rows = self.store.audit(&filter).await?;
        let report = rows.last().and_then(|row| serde_json::from_str::<RunReport>(row.body.details.get(REPORT)?).ok());
        Ok(report.is_some_and(|report| are_the_same(&report.blocked_by, refused)))
    }
}

fn are_the_same(before: &[Refusal], now: &[Refusal]) -> bool {
    let told = |r: &Refusal| (r.reason.clone(), r.message.clone());
    !now.is_empty() && before.iter().map(told).eq(now.iter().map(told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bot::decide::refusal;

    #[test]
    fn only_the_same_reasons_in_the_same_words_are_told_already() {
        let one = |message: &str| vec![refusal("history", message.into(), "anything".into())];
        assert!(are_the_same(&one("a"), &one("a")));
        assert!(!are_the_same(&one("a"), &one("b")) && !are_the_same(&one("a"), &[]) && !are_the_same(&[], &[]));
        assert!(!are_the_same(&one("a"), &[one("a"), one("b")].concat()));
    }
}
