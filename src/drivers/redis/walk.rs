//! Keys by a pattern: SCAN on every node, in batches that mark what they have done.
//!
//! The marks are what makes each key be done once: SCAN gives keys twice, cursors die with the process of a server and
//! with a slot that moves, and a node that fails over may lose the last batches, with their marks. A cursor only saves
//! time, so it counts for the very process that gave it and for the slots which that had then.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::kept::{Kept, Walk};
use super::link::{Node, To};
use super::list::{busy_key, stays};
use super::loss::scan;
use super::names::{Zone, slot_of};
use super::session::RedisSession;
use super::statement::{Effect, Marking, one_slot};
use super::step::{Came, Mode, Step};
use super::strain::Memory;
use super::zones::{Open, TOGETHER, fingerprint};
use crate::drivers::limits::Looked;
use crate::drivers::{DriverError, Progress, SingleStatement};
use crate::migration::operations::redis::Matching;

/// A call that takes longer gets fewer keys the next time; far below the five seconds after which a server calls a
/// script slow.
const SLOW: Duration = Duration::from_millis(100);
/// A call that is quicker gets more.
const QUICK: Duration = Duration::from_millis(20);
/// How many keys of a cluster's node are gathered before they are parted by slot.
const GATHERED: usize = 8192;
/// How often a cluster may lose a zone while one page is worked on.
const LOSSES: u32 = 5;

/// What stands in a checkpoint when a node's scan is over.
const END: &str = "end";

/// What a walk does; shared by everything that is on its way at once.
#[derive(Clone, Copy)]
struct Way<'a> {
    session: &'a RedisSession,
    effect: &'a Effect,
    matching: &'a Matching,
    walk: &'a Walk,
    /// The most keys of a call.
    most: usize,
}

/// How it goes.
struct State {
    open: Open,
    /// Keys in a call at the moment.
    limit: usize,
    progress: Progress,
    /// When a server was last asked whether it has too much to do.
    looked: Looked,
}

/// What a node says of itself.
struct Condition {
    /// The node as its checkpoint knows it: the process, and its slots.
    sort: String,
    /// Whether it gives a slot away or takes one at this moment.
    moves: bool,
}

/// `own` is the node's own line of `CLUSTER NODES`: other nodes hear only later that its slots moved.
fn condition(run_id: &str, own: &str) -> Condition {
    let slots: Vec<&str> = own.split_whitespace().skip(8).collect();
    let settled: Vec<&str> = slots.iter().filter(|s| !s.starts_with('[')).copied().collect();
    Condition { sort: fingerprint(&format!("{run_id} {}", settled.join(" "))), moves: settled.len() < slots.len() }
}

impl RedisSession {
    /// Walks over all keys that match, and marks the statement done.
    pub(super) async fn walk(
        &mut self,
        statement: &SingleStatement<'_>,
        mut kept: Kept,
        matching: &Matching,
        effect: &Effect,
    ) -> Result<Option<u64>, DriverError> {
        let number = u32::try_from(statement.done - 1).unwrap_or(0);
        let text = fingerprint(statement.sql());
        let walk = match kept.walk.clone().filter(|w| w.operation == number && w.text == text) {
            Some(walk) => walk,
            None => self.begin(statement, &mut kept, number, matching, effect).await?,
        };
        let changed = match walk.swept {
            Some(changed) => changed,
            None => {
                let changed = self.over_all(statement, &walk, matching, effect).await?;
                self.settle_down().await?;
                kept.walk = Some(Walk { swept: Some(changed), ..walk.clone() });
                self.put_kept(&kept).await?;
                changed
            }
        };
        if effect.marking != Marking::Touched {
            self.sweep(&walk).await?;
        }
        kept.walk = None;
        if let Some(undo) = kept.undo.get_mut(&number) {
            undo.swept = Some(changed);
        }
        kept.row.statements_done = statement.done;
        self.put_kept(&kept).await?;
        self.settle_down().await?;
        Ok(Some(changed))
    }

