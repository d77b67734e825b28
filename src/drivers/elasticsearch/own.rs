//! Godwit's own two indices in a cluster, and what is kept in them.
//!
//! There are no transactions, so one document is the only thing that changes as a whole: the fence, with its epoch, the
//! row that is being worked on and what the run of it recorded. Each change of it names the version it was made from, so
//! a runner that was overtaken fails. Rows are copied from it into the history under a number that only grows, before
//! the next one takes their place; a reader takes the copies and puts the fence's row over its own.

use std::collections::BTreeMap;

use elasticsearch::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::wire::{Answer, Wire, part};
use crate::drivers::{DriverError, FENCE, HISTORY};
use crate::ids::{MigrationId, RunId};
use crate::migration::operations::elasticsearch::Operation;
use crate::plan::HistoryRow;

/// Rows read at once.
const PAGE: usize = 1000;

/// The names of the two indices, and what the migrations' names begin with.
#[derive(Debug, Clone)]
pub(super) struct Own {
    /// Holds a document for each migration.
    pub history: String,
    /// Holds the fence and the lock.
    pub fence: String,
    /// What stands before every name in the migrations while they are rehearsed; empty otherwise.
    pub prefix: String,
}

impl Own {
    /// `godwit_history` and `godwit_fence`, or `godwit_NAME_history` and `godwit_NAME_fence`.
    pub(super) fn new(namespace: Option<&str>) -> Self {
        let name = |own: &str| match (namespace, own.strip_prefix("godwit_")) {
            (Some(namespace), Some(rest)) => format!("godwit_{namespace}_{rest}"),
            _ => own.to_owned(),
        };
        Self { history: name(HISTORY), fence: name(FENCE), prefix: String::new() }
    }

    /// The same for a rehearsal, whose names are all in the namespace.
    pub(super) fn scratch(namespace: &str) -> Self {
        // No index's own name begins with an underscore, so none of them is one of the two.
        Self { prefix: format!("godwit_{namespace}__"), ..Self::new(Some(namespace)) }
    }

    /// The operation that a statement is, on the names that it is about here.
    pub(super) fn operation(&self, text: &str) -> Result<Operation, serde_json::Error> {
        let operation: Operation = serde_json::from_str(text)?;
        Ok(if self.prefix.is_empty() { operation } else { operation.under(&self.prefix) })
    }

    /// The alias of the fence's index that only the newest runner knows: calls that change aliases or delete indices
    /// name it, and fail as a whole when it is another's.
    pub(super) fn gate(&self, epoch: i64) -> String {
        format!("{}_e{epoch}", self.fence)
    }

    /// The epoch of a gate.
    pub(super) fn epoch_of(&self, alias: &str) -> Option<i64> {
        alias.strip_prefix(&self.fence)?.strip_prefix("_e")?.parse().ok()
    }

    /// Where a row is kept.
    fn row_path(&self, unit: &str, id: &MigrationId) -> String {
        format!("{}/_doc/{}", self.history, hex::encode(Sha256::digest(key(unit, id))))
    }

    /// Where the fence is kept.
    pub(super) fn fence_path(&self) -> String {
        format!("{}/_doc/target", self.fence)
    }

    /// Where the lock is kept.
    pub(super) fn lock_path(&self) -> String {
        format!("{}/_doc/lock", self.fence)
    }
}

/// The unit and the name of a row as one text.
fn key(unit: &str, id: &MigrationId) -> String {
    format!("{unit}\n{id}")
}

/// Whether an index is one of Godwit's own, of whatever namespace, by what its mapping says.
pub(super) fn is_own(mapping: &Value) -> bool {
    mapping["_meta"]["godwit"]["own"].is_string()
}

/// A version of a document; a change that names an older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Its number among the changes of its shard.
    pub seq_no: i64,
    /// The term of the primary that gave it.
    pub term: i64,
}

impl Token {
    /// From an answer to GET or PUT.
    pub(super) fn of(body: &Value) -> Option<Self> {
        Some(Self { seq_no: body["_seq_no"].as_i64()?, term: body["_primary_term"].as_i64()? })
    }

    /// As parameters of a request.
    pub(super) fn condition(self) -> String {
        format!("if_seq_no={}&if_primary_term={}", self.seq_no, self.term)
    }
}

/// A write block that a migration has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    /// The index.
    pub index: String,
    /// Whether it goes with the migration's end, not with the operation's.
    pub to_the_end: bool,
}

/// A copy that a later operation does not wait for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Unawaited {
    /// The operation, from 0.
    pub operation: usize,
    /// The server's task.
    pub task: String,
    /// The operation itself.
    pub of: Value,
}

