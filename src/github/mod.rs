//! The GitHub client and what arrives from GitHub, as domain values.

pub mod app;
mod cache;
mod checks;
mod client;
mod comments;
mod deliveries;
mod deployments;
mod error;
mod event;
mod issues;
mod limits;
pub mod model;
mod owners;
mod repo;
pub mod webhook;
mod writing;

pub use checks::{CheckAction, CheckAnnotation, NewCheckRun, Shown};
pub use client::{Github, GithubSettings};
pub use comments::{LineComment, is_own_comment, own_comment};
pub use deliveries::Attempt;
pub use deployments::GateWord;
pub use error::GithubError;
pub use event::{Event, RepoRef, Repository, Sender};
pub use issues::IssueRef;
pub use owners::CommitAuthor;
pub use repo::{Files, RETARGETED, RepoApi};
pub use webhook::MAX_COMMENT;
pub use writing::{Required, Source};
