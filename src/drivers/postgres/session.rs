//! The connection that holds the lock: everything that changes a PostgreSQL target goes through it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use super::beat::{Beat, take_over};
use super::message::{self, Tables, literal};
use super::sending::{Sending, Stream, Whole};
use super::watch::{holder_of, lock_key, look};
use super::wire::{self, Reply};
use super::{PostgresDriver, health, native, open, probe, read_history};
use crate::drivers::{
    DriverError, Limits, OwnTables, Probe, Script, Session, SessionOptions, SingleStatement, StatementFailure, jittered,
};
use crate::drivers::{batches, failpoint, notices};
use crate::ids::{Engine, Epoch, MigrationId, RunId};
use crate::migration::execution::{Nature, touches_session};
use crate::migration::native::{Book, Found};
use crate::plan::{HistoryRow, LockHolder};

/// How often the server looks whether the client of a running statement is still there (milliseconds).
const CLIENT_CHECK_MS: u32 = 250;
/// What a session is known by from one transaction to the next.
const MARK: &str = "godwit.session";
/// The answer of another session than the one that was asked for.
const ELSEWHERE: &str = "elsewhere";
/// How often a lock's holder is looked at while it is waited for.
const LOOK_AT_HOLDER: Duration = Duration::from_millis(500);
/// How long a lost server is waited for.
const RECONNECT_FOR: Duration = Duration::from_secs(30);
/// How long a statement of a dead runner is waited for before it is ended.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(10);

/// The session; see [`Session`].
#[derive(Debug)]
pub struct PostgresSession {
    pub(super) connection: PgConnection,
    /// Looks at the first one while it waits, and shows that this process is alive.
    beat: Option<Beat>,
    connect: PgConnectOptions,
    pub(super) tables: Tables,
    pub(super) options: SessionOptions,
    fingerprint: String,
    epoch: Epoch,
    pid: i64,
    key: i64,
    /// Who was in the way when last seen.
    pub(super) blockers: Option<String>,
    /// Whether the deadline made us cancel the statement.
    timed_out: bool,
    /// The search path of the service whose statement was looked at last.
    path: Option<String>,
    /// Whether the target has none of Godwit's own tables.
    is_bare: bool,
}

/// What the fence says of the target.
struct Fence {
    /// What it is known by.
    target: String,
    /// Whether the tables lack what this version added to them.
    is_old: bool,
}

impl PostgresSession {
    pub(super) async fn take(driver: PostgresDriver, options: &SessionOptions) -> Result<Self, DriverError> {
        let PostgresDriver { connection, options: connect, tables, place, .. } = driver;
        let mut session = PostgresSession {
            connection,
            beat: None,
            connect,
            tables,
            options: options.clone(),
            fingerprint: String::new(),
            epoch: Epoch(0),
            pid: 0,
            key: 0,
            blockers: None,
            timed_out: false,
            path: None,
            is_bare: false,
        };
        // Before anything is set: behind a pooler it would stay with a connection that others use.
        session.refuse_pooler().await?;
        session.set_up().await?;
        session.poll_lock().await?;
        let found = if place.exists { session.read_fence().await } else { Ok(None) };
        let found = match found {
            Err(DriverError::Statement(f)) if f.code.as_deref() == Some("42P01") => None,
            other => other.map_err(|e| health::explained(e, &session.connect))?,
        };
        match found {
            Some(fence) => {
                session.fingerprint = fence.target;
                if fence.is_old && options.own_tables == OwnTables::Make {
                    wire::execute(&mut session.connection, session.tables.upgrade()).await?;
                }
            }
            None if options.own_tables == OwnTables::Leave => session.is_bare = true,
            None => {
                wire::execute(&mut session.connection, session.tables.create()).await?;
                session.fingerprint = session.read_fence().await?.map(|fence| fence.target).unwrap_or_default();
            }
        }
        Ok(session)
    }

