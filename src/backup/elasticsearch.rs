//! Elasticsearch: the documents of each index from a point in time, with its settings, mapping and aliases, one JSON value a
//! line. Where a snapshot repository is named, the documents are in a snapshot of it and the file says which. Godwit's own
//! history is copied as rows: how it is kept there is the driver's own affair.

pub mod snapshot;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use elasticsearch::http::Method;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::file::{Content, Sink};
use super::meta::{Meta, Scope, SetDigest, Snapshot, Sum, differences};
use super::{BackupError, Copied, Rehearsed, Restored, SCRATCH};
use crate::drivers::Driver as _;
use crate::drivers::elasticsearch::wire::{Wire, part};
use crate::drivers::elasticsearch::{ASIDE, ElasticsearchDriver, settings_of};
use crate::drivers::failpoint;
use crate::ids::RunId;
use crate::plan::HistoryRow;

/// Documents read at a time.
const PAGE: usize = 500;
/// Bytes of documents written in one call, about.
const BULK: usize = 4 << 20;

/// A document of the index before; its line begins with `{"_id"`.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_routing", default, skip_serializing_if = "Option::is_none")]
    routing: Option<String>,
    #[serde(rename = "_source")]
    source: Box<RawValue>,
}

/// What a line of a document begins with.
const DOCUMENT: &str = "{\"_id\"";

/// Any other line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// An index.
    Index { index: String, settings: Value, mappings: Value, aliases: Value },
    /// The first.
    Head { godwit_elasticsearch: u32, version: String, history: Vec<HistoryRow> },
    /// The second, where the documents are in a snapshot.
    Snapshot { snapshot: Snapshot },
    /// The last.
    End { end: u64 },
}

#[derive(Deserialize)]
struct Page {
    pit_id: Option<String>,
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_routing")]
    routing: Option<String>,
    #[serde(rename = "_source")]
    source: Option<Box<RawValue>>,
    sort: Value,
}

/// JSON in one line; numbers and texts stay byte for byte.
fn one_line(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in raw.chars() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if !c.is_ascii_whitespace() {
            out.push(c);
            quoted = c == '"';
        }
    }
    out
}

fn put(sink: &mut Sink, line: &impl Serialize) -> Result<(), BackupError> {
    let text = serde_json::to_string(line).map_err(|e| BackupError::Failed(format!("a line has no JSON form: {e}")))?;
    writeln!(sink, "{text}").map_err(|e| sink.cannot(&e))
}

fn wrong(what: &str, error: impl std::fmt::Display) -> BackupError {
    BackupError::Failed(crate::redact::text(&format!("{what}: {error}")))
}

/// Calls `each` with every document of an index, as it was at one moment.
async fn read(
    wire: &Wire,
    index: &str,
    mut each: impl FnMut(&str, Option<&str>, String) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let opened = wire.ask(Method::Post, &format!("{}/_pit?keep_alive=5m", part(index)), None).await?.ok()?;
    let mut pit = opened["id"].as_str().unwrap_or_default().to_owned();
    let mut after: Option<Value> = None;
    loop {
        let mut body = json!({"size": PAGE, "track_total_hits": false, "pit": {"id": pit, "keep_alive": "5m"},
            "sort": [{"_shard_doc": "asc"}]});
        if let (Some(after), Some(body)) = (after.take(), body.as_object_mut()) {
            body.insert("search_after".to_owned(), after);
        }
        let text = wire.text(Method::Post, "_search", "application/json", body.to_string()).await?;
        let page: Page = serde_json::from_str(&text).map_err(|e| wrong(&format!("cannot read `{index}`"), e))?;
        if let Some(next) = page.pit_id {
            pit = next;
        }
        let Some(last) = page.hits.hits.last() else { break };
        after = Some(last.sort.clone());
        for hit in page.hits.hits {
            let Some(source) = hit.source else {
                return Err(BackupError::Failed(format!(
                    "`{index}` keeps no `_source`, so its documents cannot be copied: back it up by a snapshot"
                )));
            };
            each(&hit.id, hit.routing.as_deref(), one_line(source.get()))?;
        }
    }
    wire.ask(Method::Delete, "_pit", Some(&json!({"id": pit}))).await?;
    Ok(())
}

