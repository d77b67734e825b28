//! Redis: one line of JSON for each key, with its type, the moment it expires and the server's own `DUMP` of it, read with
//! SCAN from every master. Every payload carries a checksum of its own, which the server compares when it is restored.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::{join_all, try_join_all};
use redis::cmd;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::file::{Content, Sink};
use super::meta::{Meta, Scope, SetDigest, Sum};
use super::{BackupError, Copied, Rehearsed, Restored, SCRATCH};
use crate::drivers::failpoint;
use crate::drivers::redis::RedisDriver;
use crate::drivers::redis::link::{Link, Node, To};
use crate::drivers::redis::names::{Names, PREFIX, slot_of};
use crate::ids::RunId;

/// Keys that one SCAN looks at.
const COUNT: usize = 500;
/// Keys that are written at a time.
const BATCH: usize = 256;
/// How long a scratch key outlives a process that dies before it takes it away.
const SCRATCH_MS: i64 = 600_000;

/// One line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// The first.
    Head { godwit_redis: u32, version: String },
    /// A key.
    Key {
        /// Its name.
        k: String,
        /// Its type.
        t: String,
        /// When it expires, in milliseconds since 1970; 0 for never.
        at: i64,
        /// What `DUMP` says.
        d: String,
    },
    /// The server's functions, as `FUNCTION DUMP` gives them.
    Functions { functions: String },
    /// The last; says how many keys there are.
    End { end: u64 },
}

fn put(sink: &mut Sink, line: &Line) -> Result<(), BackupError> {
    let text = serde_json::to_string(line).map_err(|e| BackupError::Failed(format!("a key has no JSON form: {e}")))?;
    writeln!(sink, "{text}").map_err(|e| sink.cannot(&e))
}

/// What is kept of a key, read at one moment.
const READ: &str = "local t = redis.call('TYPE', KEYS[1]).ok if t == 'none' then return {t, -1, ''} end \
                    return {t, redis.call('PEXPIRETIME', KEYS[1]), redis.call('DUMP', KEYS[1])}";
/// The same for servers before 7.
const READ_OLD: &str = "local t = redis.call('TYPE', KEYS[1]).ok if t == 'none' then return {t, -1, ''} end \
                        local left, now = redis.call('PTTL', KEYS[1]), redis.call('TIME') \
                        if left >= 0 then left = left + now[1] * 1000 + math.floor(now[2] / 1000) end \
                        return {t, left, redis.call('DUMP', KEYS[1])}";

fn patterns(scope: &Scope) -> Vec<String> {
    match scope {
        Scope::All => vec!["*".to_owned()],
        Scope::Only(names) => names.iter().cloned().chain([format!("{PREFIX}*")]).collect(),
    }
}

/// What is of no use to a later time: locks, fences (an older one would let an overtaken run in again), scratch keys.
fn left_out(key: &[u8]) -> bool {
    let guards = key.ends_with(b"}:lock") || key.ends_with(b"}:fence");
    key.starts_with(SCRATCH.as_bytes()) || (guards && key.starts_with(PREFIX.as_bytes()))
}

/// Which of Godwit's own keys go with a part of a server: those of the namespace, and in the slots of a cluster those of
/// its walks. What other applications have applied is theirs.
struct Ours<'a> {
    scope: &'a Scope,
    base: &'a [u8],
    /// The rows of the history, which name the walks.
    rows: String,
}

impl<'a> Ours<'a> {
    async fn of(scope: &'a Scope, link: &Link, names: &'a Names) -> Result<Self, BackupError> {
        let to = To::Slot(slot_of(names.history.as_bytes()));
        let rows: Vec<String> = link.ask(cmd("HVALS").arg(&names.history), &to).await?;
        Ok(Self { scope, base: names.base().as_bytes(), rows: rows.concat() })
    }

    fn has(&self, key: &[u8]) -> bool {
        if self.scope == &Scope::All || !key.starts_with(PREFIX.as_bytes()) || key.starts_with(self.base) {
            return true;
        }
        let token = std::str::from_utf8(key).ok().and_then(token_of);
        token.is_some_and(|token| self.rows.contains(token))
    }
}

/// The walk that a key in a slot of a cluster belongs to.
fn token_of(key: &str) -> Option<&str> {
    let (_, name) = key.split_once("}:")?;
    name.strip_prefix("zone:").or_else(|| name.strip_prefix("marks:"))?.split(':').next().filter(|t| !t.is_empty())
}

