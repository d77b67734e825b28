//! Whose turn it is in an environment: who runs, who waits for it, and what waits for a gate (B-11).
//!
//! A pull request stands here from the moment its turn in the environment would have come until it is done there. Who
//! runs says so again and again; one that fell silent no longer keeps others waiting.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::approvals::{number, parsed};
use super::jobs::event_to_text;
use super::stops::{BUSY, HANDED_ON};
use super::{Store, StoreError, millis, time_of};
use crate::github::Event;
use crate::ids::{EnvironmentName, PrNumber, RepoName, RunId, TargetName};
use crate::plan::StepAction;

/// A run that was silent for longer no longer keeps others waiting (seconds): its process is gone.
const SILENT: i64 = 60;
/// A waiter that was not looked at for longer keeps nobody waiting (seconds): its work was given up.
const FORGOTTEN: i64 = 600;

/// Where a pull request stands in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnState {
    /// A gate is closed.
    Waiting,
    /// Every gate is open; others are before it.
    Queued,
    /// It runs.
    Running,
}

/// A pull request's stand in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The pull request.
    pub pr: PrNumber,
    /// The targets that it needs.
    pub targets: Vec<TargetName>,
    /// When it was merged, which is the order of the queue.
    pub merged_at: DateTime<Utc>,
    /// Where it stands.
    pub state: TurnState,
    /// What it waits for: the word of the refusal.
    pub reason: String,
    /// Its run, where it runs.
    pub run: Option<RunId>,
    /// Since when it stands there.
    pub since: DateTime<Utc>,
    /// When it last said so.
    pub seen_at: DateTime<Utc>,
}

/// Who asks for a turn, and where.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The repository.
    pub repo: &'a RepoName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The pull request.
    pub pr: PrNumber,
    /// The targets that it needs.
    pub targets: &'a [TargetName],
    /// When it was merged.
    pub merged_at: DateTime<Utc>,
    /// What asks for another look at it.
    pub event: &'a Event,
}

impl TurnState {
    const ALL: [TurnState; 3] = [TurnState::Waiting, TurnState::Queued, TurnState::Running];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            TurnState::Waiting => "waiting",
            TurnState::Queued => "queued",
            TurnState::Running => "running",
        }
    }
}

impl Turn {
    /// Whether a part of its run is done and the worker of another region has the next one.
    pub fn is_handed_on(&self) -> bool {
        self.state == TurnState::Running && self.reason == HANDED_ON
    }

    /// Whether nothing of it goes on at the moment, although it has its turn.
    pub fn rests(&self) -> bool {
        self.is_handed_on() || (self.state == TurnState::Running && self.reason == BUSY)
    }

    /// Whether it keeps `asker` waiting: it shares a target, and runs or was merged before.
    fn is_before(&self, asker: &Asker<'_>, now: DateTime<Utc>) -> bool {
        let shares = self.targets.iter().any(|t| asker.targets.contains(t));
        let silent = now - self.seen_at;
        let stands = match self.state {
            TurnState::Waiting => false,
            TurnState::Queued => {
                silent <= TimeDelta::seconds(FORGOTTEN) && (self.merged_at, self.pr) < (asker.merged_at, asker.pr)
            }
            TurnState::Running => self.is_handed_on() || silent <= TimeDelta::seconds(SILENT),
        };
        self.pr != asker.pr && shares && stands
    }
}

type Row = (i64, String, i64, String, String, Option<String>, i64, i64);
const COLUMNS: &str = "SELECT pr, targets, merged_at, state, reason, run, since, seen_at FROM turns \
                       WHERE repo = $1 AND environment = $2 ORDER BY merged_at, pr";

