//! The holder of the lock: everything that changes a MongoDB target goes through it.
//!
//! On a replica set each change that a transaction can hold is one with the fence, which is written in it, and with its
//! mark in the history. What no transaction can hold comes after a record of what was found, and before its mark.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ReadConcern, WriteConcern};
use mongodb::{ClientSession, Database};
use tokio::time::sleep;

use super::history::{self, name_target, new_target_id, session_id};
use super::lock::{self, Lock, majority};
use super::seen::Seen;
use super::wire::{self, Fault, RECONNECT_FOR, refusal};
use super::{MongodbDriver, operations, probe, read_history, seed, settle};
use crate::drivers::failpoint;
use crate::drivers::pace::Progress;
use crate::drivers::{DriverError, Limits, Probe, Script, Session, SessionOptions, SingleStatement, jittered};
use crate::ids::{Epoch, RunId};
use crate::plan::{HistoryRow, MigrationState, StepAction};

/// The session; see [`Session`].
#[derive(Debug)]
pub struct MongodbSession {
    pub(super) db: Database,
    /// What transactions run in; `None` on a server without them.
    client: Option<ClientSession>,
    lock: Lock,
    pub(super) options: SessionOptions,
    fingerprint: String,
    /// What this client's connections are called on the server.
    name: String,
    epoch: Epoch,
    /// What the fence said of the run before, until it is settled.
    predecessor: Option<Predecessor>,
    /// A row that the next change writes with it, and since when.
    pending: Option<(HistoryRow, Instant)>,
    /// Marks that the next change writes with it: of statements whose effect a probe would find.
    deferred: Vec<Document>,
    /// How the row reads once its last statement is done.
    ends: Option<HistoryRow>,
    /// The row that came along with the last statement.
    ended: Option<HistoryRow>,
    /// Statements of the row that are done, those included that came along with another.
    along: i32,
    /// What was read since the last change.
    pub(super) seen: Seen,
    /// With how many statements of the row done the server has answered a command that no transaction held.
    answered: i32,
    /// What the rows of this session are about.
    pub(super) action: StepAction,
    /// Slots of the row that hold already what their operations would record before they act.
    noted: BTreeSet<String>,
}

/// The run that had the fence before.
#[derive(Debug)]
pub(super) struct Predecessor {
    pub run: Option<String>,
    pub session: Option<Document>,
    /// What its connections are called.
    pub client: Option<String>,
}

/// What is done as one where the server can.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// What it is about.
    pub effect: Vec<Document>,
    /// Statements on the history behind it.
    pub history: Vec<Document>,
    /// How many of the effects, from the last one backwards, are the migration's: at them tests kill the program.
    pub counts: usize,
    /// How many documents the last effect must find; [`MOVED`] if it is another number.
    pub exactly: Option<u64>,
    /// How many statements are done with it: if they are all, the migration's last row comes along.
    pub done: Option<i32>,
}

/// Code of our own: others changed what a unit was made for. No server has negative ones.
pub(super) const MOVED: i32 = -1;

/// After how long a commit that is not answered is told of, and how often from then on.
const TELL_AFTER: Duration = Duration::from_secs(3);

/// What such a commit waits for.
const NO_MAJORITY: &str =
    "a majority of the replica set has not confirmed a change yet; look at its members with `rs.status()`";

/// Awaits `work`; `tell` is called again and again while it takes longer than `after`.
async fn tell_while_waiting<T>(work: impl Future<Output = T>, after: Duration, tell: impl Fn()) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(after) => tell(),
        }
    }
}

