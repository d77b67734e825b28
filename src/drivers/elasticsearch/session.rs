//! The connection that changes a cluster: its lock, its fence, and each operation between intent and mark.

use std::time::{Duration, Instant};

use chrono::Utc;
use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::lock::{self, Held};
use super::own::{self, Block, Entry, Fence, Own, Token};
use super::strain::Queues;
use super::wire::{Answer, Wire, part};
use super::{refused, seed, task};
use crate::drivers::{
    DriverError, Limits, Probe, Progress, Script, Session, SessionOptions, SingleStatement, failpoint, jittered,
};
use crate::ids::{Epoch, MigrationId, RunId};
use crate::migration::operations::elasticsearch::Operation;
use crate::plan::{HistoryRow, MigrationState, StepAction};

/// See [`Session`].
pub struct ElasticsearchSession {
    pub(super) wire: Wire,
    pub(super) own: Own,
    pub(super) options: SessionOptions,
    fence: Fence,
    token: Token,
    epoch: Epoch,
    held: Option<Held>,
    /// What the nodes said of their queues when they were asked last.
    pub(super) queues: Option<Queues>,
}

/// An operation as it is carried out.
pub(super) struct At<'a> {
    /// Its place in the script that is run, from 0.
    pub place: usize,
    /// The migration.
    pub unit: &'a str,
    /// The migration.
    pub id: &'a MigrationId,
}

impl At<'_> {
    pub(super) fn of<'a>(statement: &SingleStatement<'a>) -> At<'a> {
        let place = usize::try_from(statement.done).unwrap_or(1).saturating_sub(1);
        At { place, unit: statement.unit, id: statement.id }
    }
}

impl ElasticsearchSession {
    pub(super) async fn open(wire: Wire, own: Own, options: &SessionOptions) -> Result<Self, DriverError> {
        let mut wire = Wire { retry_for: options.retry_for, ..wire };
        own::prepare(&wire, &own).await?;
        let held = lock::take(&wire, &own, options).await?;
        wire.patience = options.lock_wait.max(Duration::from_secs(5));
        let (fence, token) = own::make_fence(&wire, &own).await?;
        Ok(Self { wire, own, options: options.clone(), fence, token, epoch: Epoch(0), held: Some(held), queues: None })
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch.0
    }

    pub(super) fn run(&self) -> &str {
        self.options.run.as_str()
    }

    /// Whether this process may still change anything, by its own clock.
    pub(super) fn check(&self) -> Result<(), DriverError> {
        self.held.as_ref().map_or(Err(DriverError::Fenced), Held::check)
    }

    /// Changes the fence's document as a whole, if nobody else has since.
    pub(super) async fn commit(&mut self, change: impl FnOnce(&mut Fence)) -> Result<(), DriverError> {
        self.check()?;
        let mut next = self.fence.clone();
        change(&mut next);
        next.n += 1;
        next.writer = self.run().to_owned();
        let body = json!(next);
        loop {
            let path = format!("{}?{}", self.own.fence_path(), self.token.condition());
            let answer = self.wire.ask(Method::Put, &path, Some(&body)).await?;
            if answer.status != 409 {
                let body = answer.ok()?;
                self.token = Token::of(&body).ok_or(DriverError::Fenced)?;
                self.fence = next;
                return Ok(());
            }
            // Refused: a newer run's, or our own whose answer was lost.
            let Some((there, token)) = own::read_fence(&self.wire, &self.own).await? else {
                return Err(DriverError::Fenced);
            };
            if there.n == next.n && there.writer == next.writer && there.epoch == next.epoch {
                (self.fence, self.token) = (next, token);
                return Ok(());
            }
            if token != self.token {
                return Err(DriverError::Fenced);
            }
        }
    }

    /// The entry that is being worked on.
    pub(super) fn entry(&self) -> Result<&Entry, DriverError> {
        self.fence.entry.as_ref().ok_or_else(|| DriverError::History("no migration was begun".to_owned()))
    }

