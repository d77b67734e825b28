//! The zones of a walk: where its keys are guarded and marked. A server alone has one, under the target's own fence; a
//! cluster has one for each slot, opened for an epoch before its first key is touched.
//!
//! A zone that is missing refuses. Who takes a target over closes the zones of every lower epoch before anything else,
//! and who was taken over cannot open one any more: an opening holds only while its lock does, by the node's own clock.

use std::collections::BTreeSet;
use std::time::Instant;

use super::kept::Walk;
use super::link::{Node, To};
use super::lua;
use super::names::{SLOTS, Zone};
use super::session::{RedisSession, read_kept};
use crate::drivers::DriverError;

/// How many calls are on their way at once.
pub(super) const TOGETHER: usize = 128;
/// How many keys of Godwit's own are taken away in one call.
const AT_ONCE: u32 = 256;

/// A walk's open zones.
#[derive(Debug, Default)]
pub(super) struct Open {
    slots: BTreeSet<u16>,
    /// All that were ever opened.
    noted: BTreeSet<u16>,
}

impl Open {
    /// Some are open no more: a node has lost them.
    pub fn lost(&mut self) {
        self.slots.clear();
    }
}

impl RedisSession {
    /// A new walk. `keys` is how many there may be.
    pub(super) async fn new_walk(&self, operation: u32, text: &str, keys: u64) -> Walk {
        // About 250 marks in each hash: with 512 or fewer it keeps its compact form.
        let each = if self.link.is_cluster() { keys / u64::from(SLOTS) } else { keys };
        let buckets = u32::try_from(each / 250 + 1).unwrap_or(u32::MAX).clamp(1, 1 << 16);
        Walk {
            token: ulid::Ulid::generate().to_string().to_lowercase(),
            operation,
            text: fingerprint(text),
            buckets,
            swept: None,
        }
    }

    /// Opens the zones of `slots` that are not open yet.
    pub(super) async fn open_zones(
        &self,
        walk: &Walk,
        open: &mut Open,
        slots: impl IntoIterator<Item = u16>,
    ) -> Result<(), DriverError> {
        if !self.link.is_cluster() {
            return Ok(());
        }
        let new: Vec<u16> =
            slots.into_iter().filter(|s| !open.slots.contains(s)).collect::<BTreeSet<_>>().into_iter().collect();
        if new.is_empty() {
            return Ok(());
        }
        // Whoever takes over must know of a zone before it is opened.
        self.note(walk, &new).await?;
        open.noted.extend(&new);
        let epoch = self.epoch.0.to_string();
        for part in new.chunks(TOGETHER) {
            // Asked anew each time, since the lock is renewed meanwhile.
            let until = self.last_moments().await?;
            let openings = part.iter().map(|slot| {
                let zone = Zone::of_slot(*slot, &walk.token);
                let last = until
                    .iter()
                    .find(|(node, _)| node.slots.iter().any(|(a, b)| (a..=b).contains(&slot)))
                    .map_or(0, |(_, last)| *last);
                let epoch = &epoch;
                async move { self.fenced(lua::OPEN, &[&zone.fence], &[epoch, &last.to_string()]).await }
            });
            for opened in futures_util::future::join_all(openings).await {
                opened?;
            }
        }
        open.slots.extend(new);
        Ok(())
    }

    /// Notes zones once more, where the node that knew of them may have failed over and forgotten some: nobody else would
    /// count them, close them or take their marks away.
    pub(super) async fn note_again(&self, walk: &Walk, open: &Open) -> Result<(), DriverError> {
        if open.noted.is_empty() {
            Ok(())
        } else {
            self.note(walk, &open.noted.iter().copied().collect::<Vec<_>>()).await
        }
    }

