//! `godwit demo`: the whole story on this machine, through the real server and a stand-in for GitHub (INTERFACE 7.1).

mod markdown;
mod server;
mod shop;
mod stage;
mod story;
mod teller;

use serde::Serialize;

pub use stage::{DemoOptions, run};

/// What `--format json` ends with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Closing {
    /// Findings on the dangerous commit.
    pub lint_violations: usize,
    /// Approving reviews that were given.
    pub approvals: usize,
    /// Every environment in promotion order.
    pub environments: Vec<EnvironmentEnd>,
    /// Whether the audit chain verifies.
    pub audit_valid: bool,
    /// Records in the audit chain.
    pub audit_records: u64,
    /// The chain's head.
    pub audit_head: String,
    /// Comments on the pull request.
    pub comments: usize,
    /// Milliseconds the story took.
    pub duration_ms: u64,
}

/// How an environment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvironmentEnd {
    /// Its name.
    pub name: String,
    /// How its run ended, as the store has it; its database was looked into besides.
    pub outcome: String,
    /// Milliseconds the run took.
    pub duration_ms: u64,
}

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Something that must happen did not.
    #[error("this did not happen: {0}")]
    NotAsItMust(String),
    /// Something was waited for in vain.
    #[error("{what} did not come within {seconds} s")]
    Waited {
        /// What.
        what: String,
        /// Seconds.
        seconds: u64,
    },
    /// The stand-in refused.
    #[error("the stand-in for GitHub: {0}")]
    Sandbox(#[from] crate::sandbox::SandboxError),
    /// The server did not start, or not stop.
    #[error("the server: {0}")]
    Server(String),
    /// The server's store.
    #[error("the store: {0}")]
    Store(#[from] crate::store::StoreError),
    /// A database of the demo.
    #[error("a database of the demo: {0}")]
    Database(#[from] sqlx::Error),
    /// Files and sockets.
    #[error("input or output: {0}")]
    Io(#[from] std::io::Error),
}
