//! `swap_alias`: an index is built aside, filled and compared; one atomic call gives it the alias. Readers of the alias see
//! the old index whole, then the new one whole.

use elasticsearch::http::Method;
use serde_json::{Map, Value, json};

use super::alias::{Holders, add, remove};
use super::carry::check_literal;
use super::copy::Copy;
use super::session::{At, ElasticsearchSession};
use super::wire::part;
use super::{own, refused};
use crate::drivers::{DriverError, Probe};
use crate::migration::operations::elasticsearch::Operation;

/// Documents compared one by one.
const SAMPLE: usize = 200;

/// An index that is built.
pub(super) struct Plan<'a> {
    mapping: &'a Map<String, Value>,
    settings: Map<String, Value>,
}

/// The operation.
pub(super) struct Swap<'a> {
    pub alias: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    /// The index that is built; without, the alias only moves.
    pub build: Option<Plan<'a>>,
    pub script: Option<&'a Value>,
    pub requests_per_second: Option<f64>,
    pub batch_size: Option<u32>,
    pub block_writes: bool,
}

impl<'a> Swap<'a> {
    /// From a `swap_alias`.
    pub(super) fn of(operation: &'a Operation) -> Option<Self> {
        match operation {
            Operation::SwapAlias {
                alias,
                from,
                to,
                mapping,
                settings,
                script,
                requests_per_second,
                batch_size,
                block_writes,
            } => Some(Self {
                alias,
                from,
                to,
                build: mapping.as_ref().map(|mapping| Plan { mapping, settings: settings.clone().unwrap_or_default() }),
                script: script.as_ref(),
                requests_per_second: *requests_per_second,
                batch_size: *batch_size,
                block_writes: *block_writes,
            }),
            _ => None,
        }
    }

    fn copy<'b>(&'b self, to: &'b str) -> Copy<'b> {
        Copy {
            source: self.from,
            dest: to,
            query: None,
            script: self.script,
            requests_per_second: self.requests_per_second,
            batch_size: self.batch_size,
        }
    }
}

/// The index that a record says was built.
fn built(record: &Value) -> Option<&str> {
    record["to"].as_str().filter(|_| record["built"] == true)
}

impl ElasticsearchSession {
    /// `swap_alias`.
    pub(super) async fn swap_alias(&mut self, at: &At<'_>, swap: &Swap<'_>) -> Result<Option<u64>, DriverError> {
        for name in [swap.alias, swap.from, swap.to] {
            check_literal(name)?;
        }
        let there = own::alias(&self.wire, swap.alias).await?;
        if swap.build.is_none() && there.len() == 1 && there.contains_key(swap.to) {
            // Moved before us.
            self.intend(at, json!({}), Some(json!({"existed": true}))).await?;
            return Ok(None);
        }
        let Some(definition) = there.get(swap.from).filter(|_| there.len() == 1).cloned() else {
            let on = there.keys().map(|i| format!("`{i}`")).collect::<Vec<_>>().join(", ");
            return Err(refused(
                format!(
                    "the alias `{}` is not on `{}` alone; it is on {}",
                    swap.alias,
                    swap.from,
                    if on.is_empty() { "no index" } else { &on }
                ),
                "correct `from`, or move the alias with `create_alias`",
            ));
        };
        let Some(plan) = &swap.build else {
            self.intend(at, json!({}), Some(json!({"to": swap.to, "before": there}))).await?;
            self.publish(vec![remove(swap.from, swap.alias), add(swap.to, swap.alias, &definition)]).await?;
            return Ok(None);
        };
        let to = format!("{}_e{}", swap.to, self.epoch());
        match self.build(at, swap, &to, plan, &there).await {
            Ok(changed) => {
                self.publish(vec![remove(swap.from, swap.alias), add(&to, swap.alias, &definition)]).await?;
                Ok(Some(changed))
            }
            Err(error) => {
                self.tear_down(&to, &error).await;
                Err(error)
            }
        }
    }

    /// Builds the new index and compares it with the old one; nothing that readers see is changed.
    async fn build(
        &mut self,
        at: &At<'_>,
        swap: &Swap<'_>,
        to: &str,
        plan: &Plan<'_>,
        there: &Holders,
    ) -> Result<u64, DriverError> {
        // What an attempt before this one has left is not trusted.
        if let Some(old) = self.record(at, at.place).await?.as_ref().and_then(built) {
            self.remove_index(old).await?;
        }
        let mut record = json!({"to": to, "built": true, "before": there});
        self.intend(at, json!({"build": to}), Some(record.clone())).await?;
        if swap.block_writes {
            self.block(swap.from, false).await?;
        }
        self.make_index(to, plan.mapping, &plan.settings).await?;
        let copy = swap.copy(to);
        let counts = self.copy(at, &copy, &json!({"build": to})).await?;
        self.verify(&copy, &counts, swap.block_writes).await?;
        if swap.script.is_none() {
            self.compare(swap.from, to, swap.block_writes).await?;
        }
        // Nobody writes to it before it has the alias: from here on each change is a user's.
        record["after"] = json!(own::changes(&self.wire, to).await?);
        self.intend(at, json!({"build": to, "compared": true}), Some(record)).await?;
        Ok(counts.created)
    }

