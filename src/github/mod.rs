//! The GitHub client and what arrives from GitHub, as domain values.

mod checks;
mod client;
mod comments;
mod error;
mod event;
mod issues;
pub mod model;
mod repo;
pub mod webhook;

pub use checks::{CheckAnnotation, NewCheckRun};
pub use client::{Github, GithubSettings};
pub use comments::own_comment;
pub use error::GithubError;
pub use event::{Event, Repository, Sender};
pub use issues::IssueRef;
pub use repo::{Files, RepoApi};
