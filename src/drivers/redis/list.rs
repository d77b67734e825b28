//! A literal list of keys: one call that does everything and marks it done.

use super::kept::{self, Kept, Walk};
use super::lua::BEFORE_IT_WROTE;
use super::message::refused;
use super::names::{Zone, slot_of};
use super::session::RedisSession;
use super::statement::{Effect, Marking};
use super::step::{Came, Done, Mode, Step};
use super::zones::{Open, fingerprint};
use crate::drivers::{DriverError, SingleStatement};

impl RedisSession {
    /// Does it, in the slot of its keys. Where that is the history's own server, effect and history are one call; in a
    /// cluster the mark stands beside the keys first, and the history is told afterwards.
    pub(super) async fn list(
        &mut self,
        statement: &SingleStatement<'_>,
        mut kept: Kept,
        keys: &[String],
        effect: &Effect,
    ) -> Result<Option<u64>, DriverError> {
        let number = u32::try_from(statement.done - 1).unwrap_or(0);
        let keys: Vec<Vec<u8>> = keys.iter().map(|k| k.as_bytes().to_vec()).collect();
        let remembers = effect.marking == Marking::Touched;
        let apart = self.link.is_cluster();
        let text = fingerprint(statement.sql());
        // One that only waits to be swept is over: the statement was taken back since.
        let resumed = kept.walk.clone().filter(|w| w.operation == number && w.text == text && w.swept.is_none());
        let mut useless = None;
        let walk = match resumed {
            Some(walk) => Some(walk),
            None if apart || remembers => {
                useless = kept.walk.take();
                Some(self.new_walk(number, statement.sql(), keys.len() as u64).await)
            }
            None => None,
        };
        let mut after = kept.clone();
        after.row.statements_done = statement.done;
        after.walk = None;
        after.undo.remove(&number);
        if remembers && let Some(walk) = &walk {
            after.undo.insert(number, Walk { swept: Some(0), ..walk.clone() });
        }
        let field = kept::field(statement.unit, statement.id.as_str());
        if !apart {
            let (zone, value) = (self.names.zone(walk.as_ref().map_or("", |w| &w.token)), after.text());
            let done = Done { hash: &self.names.history, field: &field, value: &value };
            let step =
                Step { effect, mode: Mode::List, zone: &zone, walk: walk.as_ref(), keys: &keys, done: Some(done) };
            let came = self.step(&step).await.map_err(stays)?;
            self.settle_down().await?;
            return Ok(match came {
                Came::Done { changed, .. } => Some(changed),
                Came::Already(_) | Came::Closed => None,
            });
        }
        let Some(walk) = walk else { return Ok(None) };
        kept.walk = Some(walk.clone());
        if remembers {
            kept.undo.insert(number, walk.clone());
        }
        // What is swept must still be known, or it stays for ever when the run ends here.
        if let Some(old) = useless {
            self.sweep(&old).await?;
        }
        self.put_kept(&kept).await?;
        self.settle_home().await?;
        let slot = keys.first().map_or_else(|| slot_of(self.names.fence.as_bytes()), |k| slot_of(k));
        let zone = Zone::of_slot(slot, &walk.token);
        for _ in 0..3 {
            self.open_zones(&walk, &mut Open::default(), [slot]).await?;
            let done = Done { hash: &zone.state, field: "done", value: "1" };
            let step = Step { effect, mode: Mode::List, zone: &zone, walk: Some(&walk), keys: &keys, done: Some(done) };
            let changed = match self.step(&step).await.map_err(stays)? {
                Came::Done { changed, .. } => Some(changed),
                Came::Already(changed) => changed,
                Came::Closed => continue,
            };
            self.settle_down().await?;
            // Its mark is swept with the next statement or the migration's end: until then the row says whose it is.
            if !remembers {
                after.walk = Some(Walk { swept: Some(changed.unwrap_or(0)), ..walk.clone() });
            }
            self.put_kept(&after).await?;
            self.settle_down().await?;
            return Ok(changed);
        }
        Err(DriverError::Unreachable("the cluster has lost a mark again and again; look at its failovers".to_owned()))
    }

    /// Waits, within bounds, until what was written would survive a failover.
    pub(super) async fn settle_down(&self) -> Result<(), DriverError> {
        let nodes = self.link.nodes().await?;
        self.server.durable(&self.link, &nodes, self.options.lock_timeout).await
    }

    /// As [`RedisSession::settle_down`], for what stands beside the fence: what is about to be done, before it is.
    pub(super) async fn settle_home(&self) -> Result<(), DriverError> {
        let home = slot_of(self.names.fence.as_bytes());
        let mut nodes = self.link.nodes().await?;
        nodes.retain(|node| node.slots.iter().any(|(first, last)| (*first..=*last).contains(&home)));
        self.server.durable(&self.link, &nodes, self.options.lock_timeout).await
    }
}

/// An error of a script tells that Redis takes nothing back.
pub(super) fn stays(error: DriverError) -> DriverError {
    match error {
        DriverError::Statement(mut failure) => {
            if failure.message.contains(BEFORE_IT_WROTE) {
                failure.hint = Some(
                    "give the pattern a `type`, or name the keys that are meant; a script that looks at `TYPE` by itself is \
                     left to judge"
                        .to_owned(),
                );
            } else if failure.hint.is_none() && !failure.message.contains("BUSYKEY") {
                failure.hint = Some(
                    "Redis takes nothing back: what the script had written before the error stays. It is run again as a \
                     whole, so it must bear what it finds"
                        .to_owned(),
                );
            }
            DriverError::Statement(failure)
        }
        other => other,
    }
}

/// A key that cannot be what it should.
pub(super) fn busy_key(key: &[u8], target: &[u8]) -> DriverError {
    refused(
        "BUSYKEY",
        format!(
            "BUSYKEY `{}` cannot be renamed: `{}` exists; nothing was renamed",
            String::from_utf8_lossy(key),
            String::from_utf8_lossy(target)
        ),
        "rename or delete that key first, or choose another prefix",
    )
}
