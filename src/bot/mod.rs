//! Gather, decide, act: what the bot does per event.

pub mod command;
pub mod contents;
mod error;
mod gather;
pub mod labels;
pub mod people;

use std::sync::Arc;
use std::time::Duration;

pub use error::JobError;

use crate::git::Mirrors;
use crate::github::Github;
use crate::store::Store;

/// Finds the value of a variable of the server; what a repository may ask for is checked before.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// How the bot works.
#[derive(Clone)]
pub struct Settings {
    /// Where people see more than fits a comment, for links.
    pub public_url: Option<String>,
    /// The value of a variable.
    pub lookup: Lookup,
    /// Name of this worker in the store.
    pub worker: String,
    /// How many pull requests are worked on at once.
    pub parallel: usize,
    /// How long a claimed job is held without a heartbeat.
    pub lease: Duration,
    /// Pause between passes that repair missed webhooks.
    pub sweep_interval: Duration,
}

/// Everything that acts on pull requests.
pub struct Bot {
    pub(crate) store: Store,
    pub(crate) github: Github,
    pub(crate) mirrors: Mirrors,
    pub(crate) settings: Settings,
}
