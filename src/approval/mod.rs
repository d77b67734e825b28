//! Who must agree, who has, who is missing. Pure: a snapshot of the pull request in, an explained tree out.
//!
//! This module does not know GitHub: what GitHub says is in the snapshot, and whatever the snapshot does not say for
//! certain does not count as an approval.

pub mod alone;
pub mod check;
pub mod codeowners;
pub mod collisions;
pub mod counted;
mod environment;
mod evaluate;
pub mod gates;
pub mod ledger;
mod matching;
mod policy;
mod promotion;
mod voices;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use counted::Counted;
pub use evaluate::{evaluate, evaluate_environment, worst};
pub use policy::{Policy, path_owners, relevant_people, relevant_teams};
pub use voices::labelled_risk;

use crate::ids::{CommitSha, Digest, EnvironmentName, Login, PrNumber, RepoName, Risk, RoleName, TeamSlug};

/// What a person may do in the repository on GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and triage.
    Triage,
    /// Write.
    Write,
    /// Maintain.
    Maintain,
    /// Everything.
    Admin,
}

/// A person as GitHub described them when the snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The permission on the repository now.
    pub permission: Permission,
    /// The teams, among those the policy and CODEOWNERS name, of which the person is an active member.
    pub teams: BTreeSet<TeamSlug>,
}

/// The state of a review (GitHub's own words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// Approved.
    Approved,
    /// Changes requested.
    ChangesRequested,
    /// A comment; neither for nor against.
    Commented,
    /// Dismissed.
    Dismissed,
    /// Not submitted yet.
    Pending,
}

/// One review, in the order GitHub lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// GitHub's id.
    pub id: u64,
    /// Who.
    pub login: Login,
    /// What.
    pub state: ReviewState,
    /// When.
    pub submitted_at: DateTime<Utc>,
    /// What it was about: the binding remembered when the review arrived; `None` when it cannot be proved, and then
    /// the review does not count.
    pub binding: Option<Binding>,
}

/// What an approval is bound to (DECISIONS 1): a change of any part drops it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// Digest of the migrations of the pull request.
    pub digest: Digest,
    /// Hash of the policy files and CODEOWNERS of the base commit.
    pub policy_hash: String,
    /// The risk at that time; an approval at a lower risk does not count for a higher one.
    pub risk: Risk,
}

/// A label on the pull request with the person who put it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Who set it, where that is known.
    pub set_by: Option<Login>,
    /// When.
    pub set_at: Option<DateTime<Utc>>,
    /// What was there when it was set, for `approved:ROLE`.
    pub binding: Option<Binding>,
    /// Whether Godwit keeps it itself, by what it found: such a label says nothing new.
    #[serde(default)]
    pub own: bool,
}

/// A person named by the commits of the pull request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitPerson {
    /// An e-mail that maps to a login.
    Known(Login),
    /// An e-mail that maps to nobody.
    Unknown(String),
}

/// Everything a decision about a pull request may look at, read once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestSnapshot {
    /// The repository.
    pub repo: RepoName,
    /// The number.
    pub number: PrNumber,
    /// Who opened it; `None` for a deleted account.
    pub author: Option<Login>,
    /// Head commit.
    pub head: CommitSha,
    /// Tip of the base branch.
    pub base: CommitSha,
    /// Name of the base branch.
    pub base_ref: String,
    /// Name of the repository's default branch, which environments without a `branch` belong to. Where it is not
    /// known they are taken to be concerned.
    #[serde(default)]
    pub default_branch: Option<String>,
    /// Whether the head is in another repository.
    pub from_fork: bool,
    /// Whether it is a draft.
    pub draft: bool,
    /// Whether it is merged.
    pub merged: bool,
    /// Authors, committers, co-authors of its commits and pushers seen.
    pub commit_people: BTreeSet<CommitPerson>,
    /// `true` when the list of commits or files could not be completed; then the verdict is blocked (B-2).
    pub incomplete: bool,
    /// Reviews, oldest first.
    pub reviews: Vec<Review>,
    /// Labels.
    pub labels: Vec<Label>,
    /// What is known of the author and of every person who reviewed, labelled or is named by the policy.
    pub people: BTreeMap<Login, Person>,
    /// What an approval must be bound to now ([`Policy::binding`]); `None` when the pull request has no migrations.
    pub binding: Option<Binding>,
    /// Files of migrations that it adds, changes, renames or deletes.
    pub migration_paths: Vec<String>,
    /// Policy files (policies, environments, CODEOWNERS, `godwit.yml`) that it touches.
    pub policy_paths: Vec<String>,
    /// When people were first asked at the present binding.
    pub asked_at: Option<DateTime<Utc>>,
    /// When the people of single environments were asked instead: on promotion, or anew after their approvals expired.
    #[serde(default)]
    pub asked: BTreeMap<EnvironmentName, Asked>,
    /// Approvals that were entered outside GitHub.
    #[serde(default)]
    pub entered: Vec<Entered>,
    /// Environments that hold what was merged: their approvals have done their work and do not expire any more.
    #[serde(default)]
    pub held: BTreeSet<EnvironmentName>,
}