/// A row of the history with what only this driver knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The row.
    #[serde(flatten)]
    pub row: HistoryRow,
    /// What an operation found and made, by its place: what it is taken back from.
    #[serde(default)]
    pub undo: BTreeMap<String, Value>,
    /// How far the operation is that is being carried out.
    #[serde(default)]
    pub progress: Option<Value>,
    /// Write blocks to be taken away.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// Indices whose copies missed writes, because the run stopped half-way and let them in.
    #[serde(default)]
    pub missed: Vec<String>,
    /// Copies not waited for yet.
    #[serde(default)]
    pub unawaited: Vec<Unawaited>,
}

impl Entry {
    /// A row of which nothing else is known.
    pub(super) fn new(row: HistoryRow) -> Self {
        Self {
            row,
            undo: BTreeMap::new(),
            progress: None,
            blocks: Vec::new(),
            missed: Vec::new(),
            unawaited: Vec::new(),
        }
    }

    /// Whether it is that migration's.
    pub(super) fn is(&self, unit: &str, id: &MigrationId) -> bool {
        self.row.unit == unit && &self.row.id == id
    }
}

/// The fence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fence {
    /// What identifies this target for ever.
    pub target: String,
    /// The highest epoch given out.
    pub epoch: i64,
    /// The run that wrote it last.
    pub writer: String,
    /// How often it was written.
    pub n: u64,
    /// The row that is being worked on.
    pub entry: Option<Entry>,
}

/// Reads the fence, not from an index that lags behind.
pub(super) async fn read_fence(wire: &Wire, own: &Own) -> Result<Option<(Fence, Token)>, DriverError> {
    let answer = wire.get(&format!("{}?realtime=true", own.fence_path())).await?;
    let Some(body) = answer.found()? else { return Ok(None) };
    let token = Token::of(&body).ok_or_else(|| unreadable(own, "it has no sequence number"))?;
    let fence = serde_json::from_value(body["_source"].clone()).map_err(|e| unreadable(own, &e.to_string()))?;
    Ok(Some((fence, token)))
}

fn unreadable(own: &Own, why: &str) -> DriverError {
    DriverError::History(format!("the document `target` of the index `{}` cannot be read: {why}", own.fence))
}

/// Makes the indices and the fence where they are missing.
pub(super) async fn prepare(wire: &Wire, own: &Own) -> Result<(), DriverError> {
    let keyword = json!({"type": "keyword"});
    let kept = json!({"type": "object", "enabled": false});
    let history = json!({"key": keyword, "unit": keyword, "id": keyword, "state": keyword, "run": keyword,
        "started_at": {"type": "date"}, "undo": kept, "progress": kept, "blocks": kept, "missed": kept,
        "unawaited": kept});
    let fence = json!({"entry": kept, "epoch": {"type": "long"}});
    for (name, kind, properties) in [(&own.history, "history", history), (&own.fence, "fence", fence)] {
        if wire.get(&format!("{name}?filter_path=*.settings.index.uuid")).await?.status == 200 {
            continue;
        }
        let body = json!({
            // Patterns that people delete by, such as `*`, do not reach a hidden index.
            "settings": {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "hidden": true}},
            "mappings": {"dynamic": false, "_meta": {"godwit": {"own": kind}}, "properties": properties},
        });
        let answer = wire.ask(Method::Put, name, Some(&body)).await?;
        if answer.kind() != "resource_already_exists_exception" {
            answer.ok()?;
        }
    }
    Ok(())
}

/// Writes the fence for the first time.
pub(super) async fn make_fence(wire: &Wire, own: &Own) -> Result<(Fence, Token), DriverError> {
    loop {
        if let Some(found) = read_fence(wire, own).await? {
            return Ok(found);
        }
        let fence = Fence { target: RunId::generate().to_string(), epoch: 0, writer: String::new(), n: 0, entry: None };
        let path = format!("{}?op_type=create", own.fence_path());
        let answer = wire.ask(Method::Put, &path, Some(&json!(fence))).await?;
        if answer.status != 409 {
            answer.ok()?;
        }
    }
}

/// Copies a row into the history under the number `n`; gives the number that is there when it is higher.
pub(super) async fn copy_row(wire: &Wire, own: &Own, entry: &Entry, n: u64) -> Result<Option<u64>, DriverError> {
    let mut body = json!(entry);
    body["key"] = json!(key(&entry.row.unit, &entry.row.id));
    let path = own.row_path(&entry.row.unit, &entry.row.id);
    // Found by the next search of whoever asks.
    let versioned = format!("{path}?version={n}&version_type=external_gte&refresh=true");
    let answer = wire.ask(Method::Put, &versioned, Some(&body)).await?;
    if answer.status == 409 {
        let there = wire.get(&path).await?.found()?;
        return Ok(Some(there.and_then(|d| d["_version"].as_u64()).unwrap_or(n)));
    }
    answer.ok().map(|_| None)
}