/// What can be read.
const READABLE: &str = "open,hidden";

/// The indices that are the user's own, by name: of those that are open, closed or hidden, as `which` says.
async fn indices(wire: &Wire, which: &str) -> Result<BTreeMap<String, Value>, BackupError> {
    let found = wire.get(&format!("_all?expand_wildcards={which}")).await?.ok()?;
    let own = |name: &str, index: &Value| {
        name.starts_with('.')
            || name.starts_with(SCRATCH)
            || name.starts_with(ASIDE)
            || index["mappings"]["_meta"]["godwit"]["own"].is_string()
    };
    let all = found.as_object().cloned().unwrap_or_default();
    Ok(all.into_iter().filter(|(name, index)| !own(name, index)).collect())
}

fn in_scope(scope: &Scope, name: &str) -> bool {
    match scope {
        Scope::All => true,
        Scope::Only(names) => {
            names.iter().any(|n| n == name || globset::Glob::new(n).is_ok_and(|g| g.compile_matcher().is_match(name)))
        }
    }
}

/// Deletes the indices of a scope, closed ones too; their aliases go with them.
///
/// # Errors
/// When the cluster does not answer or refuses; some indices may be gone then.
pub async fn clear(url: &SecretString, scope: &Scope) -> Result<(), BackupError> {
    let driver = ElasticsearchDriver::connect(url).await?;
    let (wire, _) = driver.parts();
    for name in indices(wire, "all").await?.into_keys().filter(|name| in_scope(scope, name)) {
        wire.ask(Method::Delete, &part(&name), None).await?.found()?;
    }
    Ok(())
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, String> = map.iter().map(|(k, v)| (k, canonical(v))).collect();
            format!("{sorted:?}")
        }
        Value::Array(items) => format!("{:?}", items.iter().map(canonical).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

fn mapping_sum(mappings: &Value) -> Sum {
    let mut digest = SetDigest::default();
    digest.add(&[canonical(mappings).as_bytes()]);
    Sum { count: 1, digest: Some(digest.text()) }
}

/// Copies the indices of `scope` into `sink`.
///
/// # Errors
/// When an index cannot be read, or the disk does not take the copy.
pub async fn copy_out(
    url: &SecretString,
    scope: &Scope,
    file: &Path,
    mut sink: Sink,
) -> Result<(Sink, Copied), BackupError> {
    let mut driver = ElasticsearchDriver::connect(url).await?;
    let history = driver.history().await?;
    let (wire, version) = driver.parts();
    let sealed = file.extension().is_some_and(|e| e == "age");
    // A repository's files are not ours to encrypt.
    if let Some(repository) = driver.repository().filter(|_| !sealed) {
        let snapshot = Snapshot { repository: repository.to_owned(), name: snapshot::name_of(file) };
        return snapshot::copy_out(wire, version, history, (scope, snapshot), sink).await;
    }
    put(&mut sink, &Line::Head { godwit_elasticsearch: 1, version: version.to_owned(), history })?;
    let (mut contents, mut total) = (BTreeMap::new(), 0);
    for (name, index) in indices(wire, READABLE).await? {
        if !in_scope(scope, &name) {
            continue;
        }
        let line = Line::Index {
            index: name.clone(),
            settings: settings_of(&index),
            mappings: index["mappings"].clone(),
            aliases: index["aliases"].clone(),
        };
        put(&mut sink, &line)?;
        wire.ask(Method::Post, &format!("{}/_refresh", part(&name)), None).await?.ok()?;
        let (mut digest, mut count) = (SetDigest::default(), 0);
        read(wire, &name, |id, routing, source| {
            digest.add(&[id.as_bytes(), routing.unwrap_or_default().as_bytes(), source.as_bytes()]);
            count += 1;
            let source = RawValue::from_string(source).map_err(|e| wrong("a document is no JSON", e))?;
            put(&mut sink, &Document { id: id.to_owned(), routing: routing.map(str::to_owned), source })
        })
        .await?;
        total += count;
        contents.insert(format!("index {name}"), Sum { count, digest: Some(digest.text()) });
        contents.insert(format!("mapping {name}"), mapping_sum(&index["mappings"]));
    }
    put(&mut sink, &Line::End { end: total })?;
    let copied = Copied {
        engine_version: version.to_owned(),
        database: "the cluster".to_owned(),
        contents,
        consistent: false,
        snapshot: None,
        notes: vec![
            "each index is of one moment, all of them together are not; templates, pipelines and closed indices are not in it"
                .to_owned(),
        ],
    };
    Ok((sink, copied))
}

/// An index that was built from a file.
struct Built {
    name: String,
    place: String,
    aliases: Map<String, Value>,
    settings: Value,
}

/// Makes the indices of a file under other names, and gives the rows of the history.
async fn build(
    wire: &Wire,
    content: Content,
    prefix: &str,
    all: &mut Vec<Built>,
) -> Result<Vec<HistoryRow>, BackupError> {
    let damaged = |why: &str| BackupError::Damaged(format!("the backup is no copy of Elasticsearch indices: {why}"));
    let mut input = BufReader::with_capacity(1 << 18, content);
    let (mut history, mut bulk, mut seen, mut ended) = (Vec::new(), String::new(), 0, false);
    let mut kept: Option<Snapshot> = None;
    loop {
        let mut text = String::new();
        if input.read_line(&mut text).map_err(|e| damaged(&e.to_string()))? == 0 {
            break;
        }
        if text.starts_with(DOCUMENT) {
            let Document { id, routing, source } = serde_json::from_str(&text).map_err(|e| damaged(&e.to_string()))?;
            seen += 1;
            let mut action = json!({"_id": id});
            if let (Some(routing), Some(action)) = (routing, action.as_object_mut()) {
                action.insert("routing".to_owned(), routing.into());
            }
            bulk.push_str(&json!({"index": action}).to_string());
            bulk.push('\n');
            bulk.push_str(source.get());
            bulk.push('\n');
            if bulk.len() >= BULK {
                send(wire, all.last(), &mut bulk).await?;
            }
            continue;
        }
        match serde_json::from_str(&text).map_err(|e| damaged(&e.to_string()))? {
            Line::Head { history: rows, .. } => history = rows,
            Line::Index { index, settings, mappings, aliases } => {
                send(wire, all.last(), &mut bulk).await?;
                let place = format!("{prefix}{}", all.len());
                let built = |place: String| {
                    let aliases = aliases.as_object().cloned().unwrap_or_default();
                    Built { name: index.clone(), place, aliases, settings: settings.clone() }
                };
                if let Some(snapshot) = &kept {
                    all.push(built(place.clone()));
                    snapshot::restore(wire, snapshot, &index, &place).await?;
                    continue;
                }
                let mut first = settings.as_object().cloned().unwrap_or_default();
                first.insert("number_of_replicas".to_owned(), 0.into());
                first.remove("auto_expand_replicas");
                let body = json!({"settings": {"index": first}, "mappings": mappings});
                wire.ask(Method::Put, &part(&place), Some(&body)).await?.ok()?;
                all.push(built(place));
            }
            Line::Snapshot { snapshot } => kept = Some(snapshot),
            Line::End { end } => {
                if end != seen {
                    return Err(damaged("documents are missing"));
                }
                ended = true;
            }
        }
    }
    send(wire, all.last(), &mut bulk).await?;
    if kept.is_some() {
        for one in all.iter() {
            snapshot::wait_for(wire, &one.place).await?;
        }
    }
    if ended { Ok(history) } else { Err(damaged("it has no end")) }
}

async fn send(wire: &Wire, index: Option<&Built>, bulk: &mut String) -> Result<(), BackupError> {
    let (Some(index), false) = (index, bulk.is_empty()) else { return Ok(()) };
    let path = format!("{}/_bulk", part(&index.place));
    let text = wire.text(Method::Post, &path, "application/x-ndjson", std::mem::take(bulk)).await?;
    let answer: Value = serde_json::from_str(&text).map_err(|e| wrong("cannot write documents", e))?;
    if answer["errors"] == true {
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let first = items.iter().find(|i| i["index"]["error"].is_object()).map(|i| i["index"]["error"].to_string());
        return Err(wrong(&format!("`{}` does not take its documents", index.name), first.unwrap_or_default()));
    }
    Ok(())
}

/// How many documents an index holds, and what tells them from any others; only the first of one that keeps none whole.
async fn measure(wire: &Wire, index: &str, mappings: &Value) -> Result<Sum, BackupError> {
    wire.ask(Method::Post, &format!("{}/_refresh", part(index)), None).await?.ok()?;
    if mappings["_source"]["enabled"] == false {
        let answer = wire.ask(Method::Post, &format!("{}/_count", part(index)), None).await?.ok()?;
        return Ok(Sum { count: answer["count"].as_u64().unwrap_or(0), digest: None });
    }
    let (mut digest, mut count) = (SetDigest::default(), 0);
    read(wire, index, |id, routing, source| {
        digest.add(&[id.as_bytes(), routing.unwrap_or_default().as_bytes(), source.as_bytes()]);
        count += 1;
        Ok(())
    })
    .await?;
    Ok(Sum { count, digest: Some(digest.text()) })
}

/// What stands in indices that were built.
async fn count(wire: &Wire, all: &[Built]) -> Result<BTreeMap<String, Sum>, BackupError> {
    let mut contents = BTreeMap::new();
    for one in all {
        let there = wire.get(&format!("{}/_mapping", part(&one.place))).await?.ok()?;
        let mappings = &there[&one.place]["mappings"];
        contents.insert(format!("index {}", one.name), measure(wire, &one.place, mappings).await?);
        contents.insert(format!("mapping {}", one.name), mapping_sum(mappings));
    }
    Ok(contents)
}

async fn drop_all(wire: &Wire, all: &[Built]) {
    for one in all {
        if let Err(error) = wire.ask(Method::Delete, &part(&one.place), None).await {
            tracing::warn!(%error, index = one.place, "an index of a backup was left behind");
        }
    }
}

/// Restores into indices made for it, reads them, and deletes them.
///
/// # Errors
/// When that cannot be done.
pub async fn rehearse(url: &SecretString, content: Content) -> Result<Rehearsed, BackupError> {
    let driver = ElasticsearchDriver::connect(url).await?;
    let (wire, _) = driver.parts();
    let prefix = format!("{SCRATCH}{}_", RunId::generate().as_str().to_lowercase());
    let mut all = Vec::new();
    let result = match build(wire, content, &prefix, &mut all).await {
        Ok(_) => count(wire, &all).await,
        Err(error) => Err(error),
    };
    drop_all(wire, &all).await;
    Ok(Rehearsed { into: "indices of their own".to_owned(), contents: result?, differences: Vec::new() })
}

/// Builds every index aside and compares it with the backup; moves the aliases over in one call; then makes each index anew
/// under its own name and moves the aliases there. The history's rows are given back to be written by the session.
///
/// # Errors
/// [`BackupError::Half`] once the first index was replaced.
pub async fn bring_back(url: &SecretString, content: Content, meta: &Meta) -> Result<Restored, BackupError> {
    let driver = ElasticsearchDriver::connect(url).await?;
    let (wire, _) = driver.parts();
    let aside = driver.aside();
    let prefix = format!("{aside}{}_", RunId::generate().as_str().to_lowercase());
    let mut all = Vec::new();
    let built = match build(wire, content, &prefix, &mut all).await {
        Ok(history) => count(wire, &all).await.map(|contents| (history, contents)),
        Err(error) => Err(error),
    };
    let checked = built.and_then(|(history, contents)| match differences(&meta.contents, &contents).first() {
        None => Ok((history, contents)),
        Some(first) => Err(BackupError::Failed(format!(
            "what was built aside is not what the backup says ({first}); the cluster is as it was"
        ))),
    });
    let (history, contents) = match checked {
        Ok(good) => good,
        Err(error) => {
            drop_all(wire, &all).await;
            return Err(error);
        }
    };
    failpoint::hit("restore_pre");
    replace(wire, &all, &meta.scope, &aside).await.map_err(|error| {
        BackupError::Half(format!("{error}; some indices are restored and some are not: run the same restore again"))
    })?;
    Ok(Restored { contents, notes: Vec::new(), history: Some(history) })
}

async fn aliases(wire: &Wire, actions: Vec<Value>) -> Result<(), BackupError> {
    if !actions.is_empty() {
        wire.ask(Method::Post, "_aliases", Some(&json!({"actions": actions}))).await?.ok()?;
    }
    Ok(())
}

fn with(place: &str, alias: &str, options: &Value) -> Value {
    let mut add = options.as_object().cloned().unwrap_or_default();
    add.insert("index".to_owned(), place.into());
    add.insert("alias".to_owned(), alias.into());
    json!({"add": add})
}

/// Whether an index was built aside by a restore of the target whose such indices begin with `aside`; those of a longer
/// namespace begin so too.
fn is_aside(aside: &str, name: &str) -> bool {
    let Some((run, number)) = name.strip_prefix(aside).and_then(|rest| rest.split_once('_')) else { return false };
    run.len() == 26 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

async fn replace(wire: &Wire, all: &[Built], scope: &Scope, aside: &str) -> Result<(), BackupError> {
    let there = indices(wire, READABLE).await?;
    // Whoever reads by an alias goes over to what was built, in one call.
    let mut actions = Vec::new();
    for (name, index) in there.iter().filter(|(name, _)| in_scope(scope, name)) {
        for alias in index["aliases"].as_object().into_iter().flat_map(Map::keys) {
            actions.push(json!({"remove": {"index": name, "alias": alias}}));
        }
    }
    for one in all {
        actions.extend(one.aliases.iter().map(|(alias, options)| with(&one.place, alias, options)));
    }
    aliases(wire, actions).await?;
    for (n, one) in all.iter().enumerate() {
        let (name, place) = (part(&one.name), part(&one.place));
        let block = json!({"index.blocks.write": true});
        wire.ask(Method::Put, &format!("{place}/_settings"), Some(&block)).await?.ok()?;
        wire.ask(Method::Delete, &name, None).await?.found()?;
        let expand = one.settings.get("auto_expand_replicas");
        let mut settings = json!({"index.blocks.write": null, "index.auto_expand_replicas": expand});
        if let Some(replicas) = one.settings.get("number_of_replicas") {
            settings["index.number_of_replicas"] = replicas.clone();
        }
        wire.ask(Method::Post, &format!("{place}/_clone/{name}"), Some(&json!({"settings": settings}))).await?.ok()?;
        let health = format!("_cluster/health/{name}?wait_for_status=yellow&timeout=50s");
        let healthy = wire.get(&health).await?.ok()?;
        if healthy["timed_out"] == true {
            return Err(BackupError::Failed(format!("`{}` does not become ready", one.name)));
        }
        let mut moves = Vec::new();
        for (alias, options) in &one.aliases {
            moves.push(json!({"remove": {"index": one.place, "alias": alias}}));
            moves.push(with(&one.name, alias, options));
        }
        aliases(wire, moves).await?;
        wire.ask(Method::Delete, &place, None).await?.found()?;
        if n == 0 {
            failpoint::hit("restore_half");
        }
    }
    for name in there.keys().filter(|n| in_scope(scope, n) && !all.iter().any(|b| &b.name == *n)) {
        wire.ask(Method::Delete, &part(name), None).await?.found()?;
    }
    // What an earlier restore of this target left when it was cut short.
    let left = wire.get(&format!("_cat/indices/{aside}*?format=json&h=index&expand_wildcards=all")).await?.ok()?;
    let names = left.as_array().into_iter().flatten().filter_map(|i| i["index"].as_str());
    for index in names.filter(|name| is_aside(aside, name)) {
        wire.ask(Method::Delete, &part(index), None).await?.found()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_target_builds_aside_is_left_alone() {
        let run = "01m7zh469r23n6hqejxtd7svyb";
        for (aside, namespace, ours) in [
            ("godwit_restore_", "", true),
            ("godwit_restore_", "shop_", false),
            ("godwit_restore_a_", "a_", true),
            ("godwit_restore_a_", "a_b_", false),
        ] {
            assert_eq!(is_aside(aside, &format!("godwit_restore_{namespace}{run}_0")), ours, "{aside} {namespace}");
        }
    }

    #[test]
    fn documents_are_put_in_one_line_and_keep_their_numbers_and_texts() {
        let raw = "{ \"a\" : 1.0,\n\t\"b \\\" c\" : [ 12345678901234567890123 , \"x \\\\\" ] }";
        assert_eq!(one_line(raw), "{\"a\":1.0,\"b \\\" c\":[12345678901234567890123,\"x \\\\\"]}");
    }
}
