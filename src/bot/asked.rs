//! What people asked for in an environment, read back from the audit log, so that it holds when the work is repeated.

use chrono::{DateTime, TimeDelta, Utc};

use super::Bot;
use super::error::JobError;
use crate::ids::{Digest, EnvironmentName, PrNumber, RepoName};
use crate::store::{AuditEntry, AuditFilter, AuditRecord};

/// The audit word for asking for a run of what is merged.
pub(super) const APPLIED: &str = "apply";
/// The audit word for opening a manual gate.
pub(super) const PROMOTED: &str = "promote";
/// The audit word for trying again.
pub(super) const RETRY: &str = "retry";
/// The audit word for a run without approvals.
pub(super) const EMERGENCY: &str = "emergency";
/// The audit word for taking back what waits to run.
pub(super) const CANCELLED: &str = "cancel";
/// The audit word for letting a contract migration run.
pub(super) const RELEASED: &str = "release";
/// The detail that says until when an emergency holds, in milliseconds.
pub(super) const UNTIL: &str = "until";
/// The detail that says which command of which comment it was.
pub(super) const COMMAND: &str = "command";
/// What is looked for: rows of any other kind, however many, push none of these out.
const ACTIONS: [&str; 5] = [PROMOTED, RETRY, EMERGENCY, CANCELLED, RELEASED];

/// What people asked for about one digest in one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Somebody opened the manual gate.
    pub promoted: bool,
    /// When somebody last asked to try again.
    pub retry_at: Option<DateTime<Utc>>,
    /// When something was last let go.
    pub released_at: Option<DateTime<Utc>>,
    /// Who passes over the approvals, and why.
    pub emergency: Option<(String, String)>,
    /// Who took it back before it ran, and has not been overruled since.
    pub cancelled: Option<String>,
}

/// What is asked for about which content, where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub repo: &'a RepoName,
    pub number: PrNumber,
    pub environment: &'a EnvironmentName,
    pub digest: &'a Digest,
}

impl Bot {
    /// What people asked for, as of `now`.
    pub(super) async fn asked(&self, about: Subject<'_>, now: DateTime<Utc>) -> Result<Asked, JobError> {
        Ok(read(&self.rows(about).await?, about.digest, now))
    }

    /// Writes down what somebody asks for, once for each command of a comment.
    pub(super) async fn note_asked(
        &self,
        about: Subject<'_>,
        command: &str,
        mut entry: AuditEntry,
    ) -> Result<(), JobError> {
        let known = self
            .rows(about)
            .await?
            .iter()
            .any(|r| r.body.action == entry.action && r.body.details.get(COMMAND).is_some_and(|c| c == command));
        if known {
            return Ok(());
        }
        entry.repo = Some(about.repo.clone());
        entry.pr = Some(about.number);
        entry.environment = Some(about.environment.clone());
        entry.digest = Some(about.digest.clone());
        entry.details.insert(COMMAND.to_owned(), command.to_owned());
        self.store.append_audit(entry).await?;
        Ok(())
    }

    /// The row of a command of a comment that asked for something in an environment, where it was carried out before.
    pub(super) async fn row_of(
        &self,
        repo: &RepoName,
        number: PrNumber,
        command: &str,
        actions: &[&'static str],
    ) -> Result<Option<AuditRecord>, JobError> {
        let filter = AuditFilter {
            repo: Some(repo.clone()),
            pr: Some(number),
            actions: actions.to_vec(),
            ..AuditFilter::default()
        };
        let rows = self.store.audit(&filter).await?;
        Ok(rows.into_iter().find(|r| r.body.details.get(COMMAND).is_some_and(|c| c == command)))
    }

    async fn rows(&self, about: Subject<'_>) -> Result<Vec<AuditRecord>, JobError> {
        let filter = AuditFilter {
            repo: Some(about.repo.clone()),
            pr: Some(about.number),
            environment: Some(about.environment.clone()),
            actions: ACTIONS.to_vec(),
            ..AuditFilter::default()
        };
        Ok(self.store.audit(&filter).await?)
    }
}

fn read(rows: &[AuditRecord], digest: &Digest, now: DateTime<Utc>) -> Asked {
    let mut asked = Asked::default();
    for body in rows.iter().map(|r| &r.body).filter(|b| b.digest.as_deref() == Some(digest.as_str())) {
        match body.action.as_str() {
            // What was taken back stays so until somebody asks to try again.
            PROMOTED => asked.promoted = true,
            RETRY => {
                asked.retry_at = asked.retry_at.max(Some(body.at));
                asked.cancelled = None;
            }
            CANCELLED => asked.cancelled = Some(body.actor.clone()),
            RELEASED => asked.released_at = asked.released_at.max(Some(body.at)),
            EMERGENCY => {
                asked.cancelled = None;
                let until = body.details.get(UNTIL).and_then(|t| t.parse().ok()).unwrap_or(0);
                if now.timestamp_millis() < until {
                    asked.emergency = Some((body.actor.clone(), body.basis.clone().unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
    asked
}

/// Until when an emergency holds that was declared at `now`, in the words of the detail.
pub(super) fn until(now: DateTime<Utc>, hours: u32) -> String {
    let hours = TimeDelta::try_hours(i64::from(hours)).unwrap_or(TimeDelta::zero());
    now.checked_add_signed(hours).unwrap_or(now).timestamp_millis().to_string()
}
