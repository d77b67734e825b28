//! Commands that were refused are audit records too: who asked for what, and why it was not done.

use chrono::Utc;

use super::Bot;
use super::command::Command;
use super::commands::{Order, REFUSED};
use super::error::JobError;
use super::gather::Place;
use super::work::Comment;
use crate::store::{AuditEntry, AuditFilter};

/// The audit word for a command that was not carried out.
const COMMAND_REFUSED: &str = "command-refused";
/// How it ended for somebody with neither write access nor a role.
const STRANGER: &str = "stranger";

impl Bot {
    /// Writes down that a command was refused, once for each command of a comment.
    pub(super) async fn note_refused(
        &self,
        order: &Order<'_>,
        command: &Command,
        text: &str,
        answer: &str,
    ) -> Result<(), JobError> {
        let (repo, number) = (&order.place.repository.name, order.comment.number);
        if self.row_of(repo, number, &order.key(), &[COMMAND_REFUSED]).await?.is_some() {
            return Ok(());
        }
        let mut entry = order.entry(COMMAND_REFUSED, "refused");
        entry.environment = command.environment().cloned();
        entry.basis = Some(answer.trim_start_matches(REFUSED).trim().to_owned());
        entry.details.insert("text".to_owned(), text.to_owned());
        self.store.append_audit(entry).await?;
        Ok(())
    }

    /// Writes down that somebody tried who has neither write access nor a role: once for each person and pull request, so
    /// that nobody from outside fills the log.
    pub(super) async fn note_stranger(&self, place: &Place, comment: &Comment, refused: &str) -> Result<(), JobError> {
        let filter = AuditFilter {
            repo: Some(place.repository.name.clone()),
            pr: Some(comment.number),
            actions: vec![COMMAND_REFUSED],
            ..AuditFilter::default()
        };
        let by = comment.by.as_str();
        if self.store.audit(&filter).await?.iter().any(|r| r.body.actor == by && r.body.result == STRANGER) {
            return Ok(());
        }
        let mut entry = AuditEntry::new(Utc::now(), by, COMMAND_REFUSED, STRANGER);
        entry.repo = Some(place.repository.name.clone());
        entry.pr = Some(comment.number);
        entry.basis = Some(refused.to_owned());
        entry.correlation = comment.correlation.clone();
        self.store.append_audit(entry).await?;
        Ok(())
    }
}
