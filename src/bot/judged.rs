//! Leaves what a pull request was judged to be in the store, for the API.

use chrono::{DateTime, Utc};

use super::Bot;
use super::error::JobError;
use super::gather::{Gathered, Place};
use super::handle::look;
use crate::approval::Verdict;
use crate::store::JudgedPull;

impl Bot {
    /// Remembers the verdict about a pull request.
    pub(super) async fn remember_judged(
        &self,
        place: &Place,
        gathered: &Gathered,
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let snapshot = &gathered.snapshot;
        let unwritable = |e: serde_json::Error| JobError::Internal(format!("a verdict cannot be written down: {e}"));
        let judged = JudgedPull {
            repo: snapshot.repo.clone(),
            pr: snapshot.number,
            state: if snapshot.merged { "merged" } else { "open" }.to_owned(),
            look: serde_json::to_string(&look(&place.repository, &gathered.pull)).map_err(unwritable)?,
            head: snapshot.head.clone(),
            base_ref: snapshot.base_ref.clone(),
            status: super::act::status_word(verdict.status).to_owned(),
            summary: crate::redact::text(&verdict.summary),
            binding: snapshot.binding.clone(),
            verdict: crate::redact::text(&serde_json::to_string(verdict).map_err(unwritable)?),
            at: now,
        };
        Ok(self.store.remember_judged(&judged).await?)
    }
}
