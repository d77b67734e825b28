//! Looks after a run while it goes on: hears when somebody asks it to stop, keeps its turn, and tells in the environment's
//! comment how far it is.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;

use super::Bot;
use super::error::JobError;
use super::gather::Place;
use super::worker::{chain, soon};
use crate::config::MigrationSettings;
use crate::ids::{EnvironmentName, MigrationId, PrNumber, RunId, TargetName};
use crate::report::run_comment::{self, ProgressInput};
use crate::runner::{Cancel, Limits, Pace, Progress};

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

/// What runs on a target at the moment, and how far a long statement is.
type Current = (TargetName, MigrationId, Option<String>);

/// How far a run is, target by target.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeMap<TargetName, Far>>>);

/// How far a run is on one target.
#[derive(Default)]
struct Far {
    /// What it does at the moment.
    migration: Option<MigrationId>,
    done: usize,
    of: usize,
    /// How far a long statement is.
    statement: Option<Progress>,
}

impl Seen {
    /// What a run needs to tell it.
    pub fn pace(&self) -> Pace {
        let (steps, statements) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let listener = move |p: &Progress| {
            let mut seen = statements.lock().unwrap_or_else(PoisonError::into_inner);
            seen.entry(p.target.clone()).or_default().statement = Some(p.clone());
        };
        let comes_to = move |target: &TargetName, migration: Option<&MigrationId>, done: usize, of: usize| {
            let mut seen = steps.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(target.clone(), Far { migration: migration.cloned(), done, of, statement: None });
        };
        Pace { listener: Some(Arc::new(listener)), steps: Some(Arc::new(comes_to)), ..Pace::default() }
    }

    /// The same with what an environment says of how a run goes on.
    pub fn pace_of(&self, settings: &MigrationSettings) -> Pace {
        Pace { limits: Limits::of(settings), ..self.pace() }
    }

    /// How many migrations are done, how many there are, and what runs where.
    fn far(&self) -> (usize, usize, Vec<Current>) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = seen.iter().filter_map(|(target, far)| {
            let statement = far.statement.as_ref().and_then(in_words);
            Some((target.clone(), far.migration.clone()?, statement))
        });
        (seen.values().map(|f| f.done).sum(), seen.values().map(|f| f.of).sum(), current.collect())
    }
}

fn in_words(progress: &Progress) -> Option<String> {
    if progress.statement == 0 {
        return progress.waits.as_ref().map(|why| format!("waiting: {why}"));
    }
    let of = progress.total.map(|t| format!(" of {t}")).unwrap_or_default();
    let waits = progress.waits.as_ref().map(|w| format!(", waiting: {w}")).unwrap_or_default();
    Some(format!("statement {}, {}{of} {}{waits}", progress.statement, progress.done, progress.what))
}

impl Bot {
    /// A place for a run on this server. A run may take hours, and a command that is to stop one must still be heard.
    pub(super) fn place_to_run(&self) -> Result<SemaphorePermit<'_>, JobError> {
        self.runs.try_acquire().map_err(|_| JobError::Later {
            at: soon(Utc::now()),
            reason: "this server runs as many migrations as it may at once".to_owned(),
        })
    }

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
        let (done, total, current) = seen.far();
        let text = run_comment::progress(&ProgressInput {
            environment: about.environment,
            run: about.run,
            by: about.by,
            since,
            now: Utc::now(),
            done,
            total,
            current: &current,
            stopping,
        });
        about.place.api.keep_comment(about.number, &run_comment::marker(about.environment), &text).await?;
        Ok(())
    }
}
