//! What a long statement asks and tells between two of its batches: whether to stop, how far it is, how long to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::DriverError;
use super::limits::{Limits, REST};
use crate::ids::{MigrationId, TargetName};

/// A word that stops a run before its next statement or batch; clones speak to the same run.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a long statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The target it runs on.
    pub target: TargetName,
    /// The migration.
    pub migration: MigrationId,
    /// Its statement, from 1; 0 while none was begun.
    pub statement: i32,
    /// What is counted: `rows`, `documents`, `keys`.
    pub what: &'static str,
    /// How many are done, those of earlier attempts included.
    pub done: u64,
    /// How many there are, if that is known.
    pub total: Option<u64>,
    /// Why it waits at the moment, if it does.
    pub waits: Option<String>,
}

/// Who is told.
pub type Listener = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Told when a target comes to its next migration: which, how many are done, and how many there are. No migration: all
/// are done.
pub type StepListener = Arc<dyn Fn(&TargetName, Option<&MigrationId>, usize, usize) + Send + Sync>;

/// Told what a server says while a migration runs there.
pub type NoticeListener = Arc<dyn Fn(&TargetName, &MigrationId, &str) + Send + Sync>;

/// How a long statement goes on.
#[derive(Clone, Default)]
pub struct Pace {
    /// Stops it.
    pub cancel: Cancel,
    /// When the whole run must have ended.
    pub deadline: Option<Instant>,
    /// Told after each batch.
    pub listener: Option<Listener>,
    /// Told between two migrations.
    pub steps: Option<StepListener>,
    /// Told of a server's notices.
    pub notices: Option<NoticeListener>,
    /// Rows, documents or keys in a batch, where the migration does not say.
    pub batch_size: Option<u32>,
    /// A rest between two batches.
    pub pause: Duration,
    /// Wait while a server has more to do than this [S4-90].
    pub limits: Limits,
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pace")
            .field("batch_size", &self.batch_size)
            .field("pause", &self.pause)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Pace {
    /// Tells how far it is.
    pub fn tell(&self, progress: &Progress) {
        if let Some(listener) = &self.listener {
            listener(progress);
        }
    }

    /// Tells which migration comes next.
    pub fn comes_to(&self, target: &TargetName, migration: Option<&MigrationId>, done: usize, of: usize) {
        if let Some(listener) = &self.steps {
            listener(target, migration, done, of);
        }
    }

    /// To be awaited between two batches: tells, rests, and ends a run that somebody cancelled or whose time is up.
    ///
    /// # Errors
    /// [`DriverError::Stopped`]; what is done is kept, and the next run goes on from there.
    pub async fn between(&self, progress: &Progress) -> Result<(), DriverError> {
        self.tell(progress);
        self.may_go_on()?;
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
            self.may_go_on()?;
        }
        Ok(())
    }

    /// To be awaited while the server has too much to do, which `progress` says: tells, rests, and ends a run that somebody
    /// cancelled or whose time is up.
    ///
    /// # Errors
    /// [`DriverError::Stopped`], with what was waited for.
    pub async fn rest(&self, progress: &Progress) -> Result<(), DriverError> {
        self.tell(progress);
        self.may_go_on().map_err(|stopped| match (stopped, &progress.waits) {
            (DriverError::Stopped(message), Some(why)) => {
                DriverError::Stopped(format!("{message}; it was waiting: {why}"))
            }
            (other, _) => other,
        })?;
        tokio::time::sleep(REST).await;
        Ok(())
    }

    /// Whether the next batch may be begun.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub fn may_go_on(&self) -> Result<(), DriverError> {
        if self.cancel.is_cancelled() {
            return Err(DriverError::Stopped("the run was cancelled between two batches".to_owned()));
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(DriverError::Stopped("the run's time is up".to_owned()));
        }
        Ok(())
    }
}
