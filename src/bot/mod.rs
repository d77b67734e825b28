//! Gather, decide, act: what the bot does per event.
//!
//! `work` says what the due jobs of a pull request amount to; `gather` and `contents` read everything once; `decide`
//! judges values; `act`, `merge_run` and `commands` carry out; `worker` and `reconcile` keep it going.

mod act;
mod arrivals;
mod asked;
mod asking;
mod attempts;
mod buttons;
mod collide;
pub mod command;
mod commands;
pub mod confirm;
pub mod contents;
pub mod decide;
mod deployments;
mod elsewhere;
mod emergency;
pub mod entered;
mod error;
pub mod explain;
mod facts;
mod gather;
mod given_up;
pub mod guarded;
mod handle;
mod heads;
mod judged;
pub mod labels;
mod life;
mod live;
mod measure;
mod merge_group;
mod merge_run;
mod onboarding;
mod orders;
mod outdated;
mod owners;
mod papers;
pub mod people;
pub mod permission;
mod plans;
mod policy_now;
mod promotion;
mod protection;
mod proving;
mod pushes;
mod raises;
mod reconcile;
mod redeliver;
mod refused;
mod regions;
mod reviewers;
mod rollback;
mod scripts;
mod services;
mod speech;
mod stacked;
mod stopping;
mod suggest;
mod terms;
mod tip;
pub mod traced;
mod unheard;
mod untold;
mod vitals;
mod work;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[cfg(feature = "postgres")]
pub use crate::runner::notices;
pub use error::JobError;
use tokio::sync::Semaphore;

use chrono::{DateTime, Utc};

use crate::config::server::SecretVars;
use crate::config::urls::AllowedUrls;
use crate::git::Mirrors;
use crate::github::{Github, GithubSettings};
use crate::store::Store;

/// Finds the value of a variable of the server; what a repository may ask for is checked before.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What time it is, for everything that waits for a moment.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How the bot works.
#[derive(Clone)]
pub struct Settings {
    /// Where people see more than fits a comment, for links.
    pub public_url: Option<String>,
    /// Which variables a repository's configuration may name.
    pub secret_vars: SecretVars,
    /// Which addresses a repository's configuration may name.
    pub allowed_urls: AllowedUrls,
    /// The value of a variable.
    pub lookup: Lookup,
    /// Name of this worker in the store.
    pub worker: String,
    /// The region whose work this worker does; `None`: what belongs to no region.
    pub region: Option<String>,
    /// How many pull requests are worked on at once.
    pub parallel: usize,
    /// How long a claimed job is held without a heartbeat.
    pub lease: Duration,
    /// Pause between passes that repair missed webhooks.
    pub sweep_interval: Duration,
    /// Only judges; that people are asked does not begin by it.
    pub looks_only: bool,
    /// How long GitHub may take to know which pull request a pushed commit belongs to.
    pub push_grace: Duration,
    /// The least time between two edits of a comment that tells how far a run is.
    pub progress_interval: Duration,
    /// What time it is.
    pub clock: Clock,
}

impl Settings {
    /// The usual settings: variables from this process's environment, four pull requests at once, a lease of half a minute,
    /// a sweep every five minutes, word of a long run every ten seconds.
    pub fn new(secret_vars: SecretVars) -> Self {
        Self {
            public_url: None,
            secret_vars,
            allowed_urls: AllowedUrls::default(),
            lookup: Arc::new(|name| std::env::var(name).ok()),
            worker: format!("worker-{}", std::process::id()),
            region: None,
            parallel: 4,
            lease: Duration::from_secs(30),
            sweep_interval: Duration::from_secs(300),
            looks_only: false,
            push_grace: Duration::from_secs(60),
            progress_interval: Duration::from_secs(10),
            clock: Arc::new(Utc::now),
        }
    }
}

/// Everything that acts on pull requests; cheap to clone.
#[derive(Clone)]
pub struct Bot {
    store: Store,
    github: Github,
    mirrors: Mirrors,
    /// Where backups go.
    backups: PathBuf,
    settings: Settings,
    /// No further environment is begun.
    stopping: Arc<AtomicBool>,
    /// How many more runs may be begun: one lane is left for what people say meanwhile.
    runs: Arc<Semaphore>,
}

impl Bot {
    /// A bot that works on the jobs of `store` and keeps its mirrors and backups below `data_dir`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the App's key or GitHub's address cannot be used.
    pub fn new(store: Store, github: &GithubSettings, data_dir: &Path, settings: Settings) -> Result<Self, JobError> {
        // A large repository takes longer to send than an API call to answer.
        let mirrors = Mirrors::new(data_dir.join("mirrors"), &github.api_url, Duration::from_secs(600))?;
        let backups = data_dir.join("backups");
        let runs = Arc::new(Semaphore::new(settings.parallel.saturating_sub(1).max(1)));
        Ok(Self { store, github: Github::new(github)?, mirrors, backups, settings, stopping: Arc::default(), runs })
    }
    /// Acts as the App with another of its keys from now on.
    ///
    /// # Errors
    /// When it is no key; then the one before stays.
    pub fn use_app_key(&self, key: secrecy::SecretString) -> Result<(), JobError> {
        Ok(self.github.use_key(key)?)
    }
}
