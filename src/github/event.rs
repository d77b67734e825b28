//! What can arrive from GitHub, reduced to what the bot acts on. State is always read from the API afterwards: an
//! event says that something may have changed, never what is true (GITHUB 1).

use serde::{Deserialize, Serialize};

use crate::approval::ReviewState;
use crate::ids::{CommitSha, Login, PrNumber, RepoName};

/// The repository an event is about, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// GitHub's id; it stays when the repository is renamed.
    pub id: u64,
    /// `owner/name`.
    pub name: RepoName,
    /// Where git fetches from, as GitHub sent it.
    pub clone_url: String,
    /// The default branch.
    pub default_branch: String,
    /// The App's installation that the event came through; 0 when the payload named none.
    pub installation: u64,
}

/// A repository that an event names in passing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoRef {
    /// GitHub's id.
    pub id: u64,
    /// `owner/name`.
    pub name: RepoName,
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Login.
    pub login: Login,
    /// Whether it is a bot account.
    pub bot: bool,
}

/// One event. Unknown events and actions become [`Event::Ignored`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// `ping`.
    Ping,
    /// `pull_request` with an action that may change the verdict.
    PullRequest {
        /// The repository.
        repo: Repository,
        /// The number.
        number: PrNumber,
        /// GitHub's action word.
        action: String,
        /// Who.
        sender: Sender,
        /// The head after the event.
        head: CommitSha,
        /// The label, for `labeled` and `unlabeled`.
        label: Option<String>,
        /// Whether it was merged, for `closed`.
        merged: bool,
    },
    /// `pull_request_review`: submitted, edited, dismissed.
    Review {
        /// The repository.
        repo: Repository,
        /// The number.
        number: PrNumber,
        /// GitHub's action word.
        action: String,
        /// The review's id.
        review: u64,
        /// Its author.
        author: Login,
        /// Its state.
        state: ReviewState,
        /// The head it was given for, as GitHub says.
        commit: Option<CommitSha>,
        /// The pull request's head at that moment.
        head: CommitSha,
        /// Who caused the event (for `dismissed` another person than the author).
        sender: Sender,
    },
    /// `issue_comment` created on a pull request. Edited and deleted ones are ignored (B-12).
    Comment {
        /// The repository.
        repo: Repository,
        /// The number.
        number: PrNumber,
        /// The comment's id.
        comment: u64,
        /// Its text, at most 65,536 characters.
        body: String,
        /// Its author.
        sender: Sender,
    },
    /// `check_run` rerequested, or `check_suite` rerequested / requested.
    CheckRequested {
        /// The repository.
        repo: Repository,
        /// The commit.
        head: CommitSha,
        /// Pull requests that GitHub names; empty for forks.
        pulls: Vec<PrNumber>,
        /// The App whose checks are meant, where the payload says.
        #[serde(default)]
        app: Option<u64>,
    },
    /// `check_run` requested_action: somebody pressed one of its buttons.
    CheckAction {
        /// The repository.
        repo: Repository,
        /// The commit.
        head: CommitSha,
        /// Pull requests that GitHub names; empty for forks.
        pulls: Vec<PrNumber>,
        /// The App whose check it is.
        app: Option<u64>,
        /// Which button, in the App's own word.
        button: String,
        /// Who.
        sender: Sender,
    },
    /// `deployment_protection_rule` requested: a workflow job asks whether it may deploy.
    ProtectionRule {
        /// The repository.
        repo: Repository,
        /// The environment, in the words of the workflow.
        environment: String,
        /// The workflow run.
        run: u64,
        /// The commit that would be deployed.
        commit: CommitSha,
    },
    /// `installation` and `installation_repositories`.
    Installation {
        /// The installation.
        installation: u64,
        /// GitHub's action word.
        action: String,
        /// Repositories that came with it.
        added: Vec<RepoRef>,
        /// Repositories that were taken out of it.
        removed: Vec<RepoRef>,
    },
    /// `repository` renamed or transferred.
    Renamed {
        /// The repository under its new name.
        repo: Repository,
    },
    /// `push` to a branch.
    Push {
        /// The repository.
        repo: Repository,
        /// Branch name without `refs/heads/`.
        branch: String,
        /// The tip before; `None` when the branch is new.
        #[serde(default)]
        before: Option<CommitSha>,
        /// The new tip; `None` when the branch was deleted.
        after: Option<CommitSha>,
        /// Whether it was looked at before, too early for GitHub to know where its commits came from.
        #[serde(default)]
        looked: bool,
        /// Who.
        sender: Sender,
    },
    /// `merge_group` checks_requested.
    MergeGroup {
        /// The repository.
        repo: Repository,
        /// The group's head.
        head: CommitSha,
        /// The branch it would be merged into.
        base_ref: String,
        /// The commit it would be merged onto.
        base: CommitSha,
    },
    /// Anything else, with GitHub's words for it.
    Ignored {
        /// `X-GitHub-Event`.
        name: String,
        /// The payload's `action`, if it has one.
        action: Option<String>,
    },
}

/// The repository of an event, to be read or to be changed, as the event is at hand.
macro_rules! repository_of {
    ($event:expr) => {
        match $event {
            Event::PullRequest { repo, .. }
            | Event::Review { repo, .. }
            | Event::Comment { repo, .. }
            | Event::CheckRequested { repo, .. }
            | Event::CheckAction { repo, .. }
            | Event::Push { repo, .. }
            | Event::MergeGroup { repo, .. }
            | Event::ProtectionRule { repo, .. }
            | Event::Renamed { repo } => Some(repo),
            Event::Ping | Event::Installation { .. } | Event::Ignored { .. } => None,
        }
    };
}

impl Event {
    /// Says the same of a repository under the name that it has now.
    pub fn set_repo(&mut self, to: &Repository) {
        if let Some(repo) = repository_of!(self) {
            repo.clone_from(to);
        }
    }

    /// The installation that it came through; `None` where the payload named none.
    pub fn installation(&self) -> Option<u64> {
        match self {
            Event::Installation { installation, .. } => Some(*installation),
            other => other.repo().map(|r| r.installation).filter(|id| *id != 0),
        }
    }

    /// The repository, if it is about one.
    pub fn repo(&self) -> Option<&Repository> {
        repository_of!(self)
    }

    /// Work with equal keys is done one after the other: per pull request, else per repository. Comments are a line of
    /// their own, so that a command is heard while a run of its pull request goes on. `None`: no work.
    pub fn serial_key(&self) -> Option<String> {
        match self {
            Event::PullRequest { repo, number, .. } | Event::Review { repo, number, .. } => {
                Some(format!("{}{number}", repo.name))
            }
            Event::Comment { repo, number, .. } => Some(format!("{}{number} comments", repo.name)),
            Event::Installation { installation, .. } => Some(format!("installation {installation}")),
            other => other.repo().map(|repo| repo.name.to_string()),
        }
    }
}