impl Store {
    /// Notes that a gate keeps a pull request waiting, and which; `waits_for` are the migrations that must run before it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wait_at_gate(
        &self,
        asker: &Asker<'_>,
        reason: &str,
        waits_for: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let now = Utc::now();
        let waits_for = waits_for.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let mut tx = self.begin().await?;
        stand(&mut tx, asker, TurnState::Waiting, reason, now).await?;
        sqlx::query("UPDATE turns SET waits_for = $4 WHERE repo = $1 AND environment = $2 AND pr = $3")
            .bind(asker.repo.as_str())
            .bind(asker.environment.as_str())
            .bind(number(asker.pr))
            .bind(waits_for)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Takes the turn for `run` where nobody is before; gives those who are, in the order in which they come. Who had it
    /// when it was cut short or handed on has it before those who only wait.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn take_turn(&self, asker: &Asker<'_>, run: &RunId) -> Result<Vec<Turn>, StoreError> {
        let now = Utc::now();
        let mut tx = self.begin().await?;
        let had: Option<(String,)> =
            sqlx::query_as("SELECT state FROM turns WHERE repo = $1 AND environment = $2 AND pr = $3")
                .bind(asker.repo.as_str())
                .bind(asker.environment.as_str())
                .bind(number(asker.pr))
                .fetch_optional(&mut *tx)
                .await?;
        let had = had.is_some_and(|(state,)| state == TurnState::Running.as_str());
        stand(&mut tx, asker, TurnState::Queued, "turn", now).await?;
        let rows: Vec<Row> = sqlx::query_as(COLUMNS)
            .bind(asker.repo.as_str())
            .bind(asker.environment.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let turns = rows.into_iter().map(turn_of).collect::<Result<Vec<Turn>, _>>()?;
        let is_before = |t: &Turn| t.is_before(asker, now) && (!had || t.state == TurnState::Running);
        let mut before: Vec<Turn> = turns.into_iter().filter(is_before).collect();
        before.sort_by_key(|t| (t.state != TurnState::Running, t.merged_at, t.pr));
        if before.is_empty() {
            sqlx::query("UPDATE turns SET state = $4, run = $5 WHERE repo = $1 AND environment = $2 AND pr = $3")
                .bind(asker.repo.as_str())
                .bind(asker.environment.as_str())
                .bind(number(asker.pr))
                .bind(TurnState::Running.as_str())
                .bind(run.as_str())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(before)
    }

    /// Says that a run waits for a database that somebody else holds, and keeps its turn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rest_turn(&self, run: &RunId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE turns SET reason = $2, seen_at = $3 WHERE run = $1 AND state = 'running'")
            .bind(run.as_str())
            .bind(BUSY)
            .bind(millis(Utc::now()))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// The run with which a pull request waits for a database that somebody else holds, where it sent nothing to any other.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn resting_run(
        &self,
        repo: &RepoName,
        environment: &EnvironmentName,
        pr: PrNumber,
    ) -> Result<Option<RunId>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT run FROM turns WHERE repo = $1 AND environment = $2 AND pr = $3 AND state = 'running' AND reason = $4 \
             AND run IS NOT NULL AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = turns.run)",
        )
        .bind(repo.as_str())
        .bind(environment.as_str())
        .bind(number(pr))
        .bind(BUSY)
        .fetch_optional(self.reader())
        .await?;
        row.map(|(run,)| parsed("a run", run)).transpose()
    }

    /// Says that a run still goes on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_turn(&self, run: &RunId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE turns SET seen_at = $2 WHERE run = $1")
            .bind(run.as_str())
            .bind(millis(Utc::now()))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Takes a pull request off the list of an environment, if it stands there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_turn(
        &self,
        repo: &RepoName,
        environment: &EnvironmentName,
        pr: PrNumber,
    ) -> Result<(), StoreError> {
        if !self.turns(repo, environment).await?.iter().any(|t| t.pr == pr) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM turns WHERE repo = $1 AND environment = $2 AND pr = $3")
            .bind(repo.as_str())
            .bind(environment.as_str())
            .bind(number(pr))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Everybody who stands in an environment, in merge order.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not understand.
    pub async fn turns(&self, repo: &RepoName, environment: &EnvironmentName) -> Result<Vec<Turn>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as(COLUMNS).bind(repo.as_str()).bind(environment.as_str()).fetch_all(self.reader()).await?;
        rows.into_iter().map(turn_of).collect()
    }

    /// Whether a run undid something.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_rollback(&self, run: &RunId) -> Result<bool, StoreError> {
        let action: Option<(String,)> = sqlx::query_as("SELECT action FROM runs WHERE id = $1")
            .bind(run.as_str())
            .fetch_optional(self.reader())
            .await?;
        Ok(action.is_some_and(|(action,)| action == StepAction::Rollback.as_str()))
    }

    /// The pull request whose run applied a migration in an environment last, where the store knows it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn brought_by(
        &self,
        repo: &RepoName,
        environment: Option<&EnvironmentName>,
        unit: &str,
        migration: &str,
    ) -> Result<Option<PrNumber>, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as(
            "SELECT r.pr FROM run_steps s JOIN runs r ON r.id = s.run WHERE r.repo = $1 AND r.pr IS NOT NULL \
             AND s.unit = $2 AND s.migration = $3 AND s.action = 'apply' AND ($4 = '' OR r.environment = $4) \
             ORDER BY r.id DESC LIMIT 1",
        )
        .bind(repo.as_str())
        .bind(unit)
        .bind(migration)
        .bind(environment.map_or("", EnvironmentName::as_str))
        .fetch_optional(self.reader())
        .await?;
        Ok(row.and_then(|(pr,)| u64::try_from(pr).ok()).map(PrNumber))
    }

    /// Stores work that is due at `due`, unless work of that key is queued for that very moment already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue_once(&self, event: &Event, due: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(key) = event.serial_key() else { return Ok(()) };
        let known: Option<(i64,)> = sqlx::query_as(
            "SELECT due_at FROM jobs WHERE state = 'queued' AND serial_key = $1 AND due_at = $2 LIMIT 1",
        )
        .bind(&key)
        .bind(self.by_its_clock(due).await?)
        .fetch_optional(self.reader())
        .await?;
        if known.is_some() { Ok(()) } else { self.enqueue_at(&key, event, None, due).await }
    }
}