impl MongodbSession {
    pub(super) async fn take(driver: MongodbDriver, options: &SessionOptions) -> Result<Self, DriverError> {
        let MongodbDriver { client, db, name, transactions, .. } = driver;
        let lock = lock::take(&db, options).await?;
        let (found, _) = wire::batch_of(&wire::run(&db, None, history::find_fence()).await?);
        let fence = match found.into_iter().next().filter(|f| f.contains_key("target_id")) {
            Some(fence) => fence,
            None => {
                let mut command = name_target(&new_target_id());
                command.insert("writeConcern", majority());
                wire::run(&db, None, command).await?.get_document("value").cloned().unwrap_or_default()
            }
        };
        let session = match transactions {
            true => Some(client.start_session().await.map_err(Fault::from)?),
            false => None,
        };
        let run = fence.get_str("run").ok().map(str::to_owned).or_else(|| lock.taken_from.clone());
        let predecessor = Predecessor {
            run,
            session: fence.get("session").cloned().and_then(session_id),
            client: fence.get_str("client").ok().map(str::to_owned),
        };
        Ok(Self {
            db,
            client: session,
            options: options.clone(),
            fingerprint: fence.get_str("target_id").unwrap_or_default().to_owned(),
            epoch: Epoch(0),
            predecessor: Some(predecessor),
            name,
            pending: None,
            deferred: Vec::new(),
            ends: None,
            ended: None,
            along: 0,
            seen: Seen::default(),
            answered: 0,
            action: StepAction::Apply,
            noted: BTreeSet::new(),
            lock,
        })
    }

    /// What every command of this run carries, so that another run can tell it on the server.
    pub(super) fn comment(&self) -> String {
        format!("godwit:{}:{}", self.options.run, self.epoch)
    }

    /// Whether several changes can commit together.
    pub(super) fn has_transactions(&self) -> bool {
        self.client.is_some()
    }

