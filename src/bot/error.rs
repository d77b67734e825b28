//! Why a job could not be done, and when to try again.

use chrono::{DateTime, Utc};

use crate::git::GitError;
use crate::github::GithubError;
use crate::runner::RunError;
use crate::store::StoreError;

/// Why a job could not be done. None of these is a verdict: the pull request stays blocked until the job is done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// GitHub.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A target or its history.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something has to be waited for.
    #[error("{reason}")]
    Later {
        /// When to look again.
        at: DateTime<Utc>,
        /// What is waited for.
        reason: String,
    },
    /// A fault of the program.
    #[error("{0}")]
    Internal(String),
}

impl JobError {
    /// Whether trying again may help without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            JobError::Github(e) => e.is_temporary(),
            JobError::Git(e) => e.is_temporary(),
            JobError::Store(_) | JobError::Run(_) | JobError::Later { .. } => true,
            JobError::Internal(_) => false,
        }
    }

    /// Whether GitHub, the store's server or a target did not answer: nobody's work failed, so no attempt counts.
    pub fn is_outage(&self) -> bool {
        match self {
            JobError::Github(GithubError::Server { .. } | GithubError::Transport { .. })
            | JobError::Git(GitError::Transport(_))
            | JobError::Run(RunError::Unreachable(_) | RunError::Store(_)) => true,
            JobError::Store(e) => e.is_outage(),
            JobError::Github(_) | JobError::Git(_) | JobError::Later { .. } | JobError::Internal(_) => false,
        }
    }

    /// When to try again, if the other side said so.
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            JobError::Github(e) => e.retry_at(),
            JobError::Later { at, .. } => Some(*at),
            JobError::Git(_) | JobError::Store(_) | JobError::Run(_) | JobError::Internal(_) => None,
        }
    }
}
