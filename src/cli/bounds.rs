//! Options that bound a run: how long it waits, how long batches go on, what a person accepts.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::settings::data_dir_or;
use crate::backup::seal::Keys;
use crate::config::Environment;
use crate::plan::planner::OutOfOrder;
use crate::runner::backup::BackupWish;
use crate::runner::{ApplyOptions, Limits, Pace};

/// Bounds and rules of a run.
#[derive(Debug, clap::Args)]
pub struct Bounds {
    /// What to do with a migration whose version is lower than an applied one: `error`, `apply` or `ignore`
    #[arg(long, value_name = "WHAT", default_value = "error", value_parser = out_of_order)]
    out_of_order: OutOfOrder,
    /// Bound on the whole run
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// How long to wait for another run on the same database
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    lock_wait: Option<Duration>,
    /// How long a statement may wait for a lock of the database, and hold up others behind it
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    lock_timeout: Option<Duration>,
    /// How long a step that could not get a lock is tried again
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    retry_for: Option<Duration>,
    /// How long a lock outlives a holder that is silent; SQLite's goes with the process (default 30)
    #[arg(long, value_name = "SECONDS", value_parser = lease)]
    lease: Option<Duration>,
    /// Rows, documents or keys in a batch, where the migration does not say
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
    /// A rest between two batches
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pause: Option<Duration>,
    /// Wait before a batch or a migration while a replica is further behind than this (default: the environment's
    /// `migration.max_lag`)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_lag: Option<Duration>,
    /// Wait before a batch or a migration while a server is busier than this, 100 never (default: the environment's
    /// `migration.max_load`, else 95)
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    max_load: Option<u8>,
    /// Go on where data would be lost
    #[arg(long)]
    accept_data_loss: bool,
    /// Make and verify a backup first, also where nothing asks for one; `=all`: of everything, not only of what is touched
    #[arg(long, value_name = "all", num_args = 0..=1, require_equals = true, default_missing_value = "touched")]
    backup: Option<BackupOf>,
    #[command(flatten)]
    shelf: ShelfArgs,
}

/// How much `--backup` copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BackupOf {
    /// What the run touches, where the kind of database allows that
    Touched,
    /// Everything
    All,
}

/// Where backups are, and where they are verified.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ShelfArgs {
    /// The folder of backups (default: `backups` in the state directory)
    #[arg(long = "backup-dir", visible_alias = "dir", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Another server to verify backups on, by restoring them there (default: the same one)
    #[arg(long, value_name = "URL", env = "GODWIT_BACKUP_SCRATCH_URL", hide_env_values = true)]
    pub scratch: Option<String>,
}

impl ShelfArgs {
    /// The folder.
    ///
    /// # Errors
    /// When there is no state directory.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => Ok(data_dir_or(None)?.join("backups")),
        }
    }

    /// Where backups go and which keys encrypt them; nothing is asked for yet.
    ///
    /// # Errors
    /// When the folder or a key cannot be had.
    pub fn wish(&self) -> anyhow::Result<BackupWish> {
        if let Some(url) = &self.scratch {
            crate::redact::register_url(url);
        }
        Ok(BackupWish {
            dir: self.folder()?,
            scratch: self.scratch.clone().map(SecretString::from),
            keys: Keys::from_environment()?,
            ..BackupWish::default()
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give seconds, such as `30` or `0.5`".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "give seconds, such as `30` or `0.5`".to_owned())
}

/// A lease must leave room for its heartbeat.
fn lease(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        lease if lease >= Duration::from_secs(1) => Ok(lease),
        _ => Err("a lease is one second at least".to_owned()),
    }
}

fn out_of_order(text: &str) -> Result<OutOfOrder, String> {
    match text {
        "error" => Ok(OutOfOrder::Error),
        "apply" => Ok(OutOfOrder::Apply),
        "ignore" => Ok(OutOfOrder::Ignore),
        _ => Err("`error`, `apply` or `ignore`".to_owned()),
    }
}

impl Bounds {
    /// When a backup is made first. `settings` is the environment, `destroys` what the linter found.
    ///
    /// # Errors
    /// When the folder or a key cannot be had.
    pub fn backup(
        &self,
        settings: Option<&Environment>,
        destroys: &BTreeSet<String>,
    ) -> anyhow::Result<Option<BackupWish>> {
        if settings.is_none() && self.backup.is_none() {
            return Ok(None);
        }
        let targets = settings.map_or(&[][..], |s| &s.targets);
        Ok(Some(BackupWish {
            required: settings.is_some_and(|s| s.migration.backup_required),
            asked: self.backup.is_some(),
            whole: self.backup == Some(BackupOf::All),
            destroys: destroys.clone(),
            regions: targets.iter().filter_map(|t| Some((t.name.clone(), t.region.clone()?))).collect(),
            ..self.shelf.wish()?
        }))
    }

    /// The bound on the whole run: the one given by hand, else `usual`.
    pub fn timeout_or(&self, usual: Option<Duration>) -> Option<Duration> {
        self.timeout.or(usual)
    }

    /// A run's options with these bounds; `timeout` is the environment's own.
    pub fn options(&self, timeout: Option<Duration>) -> ApplyOptions {
        ApplyOptions {
            timeout: self.timeout_or(timeout),
            out_of_order: self.out_of_order,
            lock_wait: self.lock_wait,
            lock_timeout: self.lock_timeout,
            retry_for: self.retry_for,
            lease: self.lease,
            accept_data_loss: self.accept_data_loss,
            pace: Pace {
                batch_size: self.batch_size,
                pause: self.pause.unwrap_or_default(),
                limits: Limits { max_lag: self.max_lag, max_load: self.max_load },
                ..Pace::default()
            },
            ..ApplyOptions::default()
        }
    }
}
