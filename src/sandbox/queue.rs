//! The merge queue: groups of pull requests that are checked together before they reach the base branch.

use git2::Oid;
use serde_json::json;

use super::people::{RepoHandle, move_branch, repo, require, signature_of};
use super::pulls::{mark_merged, pull};
use super::state::Permission;
use super::{SandboxError, gitrepo, webhooks};

/// A group in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeGroup {
    /// Branch, `gh-readonly-queue/BASE/pr-N-SHA`.
    pub head_branch: String,
    /// What must be checked.
    pub head_sha: String,
    /// The branch it goes into.
    pub base_branch: String,
    /// That branch's tip.
    pub base_sha: String,
    /// Its pull requests.
    pub pulls: Vec<u64>,
    /// The commit with which each of them comes in.
    pub commits: Vec<String>,
}

impl RepoHandle {
    /// Puts open pull requests of one base branch into one group (`enqueued`, then `merge_group` `checks_requested`).
    pub fn merge_group(&self, person: &str, pulls: &[u64]) -> Result<MergeGroup, SandboxError> {
        self.change(|w, name| {
            require(w, name, person, Permission::Write)?;
            let first = pulls.first().copied().ok_or(SandboxError::NoSuchPull(0))?;
            let base_branch = pull(w, name, first)?.1.base_ref.clone();
            let entry = repo(w, name)?;
            let git = gitrepo::open(&entry.git_dir)?;
            let base = gitrepo::tip(&git, &entry.branch_ref(&base_branch))
                .ok_or_else(|| SandboxError::NoSuchCommit(base_branch.clone()))?;
            let by = signature_of(w, person, None)?;
            let mut head = base;
            let mut last = first;
            let mut commits = Vec::new();
            for number in pulls {
                let (issue, part) = pull(w, name, *number)?;
                if !issue.open || part.base_ref != base_branch {
                    return Err(SandboxError::NotOpen(*number));
                }
                let text = format!("Merge pull request #{number} into {base_branch}\n\n{}", issue.title);
                head = gitrepo::merge(&git, head, Oid::from_str(&part.head_sha)?, &by, &text)?;
                commits.push(head.to_string());
                last = *number;
            }
            let head_branch = format!("gh-readonly-queue/{base_branch}/pr-{last}-{base}");
            for number in pulls {
                webhooks::pull_request(w, name, *number, "enqueued", person, json!({}));
            }
            let group = MergeGroup {
                head_branch,
                head_sha: head.to_string(),
                base_branch,
                base_sha: base.to_string(),
                pulls: pulls.to_vec(),
                commits,
            };
            move_branch(w, name, &group.head_branch, person, head)?;
            webhooks::merge_group(w, name, &group, "checks_requested", None);
            Ok(group)
        })
    }

    /// Merges a group: the base branch becomes its head, its pull requests are closed as merged.
    pub fn complete_merge_group(&self, person: &str, group: &MergeGroup) -> Result<(), SandboxError> {
        self.change(|w, name| {
            webhooks::merge_group(w, name, group, "destroyed", Some("merged"));
            move_branch(w, name, &group.base_branch, person, Oid::from_str(&group.head_sha)?)?;
            for (number, commit) in group.pulls.iter().zip(&group.commits) {
                mark_merged(w, name, *number, person, commit, Oid::from_str(&group.base_sha)?)?;
            }
            Ok(())
        })?;
        self.delete_branch(&group.head_branch, person)
    }

    /// Takes a group out of the queue; `reason` is `invalidated` or `dequeued`.
    pub fn destroy_merge_group(&self, person: &str, group: &MergeGroup, reason: &str) -> Result<(), SandboxError> {
        self.change(|w, name| {
            webhooks::merge_group(w, name, group, "destroyed", Some(reason));
            for number in &group.pulls {
                let extra = json!({ "reason": "MANUAL" });
                webhooks::pull_request(w, name, *number, "dequeued", person, extra);
            }
            Ok(())
        })?;
        self.delete_branch(&group.head_branch, person)
    }
}
