//! What begins anew: a target that forgets what was applied, and one that is emptied (DECISIONS 16). Both with its lock held.

use chrono::Utc;

use super::connect::with_driver;
use super::native::keep_native;
use super::settle::highest_epoch;
use super::target::{give_back, refusal_of};
use super::{Actor, RunError, Target};
use crate::backup::{self, BackupError, Subject};
use crate::drivers::{Driver, Session, SessionOptions};
use crate::ids::{Epoch, RunId};
use crate::migration::MigrationSet;
use crate::migration::native::Book;
use crate::plan::planner::{self, Index, Native};
use crate::plan::{HistoryRow, MigrationState, Outcome, Refusal, StepAction};
use crate::store::Store;
use crate::store::runs::{StepIntent, StepRecord, TargetIntent};

/// What a target knew before it forgot.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Forgotten {
    /// The run that made it forget.
    pub run: RunId,
    /// What the database says it is.
    pub fingerprint: String,
    /// The rows of its history as they were.
    pub history: Vec<HistoryRow>,
    /// The migrations (`unit/id`) that count as not applied from now on, those of another tool's table included.
    pub migrations: Vec<String>,
}

/// Has a target forget what was applied: every migration counts as not applied, and its tables, documents and keys stay as
/// they are. What another tool's table says goes with it. The store's ledger follows, so that the two agree. `keep` is
/// given what was known, while it still is; where it fails nothing is forgotten.
///
/// # Errors
/// The first: when the target or the store cannot be reached. The second: why it is refused.
pub async fn forget(
    store: &Store,
    set: &MigrationSet,
    target: &Target,
    actor: &Actor,
    keep: &(dyn Fn(&Forgotten) -> Result<(), String> + Sync),
) -> Result<Result<Forgotten, Refusal>, RunError> {
    let run = RunId::generate();
    let options = SessionOptions::new(run.clone(), &actor.by, &target.name);
    let (set, _) = set.for_environment(target.environment.as_ref());
    let work = Forgetting { store, set: set.as_ref(), target, actor, keep, run };
    with_driver!(target, driver => work.with(driver, &options).await)
}

struct Forgetting<'a> {
    store: &'a Store,
    set: &'a MigrationSet,
    target: &'a Target,
    actor: &'a Actor,
    keep: &'a (dyn Fn(&Forgotten) -> Result<(), String> + Sync),
    run: RunId,
}