    async fn begin(
        &self,
        statement: &SingleStatement<'_>,
        kept: &mut Kept,
        number: u32,
        matching: &Matching,
        effect: &Effect,
    ) -> Result<Walk, DriverError> {
        let nodes = self.link.nodes().await?;
        if effect.rename.is_some() {
            self.survey(&nodes, matching, effect).await?;
        }
        let mut keys = 0u64;
        for node in &nodes {
            keys += self.link.ask::<u64>(&redis::cmd("DBSIZE"), &To::Node(node.clone())).await?;
        }
        let walk = self.new_walk(number, statement.sql(), keys).await;
        let mut useless: Vec<Walk> = kept.walk.replace(walk.clone()).into_iter().collect();
        useless.extend(kept.undo.remove(&number));
        if effect.marking == Marking::Touched {
            kept.undo.insert(number, walk.clone());
        }
        useless.dedup();
        // No mark is ever without an owner: an old walk is known until it is swept, the new one before its first mark.
        for old in useless {
            self.sweep(&old).await?;
        }
        self.put_kept(kept).await?;
        // Without the walk's name its marks say nothing, and every key would be touched again.
        self.settle_home().await?;
        Ok(walk)
    }

    /// Refuses a renaming before its first key: names that exist, names in another slot.
    async fn survey(&self, nodes: &[Node], matching: &Matching, effect: &Effect) -> Result<(), DriverError> {
        for node in nodes {
            let mut cursor = "0".to_owned();
            loop {
                let (next, keys) = self.scan(node, &cursor, matching).await?;
                let pairs: Vec<(Vec<u8>, Vec<u8>)> = keys
                    .into_iter()
                    .filter(|k| effect.concerns(k))
                    .filter_map(|k| effect.renamed(&k).map(|n| (k, n)))
                    .collect();
                for part in pairs.chunks(TOGETHER) {
                    let asked = part.iter().map(|(key, name)| async move {
                        if self.link.is_cluster() {
                            one_slot(&[key.clone(), name.clone()])?;
                        }
                        let there: bool =
                            self.link.ask(redis::cmd("EXISTS").arg(name), &To::Slot(slot_of(name))).await?;
                        if there { Err(busy_key(key, name)) } else { Ok(()) }
                    });
                    for answer in futures_util::future::join_all(asked).await {
                        answer?;
                    }
                }
                self.options.pace.may_go_on()?;
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }

    async fn scan(
        &self,
        node: &Node,
        cursor: &str,
        matching: &Matching,
    ) -> Result<(String, Vec<Vec<u8>>), DriverError> {
        self.link.ask(&scan(cursor, matching), &To::Node(node.clone())).await
    }

    async fn over_all(
        &self,
        statement: &SingleStatement<'_>,
        walk: &Walk,
        matching: &Matching,
        effect: &Effect,
    ) -> Result<u64, DriverError> {
        let most = self.options.pace.batch_size.unwrap_or(u32::MAX).min(matching.count).max(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let way = Way { session: self, effect, matching, walk, most };
        let (seen, _) = self.counted(walk).await?;
        let mut state = State {
            open: Open::default(),
            limit: most.min(64),
            progress: Progress {
                target: self.options.target.clone(),
                migration: statement.id.clone(),
                statement: statement.done,
                what: "keys",
                done: seen,
                total: None,
                waits: None,
            },
            looked: Looked::default(),
        };
        loop {
            let nodes = self.link.nodes().await?;
            let mut sorts = BTreeMap::new();
            for node in &nodes {
                match way.over_whole(&mut state, node).await {
                    Ok(sort) => {
                        sorts.insert(node.id.clone(), sort);
                    }
                    // It is gone, and who took its slots over is walked instead.
                    Err(DriverError::Unreachable(_)) if self.has_handed_over(node).await => {}
                    Err(error) => return Err(error),
                }
            }
            // A scan counts only if the same processes had the same slots from its beginning to its end.
            let mut same = true;
            let after = self.link.nodes().await?;
            for node in &after {
                let now = self.condition(node).await?;
                same &= sorts.get(&node.id) == Some(&now.sort) && !now.moves;
            }
            if same && after.len() == nodes.len() {
                break;
            }
            self.note_again(walk, &state.open).await?;
            state.progress.waits = Some("slots of the cluster have moved; their keys are looked at again".to_owned());
            self.options.pace.between(&state.progress).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            state.progress.waits = None;
        }
        Ok(self.counted(walk).await?.1)
    }

    /// Whether the cluster has another master in a node's place.
    async fn has_handed_over(&self, node: &Node) -> bool {
        self.link.nodes().await.is_ok_and(|now| now.iter().all(|n| n.id != node.id))
    }

    async fn condition(&self, node: &Node) -> Result<Condition, DriverError> {
        let info = self.link.info(node, "server").await?;
        let run_id = info.get("run_id").unwrap_or_default();
        if !self.link.is_cluster() {
            return Ok(condition(run_id, ""));
        }
        let text: String = self.link.ask(redis::cmd("CLUSTER").arg("NODES"), &To::Node(node.clone())).await?;
        Ok(condition(run_id, text.lines().find(|l| l.contains("myself")).unwrap_or_default()))
    }
}

impl Way<'_> {
    /// One node; gives what it was when that began.
    async fn over_whole(&self, state: &mut State, node: &Node) -> Result<String, DriverError> {
        let sort = self.session.condition(node).await?.sort;
        self.over_node(state, node, &sort).await?;
        Ok(sort)
    }

    /// One node, from where its checkpoint is.
    async fn over_node(&self, state: &mut State, node: &Node, sort: &str) -> Result<(), DriverError> {
        let session = self.session;
        let kept = session.names.walk(&self.walk.token);
        let field = format!("cursor:{}", node.id);
        let found: Option<String> =
            session.link.ask(redis::cmd("HGET").arg(&kept).arg(&field), &session.home()).await?;
        let start = match found.as_deref().and_then(|f| f.split_once(' ')) {
            Some((END, of)) if of == sort => return Ok(()),
            Some((cursor, of)) if of == sort => cursor.to_owned(),
            Some(_) | None => "0".to_owned(),
        };
        let mut here = start.clone();
        self.while_strained(state, node).await?;
        let (mut next, mut keys) = self.page(node, &start).await?;
        loop {
            let checkpoint = format!("{here} {sort}");
            let further = async {
                // Everything before this page is done; while it is worked on, the next one is read.
                if here != start {
                    session.put(&kept, &[&field, &checkpoint]).await?;
                }
                if next == "0" { Ok(None) } else { self.page(node, &next).await.map(Some) }
            };
            let (read, worked) = futures_util::future::join(further, self.work(state, keys)).await;
            worked?;
            self.while_strained(state, node).await?;
            session.options.pace.between(&state.progress).await?;
            match read? {
                Some((after, found)) => {
                    here = std::mem::replace(&mut next, after);
                    keys = found;
                }
                None => return session.put(&kept, &[&field, &format!("{END} {sort}")]).await,
            }
        }
    }

    /// Rests while the server or a replica has enough to do [S4-90].
    async fn while_strained(&self, state: &mut State, node: &Node) -> Result<(), DriverError> {
        if !state.looked.is_due() {
            return Ok(());
        }
        let pace = &self.session.options.pace;
        // A key that is done leaves no mark only where it is gone.
        let memory = if self.effect.marking == Marking::None { Memory::Frees } else { Memory::Needs };
        while let Some(why) = self.session.strained(node, &pace.limits, memory).await? {
            state.progress.waits = Some(why);
            pace.rest(&state.progress).await?;
        }
        state.progress.waits = None;
        state.looked = Looked::now();
        Ok(())
    }

    /// Some keys from a cursor on, each once. Of a cluster's node many, so that those of one slot come together.
    async fn page(&self, node: &Node, cursor: &str) -> Result<(String, Vec<Vec<u8>>), DriverError> {
        let wanted = if self.session.link.is_cluster() { GATHERED } else { 1 };
        let (mut cursor, mut found) = (cursor.to_owned(), HashSet::new());
        loop {
            let (next, keys) = self.session.scan(node, &cursor, self.matching).await?;
            found.extend(keys.into_iter().filter(|k| self.effect.concerns(k)));
            cursor = next;
            if cursor == "0" || found.len() >= wanted {
                return Ok((cursor, found.into_iter().collect()));
            }
            self.session.options.pace.may_go_on()?;
        }
    }

    /// All keys of a page.
    async fn work(&self, state: &mut State, keys: Vec<Vec<u8>>) -> Result<(), DriverError> {
        if !self.session.link.is_cluster() {
            let zone = self.session.names.zone(&self.walk.token);
            let mut left = keys.as_slice();
            while !left.is_empty() {
                let (now, later) = left.split_at(state.limit.min(left.len()));
                let began = Instant::now();
                match self.call(&zone, now).await? {
                    Came::Done { seen, .. } => state.progress.done += seen,
                    Came::Already(_) | Came::Closed => {}
                }
                state.limit = next_limit(state.limit, self.most, began.elapsed());
                left = later;
                if !left.is_empty() {
                    self.session.options.pace.may_go_on()?;
                }
            }
            return Ok(());
        }
        let mut slots: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        for key in keys {
            if let Some(name) = self.effect.renamed(&key) {
                one_slot(&[key.clone(), name])?;
            }
            slots.entry(slot_of(&key)).or_default().push(key);
        }
        let mut left: Vec<(u16, Vec<Vec<u8>>)> = slots
            .into_iter()
            .flat_map(|(slot, keys)| {
                keys.chunks(self.most.min(500)).map(|part| (slot, part.to_vec())).collect::<Vec<_>>()
            })
            .collect();
        for _ in 0..LOSSES {
            self.session.open_zones(self.walk, &mut state.open, left.iter().map(|(slot, _)| *slot)).await?;
            let mut lost = Vec::new();
            for part in left.chunks(TOGETHER) {
                let calls = part.iter().map(|(slot, keys)| async move {
                    (*slot, self.call(&Zone::of_slot(*slot, &self.walk.token), keys).await)
                });
                for ((slot, came), (_, keys)) in futures_util::future::join_all(calls).await.into_iter().zip(part) {
                    match came? {
                        Came::Done { seen, .. } => state.progress.done += seen,
                        Came::Already(_) => {}
                        Came::Closed => lost.push((slot, keys.clone())),
                    }
                }
                self.session.options.pace.may_go_on()?;
            }
            if lost.is_empty() {
                return Ok(());
            }
            // A node failed over and lost that its zones are open; what it lost of its keys is found by the next scan.
            state.open.lost();
            left = lost;
        }
        Err(DriverError::Unreachable(
            "the cluster has lost its marks again and again; look at its failovers".to_owned(),
        ))
    }

    async fn call(&self, zone: &Zone, keys: &[Vec<u8>]) -> Result<Came, DriverError> {
        let step = Step { effect: self.effect, mode: Mode::Batch, zone, walk: Some(self.walk), keys, done: None };
        self.session.step(&step).await.map_err(stays)
    }
}

/// How many keys the next call gets.
fn next_limit(limit: usize, most: usize, took: Duration) -> usize {
    if took > SLOW {
        (limit / 2).max(1)
    } else if took < QUICK {
        (limit * 2).min(most)
    } else {
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_another_one_with_other_slots_or_as_another_process() {
        let own =
            |slots: &str| format!("07c3 127.0.0.1:7000@17000 myself,master - 0 1426238316232 2 connected {slots}");
        let before = condition("run", &own("0-5460"));
        assert!(!before.moves);
        let giving = condition("run", &own("0-5460 [93->-292f]"));
        assert!(giving.moves && giving.sort == before.sort, "its slots are still its own");
        assert_ne!(condition("run", &own("0-92 94-5460")).sort, before.sort);
        assert_ne!(condition("another", &own("0-5460")).sort, before.sort);
        assert_ne!(condition("run", &own("")).sort, before.sort, "one that became a replica");
    }

    #[test]
    fn slow_calls_get_fewer_keys() {
        let ms = Duration::from_millis;
        assert_eq!(next_limit(64, 500, ms(1)), 128);
        assert_eq!(next_limit(400, 500, ms(1)), 500);
        assert_eq!(next_limit(400, 500, ms(50)), 400);
        assert_eq!(next_limit(400, 500, ms(300)), 200);
        assert_eq!(next_limit(1, 500, ms(3000)), 1);
    }
}