/// Since when the people of an environment are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// The time.
    pub at: DateTime<Utc>,
    /// Whether earlier approvals had expired then: they do not count any more.
    pub anew: bool,
}

/// The way an approval came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A review on GitHub.
    Review,
    /// A label on GitHub.
    Label,
    /// `godwit approve`.
    Cli,
    /// The server's API.
    Api,
    /// Opening the pull request, where the policy says that this is enough.
    Auto,
}

impl Source {
    const ALL: [(Source, &'static str); 5] = [
        (Source::Review, "review"),
        (Source::Label, "label"),
        (Source::Cli, "cli"),
        (Source::Api, "api"),
        (Source::Auto, "auto"),
    ];

    /// Its name in JSON, in the store and in comments.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(s, _)| *s == self).map_or("", |(_, name)| name)
    }

    /// The source of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(source, _)| source)
    }
}

/// An approval that was entered outside GitHub: for one environment, in one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The environment.
    pub environment: EnvironmentName,
    /// The role it is given in.
    pub role: RoleName,
    /// Whose approval it is.
    pub approver: Login,
    /// Who entered it, as the token proved.
    pub entered_by: Login,
    /// The way it came.
    pub source: Source,
    /// When.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub binding: Binding,
}

/// The verdict of a node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Does not apply.
    Skipped,
    /// People are missing.
    Pending,
    /// Satisfied.
    Approved,
    /// Somebody or some rule says no.
    Disapproved,
}

/// A node of the explained verdict: everything shown about approvals is printed from this tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What it is about, for example `production` or `role dba`.
    pub name: String,
    /// The verdict.
    pub status: Status,
    /// Why, one sentence.
    pub reason: String,
    /// The parts it was decided from.
    pub children: Vec<Evaluation>,
    /// Who satisfied it.
    pub approvers: Vec<Login>,
    /// Who could still satisfy it: roles, people, teams, as text for people.
    pub missing: Vec<String>,
}

/// The verdict for one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVerdict {
    /// The environment.
    pub environment: EnvironmentName,
    /// Whether a merge starts it by itself.
    pub automatic: bool,
    /// How many distinct people its cell asks for.
    pub required_approvals: u32,
    /// The roles its cell asks for.
    pub required_roles: Vec<RoleName>,
    /// Which person fills which role.
    pub filled: BTreeMap<RoleName, Login>,
    /// The way each approval that counts here came.
    #[serde(default)]
    pub sources: BTreeMap<Login, BTreeSet<Source>>,
    /// When people who are missing are reminded.
    #[serde(default)]
    pub remind_at: Option<DateTime<Utc>>,
    /// When the approvals of its cell go stale, if people were asked.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// The tree.
    pub evaluation: Evaluation,
}

/// The verdict about a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Over every automatic environment, code owners, policy owners and change requests.
    pub status: Status,
    /// One sentence for the check run's title.
    pub summary: String,
    /// Roles that are still missing for an automatic environment; the bot keeps `needs:ROLE` labels of them.
    pub missing_roles: BTreeSet<RoleName>,
    /// In promotion order.
    pub environments: Vec<EnvironmentVerdict>,
    /// The other parts: code owners, policy owners, change requests, `hold`.
    pub gates: Vec<Evaluation>,
    /// Reviews and labels that do not count, with the reason, for the comment.
    pub ignored: Vec<String>,
    /// Things people should know: invalid CODEOWNERS lines, unknown committers, roles nobody holds.
    pub notes: Vec<String>,
}