    /// Takes up a migration's entry, after the one before is safe in the history.
    async fn take_up(&mut self, unit: &str, id: &MigrationId) -> Result<Option<Entry>, DriverError> {
        match &self.fence.entry {
            Some(entry) if entry.is(unit, id) => Ok(Some(entry.clone())),
            Some(_) => {
                self.copy_out().await?;
                own::read_row(&self.wire, &self.own, unit, id).await
            }
            None => own::read_row(&self.wire, &self.own, unit, id).await,
        }
    }

    /// Copies the entry that is being worked on into the history.
    async fn copy_out(&mut self) -> Result<(), DriverError> {
        loop {
            let Some(entry) = &self.fence.entry else { return Ok(()) };
            let Some(there) = own::copy_row(&self.wire, &self.own, entry, self.fence.n).await? else { return Ok(()) };
            // The fence was made anew and counts from the start.
            self.commit(|fence| fence.n = there).await?;
        }
    }

    /// Says before an operation what is going to be done (`progress`) and what it is taken back from (`undo`), and
    /// shows by that that nobody has taken over.
    pub(super) async fn intend(
        &mut self,
        at: &At<'_>,
        progress: Value,
        undo: Option<Value>,
    ) -> Result<(), DriverError> {
        let mut entry = self
            .take_up(at.unit, at.id)
            .await?
            .ok_or_else(|| DriverError::History(format!("the history has no row for `{}`", at.id)))?;
        entry.progress = Some(json!({"operation": at.place, "what": progress}));
        if let Some(undo) = undo.filter(|_| entry.row.action == StepAction::Apply) {
            entry.undo.insert(at.place.to_string(), undo);
        }
        self.commit(|fence| fence.entry = Some(entry)).await
    }

    /// What an earlier attempt at the operation wrote down.
    pub(super) fn progress(&self, at: &At<'_>) -> Option<Value> {
        let entry = self.fence.entry.as_ref().filter(|e| e.is(at.unit, at.id))?;
        let progress = entry.progress.as_ref().filter(|p| p["operation"] == at.place)?;
        Some(progress["what"].clone())
    }

    /// What a run forward recorded of operation `place`.
    pub(super) async fn record(&mut self, at: &At<'_>, place: usize) -> Result<Option<Value>, DriverError> {
        let entry = self.take_up(at.unit, at.id).await?;
        Ok(entry.and_then(|e| e.undo.get(&place.to_string()).cloned()))
    }

    /// Marks an operation done, and ends the write blocks that were only for it.
    async fn done(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        let mut entry = self
            .take_up(statement.unit, statement.id)
            .await?
            .ok_or_else(|| DriverError::History(format!("the history has no row for `{}`", statement.id)))?;
        let ended: Vec<Block> = entry.blocks.iter().filter(|b| !b.to_the_end).cloned().collect();
        self.unblock(&ended).await?;
        entry.blocks.retain(|b| b.to_the_end);
        entry.progress = None;
        entry.row.statements_done = statement.done;
        failpoint::sent(&["commit_sent"], self.commit(|fence| fence.entry = Some(entry))).await?;
        failpoint::hit("commit_acked");
        Ok(())
    }