async fn stand(
    tx: &mut super::WriteTransaction,
    asker: &Asker<'_>,
    state: TurnState,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let targets: Vec<&str> = asker.targets.iter().map(TargetName::as_str).collect();
    sqlx::query(
        "INSERT INTO turns (repo, environment, pr, targets, merged_at, state, reason, run, event, since, seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9, $9) ON CONFLICT (repo, environment, pr) DO UPDATE SET \
         targets = excluded.targets, since = CASE WHEN turns.state = excluded.state AND turns.reason = excluded.reason \
         THEN turns.since ELSE excluded.since END, state = excluded.state, reason = excluded.reason, run = NULL, \
         waits_for = '', event = excluded.event, seen_at = excluded.seen_at",
    )
    .bind(asker.repo.as_str())
    .bind(asker.environment.as_str())
    .bind(number(asker.pr))
    .bind(targets.join(" "))
    .bind(millis(asker.merged_at))
    .bind(state.as_str())
    .bind(reason)
    .bind(event_to_text(asker.event)?)
    .bind(millis(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn turn_of((pr, targets, merged_at, state, reason, run, since, seen_at): Row) -> Result<Turn, StoreError> {
    Ok(Turn {
        pr: PrNumber(u64::try_from(pr).unwrap_or_default()),
        targets: targets_of(&targets)?,
        merged_at: time_of(merged_at)?,
        state: TurnState::ALL
            .into_iter()
            .find(|s| s.as_str() == state)
            .ok_or(StoreError::Value { what: "a turn", value: state })?,
        reason,
        run: run.map(|r| parsed("a run", r)).transpose()?,
        since: time_of(since)?,
        seen_at: time_of(seen_at)?,
    })
}

/// The targets of a row.
pub(super) fn targets_of(text: &str) -> Result<Vec<TargetName>, StoreError> {
    text.split(' ').filter(|t| !t.is_empty()).map(|t| parsed("a target", t.to_owned())).collect()
}