/// Calls `each` with batches of keys of a node.
async fn scan(
    link: &Link,
    node: &Node,
    pattern: &str,
    mut each: impl AsyncFnMut(Vec<Vec<u8>>) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(COUNT);
        let (next, mut keys): (String, Vec<Vec<u8>>) = link.ask(&scan, &To::Node(node.clone())).await?;
        keys.sort();
        keys.dedup();
        each(keys).await?;
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// Copies the keys of `scope` into `sink`.
///
/// # Errors
/// When a key cannot be read, or the disk does not take the copy.
pub async fn copy_out(url: &SecretString, scope: &Scope, mut sink: Sink) -> Result<(Sink, Copied), BackupError> {
    let driver = RedisDriver::connect(url).await?;
    let (link, names, nodes, version) = driver.parts();
    let major: u32 = version.split('.').next().and_then(|m| m.parse().ok()).unwrap_or(0);
    let read = if major >= 7 { READ } else { READ_OLD };
    put(&mut sink, &Line::Head { godwit_redis: 1, version: version.to_owned() })?;
    let mut sums = Sums::default();
    let ours = Ours::of(scope, link, names).await?;
    for node in nodes {
        for pattern in patterns(scope) {
            scan(link, node, &pattern, async |keys| {
                let keys: Vec<_> = keys.into_iter().filter(|k| !left_out(k) && ours.has(k)).collect();
                let values = try_join_all(keys.iter().map(async |key| {
                    let mut eval = cmd("EVAL");
                    eval.arg(read).arg(1).arg(key);
                    link.ask::<(String, i64, Vec<u8>)>(&eval, &To::Slot(slot_of(key))).await
                }))
                .await?;
                for (key, (kind, at, payload)) in keys.iter().zip(values) {
                    if kind == "none" {
                        continue;
                    }
                    let at = at.max(0);
                    sums.add(&kind, key, at, &payload);
                    let (k, d) = (BASE64_STANDARD.encode(key), BASE64_STANDARD.encode(&payload));
                    put(&mut sink, &Line::Key { k, t: kind, at, d })?;
                }
                Ok(())
            })
            .await?;
        }
    }
    if let (Scope::All, Some(node), true) = (scope, nodes.first(), major >= 7) {
        let functions: Vec<u8> = link.ask(cmd("FUNCTION").arg("DUMP"), &To::Node(node.clone())).await?;
        put(&mut sink, &Line::Functions { functions: BASE64_STANDARD.encode(functions) })?;
    }
    put(&mut sink, &Line::End { end: sums.total })?;
    let copied = Copied {
        engine_version: version.to_owned(),
        database: if link.is_cluster() { "the cluster".to_owned() } else { "the server".to_owned() },
        contents: sums.contents(),
        consistent: false,
        snapshot: None,
        notes: vec!["Redis has no snapshots to read from: each key is of one moment, all of them are not".to_owned()],
    };
    Ok((sink, copied))
}

/// Keys by type.
#[derive(Default)]
struct Sums {
    by_type: BTreeMap<String, (u64, SetDigest)>,
    total: u64,
}

impl Sums {
    fn add(&mut self, kind: &str, key: &[u8], at: i64, payload: &[u8]) {
        let (count, digest) = self.by_type.entry(kind.to_owned()).or_default();
        *count += 1;
        self.total += 1;
        digest.add(&[key, &at.to_le_bytes(), payload]);
    }

    fn contents(self) -> BTreeMap<String, Sum> {
        let sum = |(count, digest): (u64, SetDigest)| Sum { count, digest: Some(digest.text()) };
        self.by_type.into_iter().map(|(kind, s)| (format!("keys of type {kind}"), sum(s))).collect()
    }
}

/// A key as a file has it.
struct Kept {
    key: Vec<u8>,
    kind: String,
    at: i64,
    payload: Vec<u8>,
}

/// What comes next in a file.
enum Next {
    Keys(Vec<Kept>),
    Functions(Vec<u8>),
    End,
}

/// Reads a file batch by batch.
struct Lines {
    input: BufReader<Content>,
    seen: u64,
    later: Option<Next>,
}

impl Lines {
    fn new(content: Content) -> Self {
        Self { input: BufReader::with_capacity(1 << 18, content), seen: 0, later: None }
    }

    fn next(&mut self) -> Result<Next, BackupError> {
        if let Some(later) = self.later.take() {
            return Ok(later);
        }
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let mut text = String::new();
            let read = self.input.read_line(&mut text).map_err(|e| damaged(&e.to_string()))?;
            if read == 0 {
                return Err(damaged("it has no end"));
            }
            let bytes = |text: &str| BASE64_STANDARD.decode(text).map_err(|e| damaged(&e.to_string()));
            let other = match serde_json::from_str(&text).map_err(|e| damaged(&e.to_string()))? {
                Line::Head { .. } => continue,
                Line::Key { k, t, at, d } => {
                    self.seen += 1;
                    batch.push(Kept { key: bytes(&k)?, kind: t, at, payload: bytes(&d)? });
                    continue;
                }
                Line::Functions { functions } => Next::Functions(bytes(&functions)?),
                Line::End { end } if end == self.seen => Next::End,
                Line::End { .. } => return Err(damaged("keys are missing")),
            };
            if batch.is_empty() {
                return Ok(other);
            }
            self.later = Some(other);
            break;
        }
        Ok(Next::Keys(batch))
    }
}

