//! GitHub's answers, reduced to what is used. Words of GitHub stay text where GitHub may add new ones.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::ids::{CommitSha, Login, PrNumber, RepoName};

/// The App itself.
#[derive(Debug, Clone, Deserialize)]
pub struct App {
    /// Its short name; the bot's login is `<slug>[bot]`.
    pub slug: String,
    /// What it asks to be allowed, by name.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// The events it subscribed to.
    #[serde(default)]
    pub events: Vec<String>,
}

/// One installation of the App.
#[derive(Debug, Clone, Deserialize)]
pub struct Installation {
    /// Its id.
    pub id: u64,
    /// When it was suspended, if it is.
    #[serde(default)]
    pub suspended_at: Option<DateTime<Utc>>,
    /// The account it is on.
    #[serde(default)]
    pub account: Option<MaybeUser>,
    /// What the owner of the account allowed, by name.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
}

/// Where webhooks go.
#[derive(Debug, Clone, Deserialize)]
pub struct HookConfig {
    /// The address.
    #[serde(default)]
    pub url: Option<String>,
}

/// One attempt to deliver a webhook.
#[derive(Debug, Clone, Deserialize)]
pub struct HookDelivery {
    /// When.
    pub delivered_at: DateTime<Utc>,
    /// In GitHub's words: `OK`, `failed to connect to host`, …
    #[serde(default)]
    pub status: String,
    /// The receiver's status; 0 or 5xx where none came.
    #[serde(default)]
    pub status_code: u16,
    /// Which event.
    #[serde(default)]
    pub event: String,
}

/// A repository.
#[derive(Debug, Clone, Deserialize)]
pub struct Repo {
    /// GitHub's id.
    pub id: u64,
    /// `owner/name`.
    pub full_name: RepoName,
    /// Where git fetches from.
    #[serde(default)]
    pub clone_url: String,
    /// The default branch.
    #[serde(default)]
    pub default_branch: String,
    /// Archived repositories take no writes.
    #[serde(default)]
    pub archived: bool,
}

/// An account. Deleted ones arrive as `null`.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// The login.
    pub login: Login,
    /// `User`, `Bot`, `Organization`, …
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// One side of a pull request.
#[derive(Debug, Clone, Deserialize)]
pub struct Side {
    /// The branch.
    #[serde(rename = "ref")]
    pub branch: String,
    /// The commit.
    pub sha: CommitSha,
    /// The repository; `None` when a fork was deleted.
    #[serde(default)]
    pub repo: Option<SideRepo>,
}

/// The repository of a side.
#[derive(Debug, Clone, Deserialize)]
pub struct SideRepo {
    /// GitHub's id.
    pub id: u64,
}

/// A team, by its slug within the organisation.
#[derive(Debug, Clone, Deserialize)]
pub struct TeamName {
    /// Its slug.
    pub slug: String,
}

/// A label.
#[derive(Debug, Clone, Deserialize)]
pub struct LabelName {
    /// Its name.
    pub name: String,
}

/// A pull request.
#[derive(Debug, Clone, Deserialize)]
pub struct PullRequest {
    /// The number.
    pub number: PrNumber,
    /// `open` or `closed`.
    pub state: String,
    /// The title, as its author wrote it.
    #[serde(default)]
    pub title: String,
    /// Whether it is a draft.
    #[serde(default)]
    pub draft: bool,
    /// When it was opened.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// Whether it is merged; lists do not say, there `merged_at` does.
    #[serde(default)]
    pub merged: bool,
    /// When it was merged.
    #[serde(default)]
    pub merged_at: Option<DateTime<Utc>>,
    /// The commit on the base branch once merged; before that, a trial merge.
    #[serde(default)]
    pub merge_commit_sha: Option<CommitSha>,
    /// Its author; `None` for a deleted account.
    pub user: Option<User>,
    /// Who merged it; lists do not say.
    #[serde(default)]
    pub merged_by: Option<User>,
    /// Where it comes from.
    pub head: Side,
    /// Where it goes.
    pub base: Side,
    /// Its labels.
    #[serde(default)]
    pub labels: Vec<LabelName>,
    /// People whose review is asked for.
    #[serde(default)]
    pub requested_reviewers: Vec<User>,
    /// Teams whose review is asked for.
    #[serde(default)]
    pub requested_teams: Vec<TeamName>,
    /// How many commits it has; lists do not say.
    #[serde(default)]
    pub commits: usize,
    /// How many files it changes; lists do not say.
    #[serde(default)]
    pub changed_files: usize,
}

impl PullRequest {
    /// Whether it is merged, whichever way GitHub says so.
    pub fn is_merged(&self) -> bool {
        self.merged || self.merged_at.is_some()
    }

