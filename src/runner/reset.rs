//! A target that forgets what was applied, and one that learns to keep it (DECISIONS 16). Both with its lock held.

use chrono::Utc;

use super::by_hand::{Rewriting, not_applied, opened};
use super::connect::with_driver;
use super::native::keep_native;
use super::target::{give_back, refusal_of};
use super::{Actor, RunError, Target};
use crate::drivers::{Driver, OwnTables, Session, SessionOptions};
use crate::ids::{Epoch, RunId};
use crate::migration::MigrationSet;
use crate::migration::native::Book;
use crate::plan::planner::{self, Index, Native};
use crate::plan::{FORGOTTEN, HistoryRow, MigrationState, Refusal, StepAction};
use crate::store::Store;

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
        driver: D,
        options: &SessionOptions,
    ) -> Result<Result<Forgotten, Refusal>, RunError> {
        let (mut session, native) = match opened(driver, self.set, self.target, options).await? {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
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
        let (store, set, target, actor) = (self.store, self.set, self.target, self.actor);
        let writing = Rewriting { store, set, target, actor, run: &self.run, action: "reset" };
        Ok(writing.write(session, &history, rows).await?.map(|()| forgotten))
    }

    /// The rows as they read afterwards.
    fn rows(&self, history: &[HistoryRow], native: &Native) -> Vec<HistoryRow> {
        let now = Utc::now();
        let blank = |row: HistoryRow| not_applied(row, &self.run, self.actor, FORGOTTEN);
        let mut rows: Vec<HistoryRow> =
            history.iter().filter(|r| r.state != MigrationState::RolledBack).cloned().map(blank).collect();
        let (name, engine) = (&self.target.name, self.target.engine);
        let states = planner::statuses(self.set, name, engine, history, native, &Default::default(), None);
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
}

fn name_of(row: &HistoryRow) -> String {
    if row.unit.is_empty() { row.id.to_string() } else { format!("{}/{}", row.unit, row.id) }
}

/// Makes the tables that runs on a target need, those of the folders' own tools included; with [`OwnTables::Leave`] the latter
/// alone. Gives the names of the latter.
///
/// # Errors
/// The first: when the target cannot be reached. The second: why nothing was made.
pub async fn track(
    set: &MigrationSet,
    target: &Target,
    actor: &Actor,
    own_tables: OwnTables,
) -> Result<Result<Vec<String>, Refusal>, RunError> {
    let usual = SessionOptions::new(RunId::generate(), &actor.by, &target.name);
    let options = SessionOptions { own_tables, ..usual };
    let (set, _) = set.for_environment(target.environment.as_ref());
    with_driver!(target, driver => track_in(driver, set.as_ref(), target, &options).await)
}

async fn track_in<D: Driver>(
    driver: D,
    set: &MigrationSet,
    target: &Target,
    options: &SessionOptions,
) -> Result<Result<Vec<String>, Refusal>, RunError> {
    // Where no tool has a table there is nothing to make, and not every engine locks without a table of ours.
    if options.own_tables == OwnTables::Leave && Book::of(set, &target.name, target.engine).is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let (mut session, Native { mut book, found, .. }) = match opened(driver, set, target, options).await? {
        Ok(opened) => opened,
        Err(refusal) => return Ok(Err(refusal)),
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