fn damaged(why: &str) -> BackupError {
    BackupError::Damaged(format!("the backup is no copy of Redis keys: {why}"))
}

/// Gives every payload to the server under a scratch name for a moment: the server checks it, and says which type it is.
///
/// # Errors
/// When the server takes no scratch keys.
pub async fn rehearse(url: &SecretString, content: Content) -> Result<Rehearsed, BackupError> {
    let driver = RedisDriver::connect(url).await?;
    let (link, ..) = driver.parts();
    let id = RunId::generate();
    let (mut sums, mut lines, mut differences) = (Sums::default(), Lines::new(content), Vec::new());
    let mut number = 0_u64;
    loop {
        let batch = match lines.next()? {
            Next::Keys(batch) => batch,
            Next::Functions(_) => continue,
            Next::End => break,
        };
        let named: Vec<(Vec<u8>, &Kept)> = batch
            .iter()
            .map(|kept| {
                number += 1;
                (format!("{SCRATCH}{id}:{number}").into_bytes(), kept)
            })
            .collect();
        let tried = join_all(named.iter().map(async |(scratch, kept)| {
            let to = To::Slot(slot_of(scratch));
            let mut restore = cmd("RESTORE");
            restore.arg(scratch).arg(SCRATCH_MS).arg(&kept.payload).arg("REPLACE");
            link.try_ask::<()>(&restore, &to).await?;
            let kind: String = link.try_ask(cmd("TYPE").arg(scratch), &to).await?;
            link.try_ask::<()>(cmd("UNLINK").arg(scratch), &to).await?;
            Ok::<_, redis::RedisError>(kind)
        }))
        .await;
        for ((_, kept), kind) in named.iter().zip(tried) {
            let name = String::from_utf8_lossy(&kept.key);
            match kind {
                Ok(kind) if kind == kept.kind => sums.add(&kind, &kept.key, kept.at, &kept.payload),
                Ok(kind) => differences.push(format!("`{name}` came back as {kind}")),
                Err(error) => {
                    differences.push(format!("`{name}` is refused: {}", crate::redact::text(&error.to_string())))
                }
            }
        }
    }
    Ok(Rehearsed { into: "scratch keys, each for a moment".to_owned(), contents: sums.contents(), differences })
}

/// Writes every key of the backup over what is there, deletes the others in its scope, and puts Godwit's own keys back last.
///
/// # Errors
/// [`BackupError::Half`] once keys were written.
pub async fn bring_back(url: &SecretString, content: Content, meta: &Meta) -> Result<Restored, BackupError> {
    let driver = RedisDriver::connect(url).await?;
    failpoint::hit("restore_pre");
    write_all(&driver, content, meta).await.map_err(|error| {
        BackupError::Half(format!("{error}; some keys are restored and some are not: run the same restore again"))
    })
}

