//! What the base branch of a pull request means for it: a stacked one is only linted, and a branch that does not ask for
//! our check is pointed out.

use super::Bot;
use super::error::JobError;
use super::gather::{Gathered, Place};
use super::guarded::unguarded;
use crate::approval::{Status, Verdict};
use crate::github::GithubError;
use crate::ids::PrNumber;

/// The verdict about a pull request whose base is the branch of another one. It must not look approved: it may be aimed at
/// another branch and merged within the same second.
pub(super) fn verdict(mut verdict: Verdict, below: PrNumber, base: &str) -> Verdict {
    let lint = |gate: &&crate::approval::Evaluation| matches!(gate.name.as_str(), "lint" | "configuration");
    // What is wrong with the files is wrong in a stack as well.
    let wrong = verdict.gates.iter().find(lint).map(|g| g.reason.clone());
    verdict.gates.retain(|g| lint(&g));
    verdict.missing_roles.clear();
    verdict.status = if wrong.is_some() { Status::Disapproved } else { Status::Skipped };
    verdict.summary = wrong.unwrap_or_else(|| {
        format!("Stacked on pull request {}: linted only, judged once it goes into another branch", below.0)
    });
    verdict.notes.push(format!(
        "`{base}` is the branch of pull request {}, and no environment belongs to it: nobody is asked and nothing runs \
         here. When that one is merged, GitHub aims this one at its base, and it is judged from scratch",
        below.0
    ));
    verdict
}

impl Bot {
    /// The open pull request whose branch is the base of this one.
    pub(super) async fn stacked_on(&self, place: &Place, gathered: &Gathered) -> Result<Option<PrNumber>, JobError> {
        let (base, default) = (&gathered.pull.base.branch, &place.repository.default_branch);
        let concerns = !gathered.contents.policy.chain(base, default).is_empty();
        if gathered.merged.is_some() || base == default || concerns {
            return Ok(None);
        }
        let open = place.api.open_pulls(None).await?;
        let below = open.iter().find(|p| p.head.branch == *base && !p.from_fork() && p.number != gathered.pull.number);
        Ok(below.map(|p| p.number))
    }

    /// What people should know where a pull request with migrations could be merged without our check.
    pub(super) async fn unprotected(&self, place: &Place, gathered: &Gathered) -> Result<Option<String>, JobError> {
        let base = &gathered.pull.base.branch;
        let policy = &gathered.contents.policy;
        let concerned = gathered.snapshot.binding.is_some()
            && gathered.merged.is_none()
            && !policy.chain(base, &place.repository.default_branch).is_empty();
        if !concerned {
            return Ok(None);
        }
        match place.api.required_checks(base).await {
            Ok(checks) => {
                let open = unguarded(&checks, self.github.app_id());
                Ok(open.map(|(what, advice)| format!("`{base}` {what}: {advice}")))
            }
            Err(GithubError::Forbidden { .. } | GithubError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}