    /// One request that changes the cluster.
    pub(super) async fn effect(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, DriverError> {
        self.check()?;
        self.wire.change(method, path, body).await
    }

    /// Changes aliases and deletes indices in one atomic call, which fails as a whole for a runner that was overtaken.
    pub(super) async fn publish(&self, actions: Vec<Value>) -> Result<(), DriverError> {
        let gate = self.own.gate(self.epoch.0);
        let mut all = vec![
            json!({"remove": {"index": self.own.fence, "alias": gate, "must_exist": true}}),
            json!({"add": {"index": self.own.fence, "alias": gate, "is_hidden": true}}),
        ];
        all.extend(actions);
        let answer = self.effect(Method::Post, "_aliases", Some(&json!({"actions": all}))).await?;
        if answer.status == 404 && answer.failure().message.contains(&format!("[{gate}]")) {
            return Err(DriverError::Fenced);
        }
        answer.ok().map(|_| ())
    }

    /// Deletes an index by its name; gone already is as good.
    pub(super) async fn remove_index(&self, name: &str) -> Result<(), DriverError> {
        match self.publish(vec![json!({"remove_index": {"index": name}})]).await {
            Err(DriverError::Statement(f)) if f.code.as_deref() == Some("index_not_found_exception") => Ok(()),
            other => other,
        }
    }

    /// Refuses writes to an index, unless somebody else has already. It is written down before.
    pub(super) async fn block(&mut self, index: &str, to_the_end: bool) -> Result<(), DriverError> {
        let shown = own::index(&self.wire, index).await?;
        let blocked = shown.is_some_and(|i| i["settings"]["index"]["blocks"]["write"] == "true");
        let mut entry = self.entry()?.clone();
        let ours = entry.blocks.iter().any(|b| b.index == index);
        if blocked && !ours {
            return Ok(());
        }
        if !ours {
            entry.blocks.push(Block { index: index.to_owned(), to_the_end });
            self.commit(|fence| fence.entry = Some(entry)).await?;
        }
        // Unlike the setting, this waits for writes that are on their way.
        self.effect(Method::Put, &format!("{}/_block/write", part(index)), None).await?.ok()?;
        Ok(())
    }

    /// Lets writes in again.
    async fn unblock(&self, blocks: &[Block]) -> Result<(), DriverError> {
        for block in blocks {
            let path = format!("{}/_settings", part(&block.index));
            let body = json!({"index.blocks.write": null});
            self.check()?;
            self.wire.ask(Method::Put, &path, Some(&body)).await?.found()?;
        }
        Ok(())
    }

    /// Ends the write blocks of an operation that failed or was stopped.
    pub(super) async fn give_up_blocks(&mut self) -> Result<(), DriverError> {
        let mut entry = self.entry()?.clone();
        let ended: Vec<Block> = entry.blocks.iter().filter(|b| !b.to_the_end).cloned().collect();
        if ended.is_empty() {
            return Ok(());
        }
        self.unblock(&ended).await?;
        entry.blocks.retain(|b| b.to_the_end);
        self.commit(|fence| fence.entry = Some(entry)).await
    }

    /// Lets writes in again when the migration ends or stops half-way; copies that miss them are remembered.
    async fn end_blocks(&self, entry: &mut Entry, half_way: bool) -> Result<(), DriverError> {
        self.unblock(&entry.blocks).await?;
        let ended = std::mem::take(&mut entry.blocks);
        if half_way {
            entry.missed.extend(ended.into_iter().filter(|b| b.to_the_end).map(|b| b.index));
        }
        Ok(())
    }

    pub(super) fn told(&self, at: &At<'_>, done: u64, total: Option<u64>) -> Progress {
        Progress {
            target: self.options.target.clone(),
            migration: at.id.clone(),
            statement: i32::try_from(at.place + 1).unwrap_or(i32::MAX),
            what: "documents",
            done,
            total,
            waits: None,
        }
    }

    /// Opens the gate for this epoch and closes every older one.
    async fn open_gate(&self) -> Result<(), DriverError> {
        let mine = self.own.gate(self.epoch.0);
        loop {
            let shown = own::index(&self.wire, &self.own.fence).await?;
            let aliases = shown.as_ref().and_then(|i| i["aliases"].as_object()).cloned().unwrap_or_default();
            let gates: Vec<(i64, &String)> = aliases.keys().filter_map(|a| Some((self.own.epoch_of(a)?, a))).collect();
            if gates.iter().any(|(epoch, _)| *epoch > self.epoch.0) {
                return Err(DriverError::Fenced);
            }
            if gates.len() == 1 && gates[0].1 == &mine {
                return Ok(());
            }
            let mut actions: Vec<Value> = gates
                .iter()
                .filter(|(epoch, _)| *epoch < self.epoch.0)
                .map(|(_, alias)| json!({"remove": {"index": self.own.fence, "alias": alias, "must_exist": true}}))
                .collect();
            actions.push(json!({"add": {"index": self.own.fence, "alias": mine, "is_hidden": true}}));
            self.check()?;
            let answer = self.wire.ask(Method::Post, "_aliases", Some(&json!({"actions": actions}))).await?;
            if answer.status != 404 {
                answer.ok()?;
            }
            tokio::time::sleep(jittered(Duration::from_millis(10))).await;
        }
    }

    fn operation(&self, statement: &SingleStatement<'_>) -> Result<Operation, DriverError> {
        self.own
            .operation(statement.sql())
            .map_err(|e| refused(e.to_string(), "see docs/operations-json.md for each operation and its fields"))
    }

    /// A copy that missed writes is good for nothing.
    fn check_missed(&self, action: StepAction) -> Result<(), DriverError> {
        let missed = match &self.fence.entry {
            Some(entry) if action == StepAction::Apply => entry.missed.first(),
            Some(_) | None => None,
        };
        missed.map_or(Ok(()), |index| {
            Err(refused(
                format!("writes to `{index}` were let in after it was copied, when an earlier run stopped half-way"),
                "run the migration again from its start: roll it back first if it was not taken back by itself",
            ))
        })
    }

    /// What has to be true before a row may say that a migration has ended.
    async fn before_the_end(&mut self, entry: &mut Entry) -> Result<(), DriverError> {
        if entry.row.state == MigrationState::Applied {
            while let Some(copy) = entry.unawaited.first().cloned() {
                self.await_copy(entry, &copy).await?;
                entry.unawaited.remove(0);
            }
        } else {
            for copy in std::mem::take(&mut entry.unawaited) {
                task::cancel(&self.wire, &copy.task).await?;
            }
        }
        let half_way = match entry.row.state {
            MigrationState::Failed => entry.row.failed_half_way(),
            MigrationState::NeedsHuman | MigrationState::Running => true,
            MigrationState::Applied | MigrationState::RolledBack | MigrationState::Pending => false,
        };
        self.end_blocks(entry, half_way).await
    }
}

impl Session for ElasticsearchSession {
    fn fingerprint(&self) -> &str {
        &self.fence.target
    }

