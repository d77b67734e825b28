//! The loop of a statement in batches, the same for every SQL engine: find the next keys, change their rows and save how
//! far it is in one transaction, rest, look whether the server is strained.

use std::future::Future;
use std::time::{Duration, Instant};

use super::limits::Looked;
use super::{DriverError, Pace, Progress, Session, SessionOptions, SingleStatement, StatementFailure, jittered};
use crate::migration::backfill::{BATCH, Backfill, Checkpoint, next_size};

/// How often a connection may be lost in one statement.
const LOSSES: u32 = 5;

/// What the loop asks of an engine's session. A lost connection has been made anew when it says [`DriverError::Lost`].
pub(super) trait Batches: Session {
    /// Whether the key is unique, indexed and without NULL.
    fn check_key(&mut self, of: &Backfill) -> impl Future<Output = Result<Result<(), String>, DriverError>> + Send;

    /// What the history's row holds of an earlier attempt.
    fn checkpoint(
        &mut self,
        statement: &SingleStatement<'_>,
    ) -> impl Future<Output = Result<Option<String>, DriverError>> + Send;

    /// The highest key, as a list of literals.
    fn last_key(&mut self, of: &Backfill) -> impl Future<Output = Result<Option<String>, DriverError>> + Send;

    /// The last of at most `size` keys above `after` up to `up_to`, and how many they are.
    fn next_key(
        &mut self,
        of: &Backfill,
        after: Option<&str>,
        up_to: &str,
        size: u32,
    ) -> impl Future<Output = Result<Option<(String, u64)>, DriverError>> + Send;

    /// How many keys there are, about.
    fn estimate(&mut self, of: &Backfill) -> impl Future<Output = Result<Option<u64>, DriverError>> + Send;

    /// Runs `sql` and saves the checkpoint in one transaction that asserts the fence; `rows` are added to it.
    fn change(
        &mut self,
        statement: &SingleStatement<'_>,
        sql: &str,
        next: &Checkpoint,
    ) -> impl Future<Output = Result<u64, DriverError>> + Send;

    /// Marks the statement done, and forgets the checkpoint.
    fn finish(&mut self, statement: &SingleStatement<'_>) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Whether the same batch may succeed later.
    fn may_succeed_later(&self, failure: &StatementFailure) -> bool;

    /// Adds what a person wants to know of a batch that was tried so often.
    fn explain_batch(&self, failure: &mut StatementFailure, attempts: u32, began: Instant);
}

fn failure(message: String, hint: &str) -> DriverError {
    DriverError::Statement(StatementFailure { message, code: None, line: None, hint: Some(hint.to_owned()) })
}

/// Runs the statement from its checkpoint to its end; gives the rows changed, those of earlier attempts included.
pub(super) async fn run<S: Batches>(
    session: &mut S,
    statement: &SingleStatement<'_>,
    options: &SessionOptions,
) -> Result<Option<u64>, DriverError> {
    let Some(of) = statement.backfill else {
        return Err(failure(
            "nothing says how this statement goes in batches".to_owned(),
            "write `-- godwit: backfill=TABLE key=COLUMN` above it",
        ));
    };
    let pace = Pace {
        pause: if options.pace.pause.is_zero() { of.pause() } else { options.pace.pause },
        ..options.pace.clone()
    };
    let most = of.batch.or(pace.batch_size).unwrap_or(BATCH);
    let mut walk = Walk { session, statement, of, options, pace, most, total: None, looked: Looked::default() };
    let mut lost = 0;
    loop {
        match walk.walk_on().await {
            // What was committed is in the checkpoint, which is read anew.
            Err(DriverError::Lost(why)) => {
                lost += 1;
                if lost > LOSSES {
                    return Err(DriverError::Unreachable(format!(
                        "the connection was lost {lost} times in this statement: {why}; what is done is in the target's \
                         history, and the next `apply` goes on from there"
                    )));
                }
            }
            other => return other.map(Some),
        }
    }
}

struct Walk<'a, 'b, S> {
    session: &'a mut S,
    statement: &'a SingleStatement<'b>,
    of: &'a Backfill,
    options: &'a SessionOptions,
    pace: Pace,
    most: u32,
    total: Option<u64>,
    /// When the server was last asked whether it is strained.
    looked: Looked,
}

impl<S: Batches> Walk<'_, '_, S> {
    async fn walk_on(&mut self) -> Result<u64, DriverError> {
        if let Err(why) = self.session.check_key(self.of).await? {
            return Err(failure(why, "name a key that is unique, indexed and NOT NULL, such as the primary key"));
        }
        let mut at = self.begin().await?;
        self.total = self.session.estimate(self.of).await?;
        let mut end = self.session.last_key(self.of).await?;
        let mut caught_up = false;
        while let Some(up_to) = &end {
            self.while_strained(&at).await?;
            let next = self.session.next_key(self.of, at.after.as_deref(), up_to, at.size).await?;
            let Some((key, keys)) = next else {
                if caught_up {
                    break;
                }
                // Rows that came behind the first maximum meanwhile; those behind the second are for the writers.
                caught_up = true;
                end = self.session.last_key(self.of).await?;
                continue;
            };
            at = self.batch(at, key, keys).await?;
            self.pace.between(&self.progress(&at, None)).await?;
        }
        self.session.finish(self.statement).await?;
        Ok(at.rows)
    }

