//! Everything the stand-in remembers. One value behind one lock; nothing here talks to a socket.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;

use super::faults::{Fault, WebhookFault};
use super::record::Exchange;
use super::webhooks::Delivery;

/// What a person may do in a repository, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Not even read (private repository) or no more than any visitor.
    None,
    /// Read.
    Read,
    /// Read, and labels.
    Triage,
    /// Push.
    Write,
    /// Push and settings.
    Maintain,
    /// Everything.
    Admin,
}

impl Permission {
    /// The exact role, GitHub's `role_name`.
    pub fn role_name(self) -> &'static str {
        match self {
            Permission::None => "none",
            Permission::Read => "read",
            Permission::Triage => "triage",
            Permission::Write => "write",
            Permission::Maintain => "maintain",
            Permission::Admin => "admin",
        }
    }

    /// GitHub's older word, in which maintain is `write` and triage is `read`.
    pub fn legacy(self) -> &'static str {
        match self {
            Permission::None => "none",
            Permission::Read | Permission::Triage => "read",
            Permission::Write | Permission::Maintain => "write",
            Permission::Admin => "admin",
        }
    }
}

/// A review's state, in GitHub's REST spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewVerdict {
    /// Approved.
    Approve,
    /// Changes requested.
    RequestChanges,
    /// A comment only.
    Comment,
    /// Taken back.
    Dismissed,
}

