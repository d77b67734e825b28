//! `emergency`: a run of one content in one environment without approvals, window and order, or a rollback without its
//! second person; a review follows (B-18).

use chrono::{DateTime, Utc};

use super::Bot;
use super::asked::{EMERGENCY, UNTIL, until};
use super::commands::Order;
use super::decide::{hold, stamp};
use super::error::JobError;
use super::gather::Found;
use super::orders::{merged_digest, refused};
use super::permission::who_rolls_back;
use crate::approval::{EnvironmentVerdict, Status, evaluate_environment};
use crate::github::GithubError;
use crate::ids::{EnvironmentName, RunId};
use crate::report::escape::{self, code, prose};
use crate::store::AuditBody;
use crate::store::rollbacks::RequestState;

/// The label of the issues that ask for a review afterwards.
const LABEL: &str = "godwit:emergency-review";

/// What is recorded where an emergency rollback was given no reason.
const NOT_GIVEN: &str = "not given";
/// The detail that names the rollback that an emergency lets run.
const REQUEST: &str = "request";
/// How an emergency ended that came too late for its rollback.
const EXPIRED: &str = "expired";

impl Bot {
    pub(super) async fn order_emergency(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        reason: Option<&str>,
    ) -> Result<String, JobError> {
        let (repo, number) = (&order.place.repository.name, order.comment.number);
        // What this very command did before it does again and nothing else, whatever happened since.
        let before = self.row_of(repo, number, &order.key(), &[EMERGENCY]).await?;
        if let Some(row) = before.as_ref().filter(|row| row.body.details.contains_key(REQUEST)) {
            return self.let_undo(order, environment, &row.body).await;
        }
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
        let until = until(order.now, cell.timeout_hours);
        // A rollback that waits for its second person is what the emergency is about, where there is one.
        let pending = self.store.rollback_requests(repo, number, RequestState::Pending).await?;
        if let Some(request) = pending.into_iter().find(|r| before.is_none() && &r.environment == environment) {
            let late = Utc::now() > request.expires_at;
            let mut entry = order.entry(EMERGENCY, if late { EXPIRED } else { "rollback" });
            entry.environment = Some(environment.clone());
            entry.basis = Some(reason.unwrap_or(NOT_GIVEN).to_owned());
            entry.details.insert(REQUEST.to_owned(), request.id.to_string());
            entry.details.insert(UNTIL.to_owned(), until);
            // Written down before anything is done: whoever repeats it finds what it was about.
            self.store.append_audit(entry).await?;
            let row = self.row_of(repo, number, &order.key(), &[EMERGENCY]).await?;
            let missing = || JobError::Internal("an audit record that was just written is not there".to_owned());
            return self.let_undo(order, environment, &row.ok_or_else(missing)?.body).await;
        }
        let Some(reason) = reason else {
            return Ok(format!(
                "⚠️ a reason is missing: {}.",
                code(&format!("/godwit emergency {environment} REASON"))
            ));
        };
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
        if let Some(hold) = hold(&verdict).filter(|_| before.is_none()) {
            return Ok(refused(&hold.reason, "an emergency does not pass over a `hold`"));
        }
        let mut entry = order.entry(EMERGENCY, "asked");
        entry.basis = Some(reason.to_owned());
        entry.commit = gathered.merged.as_ref().map(|m| m.commit.clone());
        entry.policy_hash = Some(policy.hash.clone());
        entry.details.insert(UNTIL.to_owned(), until.clone());
        entry.details.insert("skipped".to_owned(), skipped(&verdict).join("; "));
        self.note_asked(order.about(environment, digest), &order.key(), entry).await?;
        let due = due(before.as_ref().and_then(|row| row.body.details.get(UNTIL)).unwrap_or(&until));
        let review = Review {
            marker: format!("<!-- godwit:emergency:{number}:{environment}:{digest} -->"),
            title: format!("Review the emergency run of {number} in {environment}, due {due}"),
            what: format!("let {number} run in {name} as an emergency"),
            rows: vec![
                ("Reason", escape::inline(&crate::redact::text(reason))),
                ("Digest", code(digest.as_str())),
                ("Risk", gathered.contents.report.risk.to_string()),
            ],
            skipped: skipped(&verdict),
            due,
        };
        let follow = self.follow_up(order, review).await?;
        self.enqueue_look(order.place, order.pull).await?;
        Ok(format!(
            "🚨 {name} runs {} without approvals, window and promotion order, for {} hours at most and this content only. Lint \
             errors, backups, locks and the rules about applied migrations hold as always. {follow}",
            code(digest.as_str()),
            cell.timeout_hours
        ))
    }