    async fn strain(&mut self, limits: &Limits) -> Result<Option<String>, DriverError> {
        self.strained(limits).await
    }

    async fn fence(&mut self, at_least: Epoch) -> Result<Epoch, DriverError> {
        let began = Instant::now();
        loop {
            self.check()?;
            let (fence, token) = own::make_fence(&self.wire, &self.own).await?;
            (self.fence, self.token) = (fence, token);
            let epoch = self.fence.epoch.max(at_least.0) + 1;
            match self.commit(|fence| fence.epoch = epoch).await {
                Ok(()) => {
                    self.epoch = Epoch(epoch);
                    break;
                }
                Err(DriverError::Fenced) if began.elapsed() < self.options.retry_for => {
                    tokio::time::sleep(jittered(Duration::from_millis(20))).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.open_gate().await?;
        self.wire.opaque = Some(format!("godwit:{}:{}", self.options.run, self.epoch.0));
        Ok(self.epoch)
    }

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        Ok(own::read_history(&self.wire, &self.own).await?.into_iter().map(|e| e.row).collect())
    }

    async fn settle_orphans(&mut self, runs: &[RunId]) -> Result<(), DriverError> {
        if runs.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let alive = task::of_runs(&self.wire, runs).await?;
            if alive.is_empty() {
                return Ok(());
            }
            self.options.pace.may_go_on()?;
            if began.elapsed() >= self.options.lock_wait {
                for task in &alive {
                    task::cancel(&self.wire, task).await?;
                }
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn run_script(&mut self, _script: &Script<'_>) -> Result<(), DriverError> {
        Err(refused(
            "migrations of Elasticsearch run operation by operation".to_owned(),
            "this is a fault of Godwit: please report it",
        ))
    }

    async fn run_statement(&mut self, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
        let operation = self.operation(statement)?;
        let at = At::of(statement);
        let entry = self.take_up(at.unit, at.id).await?;
        let action = entry.map_or(StepAction::Apply, |e| e.row.action);
        self.check_missed(action)?;
        let changed = self.carry_out(&operation, &at, action).await?;
        self.done(statement).await?;
        Ok(changed)
    }

    async fn mark(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        self.done(statement).await
    }

    async fn probe(&mut self, statement: &SingleStatement<'_>) -> Result<Probe, DriverError> {
        let operation = self.operation(statement)?;
        self.look_at(&operation, &At::of(statement)).await
    }

    async fn repair(&mut self, statement: &str) -> Result<(), DriverError> {
        match statement.strip_prefix("DELETE /") {
            Some(index) if super::is_literal(index) => {
                self.end_strays().await?;
                self.remove_index(index).await
            }
            Some(_) | None => {
                Err(refused(format!("`{statement}` is no repair"), "this is a fault of Godwit: please report it"))
            }
        }
    }

    async fn fill(&mut self, text: &str) -> Result<(), DriverError> {
        seed::fill(self, text).await
    }

    async fn write_row(&mut self, row: &HistoryRow) -> Result<(), DriverError> {
        let before = self.take_up(&row.unit, &row.id).await?;
        let mut row = row.clone();
        let now = Utc::now();
        if row.state == MigrationState::Running {
            row.started_at = now;
        }
        if let Some(began) =
            before.as_ref().filter(|b| b.row.state == MigrationState::Running).map(|b| b.row.started_at)
        {
            row.started_at = began;
        }
        if row.finished_at.is_some() {
            row.finished_at = Some(now);
            row.duration_ms = (now - row.started_at).num_milliseconds().max(0);
        }
        let mut entry = match before {
            Some(before) => keep(before, row),
            None => Entry::new(row),
        };
        if entry.row.state != MigrationState::Running {
            self.before_the_end(&mut entry).await?;
        }
        self.commit(|fence| fence.entry = Some(entry)).await?;
        self.copy_out().await
    }

    async fn unlock(mut self) -> Result<(), DriverError> {
        let let_in = match &self.fence.entry {
            // Stopped half-way and still ours: nobody waits behind a write block for a run that may come tomorrow.
            Some(entry) if !entry.blocks.is_empty() && entry.row.run == self.options.run && self.check().is_ok() => {
                let mut entry = entry.clone();
                match self.end_blocks(&mut entry, true).await {
                    Ok(()) => self.commit(|fence| fence.entry = Some(entry)).await,
                    Err(error) => Err(error),
                }
            }
            Some(_) | None => Ok(()),
        };
        let released = match self.held.take() {
            Some(held) => held.release().await,
            None => Ok(()),
        };
        let_in.and(released)
    }
}

impl Drop for ElasticsearchSession {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.abandon();
        }
    }
}

/// What of an entry outlives the change of its row: everything, unless the migration begins anew.
fn keep(before: Entry, row: HistoryRow) -> Entry {
    let goes_on = before.row.state == MigrationState::Running && before.row.action == row.action;
    let begins =
        row.state == MigrationState::Running && row.action == StepAction::Apply && row.statements_done == 0 && !goes_on;
    if begins {
        return Entry { blocks: before.blocks, ..Entry::new(row) };
    }
    let same_place = goes_on && row.state == MigrationState::Running;
    Entry { progress: before.progress.filter(|_| same_place), row, ..before }
}