/// Reads one row, not from an index that lags behind.
pub(super) async fn read_row(
    wire: &Wire,
    own: &Own,
    unit: &str,
    id: &MigrationId,
) -> Result<Option<Entry>, DriverError> {
    let Some(body) = wire.get(&own.row_path(unit, id)).await?.found()? else { return Ok(None) };
    entry_of(&body["_source"], own).map(Some)
}

fn entry_of(source: &Value, own: &Own) -> Result<Entry, DriverError> {
    serde_json::from_value(source.clone()).map_err(|e| {
        DriverError::History(format!(
            "the index `{}` holds a document that this version does not understand: {e}",
            own.history
        ))
    })
}

/// Every row. The search is between two looks at the fence that say the same, so no row can have moved meanwhile: each
/// but the fence's was findable before the fence took up the next.
pub(super) async fn read_history(wire: &Wire, own: &Own) -> Result<Vec<Entry>, DriverError> {
    loop {
        let Some((before, token)) = read_fence(wire, own).await? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        let mut after: Option<Value> = None;
        loop {
            let mut body = json!({"size": PAGE, "sort": [{"key": "asc"}], "query": {"exists": {"field": "key"}}});
            if let Some(after) = &after {
                body["search_after"] = after.clone();
            }
            let path = format!("{}/_search?allow_partial_search_results=false", own.history);
            let Some(page) = wire.ask(Method::Post, &path, Some(&body)).await?.found()? else { break };
            let hits = page["hits"]["hits"].as_array().cloned().unwrap_or_default();
            for hit in &hits {
                entries.push(entry_of(&hit["_source"], own)?);
            }
            match hits.last() {
                Some(last) if hits.len() == PAGE => after = Some(last["sort"].clone()),
                Some(_) | None => break,
            }
        }
        if read_fence(wire, own).await?.map(|(_, t)| t) != Some(token) {
            continue;
        }
        if let Some(entry) = before.entry {
            entries.retain(|e| !e.is(&entry.row.unit, &entry.row.id));
            entries.push(entry);
        }
        entries.sort_by(|a, b| {
            (a.row.started_at, &a.row.unit, &a.row.id).cmp(&(b.row.started_at, &b.row.unit, &b.row.id))
        });
        return Ok(entries);
    }
}

/// An index that is there, as the server shows it; `None` also for an alias or a pattern of that name.
pub(super) async fn index(wire: &Wire, name: &str) -> Result<Option<Value>, DriverError> {
    let answer: Answer = wire.get(&part(name)).await?;
    Ok(answer.found()?.and_then(|body| body.get(name).cloned()))
}

/// The indices that have an alias, each with the alias's definition.
pub(super) async fn alias(wire: &Wire, name: &str) -> Result<BTreeMap<String, Value>, DriverError> {
    let Some(body) = wire.get(&format!("_alias/{}", part(name))).await?.found()? else { return Ok(BTreeMap::new()) };
    let all = body.as_object().cloned().unwrap_or_default();
    Ok(all.into_iter().filter_map(|(index, held)| Some((index, held["aliases"].get(name)?.clone()))).collect())
}

/// The documents that can be counted, after everything that was written can be found.
pub(super) async fn count(wire: &Wire, index: &str, query: Option<&Value>) -> Result<u64, DriverError> {
    wire.ask(Method::Post, &format!("{}/_refresh", part(index)), None).await?.ok()?;
    let body = query.map(|q| json!({"query": q}));
    let answer = wire.ask(Method::Post, &format!("{}/_count", part(index)), body.as_ref()).await?.ok()?;
    Ok(answer["count"].as_u64().unwrap_or(0))
}

/// How many changes an index has seen in its life: grows with each document written or deleted, whoever does it.
pub(crate) async fn changes(wire: &Wire, index: &str) -> Result<u64, DriverError> {
    let path = format!(
        "{}/_stats?level=shards&filter_path=indices.*.shards.*.seq_no.max_seq_no,indices.*.shards.*.routing.primary",
        part(index)
    );
    let body = wire.get(&path).await?.ok()?;
    let indices = body["indices"].as_object().cloned().unwrap_or_default();
    let copies = indices.values().filter_map(|i| i["shards"].as_object()).flat_map(|s| s.values());
    Ok(copies
        .filter_map(Value::as_array)
        .flatten()
        .filter(|c| c["routing"]["primary"] == true)
        .filter_map(|c| c["seq_no"]["max_seq_no"].as_i64())
        .map(|max| u64::try_from(max + 1).unwrap_or(0))
        .sum())
}

/// A JSON value with its objects' keys in order, so that equal ones look equal.
pub(super) fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> = map.iter().map(|(k, v)| (k, canonical(v))).collect();
            sorted.into_iter().map(|(k, v)| (k.clone(), v)).collect()
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

/// What tells a mapping from any other.
pub(super) fn hash(value: &Value) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(canonical(value).to_string())))
}