    /// Milliseconds until the whole run must have ended.
    pub(super) fn time_left(&self) -> Option<i64> {
        let left = self.options.deadline?.saturating_duration_since(Instant::now());
        Some(i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1))
    }

    /// One command within the transaction, if there is one.
    async fn send(&mut self, mut command: Document) -> Result<Document, Fault> {
        command.insert("comment", self.comment());
        if let Some(left) = self.time_left() {
            command.insert("maxTimeMS", left);
        }
        if self.client.is_none() && !command.contains_key("find") {
            command.insert("writeConcern", majority());
        }
        wire::run(&self.db, self.client.as_mut(), command).await
    }

    /// The migration's last row, if all of its statements are done with a unit.
    fn last_row(&self, unit: &Unit) -> Option<&HistoryRow> {
        self.ends.as_ref().filter(|row| unit.done == Some(row.statements_done))
    }

    /// The row that waits, as statements on the history.
    fn waiting(&self) -> Option<Document> {
        let (row, since) = self.pending.as_ref()?;
        Some(history::put(row, i64::try_from(since.elapsed().as_millis()).unwrap_or(0)))
    }

    /// The fence, the effect, the history, in this order: without transactions too, the mark comes last.
    async fn perform(&mut self, unit: &Unit) -> Result<Vec<Document>, Fault> {
        let fence = self.send(history::assert_fence(self.epoch)).await?;
        if wire::number(fence.get("n")) != Some(1) {
            return Err(DriverError::Fenced.into());
        }
        let mut rows: Vec<Document> = Vec::with_capacity(unit.history.len() + 1);
        rows.extend(self.waiting());
        let mut replies = Vec::with_capacity(unit.effect.len());
        for (n, command) in unit.effect.iter().enumerate() {
            let counts = n + unit.counts >= unit.effect.len();
            let points: &[_] = if counts { &["stmt_sent"] } else { &[] };
            let reply = failpoint::sent(points, self.send(command.clone())).await?;
            let found = wire::number(reply.get("n")).and_then(|n| u64::try_from(n).ok());
            if n + 1 == unit.effect.len() && unit.exactly.is_some_and(|wanted| found != Some(wanted)) {
                return Err(Fault::refused(MOVED, "moved", "others change the same documents at this moment"));
            }
            if counts {
                failpoint::hit("stmt_acked");
            }
            replies.push(reply);
        }
        rows.extend(self.deferred.iter().cloned());
        rows.extend(unit.history.iter().cloned());
        rows.extend(self.last_row(unit).map(|row| history::put(row, 0)));
        if !rows.is_empty() {
            let wanted = i64::try_from(rows.len()).ok();
            let reply = self.send(history::update_history(rows, self.epoch)).await;
            let reply = reply.map_err(|fault| match fault.code {
                Some(11000) => DriverError::Fenced.into(),
                _ => fault,
            })?;
            if wire::number(reply.get("n")) != wanted {
                return Err(DriverError::Fenced.into());
            }
        }
        Ok(replies)
    }

    /// Does a unit once.
    async fn attempt(&mut self, unit: &Unit) -> Result<Vec<Document>, Fault> {
        self.lock.heartbeat.check()?;
        if let Some(client) = &mut self.client {
            client
                .start_transaction()
                .read_concern(ReadConcern::local())
                .write_concern(
                    WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build(),
                )
                .await?;
        }
        let replies = match self.perform(unit).await {
            Ok(replies) => replies,
            Err(fault) => {
                if let Some(client) = &mut self.client {
                    // What could not be told is ended by the server.
                    let _ = client.abort_transaction().await;
                }
                return Err(fault);
            }
        };
        self.commit(unit.counts > 0 || !self.deferred.is_empty()).await?;
        Ok(replies)
    }

    /// Commits, as often as it takes to know what became of it.
    async fn commit(&mut self, counts: bool) -> Result<(), Fault> {
        let points: &[_] = if counts { &["commit_sent"] } else { &[] };
        let began = Instant::now();
        let waiting = self.progress_of_commit();
        if let Some(client) = &mut self.client {
            let pace = &self.options.pace;
            let mut commit = async || {
                let sent = failpoint::sent(points, client.commit_transaction().into_future());
                tell_while_waiting(sent, TELL_AFTER, || waiting.iter().for_each(|progress| pace.tell(progress))).await
            };
            while let Err(error) = commit().await {
                let fault = Fault::from(error);
                if !fault.commit_unknown || began.elapsed() >= RECONNECT_FOR {
                    return Err(fault);
                }
                sleep(jittered(Duration::from_millis(100))).await;
            }
        } else {
            failpoint::sent(points, async {}).await;
        }
        if counts {
            failpoint::hit("commit_acked");
        }
        Ok(())
    }

    /// What is told of a commit that a majority of the set does not confirm.
    fn progress_of_commit(&self) -> Option<Progress> {
        let row = self.ends.as_ref().or(self.pending.as_ref().map(|(row, _)| row))?;
        Some(Progress {
            target: self.options.target.clone(),
            migration: row.id.clone(),
            statement: 0,
            what: "",
            done: 0,
            total: None,
            waits: Some(NO_MAJORITY.to_owned()),
        })
    }

    /// Does a unit; conflicts and a lost server are tried again within their budgets.
    pub(super) async fn change(&mut self, unit: &Unit) -> Result<Vec<Document>, Fault> {
        self.change_within(unit, None).await
    }

    /// The same, with at most so many tries where others' writes are in the way.
    pub(super) async fn change_within(&mut self, unit: &Unit, tries: Option<u32>) -> Result<Vec<Document>, Fault> {
        self.seen = Seen::default();
        let began = Instant::now();
        let mut attempts = 0u32;
        loop {
            let fault = match self.attempt(unit).await {
                Ok(replies) => {
                    self.pending = None;
                    self.deferred.clear();
                    if self.last_row(unit).is_some() {
                        self.ended = self.ends.take();
                    }
                    self.along = self.along.max(unit.done.unwrap_or(0));
                    return Ok(replies);
                }
                Err(fault) => fault,
            };
            attempts += 1;
            let (budget, tries) = match &fault.error {
                DriverError::Lost(_) | DriverError::Unreachable(_) => (RECONNECT_FOR, None),
                _ => (self.options.retry_for, tries),
            };
            let in_time = began.elapsed() < budget
                && tries.is_none_or(|t| attempts < t)
                && self.options.deadline.is_none_or(|d| Instant::now() < d);
            if fault.transient && !fault.commit_unknown && in_time {
                sleep(jittered(Duration::from_millis(50) * attempts.min(20))).await;
                continue;
            }
            return Err(explained(fault, attempts, began));
        }
    }

    /// Waits until a lost server answers again, then says that it was lost.
    pub(super) async fn lost(&mut self, why: String) -> DriverError {
        match wire::read(&self.db, doc! { "ping": 1 }).await {
            Ok(_) => DriverError::Lost(why),
            Err(_) => DriverError::Unreachable(format!(
                "the server was lost ({why}) and does not come back; what is done is in the target's history, and the next \
                 `apply` goes on from there"
            )),
        }
    }

    /// Leaves a mark to the next change. A crash before it costs a probe.
    pub(super) fn defer(&mut self, mark: Document) {
        self.deferred.push(mark);
    }

    /// Remembers that slots of the row have been written with an earlier operation.
    pub(super) fn has_noted(&mut self, slots: impl IntoIterator<Item = String>) {
        self.noted.extend(slots);
    }

    /// Whether what an operation records before it acts is in the row.
    pub(super) fn is_noted(&self, slot: &str) -> bool {
        self.pending.is_none() && self.noted.contains(slot)
    }

    /// Remembers that the server has done a statement, as far as its own word goes.
    pub(super) fn was_answered(&mut self, statement: &SingleStatement<'_>) {
        self.answered = statement.done;
    }

    /// Whether the server has said to this session that it has done the statement.
    pub(super) fn is_answered(&self, statement: &SingleStatement<'_>) -> bool {
        self.answered == statement.done
    }

    /// Asserts the fence where nothing has to be written before a command that no transaction can hold.
    pub(super) async fn assert_fence(&mut self) -> Result<(), Fault> {
        self.lock.heartbeat.check()?;
        let (found, _) = wire::batch_of(&wire::read(&self.db, history::read_fence(self.epoch)).await?);
        if found.is_empty() { Err(DriverError::Fenced.into()) } else { Ok(()) }
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        if self.pending.is_some() || !self.deferred.is_empty() {
            self.change(&Unit::default()).await?;
        }
        Ok(())
    }

    /// Sends a command that no transaction can hold, under a fence that was asserted just before. Waits for locks are
    /// bounded by `patience` and tried again.
    pub(super) async fn outside(
        &mut self,
        db: &str,
        command: &Document,
        patience: Option<Duration>,
    ) -> Result<Document, Fault> {
        self.seen = Seen::default();
        let began = Instant::now();
        let mut attempts = 0u32;
        let db = if db == self.db.name() { self.db.clone() } else { self.db.client().database(db) };
        loop {
            self.lock.heartbeat.check()?;
            let mut sent = command.clone();
            sent.insert("comment", self.comment());
            let patience = patience.map(|p| i64::try_from(p.as_millis()).unwrap_or(i64::MAX));
            if let Some(ms) = [patience, self.time_left()].into_iter().flatten().min() {
                sent.insert("maxTimeMS", ms);
            }
            match failpoint::sent(&["stmt_sent"], wire::run(&db, None, sent)).await {
                Ok(reply) => return Ok(reply),
                Err(fault) => {
                    attempts += 1;
                    let in_time = began.elapsed() < self.options.retry_for
                        && self.options.deadline.is_none_or(|d| Instant::now() < d);
                    if fault.code == Some(50) && patience.is_some() && in_time {
                        sleep(jittered(Duration::from_millis(200))).await;
                        continue;
                    }
                    return Err(explained(fault, attempts, began));
                }
            }
        }
    }
}