    /// Takes away what a build that failed has made, and lets writes in again. What cannot be done now is done by whoever
    /// comes next: it is written down.
    async fn tear_down(&mut self, to: &str, error: &DriverError) {
        match error {
            DriverError::Statement(_) | DriverError::Stopped(_) => {}
            // Not ours any more, or in doubt: whoever goes on looks first.
            DriverError::Fenced
            | DriverError::Lost(_)
            | DriverError::Unreachable(_)
            | DriverError::Locked(_)
            | DriverError::Pooled(_)
            | DriverError::History(_) => return,
        }
        if let Err(error) = self.remove_index(to).await {
            tracing::warn!(%error, index = to, "an index that was built in vain is still there");
        }
        if let Err(error) = self.give_up_blocks().await {
            tracing::warn!(%error, "a write block is still there");
        }
    }

    /// Compares counts, and some documents word by word.
    async fn compare(&self, from: &str, to: &str, blocked: bool) -> Result<(), DriverError> {
        let (old, new) = (own::count(&self.wire, from, None).await?, own::count(&self.wire, to, None).await?);
        let differ = if blocked { old != new } else { new == 0 && old > 0 };
        if differ {
            return Err(refused(
                format!("`{from}` holds {old} documents and its copy {new}"),
                "look at what writes to these indices, and run again",
            ));
        }
        let query = json!({"size": SAMPLE, "query": {"function_score": {"random_score": {}}}});
        let sample = self.wire.ask(Method::Post, &format!("{}/_search", part(from)), Some(&query)).await?.ok()?;
        let hits = sample["hits"]["hits"].as_array().cloned().unwrap_or_default();
        if hits.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Value> = hits
            .iter()
            .map(|h| match h["_routing"].as_str() {
                Some(routing) => json!({"_id": h["_id"], "routing": routing}),
                None => json!({"_id": h["_id"]}),
            })
            .collect();
        let path = format!("{}/_mget", part(to));
        let copies = self.wire.ask(Method::Post, &path, Some(&json!({"docs": wanted}))).await?.ok()?;
        let copies = copies["docs"].as_array().cloned().unwrap_or_default();
        let differs = hits.iter().zip(&copies).find(|(hit, copy)| copy["_source"] != hit["_source"]);
        match differs {
            // Without a block it may have been changed since.
            Some((hit, _)) if blocked => Err(refused(
                format!("document {} of `{from}` is not in the copy as it is", hit["_id"]),
                "look at what writes to these indices, and run again",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Where a swap stands.
    pub(super) async fn look_at_swap(&mut self, at: &At<'_>, swap: &Swap<'_>) -> Result<Probe, DriverError> {
        let record = self.record(at, at.place).await?;
        let there = own::alias(&self.wire, swap.alias).await?;
        let to = match (&swap.build, &record) {
            (None, _) => Some(swap.to),
            (Some(_), Some(record)) => built(record),
            (Some(_), None) => None,
        };
        let Some(to) = to else { return Ok(Probe::NotStarted) };
        if there.len() == 1 && there.contains_key(to) {
            return Ok(Probe::Done);
        }
        if swap.build.is_some() && own::index(&self.wire, to).await?.is_some() {
            return Ok(Probe::Broken {
                found: format!("the index `{to}` was built and did not get the alias `{}`", swap.alias),
                repair: vec![format!("DELETE /{to}")],
                completes: false,
            });
        }
        Ok(Probe::NotStarted)
    }

    /// Brings the alias back. An index that was built goes, unless somebody has written to it.
    pub(super) async fn undo_swap(
        &mut self,
        swap: &Swap<'_>,
        record: &Value,
        accepted: bool,
    ) -> Result<(), DriverError> {
        let Some(to) = record["to"].as_str() else { return Ok(()) };
        let before: Holders = serde_json::from_value(record["before"].clone()).unwrap_or_default();
        let there = own::alias(&self.wire, swap.alias).await?;
        let untouched = match (built(record), own::index(&self.wire, to).await?) {
            (Some(_), Some(_)) => record["after"].as_u64() == Some(own::changes(&self.wire, to).await?),
            (Some(_), None) | (None, _) => false,
        };
        if !there.contains_key(to) {
            // It never got the alias.
            if there == before && built(record).is_some() {
                self.remove_index(to).await?;
                return self.give_up_blocks().await;
            }
            return self.restore_alias(swap.alias, to, &before).await;
        }
        if built(record).is_some() && !untouched && !accepted {
            return Err(refused(
                format!("documents were written to `{to}` since it got the alias `{}`", swap.alias),
                "bring them over to the old index first, or accept that readers lose them",
            ));
        }
        let mut actions: Vec<Value> = Vec::new();
        match untouched {
            true => actions.push(json!({"remove_index": {"index": to}})),
            // It keeps what was written to it; only the alias goes.
            false => actions.push(remove(to, swap.alias)),
        }
        actions.extend(before.iter().map(|(index, definition)| add(index, swap.alias, definition)));
        self.publish(actions).await
    }
}