    async fn read_fence(&mut self) -> Result<Option<Fence>, DriverError> {
        let rows = wire::rows(&mut self.connection, self.tables.select_fence()).await?;
        let fence = |row| Ok(Fence { target: wire::text(row, 0)?, is_old: wire::str(row, 1)? == "f" });
        rows.first().map(fence).transpose()
    }

    /// Settings of the whole session, said again after a script that may have changed them.
    fn settings(&self) -> String {
        format!(
            "SET application_name = 'godwit:{}:{}';SET lock_timeout = {};SET idle_in_transaction_session_timeout = 60000;",
            self.options.run,
            self.epoch,
            self.options.lock_timeout.as_millis()
        )
    }

    async fn set_up(&mut self) -> Result<(), DriverError> {
        let sql = format!(
            "{}SELECT pg_catalog.pg_backend_pid()::text, pg_catalog.current_database()::text, \
             pg_catalog.set_config('{MARK}', {}, false)",
            self.settings(),
            literal(self.options.run.as_str())
        );
        let rows = wire::rows(&mut self.connection, sql).await?;
        let row = rows.first().ok_or_else(|| DriverError::History("the server says nothing".to_owned()))?;
        self.pid = wire::text(row, 0)?.parse().unwrap_or(0);
        self.key = lock_key(&wire::text(row, 1)?, &self.tables.schema);
        let mut beat = match self.beat.take() {
            Some(beat) => beat,
            None => Beat::open(&self.connect).await?,
        };
        // Boxed: the type of everything behind a run is at the compiler's limit.
        let spoken = beat.speak_for(self.pid, self.options.lease).boxed();
        let ((), watched) = tokio::join!(spoken, self.watch_client().boxed());
        self.beat = Some(beat);
        watched
    }