    /// Lets the rollback run that an emergency names, as `row` says; doing it again changes nothing.
    async fn let_undo(
        &self,
        order: &Order<'_>,
        environment: &EnvironmentName,
        row: &AuditBody,
    ) -> Result<String, JobError> {
        let (repo, number) = (&order.place.repository.name, order.comment.number);
        let id = row.details.get(REQUEST).and_then(|id| RunId::new(id.as_str()).ok());
        let request = match &id {
            Some(id) => self.store.rollback_request(repo, id).await?,
            None => None,
        };
        let Some(request) = request else {
            return Ok(refused("the rollback that this was about is not known any more", "ask for it again"));
        };
        let (id, name) = (code(request.id.as_str()), code(environment.as_str()));
        if row.result == EXPIRED {
            self.store.move_rollback(&request.id, RequestState::Pending, RequestState::Withdrawn, None).await?;
            return Ok(refused(
                &format!("the rollback `{}` expired at {}", request.id, stamp(request.expires_at)),
                "ask for it again, or write the emergency once more for a run forward",
            ));
        }
        let by = &order.comment.by;
        self.store.move_rollback(&request.id, RequestState::Pending, RequestState::Ready, Some(by)).await?;
        let now = self.store.rollback_request(repo, &request.id).await?.map_or(request.state, |r| r.state);
        if now == RequestState::Withdrawn {
            return Ok(refused(&format!("the rollback `{}` is withdrawn", request.id), "ask for it again"));
        }
        let due = row.details.get(UNTIL).map(|until| due(until)).unwrap_or_default();
        let review = Review {
            marker: format!("<!-- godwit:emergency:{number}:{environment}:{} -->", request.id),
            title: format!("Review the emergency rollback on {number} in {environment}, due {due}"),
            what: format!("let a rollback run in {name} without a second person, on {number}"),
            rows: vec![
                ("Reason", escape::inline(&crate::redact::text(row.basis.as_deref().unwrap_or(NOT_GIVEN)))),
                ("Migration", code(&request.migration)),
                ("Request", id.clone()),
                ("Asked by", code(&format!("@{}", request.asked_by))),
            ],
            skipped: vec![format!("a second person: {}", who_rolls_back(order.policy, environment))],
            due,
        };
        let follow = self.follow_up(order, review).await?;
        self.enqueue_look(order.place, order.pull).await?;
        Ok(format!("The rollback {id} runs in {name} without a second person. {follow}"))
    }

    /// Opens the issue that asks for the review afterwards, unless it is there; says where.
    async fn follow_up(&self, order: &Order<'_>, review: Review) -> Result<String, JobError> {
        let Review { marker, title, what, rows, skipped, due } = review;
        let missing: String = skipped.iter().map(|m| format!("- [ ] {}\n", prose(m))).collect();
        let missing = if missing.is_empty() { "- [ ] nobody: every approval was there\n".to_owned() } else { missing };
        let rows: String = rows.into_iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
        let body = format!(
            "{} {what}.\n\n| | |\n|---|---|\n{rows}| Review due | {due} |\n\n### Approvals that were skipped\n\n{missing}\nWho is \
             named reads the change now, and says here whether it may stay.\n",
            code(&format!("@{}", order.comment.by)),
        );
        order.place.api.ensure_label(LABEL, "b60205", "An emergency run that has to be reviewed").await?;
        match order.place.api.keep_issue(&marker, LABEL, &title, &body).await {
            Ok(issue) => Ok(format!("The review afterwards is #{}, due {due}.", issue.number)),
            Err(
                error @ (GithubError::NotFound { .. } | GithubError::Rejected { .. } | GithubError::Forbidden { .. }),
            ) => {
                tracing::warn!(%error, "the issue about an emergency could not be opened");
                Ok(format!(
                    "The review afterwards is due {due}; its issue could not be opened. Skipped: {}.",
                    prose(&skipped.join("; "))
                ))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What the issue tells that asks for the review afterwards.
struct Review {
    marker: String,
    title: String,
    /// What was let run, behind who let it.
    what: String,
    rows: Vec<(&'static str, String)>,
    skipped: Vec<String>,
    due: String,
}

/// The moment of a detail, as people read it.
fn due(until: &str) -> String {
    until.parse().ok().and_then(DateTime::from_timestamp_millis).map(stamp).unwrap_or_default()
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