impl Forgetting<'_> {
    async fn with<D: Driver>(
        &self,
        mut driver: D,
        options: &SessionOptions,
    ) -> Result<Result<Forgotten, Refusal>, RunError> {
        let book = Book::of(self.set, &self.target.name, self.target.engine);
        let native = match driver.native(&book).await {
            Ok(found) => Native { book, found },
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let mut session = match driver.lock(options).await {
            Ok(session) => session,
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let result = self.locked(&mut session, native).await;
        give_back(session).await;
        result
    }

    async fn locked<S: Session>(
        &self,
        session: &mut S,
        native: Native,
    ) -> Result<Result<Forgotten, Refusal>, RunError> {
        let history = match session.history().await {
            Ok(history) => history,
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let rows = self.rows(&history, &native);
        let forgotten = Forgotten {
            run: self.run.clone(),
            fingerprint: session.fingerprint().to_owned(),
            migrations: rows.iter().map(name_of).collect(),
            history: history.clone(),
        };
        if let Err(message) = (self.keep)(&forgotten) {
            return Ok(Err(Refusal {
                reason: "copy".to_owned(),
                message,
                what_to_do: "make room for the copy; nothing was forgotten".to_owned(),
                needs_human: false,
            }));
        }
        if let Err(error) = keep_native(session, self.set, native, &[], &history).await {
            return Ok(Err(refusal_of(error)?));
        }
        if rows.is_empty() {
            return Ok(Ok(forgotten));
        }
        let at_least = highest_epoch(self.store, session.fingerprint(), &history).await?;
        let epoch = match session.fence(at_least).await {
            Ok(epoch) => epoch,
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let rows: Vec<HistoryRow> = rows.into_iter().map(|row| HistoryRow { epoch, ..row }).collect();
        self.intend(session.fingerprint(), epoch, &rows, &history).await?;
        for row in &rows {
            if let Err(error) = session.write_row(row).await {
                return Ok(Err(refusal_of(error)?));
            }
        }
        let records: Vec<StepRecord> = (0..)
            .zip(&rows)
            .map(|(position, row)| StepRecord {
                position,
                state: MigrationState::RolledBack.as_str(),
                duration_ms: 0,
                error: row.error.clone(),
            })
            .collect();
        self.store.record_steps(&self.run, &self.target.name, &records).await?;
        self.store.finish_run(&self.run, Outcome::Applied, Utc::now()).await?;
        Ok(Ok(forgotten))
    }

    /// The rows as they read afterwards.
    fn rows(&self, history: &[HistoryRow], native: &Native) -> Vec<HistoryRow> {
        let now = Utc::now();
        let blank = |row: HistoryRow| HistoryRow {
            state: MigrationState::RolledBack,
            action: StepAction::Baseline,
            run: self.run.clone(),
            started_at: now,
            finished_at: Some(now),
            duration_ms: 0,
            by: self.actor.by.clone(),
            statements_done: 0,
            error: Some("forgotten by `godwit reset`; what it changed is still there".to_owned()),
            ..row
        };
        let mut rows: Vec<HistoryRow> =
            history.iter().filter(|r| r.state != MigrationState::RolledBack).cloned().map(blank).collect();
        let (name, engine) = (&self.target.name, self.target.engine);
        let states = planner::statuses(self.set, name, engine, history, native, &Default::default());
        let index = Index::new(self.set, history);
        // What only another tool's table knows gets a row, so that the table follows.
        let adopted = self.set.migrations.iter().filter(|m| {
            index.of(m).is_none_or(|r| r.state == MigrationState::RolledBack)
                && states.iter().any(|s| s.unit == m.unit && s.id == m.id && s.state == MigrationState::Applied)
        });
        rows.extend(adopted.map(|m| {
            blank(HistoryRow {
                unit: m.unit.clone(),
                id: m.id.clone(),
                version: m.version.as_str().to_owned(),
                checksum: m.checksum.clone(),
                state: MigrationState::Applied,
                action: StepAction::Baseline,
                epoch: Epoch(0),
                run: self.run.clone(),
                started_at: now,
                finished_at: Some(now),
                duration_ms: 0,
                by: self.actor.by.clone(),
                pr: None,
                commit: None,
                statements_done: 0,
                error: None,
            })
        }));
        rows
    }

    async fn intend(
        &self,
        fingerprint: &str,
        epoch: Epoch,
        rows: &[HistoryRow],
        history: &[HistoryRow],
    ) -> Result<(), RunError> {
        let run = self.actor.run(&self.run, StepAction::Baseline, self.target, self.set.digest());
        let intent = TargetIntent {
            target: self.target.name.clone(),
            engine: self.target.engine,
            fingerprint: fingerprint.to_owned(),
            epoch,
            plan_hash: planner::history_hash(rows),
            history_hash: planner::history_hash(history),
            steps: (0..)
                .zip(rows)
                .map(|(position, row)| StepIntent {
                    position,
                    unit: row.unit.clone(),
                    migration: row.id.to_string(),
                    checksum: row.checksum.to_string(),
                    action: "reset",
                    recovery: "atomic",
                })
                .collect(),
        };
        self.store.record_intents(&run, &intent).await?;
        Ok(())
    }
}

fn name_of(row: &HistoryRow) -> String {
    if row.unit.is_empty() { row.id.to_string() } else { format!("{}/{}", row.unit, row.id) }
}

/// Why a target was not emptied or filled.
#[derive(Debug, thiserror::Error)]
pub enum NotCleared {
    /// The target is busy or in a state that forbids it.
    #[error("{}; {}", .0.message, .0.what_to_do)]
    Refused(Refusal),
    /// The server did not do it.
    #[error(transparent)]
    Failed(#[from] BackupError),
}

/// Empties a target: what migrations made and what was put into it is gone, Godwit's own tables with it.
///
/// # Errors
/// The first: when the target cannot be reached. The second: why it was not done.
pub async fn empty(target: &Target, actor: &Actor) -> Result<Result<(), NotCleared>, RunError> {
    let options = SessionOptions::new(RunId::generate(), &actor.by, &target.name);
    with_driver!(target, driver => {
        let session = match driver.lock(&options).await {
            Ok(session) => session,
            Err(error) => return Ok(Err(NotCleared::Refused(refusal_of(error)?))),
        };
        let subject = Subject {
            environment: target.environment.clone(),
            region: None,
            name: target.name.clone(),
            engine: target.engine,
            url: target.url.clone(),
        };
        let done = backup::clear(&subject).await.map_err(NotCleared::Failed);
        give_back(session).await;
        Ok(done)
    })
}

/// A script of seed data: its file, and its text.
pub type SeedScript = (String, String);

/// Runs seed data on a target, each script in a transaction of its own. Gives how many were run, and what the server said
/// against the one after those.
///
/// # Errors
/// The first: when the target cannot be reached. The second: why nothing may run.
pub async fn seed(
    target: &Target,
    actor: &Actor,
    scripts: &[SeedScript],
) -> Result<Result<(usize, Option<String>), Refusal>, RunError> {
    let options = SessionOptions::new(RunId::generate(), &actor.by, &target.name);
    with_driver!(target, driver => {
        let mut session = match driver.lock(&options).await {
            Ok(session) => session,
            Err(error) => return Ok(Err(refusal_of(error)?)),
        };
        let ended = seed_in(&mut session, scripts).await;
        give_back(session).await;
        ended
    })
}

async fn seed_in<S: Session>(
    session: &mut S,
    scripts: &[SeedScript],
) -> Result<Result<(usize, Option<String>), Refusal>, RunError> {
    if let Err(error) = session.fence(Epoch(0)).await {
        return Ok(Err(refusal_of(error)?));
    }
    for (done, (file, text)) in scripts.iter().enumerate() {
        // A comment may end the script without a line break.
        match session.repair(&format!("BEGIN;\n{text}\n;COMMIT")).await {
            Ok(()) => {}
            Err(crate::drivers::DriverError::Statement(failure)) => {
                let code = failure.code.map_or(String::new(), |c| format!(" ({c})"));
                // Nothing may be open where the server has taken it back by itself.
                let _ = session.repair("ROLLBACK").await;
                return Ok(Ok((done, Some(format!("{file}: {}{code}", failure.message)))));
            }
            Err(error) => return Ok(Err(refusal_of(error)?)),
        }
    }
    Ok(Ok((scripts.len(), None)))
}

/// Makes the tables that runs on a target need, those of the folders' own tools included. Gives the names of the latter.
///
/// # Errors
/// The first: when the target cannot be reached. The second: why nothing was made.
pub async fn track(
    set: &MigrationSet,
    target: &Target,
    actor: &Actor,
) -> Result<Result<Vec<String>, Refusal>, RunError> {
    let options = SessionOptions::new(RunId::generate(), &actor.by, &target.name);
    let (set, _) = set.for_environment(target.environment.as_ref());
    with_driver!(target, driver => track_in(driver, set.as_ref(), target, &options).await)
}

async fn track_in<D: Driver>(
    mut driver: D,
    set: &MigrationSet,
    target: &Target,
    options: &SessionOptions,
) -> Result<Result<Vec<String>, Refusal>, RunError> {
    let mut book = Book::of(set, &target.name, target.engine);
    let found = match driver.native(&book).await {
        Ok(found) => found,
        Err(error) => return Ok(Err(refusal_of(error)?)),
    };
    let mut session = match driver.lock(options).await {
        Ok(session) => session,
        Err(error) => return Ok(Err(refusal_of(error)?)),
    };
    let made = async {
        let history = session.history().await?;
        let index = Index::new(set, &history);
        let mut applied = Vec::new();
        for migration in &set.migrations {
            let Some(row) = index.of(migration) else { continue };
            book.also_known(&row.unit, &migration.unit);
            if row.state == MigrationState::Applied {
                applied.push((migration.unit.clone(), migration.id.clone()));
            }
        }
        let units = set
            .migrations
            .iter()
            .filter(|m| planner::belongs(m, &target.name, target.engine))
            .map(|m| m.unit.as_str())
            .collect();
        if !book.is_empty() {
            session.keep_native(&book, &found, &units, &applied).await?;
        }
        Ok(book
            .ledgers
            .iter()
            .enumerate()
            .filter(|(n, l)| l.make || found.iter().any(|f| f.ledger == *n))
            .map(|(_, l)| l.table.clone())
            .collect())
    }
    .await;
    give_back(session).await;
    match made {
        Ok(names) => Ok(Ok(names)),
        Err(error) => Ok(Err(refusal_of(error)?)),
    }
}
