//! Merge queues: the required checks must stand on the group's head as well, or the queue waits for ever (B-19).

use chrono::{DateTime, Utc};

use super::contents::{self, Branches, Compare, Contents, Unreadable};
use super::error::JobError;
use super::gather::{Found, Place};
use super::heads::Speaker;
use super::{Bot, act, decide};
use crate::approval::Status;
use crate::git::{Mirror, Want};
use crate::ids::CommitSha;
use crate::report::check_run::{self, CheckOutput, Conclusion};

impl Bot {
    /// Judges a group: green when every migration file that it brings is one that an approved pull request brings,
    /// byte for byte. The group may hold several, in any way of merging, so commits are not compared.
    pub(super) async fn judge_group(
        &self,
        place: &Place,
        head: &CommitSha,
        base_ref: &str,
        base: &CommitSha,
        now: DateTime<Utc>,
    ) -> Result<(), JobError> {
        let group = Speaker { number: None, base_ref };
        let contents = match self.group_contents(place, head, base, base_ref, now).await? {
            Ok(contents) => contents,
            Err(errors) => {
                let broken = check_run::lint_output(&act::empty_report(), &errors);
                self.show_check(place, group, head, check_run::LINT, &broken).await?;
                return self.show_check(place, group, head, check_run::APPROVAL, &broken).await;
            }
        };
        let lint = check_run::lint_output(&contents.report, &contents.proposed_errors);
        self.show_check(place, group, head, check_run::LINT, &lint).await?;
        let approval = self.group_approval(place, &contents, base_ref, now).await?;
        self.show_check(place, group, head, check_run::APPROVAL, &approval).await
    }

    async fn group_contents(
        &self,
        place: &Place,
        head: &CommitSha,
        base: &CommitSha,
        base_ref: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<Contents, Vec<crate::config::ConfigError>>, JobError> {
        let (head, base, today) = (head.clone(), base.clone(), now.date_naive());
        let into = Branches { base: base_ref.to_owned(), default: place.repository.default_branch.clone() };
        let wants = [Want::Commit(head.clone()), Want::Commit(base.clone())];
        let read = move |mirror: &Mirror| contents::read(mirror, &base, &head, Compare::Merged, Some(&into), today);
        self.git(place, &wants, move |mirror| match read(mirror) {
            Ok(contents) => Ok(Ok(contents)),
            Err(Unreadable::Policy(errors)) => Ok(Err(errors)),
            Err(Unreadable::Git(e)) => Err(e),
        })
        .await
    }

    async fn group_approval(
        &self,
        place: &Place,
        group: &Contents,
        base_ref: &str,
        now: DateTime<Utc>,
    ) -> Result<CheckOutput, JobError> {
        if group.digest.is_none() {
            return Ok(output(Conclusion::Success, "Nothing to approve: no migrations in this group", String::new()));
        }
        let mut open: Vec<String> = group.own_files().keys().map(|p| (*p).to_owned()).collect();
        open.extend(group.deleted_paths.iter().cloned());
        open.extend(group.policy_changes.iter().map(|(p, _)| p.clone()));
        for pull in place.api.open_pulls(Some(base_ref)).await? {
            if open.is_empty() {
                break;
            }
            let Found::Complete(gathered) = self.gather(place, pull.number, now).await? else { continue };
            let verdict = decide::judge(&gathered.contents, &gathered.snapshot, now);
            if verdict.status == Status::Approved {
                open.retain(|path| !agrees(&gathered.contents, group, path));
            }
        }
        if open.is_empty() {
            return Ok(output(Conclusion::Success, "Every migration of this group is approved", String::new()));
        }
        let list: String = open.iter().map(|p| format!("- {}\n", crate::report::escape::code(p))).collect();
        Ok(output(Conclusion::Failure, "The group brings migrations that nobody approved as they are", list))
    }
}

/// Whether an approved pull request leaves `path` as the group does.
fn agrees(approved: &Contents, group: &Contents, path: &str) -> bool {
    let (here, there) = (group.own_files(), approved.own_files());
    if let Some(file) = here.get(path) {
        return there.get(path) == Some(file);
    }
    let deleted = |c: &Contents| c.deleted_paths.iter().any(|p| p == path);
    let changed = |c: &Contents| c.policy_changes.iter().find(|(p, _)| p == path).cloned();
    match (deleted(group), changed(group)) {
        (true, _) => deleted(approved),
        (false, Some(change)) => changed(approved) == Some(change),
        (false, None) => false,
    }
}

fn output(conclusion: Conclusion, title: &str, summary: String) -> CheckOutput {
    let summary = if summary.is_empty() { title.to_owned() } else { summary };
    CheckOutput { title: title.to_owned(), summary, text: None, conclusion, annotations: Vec::new() }
}