async fn write_all(driver: &RedisDriver, content: Content, meta: &Meta) -> Result<Restored, BackupError> {
    let (link, names, nodes, _) = driver.parts();
    let mut lines = Lines::new(content);
    let (mut own, mut kept, mut sums) = (Vec::new(), HashSet::new(), Sums::default());
    let mut expired = 0;
    loop {
        match lines.next()? {
            Next::Keys(batch) => {
                let (ours, data): (Vec<Kept>, Vec<Kept>) =
                    batch.into_iter().partition(|k| k.key.starts_with(PREFIX.as_bytes()));
                // Earlier versions copied those of every application on the server.
                let is_another_s = |k: &Kept| {
                    meta.scope != Scope::All
                        && !k.key.starts_with(names.base().as_bytes())
                        && std::str::from_utf8(&k.key).ok().and_then(token_of).is_none()
                };
                own.extend(ours.into_iter().filter(|k| !left_out(&k.key) && !is_another_s(k)));
                kept.extend(data.iter().map(|k| short(&k.key)));
                expired += write(link, &data).await?;
                data.iter().for_each(|k| sums.add(&k.kind, &k.key, k.at, &k.payload));
                failpoint::hit("restore_half");
            }
            Next::Functions(functions) => {
                for node in nodes {
                    let mut restore = cmd("FUNCTION");
                    restore.arg("RESTORE").arg(&functions).arg("FLUSH");
                    link.ask::<()>(&restore, &To::Node(node.clone())).await?;
                }
            }
            Next::End => break,
        }
    }
    for node in nodes {
        for pattern in patterns(&meta.scope) {
            scan(link, node, &pattern, async |keys| {
                let gone = |k: &Vec<u8>| !k.starts_with(PREFIX.as_bytes()) && !left_out(k) && !kept.contains(&short(k));
                unlink(link, keys.into_iter().filter(gone).collect()).await
            })
            .await?;
        }
    }
    let ours: HashSet<&[u8]> = own.iter().map(|k| k.key.as_slice()).collect();
    if !ours.contains(names.history.as_bytes()) {
        unlink(link, vec![names.history.clone().into_bytes()]).await?;
    }
    write(link, &own).await?;
    own.iter().for_each(|k| sums.add(&k.kind, &k.key, k.at, &k.payload));
    let mut notes = Vec::new();
    if expired > 0 {
        notes.push(format!("{expired} keys of the backup have expired since, and were not written"));
    }
    Ok(Restored { contents: sums.contents(), notes, history: None })
}

/// Takes the keys away that one of `names` fits, but none of Godwit's own.
///
/// # Errors
/// When a node does not answer; some keys may be gone then.
pub async fn clear(url: &SecretString, names: &[String]) -> Result<(), BackupError> {
    let driver = RedisDriver::connect(url).await?;
    let (link, _, nodes, _) = driver.parts();
    for node in nodes {
        for pattern in names {
            scan(link, node, pattern, async |keys| {
                let gone = |k: &Vec<u8>| !k.starts_with(PREFIX.as_bytes()) && !left_out(k);
                unlink(link, keys.into_iter().filter(gone).collect()).await
            })
            .await?;
        }
    }
    Ok(())
}

fn short(key: &[u8]) -> u128 {
    let bytes: [u8; 32] = sha2::Sha256::digest(key).into();
    bytes.iter().take(16).fold(0, |n, b| n << 8 | u128::from(*b))
}

async fn unlink(link: &Link, keys: Vec<Vec<u8>>) -> Result<(), BackupError> {
    try_join_all(keys.iter().map(async |key| link.ask::<()>(cmd("UNLINK").arg(key), &To::Slot(slot_of(key))).await))
        .await?;
    Ok(())
}

/// Writes keys with the moment at which they expire; gives how many had expired already and were deleted instead.
async fn write(link: &Link, keys: &[Kept]) -> Result<u64, BackupError> {
    let now = chrono::Utc::now().timestamp_millis();
    let (gone, there): (Vec<&Kept>, Vec<&Kept>) = keys.iter().partition(|k| k.at > 0 && k.at <= now);
    unlink(link, gone.iter().map(|k| k.key.clone()).collect()).await?;
    try_join_all(there.iter().map(async |kept| {
        let mut restore = cmd("RESTORE");
        restore.arg(&kept.key).arg(kept.at).arg(&kept.payload).arg("REPLACE").arg("ABSTTL");
        link.ask::<()>(&restore, &To::Slot(slot_of(&kept.key))).await
    }))
    .await?;
    Ok(gone.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_namespace_s_own_records_go_with_a_part_of_a_server() {
        let names = Names::new("shop");
        let rows = "{\"walk\":{\"token\":\"01WALK\"}}".to_owned();
        let only = Scope::Only(vec!["cart:*".to_owned()]);
        let ours = Ours { scope: &only, base: names.base().as_bytes(), rows };
        for key in [
            "cart:1",
            "godwit:{shop}:history",
            "godwit:{shop}:walk:01WALK",
            "godwit:{3x}:zone:01WALK",
            "godwit:{3x}:marks:01WALK:7",
        ] {
            assert!(ours.has(key.as_bytes()) && !left_out(key.as_bytes()), "{key}");
        }
        for key in
            ["godwit:{other}:history", "godwit:{other}:walk:01X", "godwit:{3x}:zone:01OTHER", "godwit:{3x}:zone:"]
        {
            assert!(!ours.has(key.as_bytes()), "{key}");
        }
        for key in ["godwit:{shop}:lock", "godwit:{other}:fence"] {
            assert!(left_out(key.as_bytes()), "{key}");
        }
    }
}