    /// Whether its head stands in another repository, or in one that is gone.
    pub fn from_fork(&self) -> bool {
        match (&self.head.repo, &self.base.repo) {
            (Some(head), Some(base)) => head.id != base.id,
            (None, _) | (_, None) => true,
        }
    }
}

/// A file of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChangedFile {
    /// Its path.
    pub filename: String,
    /// `added`, `modified`, `removed`, `renamed`, …
    #[serde(default)]
    pub status: String,
    /// Its path before a rename.
    #[serde(default)]
    pub previous_filename: Option<String>,
}

/// A commit with the accounts that GitHub maps its e-mails to.
#[derive(Debug, Clone, Deserialize)]
pub struct Commit {
    /// Its id.
    pub sha: CommitSha,
    /// The author's account.
    #[serde(default)]
    pub author: Option<MaybeUser>,
    /// The committer's account.
    #[serde(default)]
    pub committer: Option<MaybeUser>,
    /// What git says.
    pub commit: GitCommit,
}

/// An account, or the empty object that GitHub sometimes sends in its place.
#[derive(Debug, Clone, Deserialize)]
pub struct MaybeUser {
    /// The login.
    #[serde(default)]
    pub login: Option<Login>,
}

/// The git side of a commit.
#[derive(Debug, Clone, Deserialize)]
pub struct GitCommit {
    /// Author.
    #[serde(default)]
    pub author: Option<Signature>,
    /// Committer.
    #[serde(default)]
    pub committer: Option<Signature>,
    /// Message.
    #[serde(default)]
    pub message: String,
}

/// Who and when, as git says.
#[derive(Debug, Clone, Deserialize)]
pub struct Signature {
    /// E-mail.
    #[serde(default)]
    pub email: String,
    /// When.
    #[serde(default)]
    pub date: Option<DateTime<Utc>>,
}