    /// The checkpoint of an earlier attempt, or the first one.
    async fn begin(&mut self) -> Result<Checkpoint, DriverError> {
        let identity = self.of.identity(self.statement.sql());
        let Some(text) = self.session.checkpoint(self.statement).await? else {
            return Ok(Checkpoint::start(identity, self.most));
        };
        let found: Checkpoint = serde_json::from_str(&text).map_err(|e| {
            DriverError::History(format!("the checkpoint of `{}` cannot be read: {e}", self.statement.id))
        })?;
        if found.of != identity {
            return Err(failure(
                format!("the statement was edited after {} rows had been changed by its batches", found.rows),
                "put it back to go on, or say that nothing of it is there: `godwit resolve … --as rolled-back`",
            ));
        }
        Ok(Checkpoint { size: found.size.clamp(1, self.most), ..found })
    }

    /// One batch, tried again with fewer rows while somebody is in the way.
    async fn batch(&mut self, at: Checkpoint, key: String, keys: u64) -> Result<Checkpoint, DriverError> {
        let (mut key, mut keys, mut size, mut attempts) = (key, keys, at.size, 0u32);
        let trouble = Instant::now();
        loop {
            let sql = self.of.batch_of(self.statement.sql(), at.after.as_deref(), &key);
            let began = Instant::now();
            let next = Checkpoint { after: Some(key.clone()), keys: at.keys + keys, size, ..at.clone() };
            let mut failed = match self.session.change(self.statement, &sql, &next).await {
                Ok(rows) => {
                    let size = next_size(size, self.most, began.elapsed());
                    return Ok(Checkpoint { rows: at.rows + rows, size, ..next });
                }
                Err(DriverError::Statement(failed)) => failed,
                Err(other) => return Err(other),
            };
            attempts += 1;
            if !self.session.may_succeed_later(&failed) || trouble.elapsed() >= self.options.retry_for {
                self.session.explain_batch(&mut failed, attempts, trouble);
                return Err(DriverError::Statement(failed));
            }
            self.pace.may_go_on()?;
            tokio::time::sleep(jittered(Duration::from_millis(50) * attempts.min(10))).await;
            size = (size / 2).max(1);
            let up_to = key.clone();
            if let Some((nearer, fewer)) = self.session.next_key(self.of, at.after.as_deref(), &up_to, size).await? {
                (key, keys) = (nearer, fewer);
            }
        }
    }

    /// Waits while the server or a replica has enough to do.
    async fn while_strained(&mut self, at: &Checkpoint) -> Result<(), DriverError> {
        if !self.looked.is_due() {
            return Ok(());
        }
        while let Some(why) = self.session.strain(&self.pace.limits).await? {
            self.pace.rest(&self.progress(at, Some(why))).await?;
        }
        self.looked = Looked::now();
        Ok(())
    }

    fn progress(&self, at: &Checkpoint, waits: Option<String>) -> Progress {
        Progress {
            target: self.options.target.clone(),
            migration: self.statement.id.clone(),
            statement: self.statement.done,
            what: "rows",
            done: at.keys,
            total: self.total.map(|t| t.max(at.keys)),
            waits,
        }
    }
}
