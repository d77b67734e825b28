//! The session: the lock with its heartbeat, the fence, the history.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::kept::{self, Kept, Walk};
use super::link::{Link, To};
use super::lua;
use super::message;
use super::names::{Names, Zone, slot_of};
use super::seed;
use super::server::Server;
use crate::drivers::lease::{Heartbeat, Owner};
use crate::drivers::{
    DriverError, Limits, Probe, Script, Session, SessionOptions, SingleStatement, StatementFailure, jittered,
};
use crate::ids::{Epoch, RunId};
use crate::plan::{HistoryRow, LockHolder, MigrationState};

/// The connection that changes a Redis target; see [`Session`].
#[derive(Debug)]
pub struct RedisSession {
    pub(super) link: Link,
    pub(super) names: Names,
    pub(super) options: SessionOptions,
    pub(super) server: Server,
    pub(super) epoch: Epoch,
    pub(super) heartbeat: Heartbeat,
    fingerprint: String,
    owner: String,
}

/// Who holds the lock, as its key says.
pub(super) async fn holder(link: &Link, names: &Names) -> Result<Option<LockHolder>, DriverError> {
    let text: Option<String> = link.ask(redis::cmd("GET").arg(&names.lock), &home(names)).await?;
    Ok(text.map(|t| holder_of(&t)))
}

/// What identifies the database, where it has a fence.
pub(super) async fn identity(link: &Link, names: &Names) -> Result<Option<String>, DriverError> {
    link.ask(redis::cmd("HGET").arg(&names.fence).arg("target"), &home(names)).await
}

/// Where history, fence and lock are.
pub(super) fn home(names: &Names) -> To {
    To::Slot(slot_of(names.fence.as_bytes()))
}

fn holder_of(text: &str) -> LockHolder {
    match serde_json::from_str::<Owner>(text) {
        Ok(owner) => owner.holder(),
        Err(_) => LockHolder {
            pid: 0,
            who: "somebody whom this version does not know".to_owned(),
            from: "unknown".to_owned(),
            since: "unknown".to_owned(),
            doing: None,
        },
    }
}

/// The whole history.
pub(super) async fn read_kept(link: &Link, names: &Names) -> Result<BTreeMap<String, Kept>, DriverError> {
    let all: BTreeMap<String, String> = link.ask(redis::cmd("HGETALL").arg(&names.history), &home(names)).await?;
    all.into_iter()
        .map(|(field, text)| {
            let kept = Kept::read(&field, &text)?;
            Ok((field, kept))
        })
        .collect()
}

/// The rows in the order in which they were begun.
pub(super) fn rows(kept: BTreeMap<String, Kept>) -> Vec<HistoryRow> {
    let mut rows: Vec<HistoryRow> = kept.into_values().map(|k| k.row).collect();
    rows.sort_by(|a, b| (a.started_at, &a.unit, &a.id).cmp(&(b.started_at, &b.unit, &b.id)));
    rows
}

impl RedisSession {
    /// Waits for the lock by polling. A lock whose process is known to be dead is taken at once.
    pub(super) async fn lock(
        link: Link,
        names: Names,
        server: Server,
        options: &SessionOptions,
    ) -> Result<Self, DriverError> {
        let owner = serde_json::to_string(&Owner::this_process(options)).unwrap_or_default();
        let lease = options.lease.as_millis().to_string();
        let identity = RunId::generate();
        let began = Instant::now();
        let mut pause = Duration::from_millis(10);
        let mut dead = String::new();
        let (asked, fingerprint) = loop {
            let asked = Instant::now();
            let keys = [names.lock.as_str(), names.fence.as_str()];
            let answer = link.own(lua::LOCK, &keys, &[&owner, &lease, identity.as_str(), &dead]).await?;
            match (answer.first().map(String::as_str), answer.get(1)) {
                (Some("OK"), Some(fingerprint)) => break (asked, fingerprint.clone()),
                (Some("HELD"), Some(held)) => {
                    let gone = serde_json::from_str::<Owner>(held).is_ok_and(|o| o.is_surely_gone());
                    if gone && &dead != held {
                        dead.clone_from(held);
                    } else if began.elapsed() < options.lock_wait {
                        tokio::time::sleep(jittered(pause)).await;
                        pause = (pause * 2).min(Duration::from_millis(250));
                    } else {
                        return Err(DriverError::Locked(holder_of(held)));
                    }
                }
                _ => return Err(strange(&answer)),
            }
        };
        let heartbeat = {
            let (link, lock, owner) = (link.clone(), names.lock.clone(), owner.clone());
            Heartbeat::start(options.lease, asked, move || {
                let (link, lock, owner, lease) = (link.clone(), lock.clone(), owner.clone(), lease.clone());
                async move {
                    let answer = link.own(lua::RENEW, &[&lock], &[&owner, &lease]).await?;
                    Ok(answer.first().is_some_and(|a| a == "OK"))
                }
            })
        };
        let mut link = link;
        link.patience = options.retry_for;
        Ok(Self { link, names, options: options.clone(), server, epoch: Epoch(0), heartbeat, fingerprint, owner })
    }

