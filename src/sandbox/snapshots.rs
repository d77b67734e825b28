//! What a reader would see now, as plain values for assertions and for a story's text.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::gitrepo::FileChange;
use super::people::RepoHandle;
use super::pulls::{self, PullHandle};
use super::state::{CheckRun, Gate, Happening, Repo, ReviewVerdict};
use super::{SandboxError, shapes};

/// A comment.
#[derive(Debug, Clone, PartialEq)]
pub struct CommentView {
    /// Id.
    pub id: u64,
    /// Login.
    pub author: String,
    /// Whether the App wrote it.
    pub by_app: bool,
    /// Markdown.
    pub body: String,
    /// Whether it was edited.
    pub edited: bool,
    /// Why it is hidden, if it is.
    pub minimized: Option<String>,
    /// Login and content (`eyes`, `+1`, …).
    pub reactions: Vec<(String, String)>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// A check run.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckRunView {
    /// Id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Slug of the App that made it.
    pub app: String,
    /// Commit.
    pub head_sha: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure`, `action_required`, …
    pub conclusion: Option<String>,
    /// Output title.
    pub title: Option<String>,
    /// Output summary.
    pub summary: Option<String>,
    /// Output text.
    pub text: Option<String>,
    /// Annotations as they were sent.
    pub annotations: Vec<Value>,
    /// The App's own id for it.
    pub external_id: Option<String>,
    /// Identifiers of its buttons.
    pub actions: Vec<String>,
    /// Whether somebody asked to run it again and still waits.
    pub asked_again: bool,
}

/// A review.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewView {
    /// Id.
    pub id: u64,
    /// Login.
    pub author: String,
    /// What it says.
    pub verdict: ReviewVerdict,
    /// Text.
    pub body: String,
    /// Commit it was given for.
    pub commit: String,
}

/// A commit status.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusView {
    /// Commit.
    pub sha: String,
    /// Context.
    pub context: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// Text.
    pub description: Option<String>,
}

/// A deployment with its states, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentView {
    /// Id.
    pub id: u64,
    /// Environment.
    pub environment: String,
    /// Commit.
    pub sha: String,
    /// States, oldest first.
    pub states: Vec<String>,
    /// Where the newest state that names one says the log is.
    pub log_url: Option<String>,
}

/// A workflow job that waits, or waited, for the App's word.
#[derive(Debug, Clone, PartialEq)]
pub struct GateView {
    /// The workflow run.
    pub run: u64,
    /// The environment.
    pub environment: String,
    /// The commit that would be deployed.
    pub sha: String,
    /// `approved` or `rejected`, once said.
    pub state: Option<String>,
    /// What the App reported, oldest first.
    pub comments: Vec<String>,
}

/// A comment on lines of a pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct LineCommentView {
    /// Author's login.
    pub author: String,
    /// The file.
    pub path: String,
    /// First and last line.
    pub lines: (u64, u64),
    /// The text.
    pub body: String,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineView {
    /// GitHub's word for it, such as `labeled`.
    pub event: String,
    /// Login.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What it is about: label, SHA, comment or review id.
    pub subject: String,
}

/// A pull request's state.
#[derive(Debug, Clone, PartialEq)]
pub struct PullView {
    /// Number.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Login of the author.
    pub author: String,
    /// Whether it is open.
    pub open: bool,
    /// Whether it is a draft.
    pub draft: bool,
    /// Merge commit, once merged.
    pub merged: Option<String>,
    /// Head commit.
    pub head_sha: String,
    /// Branch it comes from.
    pub head_ref: String,
    /// Branch it goes into.
    pub base_ref: String,
    /// Labels in the order they were put on.
    pub labels: Vec<String>,
}

fn check_view(check: &CheckRun) -> CheckRunView {
    CheckRunView {
        id: check.id,
        name: check.name.clone(),
        app: check.app.clone(),
        head_sha: check.head_sha.clone(),
        status: check.status.clone(),
        conclusion: check.conclusion.clone(),
        title: check.title.clone(),
        summary: check.summary.clone(),
        text: check.text.clone(),
        annotations: check.annotations.clone(),
        external_id: check.external_id.clone(),
        asked_again: check.asked_again,
        actions: check.actions.iter().filter_map(|a| a["identifier"].as_str().map(str::to_owned)).collect(),
    }
}

impl RepoHandle {
    /// Check runs of a commit, oldest first; all when `sha` is `None`.
    pub fn check_runs(&self, sha: Option<&str>) -> Result<Vec<CheckRunView>, SandboxError> {
        self.look(|_, repo| {
            repo.checks.iter().filter(|c| sha.is_none_or(|s| c.head_sha == s)).map(check_view).collect()
        })
    }

    /// Commit statuses in the order they were set.
    pub fn statuses(&self) -> Result<Vec<StatusView>, SandboxError> {
        self.look(|_, repo| {
            repo.statuses
                .iter()
                .map(|s| StatusView {
                    sha: s.sha.clone(),
                    context: s.context.clone(),
                    state: s.state.clone(),
                    description: s.description.clone(),
                })
                .collect()
        })
    }

    /// Deployments, oldest first.
    pub fn deployments(&self) -> Result<Vec<DeploymentView>, SandboxError> {
        self.look(|_, repo| {
            repo.deployments
                .iter()
                .map(|d| DeploymentView {
                    id: d.id,
                    environment: d.environment.clone(),
                    sha: d.sha.clone(),
                    states: d.states.iter().map(|s| s.state.clone()).collect(),
                    log_url: d.states.iter().rev().map(|s| s.log_url.clone()).find(|u| !u.is_empty()),
                })
                .collect()
        })
    }

    /// Workflow jobs that asked the App, oldest first.
    pub fn gates(&self) -> Result<Vec<GateView>, SandboxError> {
        let view = |gate: &Gate| GateView {
            run: gate.run,
            environment: gate.environment.clone(),
            sha: gate.sha.clone(),
            state: gate.state.clone(),
            comments: gate.comments.clone(),
        };
        self.look(|_, repo| repo.gates.iter().map(view).collect())
    }

    /// Titles and bodies of the issues that are no pull requests.
    pub fn issues(&self) -> Result<Vec<(u64, String, String)>, SandboxError> {
        self.look(|_, repo| {
            let issues = repo.issues.values().filter(|i| i.pull.is_none());
            issues.map(|i| (i.number, i.title.clone(), i.body.clone().unwrap_or_default())).collect()
        })
    }
}

impl PullHandle {
    /// Its state.
    pub fn view(&self) -> Result<PullView, SandboxError> {
        self.look(|_, _, issue, part| PullView {
            number: issue.number,
            title: issue.title.clone(),
            author: issue.author.clone(),
            open: issue.open,
            draft: part.draft,
            merged: part.merged.as_ref().map(|m| m.sha.clone()),
            head_sha: part.head_sha.clone(),
            head_ref: part.head_ref.clone(),
            base_ref: part.base_ref.clone(),
            labels: issue.labels.clone(),
        })
    }

    /// Its head commit.
    pub fn head_sha(&self) -> Result<String, SandboxError> {
        self.look(|_, _, _, part| part.head_sha.clone())
    }

    /// Logins and team slugs whose review is asked for.
    pub fn requested_reviewers(&self) -> Result<(Vec<String>, Vec<String>), SandboxError> {
        self.look(|_, _, _, part| (part.requested_people.clone(), part.requested_teams.clone()))
    }

    /// Its labels.
    pub fn labels(&self) -> Result<Vec<String>, SandboxError> {
        self.look(|_, _, issue, _| issue.labels.clone())
    }

    /// Its comments, oldest first.
    pub fn comments(&self) -> Result<Vec<CommentView>, SandboxError> {
        self.look(|_, _, issue, _| {
            issue
                .comments
                .iter()
                .map(|c| CommentView {
                    id: c.id,
                    author: c.author.clone(),
                    by_app: c.by_app,
                    body: c.body.clone(),
                    edited: c.updated_at > c.created_at,
                    minimized: c.minimized.clone(),
                    reactions: c.reactions.iter().map(|(_, l, r)| (l.clone(), r.clone())).collect(),
                    created_at: c.created_at,
                })
                .collect()
        })
    }

    /// Its reviews, oldest first.
    pub fn reviews(&self) -> Result<Vec<ReviewView>, SandboxError> {
        self.look(|_, _, _, part| {
            part.reviews
                .iter()
                .map(|r| ReviewView {
                    id: r.id,
                    author: r.author.clone(),
                    verdict: r.verdict,
                    body: r.body.clone(),
                    commit: r.commit.clone(),
                })
                .collect()
        })
    }

    /// The comments on its lines, oldest first.
    pub fn line_comments(&self) -> Result<Vec<LineCommentView>, SandboxError> {
        self.look(|_, _, _, part| {
            part.line_comments
                .iter()
                .map(|c| LineCommentView {
                    author: c.author.clone(),
                    path: c.path.clone(),
                    lines: (c.start_line.unwrap_or(c.line), c.line),
                    body: c.body.clone(),
                })
                .collect()
        })
    }

    /// The latest check run of each name on its head, in the order of their names.
    pub fn check_runs(&self) -> Result<Vec<CheckRunView>, SandboxError> {
        self.look(|_, repo, _, part| latest_checks(repo, &part.head_sha).into_iter().map(check_view).collect())
    }

    /// Its timeline.
    pub fn timeline(&self) -> Result<Vec<TimelineView>, SandboxError> {
        self.look(|_, _, issue, _| {
            issue
                .timeline
                .iter()
                .map(|t| TimelineView {
                    event: shapes::event_word(&t.what).to_owned(),
                    actor: t.actor.clone(),
                    at: t.at,
                    subject: subject(&t.what),
                })
                .collect()
        })
    }

    /// Paths of the files it changes.
    pub fn files(&self) -> Result<Vec<String>, SandboxError> {
        let files = self.look(|_, repo, _, part| pulls::contents(repo, part))??.1;
        Ok(files.into_iter().map(|f: FileChange| f.path).collect())
    }
}

/// The latest check run of each (App, name) on a commit.
pub(super) fn latest_checks<'r>(repo: &'r Repo, sha: &str) -> Vec<&'r CheckRun> {
    let mut latest = std::collections::BTreeMap::new();
    for check in repo.checks.iter().filter(|c| c.head_sha == sha) {
        latest.insert((check.name.as_str(), check.app.as_str()), check);
    }
    latest.into_values().collect()
}

fn subject(what: &Happening) -> String {
    match what {
        Happening::Committed { sha } | Happening::Merged { sha } | Happening::HeadRefForcePushed { sha } => sha.clone(),
        Happening::Commented { comment } => comment.to_string(),
        Happening::Reviewed { review } | Happening::ReviewDismissed { review, .. } => review.to_string(),
        Happening::Labeled { label } | Happening::Unlabeled { label } => label.clone(),
        Happening::Renamed { to, .. } => to.clone(),
        Happening::Closed
        | Happening::Reopened
        | Happening::BaseRefChanged
        | Happening::ReadyForReview
        | Happening::ConvertToDraft => String::new(),
    }
}
