//! Judges a pull request for somebody who only asks: nothing is shown, nothing begins.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::error::JobError;
use super::gather::Found;
use super::{Bot, Settings, decide};
use tokio::sync::Semaphore;

use crate::approval::{PullRequestSnapshot, Verdict};
use crate::config::ConfigError;
use crate::config::server::SecretVars;
use crate::git::Mirrors;
use crate::github::{Github, Repository};
use crate::ids::PrNumber;
use crate::store::Store;

/// What came of it.
#[derive(Debug)]
pub enum Explained {
    /// What was looked at, and the verdict.
    Judged(Box<(PullRequestSnapshot, Verdict)>),
    /// The policy of the base branch is wrong, so nothing can be approved.
    BrokenPolicy(Vec<ConfigError>),
}

impl Bot {
    /// A bot that only looks, as whoever `github` is signed in as; nobody's time begins by it. What reviews were given for
    /// is read from `store`, else proved from git.
    ///
    /// # Errors
    /// When GitHub's address cannot be used.
    pub fn looking(store: Store, github: Github, api_url: &str, data_dir: &Path) -> Result<Self, JobError> {
        let mirrors = Mirrors::new(data_dir.join("mirrors"), api_url, Duration::from_secs(600))?;
        let settings = Settings { looks_only: true, ..Settings::new(SecretVars::default()) };
        let backups = data_dir.join("backups");
        // It runs nothing.
        let runs = Arc::new(Semaphore::new(0));
        Ok(Self { store, github, mirrors, backups, settings, stopping: Arc::new(AtomicBool::new(false)), runs })
    }

    /// Judges a pull request as it is now.
    ///
    /// # Errors
    /// When GitHub, git or the store fails.
    pub async fn explain(
        &self,
        repository: &Repository,
        number: PrNumber,
        now: DateTime<Utc>,
    ) -> Result<Explained, JobError> {
        let place = self.place(repository).await?;
        match self.gather(&place, number, now).await? {
            Found::Complete(gathered) => {
                let verdict = decide::judge(&gathered.contents, &gathered.snapshot, now);
                Ok(Explained::Judged(Box::new((gathered.snapshot, verdict))))
            }
            Found::BrokenPolicy(_, errors) => Ok(Explained::BrokenPolicy(errors)),
        }
    }
}