    async fn note(&self, walk: &Walk, slots: &[u16]) -> Result<(), DriverError> {
        let args: Vec<String> =
            std::iter::once(self.epoch.0.to_string()).chain(slots.iter().map(u16::to_string)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.fenced(lua::NOTE_SLOTS, &[&self.names.fence, &self.names.zones(&walk.token)], &args).await?;
        self.settle_home().await
    }

    /// Until when the lock is ours, in milliseconds of each node's own clock.
    async fn last_moments(&self) -> Result<Vec<(Node, i64)>, DriverError> {
        let mut moments = Vec::new();
        for node in self.link.nodes().await? {
            let asked = Instant::now();
            let (seconds, micros): (i64, i64) = self.link.ask(&redis::cmd("TIME"), &To::Node(node.clone())).await?;
            let left = self.heartbeat.until()?.saturating_duration_since(asked);
            let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            moments.push((node, seconds * 1000 + micros / 1000 + left));
        }
        Ok(moments)
    }

    /// Closes every zone that an earlier run may have left open.
    pub(super) async fn close_zones(&self) -> Result<(), DriverError> {
        if !self.link.is_cluster() {
            return Ok(());
        }
        let epoch = self.epoch.0.to_string();
        for kept in read_kept(&self.link, &self.names).await?.into_values() {
            for walk in kept.walk.iter().chain(kept.undo.values().filter(|u| u.swept.is_none())) {
                let zones = self.zones(walk).await?;
                for part in zones.chunks(TOGETHER) {
                    let closings = part.iter().map(|zone| {
                        let epoch = &epoch;
                        async move { self.fenced(lua::CLOSE, &[&zone.fence], &[epoch]).await }
                    });
                    for closed in futures_util::future::join_all(closings).await {
                        closed?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether this run is still the newest, where a zone says that it is not: a node that failed over may have lost it.
    pub(super) async fn is_newest(&self) -> Result<bool, DriverError> {
        let found: Option<i64> =
            self.link.ask(redis::cmd("HGET").arg(&self.names.fence).arg("epoch"), &self.home()).await?;
        Ok(found == Some(self.epoch.0))
    }

    /// What a walk has done by now: keys seen and changed.
    pub(super) async fn counted(&self, walk: &Walk) -> Result<(u64, u64), DriverError> {
        let (mut seen, mut changed) = (0u64, 0i64);
        for part in self.zones(walk).await?.chunks(TOGETHER) {
            let asked = part.iter().map(|zone| async move {
                let mut command = redis::cmd("HMGET");
                command.arg(&zone.state).arg("seen").arg("changed");
                let to = zone.slot.map_or_else(|| self.home(), To::Slot);
                self.link.ask::<(Option<u64>, Option<i64>)>(&command, &to).await
            });
            for answer in futures_util::future::join_all(asked).await {
                let (s, c) = answer?;
                seen += s.unwrap_or(0);
                changed += c.unwrap_or(0);
            }
        }
        Ok((seen, u64::try_from(changed).unwrap_or(0)))
    }

    /// Takes a walk's keys away, its marks with them. In a cluster the zones go with their marks, in one call each.
    pub(super) async fn sweep(&self, walk: &Walk) -> Result<(), DriverError> {
        let epoch = self.epoch.0.to_string();
        if self.link.is_cluster() {
            let mut open = Open::default();
            let zones = self.zones(walk).await?;
            // Those of an earlier run were closed.
            self.open_zones(walk, &mut open, zones.iter().filter_map(|z| z.slot)).await?;
            for part in zones.chunks(TOGETHER) {
                let sweeps = part.iter().map(|zone| {
                    let mut keys = vec![zone.fence.clone()];
                    keys.extend((0..walk.buckets).map(|b| zone.bucket(b)));
                    keys.push(zone.state.clone());
                    let epoch = &epoch;
                    async move {
                        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                        let answer = self.link.own(lua::SWEEP, &keys, &[epoch]).await?;
                        // A zone that is not there was swept already, by a call whose answer was lost.
                        match (answer.first().map(String::as_str), answer.get(1).map(String::as_str)) {
                            (Some("OK"), _) | (Some("FENCED"), Some("")) => Ok(()),
                            _ => Err(self.refusal(&answer)),
                        }
                    }
                });
                for swept in futures_util::future::join_all(sweeps).await {
                    swept?;
                }
            }
        } else {
            let zone = self.names.zone(&walk.token);
            let mut from = 0;
            while from < walk.buckets {
                let to = (from + AT_ONCE).min(walk.buckets);
                let names: Vec<String> = (from..to).map(|b| zone.bucket(b)).collect();
                let keys: Vec<&str> =
                    std::iter::once(self.names.fence.as_str()).chain(names.iter().map(String::as_str)).collect();
                self.fenced(lua::SWEEP, &keys, &[&epoch]).await?;
                from = to;
            }
        }
        let (state, bits) = (self.names.walk(&walk.token), self.names.zones(&walk.token));
        self.fenced(lua::SWEEP, &[&self.names.fence, &state, &bits], &[&epoch]).await.map(|_| ())
    }
}

/// By which a statement that says something else is told apart.
pub(super) fn fingerprint(text: &str) -> String {
    use sha2::Digest as _;
    hex::encode(&sha2::Sha256::digest(text.as_bytes())[..8])
}