/// A review.
#[derive(Debug, Clone, Deserialize)]
pub struct Review {
    /// GitHub's id.
    pub id: u64,
    /// Who; `None` for a deleted account.
    pub user: Option<User>,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`, `PENDING`.
    pub state: String,
    /// The commit it is about, as GitHub says now.
    #[serde(default)]
    pub commit_id: Option<CommitSha>,
    /// When; missing while pending.
    #[serde(default)]
    pub submitted_at: Option<DateTime<Utc>>,
}

/// An entry of the timeline; only those about labels are used.
#[derive(Debug, Clone, Deserialize)]
pub struct TimelineEntry {
    /// `labeled`, `unlabeled`, …
    #[serde(default)]
    pub event: String,
    /// Who.
    #[serde(default)]
    pub actor: Option<User>,
    /// The label.
    #[serde(default)]
    pub label: Option<LabelName>,
    /// When.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
}

/// A permission on the repository.
#[derive(Debug, Clone, Deserialize)]
pub struct RepoPermission {
    /// `admin`, `write`, `read`, `none`.
    pub permission: String,
    /// The exact role: also `maintain`, `triage`, or a custom one.
    #[serde(default)]
    pub role_name: Option<String>,
}

/// Membership in a team.
#[derive(Debug, Clone, Deserialize)]
pub struct Membership {
    /// `active` or `pending`.
    pub state: String,
}

/// A comment on a pull request.
#[derive(Debug, Clone, Deserialize)]
pub struct Comment {
    /// GitHub's id.
    pub id: u64,
    /// Its id in GitHub's other API.
    #[serde(default)]
    pub node_id: String,
    /// Where people read it.
    #[serde(default)]
    pub html_url: String,
    /// The text.
    #[serde(default)]
    pub body: Option<String>,
    /// Who wrote it; `None` for a deleted account.
    pub user: Option<User>,
    /// The App that wrote it.
    #[serde(default)]
    pub performed_via_github_app: Option<AppRef>,
}

/// A comment as the whole repository lists it, on an issue or on a pull request.
#[derive(Debug, Clone, Deserialize)]
pub struct RepoComment {
    /// GitHub's id.
    pub id: u64,
    /// Where people read it.
    #[serde(default)]
    pub html_url: String,
    /// What it stands under.
    #[serde(default)]
    pub issue_url: String,
    /// The text.
    #[serde(default)]
    pub body: Option<String>,
    /// Who wrote it; `None` for a deleted account.
    pub user: Option<User>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was written or last edited.
    pub updated_at: DateTime<Utc>,
}

impl RepoComment {
    /// The pull request that it stands on; `None` where it stands on an issue.
    pub fn pull_number(&self) -> Option<PrNumber> {
        let number: u64 = self.issue_url.rsplit('/').next()?.parse().ok()?;
        self.html_url.contains(&format!("/pull/{number}#")).then_some(PrNumber(number))
    }
}

/// An App, by id.
#[derive(Debug, Clone, Deserialize)]
pub struct AppRef {
    /// Its id.
    pub id: u64,
}

/// A check run.
#[derive(Debug, Clone, Deserialize)]
pub struct CheckRun {
    /// GitHub's id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `queued`, `in_progress`, `completed`, …
    #[serde(default)]
    pub status: String,
    /// Once completed.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// What the bot noted to recognise it.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The App it belongs to.
    #[serde(default)]
    pub app: Option<AppRef>,
}

/// A deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployment {
    /// GitHub's id.
    pub id: u64,
    /// Its commit.
    pub sha: CommitSha,
}

/// A state of a deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentStatus {
    /// `queued`, `in_progress`, `success`, …
    pub state: String,
    /// One line.
    #[serde(default)]
    pub description: String,
}

/// A commit status.
#[derive(Debug, Clone, Deserialize)]
pub struct CommitStatus {
    /// What it is about.
    #[serde(default)]
    pub context: String,
    /// `pending`, `success`, `failure`, `error`.
    pub state: String,
    /// One line.
    #[serde(default)]
    pub description: Option<String>,
}

/// An issue; GitHub lists pull requests among them.
#[derive(Debug, Clone, Deserialize)]
pub struct Issue {
    /// The number.
    pub number: PrNumber,
    /// `open` or `closed`.
    pub state: String,
    /// The text.
    #[serde(default)]
    pub body: Option<String>,
    /// Who opened it.
    #[serde(default)]
    pub user: Option<User>,
    /// Only where it is a pull request.
    #[serde(default)]
    pub pull_request: Option<IgnoredAny>,
}

/// A tree or commit that was made.
#[derive(Debug, Clone, Deserialize)]
pub struct MadeObject {
    /// Its id.
    pub sha: String,
}

/// A repository that a team has access to.
#[derive(Debug, Clone, Deserialize)]
pub struct GrantedRepo {
    /// Which of GitHub's words for permissions hold.
    #[serde(default)]
    pub permissions: BTreeMap<String, bool>,
}

/// What GitHub finds fault with in CODEOWNERS.
#[derive(Debug, Clone, Deserialize)]
pub struct OwnerFaults {
    /// Each fault.
    pub errors: Vec<OwnerFault>,
}

/// One fault of CODEOWNERS.
#[derive(Debug, Clone, Deserialize)]
pub struct OwnerFault {
    /// Line from 1.
    #[serde(default)]
    pub line: u32,
    /// In GitHub's words: `Unknown owner`, `Invalid pattern`, …
    #[serde(default)]
    pub kind: String,
    /// The line's text.
    #[serde(default)]
    pub source: String,
    /// The file.
    #[serde(default)]
    pub path: String,
}

/// A rule that holds for a branch.
#[derive(Debug, Clone, Deserialize)]
pub struct BranchRule {
    /// What it asks, where it asks for checks.
    #[serde(default)]
    pub parameters: Option<RuleParameters>,
}

/// What a rule asks.
#[derive(Debug, Clone, Deserialize)]
pub struct RuleParameters {
    /// Checks that must succeed.
    #[serde(default)]
    pub required_status_checks: Vec<RequiredCheck>,
}

/// A check that must succeed.
#[derive(Debug, Clone, Deserialize)]
pub struct RequiredCheck {
    /// Its name.
    pub context: String,
    /// The App that it must come from, where the rule says so.
    #[serde(default)]
    pub integration_id: Option<i64>,
}

/// A branch.
#[derive(Debug, Clone, Deserialize)]
pub struct Branch {
    /// Its classic protection.
    #[serde(default)]
    pub protection: Option<Protection>,
}

/// The classic protection of a branch.
#[derive(Debug, Clone, Deserialize)]
pub struct Protection {
    /// Checks that must succeed.
    #[serde(default)]
    pub required_status_checks: Option<ProtectionChecks>,
}

/// Checks of the classic protection.
#[derive(Debug, Clone, Deserialize)]
pub struct ProtectionChecks {
    /// Their names.
    #[serde(default)]
    pub contexts: Vec<String>,
    /// The same, each with the App that it must come from; older servers do not say.
    #[serde(default)]
    pub checks: Option<Vec<ProtectionCheck>>,
}

/// A check of the classic protection.
#[derive(Debug, Clone, Deserialize)]
pub struct ProtectionCheck {
    /// Its name.
    pub context: String,
    /// The App that it must come from; -1 stands for any.
    #[serde(default)]
    pub app_id: Option<i64>,
}
