//! `emergency`: a run of one content in one environment without approvals, window and order; a review follows (B-18).

use chrono::{TimeDelta, Utc};

use super::Bot;
use super::asked::{EMERGENCY, UNTIL, until};
use super::commands::Order;
use super::decide::stamp;
use super::error::JobError;
use super::gather::{Found, Gathered};
use super::orders::{merged_digest, refused};
use crate::approval::{EnvironmentVerdict, Status, evaluate_environment};
use crate::github::GithubError;
use crate::ids::{Digest, EnvironmentName};
use crate::report::escape::{self, code, prose};
use crate::store::rollbacks::RequestState;

/// The label of the issues that ask for a review afterwards.
const LABEL: &str = "godwit:emergency-review";

impl Bot {
    pub(super) async fn order_emergency(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        reason: &str,
    ) -> Result<String, JobError> {
        let (repo, number) = (&order.place.repository.name, order.comment.number);
        let Found::Complete(gathered) = self.gather(order.place, number, order.now).await? else {
            return Ok("The policy of the base branch cannot be read.".to_owned());
        };
        let policy = &gathered.contents.policy;
        let risk = gathered.snapshot.binding.as_ref().map_or(gathered.contents.report.risk, |b| b.risk);
        let name = code(environment.as_str());
        let Some(cell) = policy.matrix.cell(environment, risk).filter(|c| c.emergency_override) else {
            return Ok(refused(
                &format!("`emergency_override` of `{environment}` at risk {risk} does not let an emergency pass"),
                "ask for the approvals",
            ));
        };
        // A rollback that waits for its second person is what the emergency is about, where there is one.
        let pending = self.store.rollback_requests(repo, number, RequestState::Pending).await?;
        if let Some(request) = pending.into_iter().find(|r| &r.environment == environment) {
            let by = &order.comment.by;
            if self.store.move_rollback(&request.id, RequestState::Pending, RequestState::Ready, Some(by)).await? {
                let mut entry = order.entry(EMERGENCY, "rollback");
                entry.environment = Some(environment.clone());
                entry.basis = Some(reason.to_owned());
                entry.details.insert("request".to_owned(), request.id.to_string());
                self.store.append_audit(entry).await?;
                self.enqueue_look(order.place, order.pull).await?;
            }
            return Ok(format!("The rollback {} runs in {name} without a second person.", code(request.id.as_str())));
        }
        let Some(digest) = merged_digest(&gathered).filter(|_| order.pull.is_merged()) else {
            return Ok(refused(
                "this pull request is not merged, and an emergency holds for merged content only",
                "merge it; who may bypass the required checks can do that without approvals",
            ));
        };
        let base = (&order.pull.base.branch, &order.place.repository.default_branch);
        if !policy.chain(base.0, base.1).iter().any(|(e, _)| *e == environment) {
            return Ok(refused(&format!("a merge into `{}` does not concern `{environment}`", base.0), ""));
        }
        let verdict = evaluate_environment(policy, &gathered.snapshot, environment, order.now);
        if let Some(hold) = verdict.evaluation.children.iter().find(|c| c.name == "hold") {
            return Ok(refused(&hold.reason, "an emergency does not pass over a `hold`"));
        }
        let mut entry = order.entry(EMERGENCY, "asked");
        entry.basis = Some(reason.to_owned());
        entry.commit = gathered.merged.as_ref().map(|m| m.commit.clone());
        entry.policy_hash = Some(policy.hash.clone());
        entry.details.insert(UNTIL.to_owned(), until(order.now, cell.timeout_hours));
        entry.details.insert("skipped".to_owned(), skipped(&verdict).join("; "));
        self.note_asked(order.about(environment, digest), &order.key(), entry).await?;
        let follow =
            self.follow_up(order, &gathered, environment, digest, &verdict, reason, cell.timeout_hours).await?;
        self.enqueue_look(order.place, order.pull).await?;
        Ok(format!(
            "🚨 {name} runs {} without approvals, window and promotion order, for {} hours at most and this content only. Lint \
             errors, backups, locks and the rules about applied migrations hold as always. {follow}",
            code(digest.as_str()),
            cell.timeout_hours
        ))
    }

    /// Opens the issue that asks for the review afterwards; says where.
    #[expect(clippy::too_many_arguments, reason = "everything that the issue tells")]
    async fn follow_up(
        &self,
        order: &Order<'_>,
        gathered: &Gathered,
        environment: &EnvironmentName,
        digest: &Digest,
        verdict: &EnvironmentVerdict,
        reason: &str,
        hours: u32,
    ) -> Result<String, JobError> {
        let number = order.comment.number;
        let due = Utc::now() + TimeDelta::try_hours(i64::from(hours)).unwrap_or(TimeDelta::zero());
        let missing: String = skipped(verdict).iter().map(|m| format!("- [ ] {}\n", prose(m))).collect();
        let missing = if missing.is_empty() { "- [ ] nobody: every approval was there\n".to_owned() } else { missing };
        let marker = format!("<!-- godwit:emergency:{number}:{environment}:{digest} -->");
        let body = format!(
            "{} let {number} run in {} as an emergency.\n\n| | |\n|---|---|\n| Reason | {} |\n| Digest | {} |\n| Risk | {} |\n| \
             Review due | {} |\n\n### Approvals that were skipped\n\n{missing}\nWho is named reads the change now, and says here \
             whether it may stay.\n",
            code(&format!("@{}", order.comment.by)),
            code(environment.as_str()),
            escape::inline(&crate::redact::text(reason)),
            code(digest.as_str()),
            gathered.contents.report.risk,
            stamp(due),
        );
        let title = format!("Review the emergency run of {number} in {environment}, due {}", stamp(due));
        order.place.api.ensure_label(LABEL, "b60205", "An emergency run that has to be reviewed").await?;
        match order.place.api.keep_issue(&marker, LABEL, &title, &body).await {
            Ok(issue) => Ok(format!("The review afterwards is #{}, due {}.", issue.number, stamp(due))),
            Err(
                error @ (GithubError::NotFound { .. } | GithubError::Rejected { .. } | GithubError::Forbidden { .. }),
            ) => {
                tracing::warn!(%error, "the issue about an emergency could not be opened");
                Ok(format!(
                    "The review afterwards is due {}; its issue could not be opened. Skipped: {}.",
                    stamp(due),
                    prose(&skipped(verdict).join("; "))
                ))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The approvals that are not there.
fn skipped(verdict: &EnvironmentVerdict) -> Vec<String> {
    match verdict.evaluation.status {
        Status::Approved | Status::Skipped => Vec::new(),
        Status::Pending | Status::Disapproved if verdict.evaluation.missing.is_empty() => {
            vec![verdict.evaluation.reason.clone()]
        }
        Status::Pending | Status::Disapproved => verdict.evaluation.missing.clone(),
    }
}
