//! What one step sends as one transaction: a message, or a script that is read while it is sent; and what is done when that
//! goes wrong.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::message::{self, Stop, Tables};
use super::read_history;
use super::session::PostgresSession;
use super::wire::{self, Reply};
use crate::drivers::{DriverError, Script, StatementFailure, failpoint, jittered};
use crate::ids::Epoch;
use crate::migration::Check;
use crate::migration::execution::{LONG, Long, Pieces};
use crate::migration::sealed;
use crate::migration::verify::Answer;
use crate::plan::HistoryRow;

/// How often a lost connection is made anew for one step.
const RECONNECTS: u32 = 3;

/// What is sent.
pub(super) enum Sending<'a> {
    Whole(Whole<'a>),
    Stream(Stream<'a>),
}

/// A message that is made as a whole; most are.
pub(super) struct Whole<'a> {
    message: Arc<String>,
    /// Where the script's text begins in it.
    start: usize,
    /// How many statements stand before that.
    before: usize,
    text: &'a str,
    body: &'a Range<usize>,
    pieces: Vec<Range<usize>>,
    stops: Vec<Stop>,
}

impl<'a> Whole<'a> {
    /// A message in which `body` of `text` begins at byte `start`, behind `before` other statements.
    pub fn new(
        message: String,
        start: usize,
        before: usize,
        (text, body): (&'a str, &'a Range<usize>),
        checks: &[Check],
    ) -> Self {
        let stops = message::stops(checks, body, start);
        let pieces = message::pieces(&message, &stops);
        Self { message: Arc::new(message), start, before, text, body, pieces, stops }
    }

    fn line_of(&self, error: &sqlx::Error, succeeded: usize, from: usize) -> Option<u32> {
        let own = succeeded.checked_sub(self.before);
        message::line_of_error((&self.message, from), self.start, self.text, self.body, wire::position(error), own)
    }
}

/// A script that is read piece by piece while it is sent, so that it is never held twice, or at all.
pub(super) struct Stream<'a> {
    head: String,
    source: Source<'a>,
    /// The part of what is read that is sent.
    body: Range<u64>,
    /// Lines before what is read.
    lines: u32,
    tail: String,
}

enum Source<'a> {
    Text(&'a str),
    File(&'a Long),
}

impl<'a> Stream<'a> {
    /// The script as a stream, if it is long enough and nothing in it must be looked at on the way.
    pub fn of(
        script: &Script<'a>,
        tables: &Tables,
        epoch: Epoch,
        (lock_timeout_ms, limit_ms): (u128, u128),
    ) -> Option<Self> {
        let (source, body, lines) = match script.long {
            Some(long) => (Source::File(long), long.body.clone(), 0),
            None => {
                let body = &script.text[script.body.clone()];
                if (body.len() as u64) < LONG || !script.checks.is_empty() {
                    return None;
                }
                let before = &script.text.as_bytes()[..script.body.start];
                let lines = before.iter().filter(|b| **b == b'\n').count();
                (Source::Text(body), 0..body.len() as u64, u32::try_from(lines).unwrap_or(0))
            }
        };
        let (mut head, mut tail) = (String::new(), String::new());
        tables.begin_script(&mut head, script, epoch, lock_timeout_ms, limit_ms);
        tables.end_script(&mut tail, script, false);
        Some(Self { head, source, body, lines, tail })
    }

    fn open(&self) -> std::io::Result<Pieces<Box<dyn Read + Send + 'a>>> {
        Ok(Pieces::new(match self.source {
            Source::Text(text) => Box::new(text.as_bytes()),
            Source::File(long) => Box::new(File::open(&long.file)?),
        }))
    }

    /// Why what was read is not what was planned, if it is not.
    fn is_another(&self, read: &Pieces<Box<dyn Read + Send + 'a>>) -> bool {
        match self.source {
            Source::Text(_) => false,
            Source::File(long) => read.sums().0 != long.sha256,
        }
    }
}

/// What came of sending: the server's answer, and the line that it is about where it is an error.
type Sent = (Reply, Option<u32>);

impl PostgresSession {
    /// Sends what is to be sent, once. A query that must give a value and gives another is a failure, and so is a file that
    /// has changed.
    async fn send_all(&mut self, sending: &Sending<'_>) -> Result<Sent, StatementFailure> {
        match sending {
            Sending::Whole(whole) => self.send_whole(whole).await,
            Sending::Stream(stream) => self.send_stream(stream).await,
        }
    }