impl ReviewVerdict {
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED` or `DISMISSED`.
    pub fn as_str(self) -> &'static str {
        match self {
            ReviewVerdict::Approve => "APPROVED",
            ReviewVerdict::RequestChanges => "CHANGES_REQUESTED",
            ReviewVerdict::Comment => "COMMENTED",
            ReviewVerdict::Dismissed => "DISMISSED",
        }
    }
}

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeMethod {
    /// A merge commit.
    Merge,
    /// One commit with everything.
    Squash,
    /// Every commit on top of the base.
    Rebase,
}

#[derive(Debug, Clone)]
pub(super) struct User {
    pub id: u64,
    pub login: String,
    pub emails: Vec<String>,
    pub bot: bool,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(super) struct Team {
    pub id: u64,
    pub slug: String,
    pub name: String,
    /// Login and whether the invitation was accepted.
    pub members: Vec<(String, bool)>,
    /// Slug of the team above.
    pub parent: Option<String>,
    /// Secret teams are visible to their members only: the App gets 404.
    pub secret: bool,
    /// What the team may do, by repository name in lower case.
    pub grants: BTreeMap<String, Permission>,
}

#[derive(Debug, Clone)]
pub(super) struct Org {
    pub id: u64,
    pub login: String,
    pub members: Vec<String>,
    pub teams: BTreeMap<String, Team>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(super) struct Review {
    pub id: u64,
    pub author: String,
    pub verdict: ReviewVerdict,
    pub body: String,
    pub commit: String,
    pub submitted_at: DateTime<Utc>,
    pub dismissal: Option<String>,
}

/// A comment of a review on lines of a file.
#[derive(Debug, Clone)]
pub(super) struct LineComment {
    pub id: u64,
    pub review: u64,
    pub author: String,
    pub path: String,
    /// The first of several lines.
    pub start_line: Option<u64>,
    pub line: u64,
    pub body: String,
    pub commit: String,
    /// The hunk that the lines stand in.
    pub hunk: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(super) struct Comment {
    pub id: u64,
    pub author: String,
    /// Written through the App.
    pub by_app: bool,
    pub body: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Reaction id, login, content.
    pub reactions: Vec<(u64, String, String)>,
    /// Classifier when hidden.
    pub minimized: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    Committed { sha: String },
    Commented { comment: u64 },
    Reviewed { review: u64 },
    ReviewDismissed { review: u64, was: &'static str, message: String },
    Labeled { label: String },
    Unlabeled { label: String },
    Renamed { from: String, to: String },
    Closed,
    Reopened,
    Merged { sha: String },
    HeadRefForcePushed { sha: String },
    BaseRefChanged,
    ReadyForReview,
    ConvertToDraft,
}

#[derive(Debug, Clone)]
pub(super) struct TimelineItem {
    pub id: u64,
    pub actor: String,
    pub at: DateTime<Utc>,
    pub what: Happening,
}

#[derive(Debug, Clone)]
pub(super) struct PullPart {
    pub id: u64,
    /// Full name of the head's repository; `None` after the fork was deleted.
    pub head_repo: Option<String>,
    pub head_ref: String,
    pub head_sha: String,
    pub base_ref: String,
    /// The base's tip when the head last moved: GitHub does not follow the base branch here.
    pub base_sha: String,
    pub draft: bool,
    pub merged: Option<Merged>,
    pub reviews: Vec<Review>,
    pub line_comments: Vec<LineComment>,
    /// What GitHub says of `mergeable` until it has computed it.
    pub mergeable_unknown: u32,
    /// Logins whose review is asked for.
    pub requested_people: Vec<String>,
    /// Slugs of teams whose review is asked for.
    pub requested_teams: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Merged {
    pub sha: String,
    /// Every commit that came to the base branch with it.
    pub brought: Vec<String>,
    pub by: String,
    pub at: DateTime<Utc>,
}

/// An issue, which a pull request is too.
#[derive(Debug, Clone)]
pub(super) struct Issue {
    pub id: u64,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub author: String,
    pub open: bool,
    pub labels: Vec<String>,
    pub comments: Vec<Comment>,
    pub timeline: Vec<TimelineItem>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    pub pull: Option<PullPart>,
}

#[derive(Debug, Clone)]
pub(super) struct Label {
    pub id: u64,
    pub name: String,
    pub color: String,
    pub description: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct CheckRun {
    pub id: u64,
    /// Slug of the App that made it.
    pub app: String,
    pub name: String,
    pub head_sha: String,
    pub status: String,
    pub conclusion: Option<String>,
    pub external_id: Option<String>,
    pub details_url: Option<String>,
    pub started_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub text: Option<String>,
    pub annotations: Vec<Value>,
    pub actions: Vec<Value>,
    /// Somebody asked to run it again, and its suite waits until the App says how it ended.
    pub asked_again: bool,
}

#[derive(Debug, Clone)]
pub(super) struct CommitStatus {
    pub id: u64,
    pub sha: String,
    pub state: String,
    pub context: String,
    pub description: Option<String>,
    pub target_url: Option<String>,
    pub creator: String,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(super) struct DeploymentState {
    pub id: u64,
    pub state: String,
    pub description: String,
    pub log_url: String,
    pub environment_url: String,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(super) struct Deployment {
    pub id: u64,
    pub sha: String,
    pub git_ref: String,
    pub task: String,
    pub environment: String,
    pub payload: Value,
    pub description: Option<String>,
    pub production: bool,
    pub at: DateTime<Utc>,
    pub states: Vec<DeploymentState>,
}

/// A workflow job that waits for the App's word before it deploys.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub run: u64,
    pub environment: String,
    pub sha: String,
    /// `approved` or `rejected` once the App has said so.
    pub state: Option<String>,
    /// Reports, oldest first; GitHub takes ten.
    pub comments: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Repo {
    pub id: u64,
    /// `owner/name` as it was created.
    pub full_name: String,
    pub default_branch: String,
    pub private: bool,
    /// Full name of the repository this is a fork of.
    pub fork_of: Option<String>,
    /// The bare repository; forks share it, as on GitHub.
    pub git_dir: PathBuf,
    /// Where this repository's branches live in it: `refs/heads/`, or a fork's own space.
    pub heads: String,
    pub collaborators: BTreeMap<String, Permission>,
    pub installed: bool,
    pub issues: BTreeMap<u64, Issue>,
    pub labels: Vec<Label>,
    pub checks: Vec<CheckRun>,
    pub statuses: Vec<CommitStatus>,
    pub deployments: Vec<Deployment>,
    pub gates: Vec<Gate>,
    /// Rules of `GET …/rules/branches/{branch}`, by branch.
    pub rules: BTreeMap<String, Vec<Value>>,
    pub created_at: DateTime<Utc>,
    pub pushed_at: DateTime<Utc>,
}

impl Repo {
    pub fn owner(&self) -> &str {
        self.full_name.split_once('/').map_or("", |(o, _)| o)
    }

    pub fn name(&self) -> &str {
        self.full_name.split_once('/').map_or("", |(_, n)| n)
    }

    pub fn branch_ref(&self, branch: &str) -> String {
        format!("{}{branch}", self.heads)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub expires_at: DateTime<Utc>,
    /// Permission name to `read`, `write` or `admin`.
    pub permissions: BTreeMap<String, String>,
    /// Ids of the repositories it is limited to.
    pub repositories: Option<Vec<u64>>,
}

/// The App as GitHub knows it.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub id: u64,
    pub slug: String,
    /// Of every key that it has; GitHub takes tokens of any of them.
    pub public_keys: Vec<String>,
    pub installation: u64,
    /// Login of the account it is installed on.
    pub account: String,
    pub permissions: BTreeMap<String, String>,
    pub webhook_url: Option<String>,
    pub webhook_secret: String,
    pub suspended: bool,
    /// The owner of the account took it off.
    pub uninstalled: bool,
    /// Events that the App subscribed to.
    pub events: Vec<String>,
    pub created_at: DateTime<Utc>,
}

impl App {
    pub fn bot_login(&self) -> String {
        format!("{}[bot]", self.slug)
    }
}

/// All of it.
pub(super) struct World {
    pub base_url: String,
    pub root: PathBuf,
    pub app: App,
    pub users: BTreeMap<String, User>,
    pub orgs: BTreeMap<String, Org>,
    pub repos: BTreeMap<String, Repo>,
    pub tokens: HashMap<String, Token>,
    /// Tokens that people made for themselves, with their logins.
    pub personal_tokens: HashMap<String, String>,
    /// Id of the repository that had this name (in lower case) before it was renamed.
    pub moved: BTreeMap<String, u64>,
    pub deliveries: Vec<Delivery>,
    pub faults: Vec<Fault>,
    pub webhook_faults: Vec<WebhookFault>,
    pub exchanges: Vec<Exchange>,
    pub buttons: Vec<super::page::Button>,
    /// Rises with every change anyone could see.
    pub version: u64,
    pub clock: Duration,
    pub last_id: u64,
    pub stopping: bool,
}

impl World {
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.clock
    }

    pub fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn user(&self, login: &str) -> Option<&User> {
        self.users.get(&login.to_lowercase())
    }

    /// Login of the account that a commit's e-mail address belongs to.
    pub fn login_of_email(&self, email: &str) -> Option<&str> {
        self.users.values().find(|u| u.emails.iter().any(|e| e.eq_ignore_ascii_case(email))).map(|u| u.login.as_str())
    }

    /// A repository by its name, or by one that it had before.
    pub fn repo(&self, full_name: &str) -> Option<&Repo> {
        self.repos.get(&self.key(full_name))
    }

    pub fn repo_mut(&mut self, full_name: &str) -> Option<&mut Repo> {
        let key = self.key(full_name);
        self.repos.get_mut(&key)
    }

    /// Id of the repository that had this name and has another one now.
    pub fn moved_from(&self, full_name: &str) -> Option<u64> {
        let key = full_name.to_lowercase();
        if self.repos.contains_key(&key) { None } else { self.moved.get(&key).copied() }
    }

    fn key(&self, full_name: &str) -> String {
        let now = self.moved_from(full_name).and_then(|id| self.repos.iter().find(|(_, r)| r.id == id));
        now.map_or_else(|| full_name.to_lowercase(), |(key, _)| key.clone())
    }

    /// The strongest of what a person holds in a repository directly, as owner or through teams.
    pub fn permission(&self, repo: &Repo, login: &str) -> Permission {
        let key = login.to_lowercase();
        let mut best = repo.collaborators.get(&key).copied().unwrap_or(Permission::None);
        if repo.owner().eq_ignore_ascii_case(login) {
            best = Permission::Admin;
        }
        if let Some(org) = self.orgs.get(&repo.owner().to_lowercase()) {
            for team in org.teams.values() {
                if let Some(grant) = team.grants.get(&repo.full_name.to_lowercase())
                    && self.in_team(org, &team.slug, login) == Some(true)
                {
                    best = best.max(*grant);
                }
            }
        }
        if best == Permission::None && !repo.private {
            best = Permission::Read;
        }
        best
    }

    /// `Some(true)`: an active member (of the team or of one below it); `Some(false)`: invited; `None`: neither.
    pub fn in_team(&self, org: &Org, slug: &str, login: &str) -> Option<bool> {
        let team = org.teams.get(slug)?;
        let own = team.members.iter().find(|(l, _)| l.eq_ignore_ascii_case(login)).map(|(_, active)| *active);
        let below = org
            .teams
            .values()
            .filter(|t| t.parent.as_deref() == Some(slug))
            .filter_map(|t| self.in_team(org, &t.slug, login))
            .max();
        own.max(below)
    }

    /// GitHub's `author_association`: says where somebody belongs, not what they may do.
    pub fn association(&self, repo: &Repo, login: &str) -> &'static str {
        if repo.owner().eq_ignore_ascii_case(login) {
            return "OWNER";
        }
        let member = self
            .orgs
            .get(&repo.owner().to_lowercase())
            .is_some_and(|o| o.members.iter().any(|m| m.eq_ignore_ascii_case(login)));
        if member {
            "MEMBER"
        } else if repo.collaborators.contains_key(&login.to_lowercase()) {
            "COLLABORATOR"
        } else {
            "NONE"
        }
    }

    pub fn changed(&mut self) {
        self.version += 1;
    }
}

impl World {
    pub fn new(base_url: String, root: PathBuf, app: App, now: DateTime<Utc>) -> Self {
        let mut world = World {
            base_url,
            root,
            users: BTreeMap::new(),
            orgs: BTreeMap::new(),
            repos: BTreeMap::new(),
            tokens: HashMap::new(),
            personal_tokens: HashMap::new(),
            moved: BTreeMap::new(),
            deliveries: Vec::new(),
            faults: Vec::new(),
            webhook_faults: Vec::new(),
            exchanges: Vec::new(),
            buttons: Vec::new(),
            version: 0,
            clock: Duration::zero(),
            last_id: 1_000_000,
            stopping: false,
            app,
        };
        let bot =
            User { id: world.new_id(), login: world.app.bot_login(), emails: Vec::new(), bot: true, created_at: now };
        world.users.insert(bot.login.to_lowercase(), bot);
        world
    }
}