    pub(super) fn home(&self) -> To {
        home(&self.names)
    }

    /// What an answer of a fenced script means where it is not `OK` or `ALREADY`.
    pub(super) fn refusal(&self, answer: &[String]) -> DriverError {
        match (answer.first().map(String::as_str), answer.get(1)) {
            (Some("FENCED"), Some(found)) => match found.parse::<i64>() {
                Ok(found) if found < self.epoch.0 => DriverError::Unreachable(
                    "the server has lost the last things that were written to it (a restart, or a failover to a replica \
                     that was behind); nothing more is changed. `godwit resume` goes on from what it has now"
                        .to_owned(),
                ),
                Ok(_) | Err(_) => DriverError::Fenced,
            },
            (Some("LATE"), _) => DriverError::Fenced,
            (Some("ERROR"), Some(message)) => DriverError::Statement(script_failure(
                message,
                answer.get(2).map_or("", String::as_str),
            )),
            _ => strange(answer),
        }
    }

    /// Runs one of Godwit's own scripts that must be `OK`.
    pub(super) async fn fenced(&self, code: &str, keys: &[&str], args: &[&str]) -> Result<Vec<String>, DriverError> {
        let answer = self.link.own(code, keys, args).await?;
        if answer.first().is_some_and(|a| a == "OK") { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    /// Sets fields of one of Godwit's hashes.
    pub(super) async fn put(&self, hash: &str, fields: &[&str]) -> Result<(), DriverError> {
        let epoch = self.epoch.0.to_string();
        let args: Vec<&str> = std::iter::once(epoch.as_str()).chain(fields.iter().copied()).collect();
        self.fenced(lua::PUT, &[&self.names.fence, hash], &args).await.map(|_| ())
    }

    /// Writes what is kept of a migration.
    pub(super) async fn put_kept(&self, kept: &Kept) -> Result<(), DriverError> {
        let field = kept::field(&kept.row.unit, kept.row.id.as_str());
        self.put(&self.names.history, &[&field, &kept.text()]).await
    }

    /// What is kept of a statement's migration.
    pub(super) async fn kept(&self, statement: &SingleStatement<'_>) -> Result<Kept, DriverError> {
        let field = kept::field(statement.unit, statement.id.as_str());
        match self.find(&field).await? {
            Some(kept) => Ok(kept),
            None => {
                // The row was written before its first statement: who took over since, or a lost write, took it away.
                self.put(&self.names.fence, &[]).await?;
                Err(DriverError::History(format!("the history has lost its row of `{}`", statement.id)))
            }
        }
    }

    async fn find(&self, field: &str) -> Result<Option<Kept>, DriverError> {
        let text: Option<String> =
            self.link.ask(redis::cmd("HGET").arg(&self.names.history).arg(field), &self.home()).await?;
        text.map(|t| Kept::read(field, &t)).transpose()
    }

    /// The server's clock.
    async fn now(&self) -> Result<DateTime<Utc>, DriverError> {
        let (seconds, micros): (i64, i64) = self.link.ask(&redis::cmd("TIME"), &self.home()).await?;
        Ok(DateTime::from_timestamp_micros(seconds * 1_000_000 + micros).unwrap_or_else(Utc::now))
    }

    /// The zones in which a walk may have marks.
    pub(super) async fn zones(&self, walk: &Walk) -> Result<Vec<Zone>, DriverError> {
        if !self.link.is_cluster() {
            return Ok(vec![self.names.zone(&walk.token)]);
        }
        let bits: Option<Vec<u8>> =
            self.link.ask(redis::cmd("GET").arg(self.names.zones(&walk.token)), &self.home()).await?;
        let bits = bits.unwrap_or_default();
        Ok((0u16..)
            .zip(bits.iter().flat_map(|byte| (0..8).map(move |n| byte & (0x80 >> n) != 0)))
            .filter(|(_, set)| *set)
            .map(|(slot, _)| Zone::of_slot(slot, &walk.token))
            .collect())
    }
}

fn strange(answer: &[String]) -> DriverError {
    DriverError::History(format!("a script of Godwit's own gave an answer that it does not know: {answer:?}"))
}

/// A Lua error as a failure: its line within the migration's script is in its words or beside them.
fn script_failure(message: &str, line: &str) -> StatementFailure {
    let place = message.split_once("user_script:").map(|(_, rest)| rest);
    let said = place.and_then(|rest| rest.split(':').next()).and_then(|n| n.trim().parse::<u32>().ok());
    let line = said.or_else(|| line.parse().ok());
    let message = crate::redact::text(message);
    let message = match line {
        Some(line) if said.is_none() => format!("user_script:{line}: {message}"),
        _ => message,
    };
    let code = message.split_whitespace().find(|w| is_code(w)).map(|w| w.trim_start_matches('-').to_owned());
    StatementFailure { message, code, line, hint: None }
}

/// `WRONGTYPE`, `ERR`, `OOM`: what the server begins its errors with.
fn is_code(word: &str) -> bool {
    let word = word.trim_start_matches('-');
    word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase())
}

impl Session for RedisSession {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn strain(&mut self, limits: &Limits) -> Result<Option<String>, DriverError> {
        self.strained_anywhere(limits).await
    }