    /// Has the server end a statement whose client is gone, and a session whose machine was cut off: within the lease
    /// rather than the hours that a kernel waits. Not every platform of a server can.
    async fn watch_client(&mut self) -> Result<(), DriverError> {
        let lease = self.options.lease;
        let mut settings = vec![
            format!("SET tcp_keepalives_idle = {}", (lease / 2).as_secs().max(1)),
            format!("SET tcp_keepalives_interval = {}", (lease / 6).as_secs().max(1)),
            "SET tcp_keepalives_count = 3".to_owned(),
            format!("SET tcp_user_timeout = {}", lease.as_millis().min(i32::MAX as u128)),
        ];
        if self.connection.server_version_num().is_some_and(|v| v >= 140_000) {
            settings.push(format!("SET client_connection_check_interval = {CLIENT_CHECK_MS}"));
        }
        match wire::execute(&mut self.connection, settings.join(";")).await {
            Err(DriverError::Statement(_)) => {}
            other => return other,
        }
        for setting in settings {
            match wire::execute(&mut self.connection, setting).await {
                Ok(()) | Err(DriverError::Statement(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Polls, because a runner that waits inside the server would hold a snapshot that `CREATE INDEX CONCURRENTLY` of
    /// the one it waits for has to wait for in turn.
    async fn poll_lock(&mut self) -> Result<(), DriverError> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(10);
        let mut looked = began;
        // A pooler that was not noticed before is here: a lock would be taken on a connection that others use.
        let sql = format!(
            "SELECT CASE WHEN pg_catalog.pg_backend_pid() = {} AND pg_catalog.current_setting('{MARK}', true) = {} \
             THEN pg_catalog.pg_try_advisory_lock({})::text ELSE '{ELSEWHERE}' END",
            self.pid,
            literal(self.options.run.as_str()),
            self.key
        );
        loop {
            let rows = wire::rows(&mut self.connection, sql.clone()).await?;
            match rows.first().map(|r| wire::text(r, 0)).transpose()?.as_deref() {
                Some("true") => return Ok(()),
                Some(ELSEWHERE) => return Err(pooled()),
                Some(_) | None => {}
            }
            if looked.elapsed() >= LOOK_AT_HOLDER {
                looked = Instant::now();
                if take_over(&mut self.connection, self.key).await? {
                    tracing::warn!("a run that stood still for longer than its lease was ended");
                    pause = Duration::from_millis(10);
                }
            }
            if began.elapsed() >= self.options.lock_wait {
                return Err(DriverError::Locked(holder_of(&mut self.connection, self.key).await?.unwrap_or(
                    LockHolder {
                        pid: 0,
                        who: "somebody who has just left".to_owned(),
                        from: "unknown".to_owned(),
                        since: "just now".to_owned(),
                        doing: None,
                    },
                )));
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// Whether a pooler changes the server's process between two transactions of this connection, or gives the same one
    /// to another connection. What is set by that stays with a connection that others use, and means nothing there.
    async fn refuse_pooler(&mut self) -> Result<(), DriverError> {
        let run = literal(self.options.run.as_str());
        let first = format!("SELECT pg_catalog.pg_backend_pid()::text, pg_catalog.set_config('{MARK}', {run}, false)");
        let again = format!(
            "SELECT pg_catalog.pg_backend_pid()::text, coalesce(pg_catalog.current_setting('{MARK}', true), '')"
        );
        let mut answers = Vec::with_capacity(2);
        for sql in [first, again] {
            let rows = wire::rows(&mut self.connection, sql).await?;
            let row = rows.first().ok_or_else(|| DriverError::History("the server says nothing".to_owned()))?;
            answers.push((wire::text(row, 0)?, wire::text(row, 1)?));
        }
        if answers[0] != answers[1] {
            return Err(pooled());
        }
        let beat = Beat::open(&self.connect).await?;
        let rows = beat.ask("SELECT pg_catalog.pg_backend_pid()::text".to_owned()).await?;
        let other = rows.first().map(|r| wire::text(r, 0)).transpose()?.unwrap_or_default();
        if other == answers[0].0 {
            return Err(pooled());
        }
        self.beat = Some(beat);
        Ok(())
    }

    fn limit_ms(&self) -> u128 {
        self.options.deadline.map_or(0, |d| d.saturating_duration_since(Instant::now()).as_millis().max(1))
    }

    /// Sends a message and looks, over a second connection, who is in the way when it takes long.
    pub(super) async fn send(&mut self, message: &Arc<String>, after_sending: &[&'static str]) -> Reply {
        let Self { connection, beat, pid, blockers, timed_out, options, .. } = self;
        let mut work = std::pin::pin!(failpoint::sent(after_sending, wire::send(connection, Arc::clone(message))));
        *timed_out = false;
        let mut wait = (options.lock_timeout / 2).max(Duration::from_millis(50));
        loop {
            let until_deadline = options.deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let pause = until_deadline.map_or(wait, |d| d.min(wait).max(Duration::from_millis(10)));
            tokio::select! {
                biased;
                reply = &mut work => return reply,
                () = sleep(pause) => {}
            }
            let late = options.deadline.is_some_and(|d| Instant::now() >= d);
            *timed_out |= late;
            // What the monitor cannot do is only less to tell.
            if let Some(beat) = beat
                && let Ok(seen) = look(beat, *pid, late).await
                && seen.is_some()
            {
                *blockers = seen;
            }
            wait = Duration::from_secs(1).max(options.lock_timeout / 2);
        }
    }

    /// Ends what a failed message left open.
    pub(super) async fn roll_back(&mut self) {
        // A connection that is gone has nothing open; nor has one whose server has ended the transaction, and says so.
        let _ = notices::unheard(wire::execute(&mut self.connection, "ROLLBACK".to_owned())).await;
    }

    /// Makes a lost connection anew: waits for the server, then for the lock. The old server process held the same lock,
    /// so once we have it that process is gone and what it did is decided.
    pub(super) async fn recover(&mut self, why: &str) -> Result<(), DriverError> {
        let began = Instant::now();
        self.beat = None;
        loop {
            match open(&self.connect).await {
                Ok(connection) => {
                    self.connection = connection;
                    break;
                }
                Err(DriverError::Unreachable(m)) if began.elapsed() >= RECONNECT_FOR => {
                    return Err(DriverError::Unreachable(format!(
                        "{m}; the connection was lost ({why}); what is done is in the target's history, and the next \
                         `apply` goes on from there"
                    )));
                }
                Err(_) => sleep(jittered(Duration::from_millis(200))).await,
            }
        }
        self.set_up().await?;
        self.poll_lock().await?;
        let sql = format!("SELECT epoch::text FROM {} WHERE k = 'target'", self.tables.fence);
        let rows = wire::rows(&mut self.connection, sql).await?;
        let now = rows.first().map(|r| wire::text(r, 0)).transpose()?;
        if now.as_deref() == Some(self.epoch.to_string().as_str()) { Ok(()) } else { Err(DriverError::Fenced) }
    }

    /// Adds what a person wants to know: who was in the way, or that the time was up.
    pub(super) fn explain(&self, failure: &mut StatementFailure, attempts: u32, began: Instant) {
        if failure.code.as_deref() == Some("57014") && self.options.deadline.is_some_and(|d| Instant::now() >= d) {
            failure.message = format!("the run's time is up: {}", failure.message);
        }
        if matches!(failure.code.as_deref(), Some("55P03" | "40P01" | "40001")) {
            let blockers = self.blockers.as_deref().unwrap_or("who was in the way could not be seen");
            failure.hint = Some(format!(
                "tried {attempts} times in {:.1} s, waiting at most {} ms each time; {blockers}",
                began.elapsed().as_secs_f64(),
                self.options.lock_timeout.as_millis()
            ));
        }
        if failure.code.as_deref() == Some("55P04") {
            failure.hint =
                Some("use the new value in a later migration: the one that adds it must commit first".to_owned());
        }
    }

    /// Puts the session back to how it began, after a script that may have changed it.
    pub(super) async fn reset_session(&mut self) -> Result<(), DriverError> {
        let sql = format!(
            "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;DISCARD TEMP;DISCARD SEQUENCES;DEALLOCATE ALL;CLOSE ALL;UNLISTEN *;{}",
            self.settings()
        );
        match wire::execute(&mut self.connection, sql).await {
            // What came before is committed: nothing that goes wrong here makes it undone. A new session begins as it must.
            Err(DriverError::Lost(why)) => self.recover(&why).await,
            Err(DriverError::Statement(failure)) => self.recover(&failure.message).await,
            Err(other) => Err(other),
            Ok(()) => match self.watch_client().await {
                Err(DriverError::Statement(failure)) => self.recover(&failure.message).await,
                watched => watched,
            },
        }
    }
}

fn pooled() -> DriverError {
    DriverError::Pooled(
        "this connection goes through a pooler in transaction mode, where no lock can be held; give the server's own \
         address, or the pooler's port for session mode"
            .to_owned(),
    )
}

impl Session for PostgresSession {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn identify(&mut self) -> Result<(), DriverError> {
        if let Some(fence) = self.read_fence().await? {
            self.fingerprint = fence.target;
        }
        Ok(())
    }

    async fn strain(&mut self, limits: &Limits) -> Result<Option<String>, DriverError> {
        self.strained(limits).await
    }

    async fn fence(&mut self, at_least: Epoch) -> Result<Epoch, DriverError> {
        let began = Instant::now();
        loop {
            match wire::rows(&mut self.connection, self.tables.take_fence(at_least, &self.options.by)).await {
                Ok(rows) => {
                    let text = rows.first().map(|r| wire::text(r, 0)).transpose()?.unwrap_or_default();
                    self.epoch =
                        Epoch(text.parse().map_err(|_| {
                            DriverError::History(format!("the fence holds `{text}`, which is no epoch"))
                        })?);
                    let settings = self.settings();
                    wire::execute(&mut self.connection, settings).await?;
                    return Ok(self.epoch);
                }
                // An older runner's transaction still holds the fence: it is alive.
                Err(DriverError::Statement(f))
                    if f.code.as_deref() == Some("55P03") && began.elapsed() < self.options.lock_wait => {}
                Err(error) => return Err(health::explained(error, &self.connect)),
            }
        }
    }

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        if self.is_bare {
            return Ok(Vec::new());
        }
        read_history(&mut self.connection, &self.tables, None).await
    }

    async fn native(&mut self, book: &Book) -> Result<Vec<Found>, DriverError> {
        native::read(&mut self.connection, book).await
    }

    async fn keep_native(
        &mut self,
        book: &Book,
        found: &[Found],
        units: &BTreeSet<&str>,
        applied: &[(String, MigrationId)],
    ) -> Result<(), DriverError> {
        let (kept, missing) = native::keep(&self.tables, book, found, units, applied);
        if !missing.is_empty() {
            self.through(format!("BEGIN;{missing}COMMIT")).await?;
        }
        self.tables.kept = Some(Arc::new(kept));
        Ok(())
    }

    async fn settle_orphans(&mut self, runs: &[RunId]) -> Result<(), DriverError> {
        if runs.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            runs.iter().map(|r| format!("application_name LIKE {}", literal(&format!("godwit:{r}:%")))).collect();
        let of_them = format!(
            "FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() AND ({})",
            names.join(" OR ")
        );
        let began = Instant::now();
        loop {
            let rows = wire::rows(&mut self.connection, format!("SELECT pid::text {of_them}")).await?;
            if rows.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= self.options.lock_wait + ORPHAN_PATIENCE {
                return Err(DriverError::Unreachable(format!(
                    "process {} of an earlier run is alive on the server and does not end",
                    wire::text(&rows[0], 0)?
                )));
            }
            if began.elapsed() >= ORPHAN_PATIENCE {
                wire::execute(&mut self.connection, format!("SELECT pg_catalog.pg_terminate_backend(pid) {of_them}"))
                    .await?;
            }
            sleep(jittered(Duration::from_millis(100))).await;
        }
    }

    async fn run_script(&mut self, script: &Script<'_>) -> Result<(), DriverError> {
        let (lock_timeout, limit) = (self.options.lock_timeout.as_millis(), self.limit_ms());
        let (run, epoch, state) = (&script.row.run, script.row.epoch, script.row.state);
        let recorded = |row: &HistoryRow| &row.run == run && row.epoch == epoch && row.state == state;
        let row = (script.row.unit.as_str(), script.row.id.as_str());
        if let Some(stream) = Stream::of(script, &self.tables, self.epoch, (lock_timeout, limit)) {
            self.carry_out(&Sending::Stream(stream), row, &recorded).await?;
            return self.reset_session().await;
        }
        let (message, start) = self.tables.script(script, self.epoch, lock_timeout, limit);
        // BEGIN, the settings and the fence come before the script's own statements.
        let before = if self.options.deadline.is_some() { 4 } else { 3 };
        let whole = Whole::new(message, start, before, (script.text, &script.body), script.checks);
        self.carry_out(&Sending::Whole(whole), row, &recorded).await?;
        if touches_session(Engine::Postgresql, &script.text[script.body.clone()]) {
            self.reset_session().await?;
        }
        Ok(())
    }

    async fn run_statement(&mut self, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
        self.enter(statement.unit).await?;
        let done = self.run_single(statement).await;
        self.leave().await?;
        done
    }

    async fn mark(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        let sql = self.tables.mark(statement, self.epoch);
        self.through_at(&["commit_sent"], sql).await
    }

    async fn probe(&mut self, statement: &SingleStatement<'_>) -> Result<Probe, DriverError> {
        self.enter(statement.unit).await?;
        let seen = probe::look_for(&mut self.connection, self.pid, statement.sql()).await;
        self.leave().await?;
        seen
    }

    async fn repair(&mut self, statement: &str) -> Result<(), DriverError> {
        let before = format!(
            "{}SET lock_timeout = {};",
            self.tables.fence_only(self.epoch),
            self.options.retry_for.as_millis().max(self.options.lock_timeout.as_millis())
        );
        self.through(before).await?;
        // Names as the statement wrote them, looked up where it looks them up.
        if let Some(path) = self.path.clone() {
            self.through(format!("SET search_path = {path}")).await?;
        }
        self.through(statement.to_owned()).await?;
        self.leave().await?;
        self.through(self.settings()).await
    }

    async fn write_row(&mut self, row: &HistoryRow) -> Result<(), DriverError> {
        let sql = self.tables.write_row(row, self.epoch);
        match self.through(sql.clone()).await {
            // Writing the same row twice is the same.
            Err(DriverError::Lost(_)) => self.through(sql).await,
            other => other,
        }
    }

    async fn unlock(mut self) -> Result<(), DriverError> {
        let sql = format!("SELECT pg_catalog.pg_advisory_unlock({})::text", self.key);
        let rows = wire::rows(&mut self.connection, sql).await?;
        let held = rows.first().map(|r| wire::text(r, 0)).transpose()?;
        let _ = self.connection.close().await;
        if let Some(beat) = self.beat {
            beat.close().await;
        }
        if held.as_deref() == Some("true") {
            return Ok(());
        }
        Err(DriverError::History(
            "the target's lock was gone before this run gave it back; another run may have come in between".to_owned(),
        ))
    }
}

impl PostgresSession {
    /// Puts the schema of a service in front of the search path, for what runs outside a transaction.
    async fn enter(&mut self, unit: &str) -> Result<(), DriverError> {
        self.path = self.tables.search_path(unit);
        match self.path.clone() {
            Some(path) => self.through(format!("SET search_path = {path}")).await,
            None => Ok(()),
        }
    }

    /// Takes the search path back that the connection began with.
    async fn leave(&mut self) -> Result<(), DriverError> {
        if self.path.is_some() { self.put_back("RESET search_path".to_owned()).await } else { Ok(()) }
    }

    /// Puts settings back behind a statement that is done and marked. Where the server refuses that, a new session begins:
    /// it says nothing about the statement, which must not run again for it.
    async fn put_back(&mut self, sql: String) -> Result<(), DriverError> {
        match self.through(sql).await {
            Err(DriverError::Statement(failure)) => self.recover(&failure.message).await,
            // Made anew already, and it begins without those settings.
            Err(DriverError::Lost(_)) => Ok(()),
            put => put,
        }
    }

    /// Runs a statement as its nature wants it.
    async fn run_single(&mut self, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
        if statement.nature == Nature::Batched {
            let options = self.options.clone();
            return batches::run(self, statement, &options).await;
        }
        let lock_timeout = self.options.lock_timeout.as_millis();
        if statement.nature == Nature::Transactional {
            let (message, start) = self.tables.marked_statement(statement, self.epoch, lock_timeout);
            let whole = Whole::new(message, start, 3, (statement.text, &statement.range), statement.checks);
            let (run, done) = (self.options.run.clone(), statement.done);
            let recorded = move |row: &HistoryRow| row.run == run && row.statements_done >= done;
            self.carry_out(&Sending::Whole(whole), (statement.unit, statement.id.as_str()), &recorded).await?;
            return Ok(None);
        }
        // What holds up nobody who reads or writes while it waits for its locks may wait longer: a wait that is cut short
        // leaves an invalid index behind. Everything else queues readers behind itself, so it gives up and comes back.
        let patient = waits_quietly(statement.sql());
        let mut before = self.tables.fence_only(self.epoch);
        if statement.nature != Nature::Session {
            let wait = if patient { self.options.retry_for.as_millis().max(lock_timeout) } else { lock_timeout };
            before.push_str(&format!("SET lock_timeout = {wait};"));
            if self.options.deadline.is_some() {
                before.push_str(&format!("SET statement_timeout = {};", self.limit_ms()));
            }
        }
        let began = Instant::now();
        self.blockers = None;
        self.through(before).await?;
        let sql = Arc::new(statement.text[statement.range.clone()].to_owned());
        let mut attempts = 0;
        loop {
            attempts += 1;
            let reply = self.send(&sql, &["stmt_sent"]).await;
            let Some(error) = reply.error else { break };
            if wire::is_lost(&error) {
                self.recover(&wire::describe(&error)).await?;
                return Err(DriverError::Lost(wire::describe(&error)));
            }
            // One that may be said again without harm is; what half of another did nobody knows.
            let may_wait = !patient
                && statement.nature == Nature::Idempotent
                && wire::is_worth_trying_again(&error)
                && began.elapsed() < self.options.retry_for
                && self.options.deadline.is_none_or(|d| Instant::now() < d);
            if may_wait {
                sleep(jittered(Duration::from_millis(100) * attempts.min(10))).await;
                continue;
            }
            let (text, range) = (statement.text, &statement.range);
            let line = message::line_of_error((&sql, 0), 0, text, range, wire::position(&error), Some(0));
            let mut failure = wire::statement_failure(&error, line);
            self.explain(&mut failure, attempts, began);
            return Err(DriverError::Statement(failure));
        }
        failpoint::hit("stmt_acked");
        match self.mark(statement).await {
            // It is done, and only its mark was refused: what it left is looked at, as after a lost answer.
            Err(DriverError::Statement(refused)) => return Err(DriverError::Lost(refused.message)),
            marked => marked?,
        }
        failpoint::hit("commit_acked");
        if statement.nature != Nature::Session {
            self.put_back(format!("SET lock_timeout = {lock_timeout};SET statement_timeout = DEFAULT;")).await?;
        }
        Ok(None)
    }

    /// The beginning of a batch that waits for locks no longer than `most`.
    pub(super) fn begin_batch(&self, most: Duration, idle_ms: u32, sql: &str) -> String {
        let lock_timeout = self.options.lock_timeout.min(most).as_millis();
        self.tables.begin_batch(self.epoch, lock_timeout, idle_ms, self.limit_ms(), sql)
    }

    /// Nobody has been seen in the way yet.
    pub(super) fn forget_blockers(&mut self) {
        self.blockers = None;
    }

    /// A failed message as an error: a lost connection is made anew, anything else is rolled back.
    pub(super) async fn failed(&mut self, error: &sqlx::Error) -> DriverError {
        if wire::is_lost(error) {
            return match self.recover(&wire::describe(error)).await {
                Ok(()) => DriverError::Lost(wire::describe(error)),
                Err(other) => other,
            };
        }
        self.roll_back().await;
        wire::failure(error)
    }

    /// What a look over the working connection gave; a lost one is made anew and reported as lost.
    pub(super) async fn kept<T>(&mut self, looked: Result<T, DriverError>) -> Result<T, DriverError> {
        if let Err(DriverError::Lost(why)) = &looked {
            self.recover(why).await?;
        }
        looked
    }

    /// The rows of a short question of our own.
    pub(super) async fn ask(&mut self, sql: String) -> Result<Vec<sqlx::postgres::PgRow>, DriverError> {
        let answer = wire::rows(&mut self.connection, sql).await;
        self.kept(answer).await
    }

    /// The mark that a statement is done.
    pub(super) async fn mark_done(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        self.through(self.tables.mark(statement, self.epoch)).await
    }

    /// A short message of our own; a lost connection is made anew and reported as lost.
    async fn through(&mut self, sql: String) -> Result<(), DriverError> {
        self.through_at(&[], sql).await
    }

    async fn through_at(&mut self, points: &[&'static str], sql: String) -> Result<(), DriverError> {
        match failpoint::sent(points, wire::execute(&mut self.connection, sql)).await {
            Err(DriverError::Lost(why)) => {
                self.recover(&why).await?;
                Err(DriverError::Lost(why))
            }
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Whether a statement outside a transaction waits for its locks without anybody queueing behind it who reads or writes:
/// `CONCURRENTLY`, and `VACUUM` without `FULL` (SHARE UPDATE EXCLUSIVE, PostgreSQL 15, 13.3.1).
fn waits_quietly(sql: &str) -> bool {
    let words = || sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    let says = |word: &str| words().any(|w| w.eq_ignore_ascii_case(word));
    let vacuum = words().next().is_some_and(|w| w.eq_ignore_ascii_case("vacuum"));
    if vacuum { !says("full") } else { says("concurrently") }
}