    async fn send_whole(&mut self, whole: &Whole<'_>) -> Result<Sent, StatementFailure> {
        let mut succeeded = 0;
        for (n, piece) in whole.pieces.iter().enumerate() {
            let is_last = n + 1 == whole.pieces.len();
            let after_sending: &[&str] = if is_last { &["stmt_sent", "commit_sent"] } else { &[] };
            let text = if whole.pieces.len() == 1 {
                Arc::clone(&whole.message)
            } else {
                Arc::new(whole.message[piece.clone()].to_owned())
            };
            let reply = self.send(&text, after_sending).await;
            succeeded += reply.succeeded;
            if is_last || reply.error.is_some() {
                let line = reply.error.as_ref().and_then(|e| whole.line_of(e, succeeded, piece.start));
                return Ok((Reply { succeeded, ..reply }, line));
            }
            for (_, check) in whole.stops.iter().filter(|(at, _)| *at == piece.end) {
                check.judge(&reply.answer).map_err(|message| StatementFailure {
                    message,
                    code: None,
                    line: Some(check.line),
                    hint: None,
                })?;
            }
        }
        Ok((Reply { succeeded, affected: 0, answer: Answer::default(), error: None }, None))
    }

    async fn send_stream(&mut self, stream: &Stream<'_>) -> Result<Sent, StatementFailure> {
        let changed = |why: String| StatementFailure {
            message: format!("the file is not what was planned: {why}; nothing of it was kept"),
            code: None,
            line: None,
            hint: Some("leave the file alone while it runs, and run again".to_owned()),
        };
        let mut pieces = stream.open().map_err(|e| changed(format!("it cannot be read: {e}")))?;
        let reply = self.send(&Arc::new(stream.head.clone()), &[]).await;
        if reply.error.is_some() {
            return Ok((reply, None));
        }
        let mut sets_role = false;
        while let Some(piece) = pieces.next_piece().map_err(|e| changed(e.to_string()))? {
            let (text, line) = piece.within(&stream.body);
            if text.is_empty() {
                continue;
            }
            if matches!(stream.source, Source::File(_)) && sealed::holds(text) {
                return Err(StatementFailure {
                    message: "the file is too long to have its sealed values opened; nothing of it was kept".to_owned(),
                    code: None,
                    line: None,
                    hint: Some("put them into a migration of their own, which is held as a whole".to_owned()),
                });
            }
            sets_role |= message::sets_role(text);
            let text = Arc::new(text.to_owned());
            drop(piece);
            let reply = self.send(&text, &[]).await;
            if let Some(error) = &reply.error {
                let all = 0..text.len();
                let at = (wire::position(error), Some(reply.succeeded));
                let own = message::line_of_error((&text, 0), 0, &text, &all, at.0, at.1);
                return Ok((reply, own.map(|own| stream.lines + line + own - 1)));
            }
        }
        if stream.is_another(&pieces) {
            return Err(changed("its bytes have changed since".to_owned()));
        }
        let before = if sets_role { message::RESET_ROLE } else { "" };
        let tail = Arc::new(format!("{before}{}", stream.tail));
        Ok((self.send(&tail, &["stmt_sent", "commit_sent"]).await, None))
    }

    /// Sends until it succeeds, fails for good, or `recorded` finds after a lost connection that it had been done.
    pub(super) async fn carry_out(
        &mut self,
        sending: &Sending<'_>,
        row: (&str, &str),
        recorded: &(dyn Fn(&HistoryRow) -> bool + Sync),
    ) -> Result<(), DriverError> {
        let mut trouble: Option<Instant> = None;
        let (mut reconnects, mut attempts) = (0, 0u32);
        self.forget_blockers();
        loop {
            let (reply, line) = match self.send_all(sending).await {
                Ok(sent) => sent,
                Err(failure) => {
                    self.roll_back().await;
                    return Err(DriverError::Statement(failure));
                }
            };
            let Some(error) = reply.error else {
                failpoint::hit("stmt_acked");
                failpoint::hit("commit_acked");
                return Ok(());
            };
            if wire::is_lost(&error) {
                self.recover(&wire::describe(&error)).await?;
                let rows = read_history(&mut self.connection, &self.tables, Some(row)).await?;
                if rows.first().is_some_and(recorded) {
                    return Ok(());
                }
                reconnects += 1;
                if reconnects > RECONNECTS {
                    return Err(DriverError::Unreachable(format!(
                        "the connection was lost {reconnects} times in this step: {}",
                        wire::describe(&error)
                    )));
                }
                continue;
            }
            self.roll_back().await;
            if wire::is_fenced(&error) {
                return Err(DriverError::Fenced);
            }
            attempts += 1;
            let began = *trouble.get_or_insert_with(Instant::now);
            let may_wait = wire::is_worth_trying_again(&error)
                && began.elapsed() < self.options.retry_for
                && self.options.deadline.is_none_or(|d| Instant::now() < d);
            if may_wait {
                let pause = Duration::from_millis(100) * attempts.min(10);
                sleep(jittered(pause)).await;
                continue;
            }
            let mut failure = wire::statement_failure(&error, line);
            self.explain(&mut failure, attempts, began);
            return Err(DriverError::Statement(failure));
        }
    }
}