    async fn fence(&mut self, at_least: Epoch) -> Result<Epoch, DriverError> {
        let keys = [self.names.lock.as_str(), self.names.fence.as_str()];
        let answer = self.link.own(lua::RAISE, &keys, &[&self.owner, &at_least.0.to_string()]).await?;
        let epoch = match (answer.first().map(String::as_str), answer.get(1).and_then(|e| e.parse().ok())) {
            (Some("OK"), Some(epoch)) => Epoch(epoch),
            _ => return Err(self.refusal(&answer)),
        };
        self.epoch = epoch;
        self.close_zones().await?;
        Ok(epoch)
    }

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        Ok(rows(read_kept(&self.link, &self.names).await?))
    }

    async fn settle_orphans(&mut self, runs: &[RunId]) -> Result<(), DriverError> {
        self.server.settle(&self.link, runs, self.options.retry_for).await
    }

    async fn run_script(&mut self, _script: &Script<'_>) -> Result<(), DriverError> {
        Err(message::refused(
            "GODWIT",
            "a Redis migration runs operation by operation".to_owned(),
            "this is a mistake in Godwit",
        ))
    }

    async fn run_statement(&mut self, statement: &SingleStatement<'_>) -> Result<Option<u64>, DriverError> {
        self.heartbeat.check()?;
        self.carry_out(statement).await
    }

    async fn mark(&mut self, statement: &SingleStatement<'_>) -> Result<(), DriverError> {
        self.heartbeat.check()?;
        let mut kept = self.kept(statement).await?;
        kept.row.statements_done = statement.done;
        self.put_kept(&kept).await
    }

    async fn probe(&mut self, statement: &SingleStatement<'_>) -> Result<Probe, DriverError> {
        let kept = self.kept(statement).await?;
        if kept.row.statements_done >= statement.done {
            return Ok(Probe::Done);
        }
        let Some(walk) = kept.walk.filter(|w| i64::from(w.operation) + 1 == i64::from(statement.done)) else {
            return Ok(Probe::NotStarted);
        };
        let (seen, _) = self.counted(&walk).await?;
        Ok(Probe::Unknown(format!("{seen} keys are marked done; the others are still to be looked at")))
    }

    async fn repair(&mut self, statement: &str) -> Result<(), DriverError> {
        Err(message::refused(
            "GODWIT",
            format!("no probe of Redis asks for `{statement}`"),
            "this is a mistake in Godwit",
        ))
    }

    async fn fill(&mut self, text: &str) -> Result<(), DriverError> {
        seed::fill(self, text).await
    }

    async fn write_row(&mut self, row: &HistoryRow) -> Result<(), DriverError> {
        self.heartbeat.check()?;
        let found = self.find(&kept::field(&row.unit, row.id.as_str())).await?;
        let now = self.now().await?;
        let before = found.as_ref().map(|k| k.row.clone());
        let mut row = row.clone();
        match (row.state == MigrationState::Running, before.filter(|b| b.state == MigrationState::Running)) {
            (true, _) => row.started_at = now,
            (false, Some(begun)) => {
                row.started_at = begun.started_at;
                row.finished_at = Some(now);
                row.duration_ms = (now - begun.started_at).num_milliseconds().max(0);
            }
            (false, None) => {}
        }
        let mut kept = found.unwrap_or_else(|| Kept::new(row.clone()));
        let useless = kept.take(row);
        kept.replid.clone_from(&self.server.replid);
        // Before the row, which is the last that knows of them: who is ended in between leaves nothing behind.
        for walk in useless {
            self.sweep(&walk).await?;
        }
        self.put_kept(&kept).await
    }

    async fn unlock(self) -> Result<(), DriverError> {
        self.link.own(lua::UNLOCK, &[&self.names.lock], &[&self.owner]).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lua_error_is_located() {
        let old = script_failure("user_script:3: WRONGTYPE Operation against a key", "");
        assert_eq!((old.line, old.code.as_deref()), (Some(3), Some("WRONGTYPE")));
        let new = script_failure("WRONGTYPE Operation against a key", "7");
        assert_eq!(new.line, Some(7));
        assert!(new.message.starts_with("user_script:7: WRONGTYPE"), "{new:?}");
        assert_eq!(script_failure("mine", "").line, None);
    }
}