/// Says how often something was tried.
fn explained(mut fault: Fault, attempts: u32, began: Instant) -> Fault {
    if let DriverError::Statement(failure) = &mut fault.error
        && attempts > 1
    {
        let tried = format!("tried {attempts} times in {:.1} s", began.elapsed().as_secs_f64());
        failure.hint = Some(failure.hint.take().map_or(tried.clone(), |h| format!("{h}; {tried}")));
    }
    fault
}

impl Session for MongodbSession {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn strain(&mut self, limits: &Limits) -> Result<Option<String>, DriverError> {
        self.strained(limits).await
    }

    async fn fence(&mut self, at_least: Epoch) -> Result<Epoch, DriverError> {
        let session = self.client.as_ref().and_then(|c| c.id().get("id").cloned()).unwrap_or(Bson::Null);
        let began = Instant::now();
        loop {
            let mut command = history::take_fence(at_least, &self.options, session.clone(), &self.name);
            command.insert("writeConcern", majority());
            command.insert("maxTimeMS", 2_000);
            match wire::run(&self.db, None, command).await {
                Ok(reply) => {
                    let epoch = reply.get_document("value").ok().and_then(|f| wire::number(f.get("epoch")));
                    self.epoch =
                        Epoch(epoch.ok_or_else(|| DriverError::History("the fence holds no epoch".to_owned()))?);
                    self.predecessor = None;
                    return Ok(self.epoch);
                }
                // An older run's transaction still holds the fence: it is ended, for that run is taken over.
                Err(fault) if fault.code == Some(50) && began.elapsed() < self.options.lock_wait => {
                    settle::end_session(&self.db, self.predecessor.as_ref()).await?;
                }
                Err(fault) => return Err(fault.error),
            }
        }
    }

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        self.flush().await?;
        read_history(&self.db).await
    }

    async fn settle_orphans(&mut self, runs: &[RunId]) -> Result<(), DriverError> {
        if runs.is_empty() && self.lock.taken_from.is_none() {
            return Ok(());
        }
        let mut all: Vec<String> = runs.iter().map(ToString::to_string).collect();
        all.extend(self.lock.taken_from.clone());
        all.extend(self.predecessor.as_ref().and_then(|p| p.run.clone()));
        settle::end_session(&self.db, self.predecessor.as_ref()).await?;
        settle::connections(&self.db, self.predecessor.as_ref()).await?;
        settle::statements(&self.db, &all, &self.options).await
    }

    async fn run_script(&mut self, _script: &Script<'_>) -> Result<(), DriverError> {
        Err(refusal("MongoDB migrations are operations, not scripts".to_owned(), "write the operations as JSON"))
    }

    async fn run_statement(&mut self, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
        match operations::run(self, statement).await {
            Err(DriverError::Lost(why)) => Err(self.lost(why).await),
            other => other,
        }
    }

    fn ends_with(&mut self, row: &HistoryRow) {
        // The end of a rollback takes more away than the row says.
        let may = self.client.is_some() && row.state == MigrationState::Applied;
        self.ends = may.then(|| row.clone());
    }

    fn came_along(&self, done: i32) -> bool {
        done <= self.along
    }

    async fn mark(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        let unit = Unit { history: vec![history::done(statement, Document::new())], ..Unit::default() };
        match self.change(&unit).await {
            Ok(_) => Ok(()),
            Err(Fault { error: DriverError::Lost(why), .. }) => Err(self.lost(why).await),
            Err(fault) => Err(fault.error),
        }
    }

    async fn probe(&mut self, statement: &SingleStatement<'_>) -> Result<Probe, DriverError> {
        self.seen = Seen::default();
        probe::look_for(self, statement).await
    }

    async fn repair(&mut self, statement: &str) -> Result<(), DriverError> {
        Err(refusal(
            format!("no repair is known of `{statement}`"),
            "this is a mistake of the program: please report it",
        ))
    }

    async fn fill(&mut self, text: &str) -> Result<(), DriverError> {
        seed::fill(self, text).await
    }

    async fn write_row(&mut self, row: &HistoryRow) -> Result<(), DriverError> {
        self.action = row.action;
        self.ends = None;
        self.along = 0;
        self.answered = 0;
        self.noted.clear();
        if let Some(ended) = self.ended.take()
            && (&ended.unit, &ended.id, ended.state, &ended.run) == (&row.unit, &row.id, row.state, &row.run)
        {
            return Ok(());
        }
        if row.state == MigrationState::Running && self.client.is_some() {
            self.flush().await?;
            self.pending = Some((row.clone(), Instant::now()));
            return Ok(());
        }
        let mut unit = Unit { history: vec![history::put(row, 0)], ..Unit::default() };
        if row.state == MigrationState::RolledBack {
            unit.effect.push(history::forget(&row.unit, &row.id));
        }
        match self.change(&unit).await {
            // Writing the same row twice is the same.
            Err(Fault { error: DriverError::Lost(_), .. }) => Ok(self.change(&unit).await.map(|_| ())?),
            other => Ok(other.map(|_| ())?),
        }
    }

    async fn unlock(mut self) -> Result<(), DriverError> {
        let flushed = self.flush().await;
        self.lock.give_back(&self.db).await?;
        Ok(flushed?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_a_majority_is_told_again_and_again() {
        let told = tokio::sync::Semaphore::new(0);
        // It ends once it was told of three times.
        let work = async { told.acquire_many(3).await.map(|_| "confirmed") };
        let done = tell_while_waiting(work, Duration::from_millis(1), || told.add_permits(1)).await;
        assert_eq!(done.ok(), Some("confirmed"));
        let at_once =
            tell_while_waiting(std::future::ready(1), Duration::ZERO, || panic!("nothing was waited for")).await;
        assert_eq!(at_once, 1);
    }
}
