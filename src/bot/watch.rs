//! Looks after a run while it goes on: hears when somebody asks it to stop, keeps its turn, and tells in the environment's
//! comment how far it is.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Bot;
use super::error::JobError;
use super::gather::Place;
use super::worker::chain;
use crate::ids::{EnvironmentName, MigrationId, PrNumber, RunId, TargetName};
use crate::plan::MigrationState;
use crate::report::run_comment::{self, ProgressInput};
use crate::runner::{Cancel, Pace, Progress};

/// How often the store is asked whether somebody wants the run to stop.
const LISTEN: Duration = Duration::from_millis(500);
/// How often a run says that it still goes on.
const KEEP: Duration = Duration::from_secs(5);

/// A run that is looked after.
pub(super) struct Watched<'a> {
    pub place: &'a Place,
    pub number: PrNumber,
    pub environment: &'a EnvironmentName,
    pub run: &'a RunId,
    /// Who or what caused it, in words.
    pub by: &'a str,
}

/// How far the long statements of a run are, by target.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeMap<TargetName, Progress>>>);

impl Seen {
    /// What a run needs to tell it.
    pub fn pace(&self) -> Pace {
        let seen = Arc::clone(&self.0);
        let listener = move |p: &Progress| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(p.target.clone(), p.clone());
        };
        Pace { listener: Some(Arc::new(listener)), ..Pace::default() }
    }

    fn of(&self, target: &TargetName, migration: &MigrationId) -> Option<String> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = seen.get(target).filter(|p| &p.migration == migration)?;
        let of = progress.total.map(|t| format!(" of {t}")).unwrap_or_default();
        let waits = progress.waits.as_ref().map(|w| format!(", waiting: {w}")).unwrap_or_default();
        Some(format!("statement {}, {}{of} {}{waits}", progress.statement, progress.done, progress.what))
    }
}

impl Bot {
    /// Carries `run` out and looks after it meanwhile. What is told has been told when this returns, so that it never
    /// overtakes the result.
    pub(super) async fn looked_after<T>(
        &self,
        about: &Watched<'_>,
        cancel: &Cancel,
        seen: &Seen,
        run: impl Future<Output = T>,
    ) -> T {
        let (end, ended) = watch::channel(false);
        let run = async {
            let out = run.await;
            end.send_replace(true);
            out
        };
        let (out, ()) = tokio::join!(run, self.look_after(about, cancel, seen, ended));
        out
    }

    async fn look_after(&self, about: &Watched<'_>, cancel: &Cancel, seen: &Seen, mut ended: watch::Receiver<bool>) {
        let since = Utc::now();
        let (mut kept, mut told) = (Instant::now(), Instant::now());
        let every = self.settings.progress_interval;
        loop {
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => return,
                () = tokio::time::sleep(LISTEN.min(every)) => {}
            }
            let stopping = match self.store.asked_to_stop(about.run).await {
                Ok(by) => by,
                Err(error) => {
                    tracing::warn!(run = %about.run, error = chain(&error), "whether a run is to stop cannot be told");
                    None
                }
            };
            if stopping.is_some() {
                cancel.cancel();
            }
            if kept.elapsed() >= KEEP {
                kept = Instant::now();
                if let Err(error) = self.store.keep_turn(about.run).await {
                    tracing::warn!(run = %about.run, error = chain(&error), "a run's turn could not be kept");
                }
            }
            if told.elapsed() >= every {
                if let Err(error) = self.tell_progress(about, seen, since, stopping.as_deref()).await {
                    tracing::warn!(run = %about.run, error = chain(&error), "a run's progress could not be told");
                }
                told = Instant::now();
            }
        }
    }

    async fn tell_progress(
        &self,
        about: &Watched<'_>,
        seen: &Seen,
        since: DateTime<Utc>,
        stopping: Option<&str>,
    ) -> Result<(), JobError> {
        let steps = self.store.steps_of(about.run).await?;
        let open = |state: MigrationState| matches!(state, MigrationState::Pending | MigrationState::Running);
        let mut current: Vec<(TargetName, MigrationId, Option<String>)> = Vec::new();
        for (target, migration, state) in &steps {
            // The first of a target that is not done is what runs there.
            if open(*state) && !current.iter().any(|(t, ..)| t == target) {
                current.push((target.clone(), migration.clone(), seen.of(target, migration)));
            }
        }
        let text = run_comment::progress(&ProgressInput {
            environment: about.environment,
            run: about.run,
            by: about.by,
            since,
            now: Utc::now(),
            done: steps.iter().filter(|(.., state)| !open(*state)).count(),
            total: steps.len(),
            current: &current,
            stopping,
        });
        about.place.api.keep_comment(about.number, &run_comment::marker(about.environment), &text).await?;
        Ok(())
    }
}
