//! The audit log: rows are only ever added, and each is chained to the one before by a keyed hash (DECISIONS 25, B-17).
//!
//! The hash is HMAC-SHA256 over the record as compact JSON, in the order of [`AuditRecord`]'s fields, with `previous` and
//! without `hash`; fields that are absent are left out, so that later versions may add some. The key is not in the store:
//! who holds the store alone can spoil the log but not make it up. What a chain cannot show by itself is that its end was
//! cut off; the anchor beside the store shows that, and a head printed elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Write as _};
use std::path::Path;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::anchor::Anchor;
use super::approvals::number;
use super::{Store, StoreError, WriteTransaction, millis, time_of};
use crate::ids::{CommitSha, DeliveryId, Digest, EnvironmentName, PrNumber, RepoName, RunId, TargetName};
use crate::redact;

/// Records read at a time.
const PAGE: i64 = 1000;
/// What the first record is chained to.
const GENESIS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The secret that the chain is keyed with.
#[derive(Clone)]
pub struct AuditKey(SecretString);

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(…)")
    }
}

impl AuditKey {
    /// Name of the file a generated key is kept in.
    pub const FILE: &'static str = "audit.key";

    /// Takes a key; spaces and line ends around it do not count.
    pub fn new(text: &SecretString) -> Self {
        let text = text.expose_secret().trim();
        redact::register(text);
        Self(SecretString::from(text))
    }

    /// The key in `file`, which is made with a new one, for its owner only, when it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds less than 16 characters.
    pub fn read_or_make(file: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        match std::fs::read_to_string(file) {
            Ok(text) if text.trim().len() < 16 => {
                Err(failed(std::io::Error::other("it holds less than 16 characters")))
            }
            Ok(text) => Ok(Self::new(&SecretString::from(text))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                make_key(file).map_err(failed)?;
                let text = std::fs::read_to_string(file).map_err(failed)?;
                Ok(Self::new(&SecretString::from(text)))
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Keeps the key in `file` as well; nothing happens when it is there.
    ///
    /// # Errors
    /// When the file holds another key, or cannot be written.
    pub fn keep(&self, file: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::AuditKey { file: file.to_path_buf(), source };
        write_key(file, self.0.expose_secret()).map_err(failed)?;
        let kept = Self::read_or_make(file)?;
        if kept.0.expose_secret() == self.0.expose_secret() {
            Ok(())
        } else {
            Err(failed(std::io::Error::other("it holds another key than the store that is copied")))
        }
    }

    fn mac(&self, record: &AuditRecord) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(&serde_json::to_vec(&record.body).expect("text, numbers and maps of text always have a JSON form"));
        mac
    }

    /// The keyed hash of anything else that must not be made up.
    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(bytes);
        hex::encode(mac.finalize().into_bytes())
    }

    fn hash(&self, record: &AuditRecord) -> String {
        format!("sha256:{}", hex::encode(self.mac(record).finalize().into_bytes()))
    }

    fn signed(&self, record: &AuditRecord) -> bool {
        record
            .hash
            .strip_prefix("sha256:")
            .and_then(|h| hex::decode(h).ok())
            .is_some_and(|h| self.mac(record).verify_slice(&h).is_ok())
    }
}

/// Makes a new key.
fn make_key(file: &Path) -> std::io::Result<()> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    write_key(file, &hex::encode(bytes))
}

/// Writes a key so that nobody ever reads half of it, and so that of two processes one wins; never over another.
fn write_key(file: &Path, key: &str) -> std::io::Result<()> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    let draft = file.with_file_name(format!("{}.{}", AuditKey::FILE, hex::encode(bytes)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&draft)?;
    writeln!(out, "{key}")?;
    out.sync_all()?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Something that was decided or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a login, or a user name of the machine.
    pub actor: String,
    /// What allowed it, such as the role that was filled or the reason of an emergency.
    pub basis: Option<String>,
    /// What, a kebab-case word: `approved`, `run-started`, `run-finished`, `lock`, `unlock`, `emergency`, `resolve`, ….
    pub action: String,
    /// How it ended, one word.
    pub result: String,
    /// The repository.
    pub repo: Option<RepoName>,
    /// The pull request.
    pub pr: Option<PrNumber>,
    /// The environment.
    pub environment: Option<EnvironmentName>,
    /// The database.
    pub target: Option<TargetName>,
    /// The commit the migrations were read at.
    pub commit: Option<CommitSha>,
    /// What was decided about.
    pub digest: Option<Digest>,
    /// The policy it was decided by.
    pub policy_hash: Option<String>,
    /// The statements that were sent.
    pub sql_hash: Option<String>,
    /// The run.
    pub run: Option<RunId>,
    /// The delivery it follows from.
    pub correlation: Option<DeliveryId>,
    /// Anything else, as texts.
    pub details: BTreeMap<String, String>,
}

impl AuditEntry {
    /// An entry with nothing but who, what and how it ended.
    pub fn new(
        at: DateTime<Utc>,
        actor: impl Into<String>,
        action: impl Into<String>,
        result: impl Into<String>,
    ) -> Self {
        Self {
            at,
            actor: actor.into(),
            basis: None,
            action: action.into(),
            result: result.into(),
            repo: None,
            pr: None,
            environment: None,
            target: None,
            commit: None,
            digest: None,
            policy_hash: None,
            sql_hash: None,
            run: None,
            correlation: None,
            details: BTreeMap::new(),
        }
    }
}

/// What a record's hash covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBody {
    /// Place in the log, from 1 without gaps.
    pub seq: i64,
    /// When, in milliseconds.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What allowed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// What.
    pub action: String,
    /// How it ended.
    pub result: String,
    /// The repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pr: Option<i64>,
    /// The environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What was decided about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The policy it was decided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
    /// The statements that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_hash: Option<String>,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The delivery it follows from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// The hash of the record before.
    pub previous: String,
}

/// One record as it is stored, listed and exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// What the hash covers.
    #[serde(flatten)]
    pub body: AuditBody,
    /// The keyed hash, `sha256:…`.
    pub hash: String,
}

/// The end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// The last record's place.
    pub seq: i64,
    /// The last record's hash.
    pub hash: String,
}

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only of this repository.
    pub repo: Option<RepoName>,
    /// Only of this pull request.
    pub pr: Option<PrNumber>,
    /// Only of this environment.
    pub environment: Option<EnvironmentName>,
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only after this place.
    pub after: i64,
    /// Only the newest so many.
    pub last: Option<u32>,
}

/// Whether the log is what was written (INTERFACE 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerdict {
    /// How many records there are.
    pub records: u64,
    /// Whether every one is as it was written and none is missing.
    pub valid: bool,
    /// Place of the first record that was altered, moved or removed.
    pub first_bad: Option<i64>,
    /// Hash of the last record; all zeros for an empty log.
    pub head: String,
    /// What is wrong, for people.
    pub problem: Option<String>,
    /// The record that the anchor outside the store names; the log must still hold it.
    pub anchor: Option<i64>,
}

/// Walks a log from its beginning.
struct Verifier<'a> {
    key: &'a AuditKey,
    records: u64,
    seq: i64,
    head: String,
    expected: Option<&'a str>,
    expected_seen: bool,
    anchor: Anchor,
    bad: Option<(i64, String)>,
}

impl<'a> Verifier<'a> {
    fn new(key: &'a AuditKey, expected: Option<&'a str>) -> Self {
        Self {
            key,
            records: 0,
            seq: 0,
            head: GENESIS.to_owned(),
            expected,
            expected_seen: false,
            anchor: Anchor::Missing,
            bad: None,
        }
    }

    /// Looks at the next record; `Err` says why it could not even be read.
    fn look_at(&mut self, record: Result<&AuditRecord, String>) {
        self.records += 1;
        let place = self.seq + 1;
        let problem = match &record {
            Err(why) => Some(format!("record {place} cannot be read: {why}")),
            Ok(record) if record.body.seq > place => Some(format!("record {place} is missing")),
            Ok(record) if record.body.seq != place => {
                Some(format!("record {} stands where {place} belongs", record.body.seq))
            }
            Ok(record) if !self.key.signed(record) => {
                Some(format!("record {place} was altered, or the key is not the one it was written with"))
            }
            Ok(record) if record.body.previous != self.head => {
                Some(format!("record {place} does not follow the one before it"))
            }
            Ok(record) if matches!(&self.anchor, Anchor::At(a) if a.seq == place && a.hash != record.hash) => {
                Some(format!("record {place} is another one than was written: the log was replaced"))
            }
            Ok(_) => None,
        };
        if let (Some(problem), None) = (problem, &self.bad) {
            self.bad = Some((place, problem));
        }
        if let Ok(record) = record {
            self.expected_seen |= self.expected == Some(&record.hash);
            self.seq = record.body.seq;
            self.head.clone_from(&record.hash);
        } else {
            self.seq = place;
        }
    }

    fn verdict(self) -> AuditVerdict {
        // The head of an empty log says that nothing was there; it proves nothing about one that has records.
        let seen = self.expected_seen || (self.records == 0 && self.expected == Some(GENESIS));
        let bad = match (self.bad, self.expected) {
            (None, Some(expected)) if !seen => {
                Some((self.seq + 1, format!("the log does not contain the head `{expected}`: its end was cut off")))
            }
            (bad, _) => bad,
        };
        let bad = bad.or_else(|| match &self.anchor {
            Anchor::At(a) if a.seq > self.seq => Some((self.seq + 1, beyond(self.seq, a.seq))),
            Anchor::Altered => Some((
                self.seq + 1,
                "the anchor outside the store was altered, or the key is not the one it was written with".to_owned(),
            )),
            Anchor::At(_) | Anchor::Missing => None,
        });
        let anchor = match self.anchor {
            Anchor::At(a) => Some(a.seq),
            Anchor::Missing | Anchor::Altered => None,
        };
        AuditVerdict {
            anchor,
            records: self.records,
            valid: bad.is_none(),
            first_bad: bad.as_ref().map(|(seq, _)| *seq),
            head: self.head,
            problem: bad.map(|(_, problem)| problem),
        }
    }
}

/// What it means that the log ends before a record that was written.
fn beyond(end: i64, written: i64) -> String {
    let what = if end == 0 { "the log is empty".to_owned() } else { format!("the log ends at record {end}") };
    format!(
        "{what}, but record {written} was written: its end was cut off, or the store is an older one, as after a restore; \
         if a person did that, `godwit audit accept --reason …` goes on from here"
    )
}

/// Verifies an exported log, one JSON object a line, without any store.
///
/// # Errors
/// When the input cannot be read; lines that are no records make the verdict invalid instead.
pub fn verify_export(
    key: &AuditKey,
    lines: impl BufRead,
    expected_head: Option<&str>,
) -> std::io::Result<AuditVerdict> {
    let mut verifier = Verifier::new(key, expected_head);
    for line in lines.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let record: Result<AuditRecord, _> = serde_json::from_str(&line);
        verifier.look_at(record.as_ref().map_err(ToString::to_string));
    }
    Ok(verifier.verdict())
}

const COLUMNS: &str = "SELECT seq, at, actor, basis, action, result, repo, pr, environment, target, commit_id, digest, \
                       policy_hash, sql_hash, run, correlation, details, previous, hash FROM audit";

impl Store {
    /// Adds to the audit log; gives the new end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn append_audit(&self, entry: AuditEntry) -> Result<AuditHead, StoreError> {
        let mut tx = self.begin().await?;
        let (head, before) = self.append_audit_in(&mut tx, entry).await?;
        let sound = self.continues(&mut tx, &before).await?;
        tx.commit().await?;
        if sound {
            self.drop_anchor(&head);
        }
        Ok(head)
    }

    /// Whether the log before the newest record still holds what the anchor names.
    pub(super) async fn continues(&self, tx: &mut WriteTransaction, before: &AuditHead) -> Result<bool, StoreError> {
        let anchored = match self.inner.anchor.read(&self.inner.audit_key) {
            Ok(Anchor::Missing) => return Ok(true),
            Ok(Anchor::At(at)) => at,
            Ok(Anchor::Altered) => return Ok(false),
            Err(error) => {
                tracing::warn!(%error, "the anchor of the audit log cannot be read");
                return Ok(false);
            }
        };
        if anchored == *before {
            return Ok(true);
        }
        let hash: Option<String> = sqlx::query_scalar("SELECT hash FROM audit WHERE seq = $1")
            .bind(anchored.seq)
            .fetch_optional(&mut **tx)
            .await?;
        let holds = hash.as_ref() == Some(&anchored.hash);
        if !holds {
            tracing::warn!(anchored = anchored.seq, "the audit log does not hold what was written before");
        }
        Ok(holds)
    }

    /// The log is right without it, and what it lags behind is caught up with the next record.
    pub(super) fn drop_anchor(&self, head: &AuditHead) {
        if let Err(error) = self.inner.anchor.write(&self.inner.audit_key, head) {
            tracing::warn!(%error, "the anchor of the audit log cannot be written");
        }
    }

    /// Takes the log as it is, whatever the anchor says, and records that with what is missing; gives the new end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accept_audit(&self, mut entry: AuditEntry) -> Result<AuditHead, StoreError> {
        let anchored = match self.inner.anchor.read(&self.inner.audit_key) {
            Ok(Anchor::At(at)) => format!("record {} with {}", at.seq, at.hash),
            Ok(Anchor::Missing) => "no anchor".to_owned(),
            Ok(Anchor::Altered) => "an altered anchor".to_owned(),
            Err(error) => format!("an anchor that cannot be read: {error}"),
        };
        entry.details.insert("instead_of".to_owned(), anchored);
        let mut tx = self.begin().await?;
        let (head, _) = self.append_audit_in(&mut tx, entry).await?;
        tx.commit().await?;
        self.drop_anchor(&head);
        Ok(head)
    }

    /// The new end, and the one before it.
    pub(super) async fn append_audit_in(
        &self,
        tx: &mut WriteTransaction,
        entry: AuditEntry,
    ) -> Result<(AuditHead, AuditHead), StoreError> {
        let last: Option<(i64, String)> =
            sqlx::query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(&mut **tx).await?;
        let (seq, previous) = last.unwrap_or_else(|| (0, GENESIS.to_owned()));
        let before = AuditHead { seq, hash: previous.clone() };
        let body = AuditBody {
            seq: seq + 1,
            at: time_of(millis(entry.at))?,
            actor: redact::text(&entry.actor),
            basis: entry.basis.map(|b| redact::text(&b)),
            action: entry.action,
            result: redact::text(&entry.result),
            repo: entry.repo.map(String::from),
            pr: entry.pr.map(number),
            environment: entry.environment.map(String::from),
            target: entry.target.map(String::from),
            commit: entry.commit.map(String::from),
            digest: entry.digest.map(String::from),
            policy_hash: entry.policy_hash,
            sql_hash: entry.sql_hash,
            run: entry.run.map(String::from),
            correlation: entry.correlation.map(String::from),
            details: entry.details.into_iter().map(|(k, v)| (k, redact::text(&v))).collect(),
            previous,
        };
        let mut record = AuditRecord { body, hash: String::new() };
        record.hash = self.inner.audit_key.hash(&record);
        let AuditRecord { body, hash } = record;
        sqlx::query(
            "INSERT INTO audit (seq, at, actor, basis, action, result, repo, pr, environment, target, commit_id, digest, \
                 policy_hash, sql_hash, run, correlation, details, previous, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        )
        .bind(body.seq)
        .bind(millis(body.at))
        .bind(body.actor)
        .bind(body.basis)
        .bind(body.action)
        .bind(body.result)
        .bind(body.repo)
        .bind(body.pr)
        .bind(body.environment)
        .bind(body.target)
        .bind(body.commit)
        .bind(body.digest)
        .bind(body.policy_hash)
        .bind(body.sql_hash)
        .bind(body.run)
        .bind(body.correlation)
        .bind(details_text(&body.details)?)
        .bind(body.previous)
        .bind(&hash)
        .execute(&mut **tx)
        .await?;
        Ok((AuditHead { seq: body.seq, hash }, before))
    }

    /// The end of the log; `None` when it is empty.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        let last: Option<(i64, String)> = sqlx::query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(self.reader())
            .await?;
        Ok(last.map(|(seq, hash)| AuditHead { seq, hash }))
    }

    /// The records that `filter` lets through, oldest first.
    ///
    /// # Errors
    /// When the database fails or a record cannot be read; [`Store::verify_audit`] tells which.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        // What was written before the repository was renamed counts as well.
        let sql = format!(
            "{COLUMNS} WHERE seq > $1 AND ($2 IS NULL OR repo = $2 OR EXISTS (SELECT 1 FROM former_names f \
                 JOIN repositories r ON r.id = f.repository \
                 WHERE f.former = audit.repo AND audit.at < f.until_at AND r.name = $2)) \
             AND ($3 IS NULL OR pr = $3) \
             AND ($4 IS NULL OR environment = $4) AND ($5 IS NULL OR run = $5) ORDER BY seq DESC LIMIT $6"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(filter.after)
            .bind(filter.repo.as_ref().map(RepoName::as_str))
            .bind(filter.pr.map(number))
            .bind(filter.environment.as_ref().map(EnvironmentName::as_str))
            .bind(filter.run.as_ref().map(RunId::as_str))
            .bind(filter.last.map_or(i64::MAX, i64::from))
            .fetch_all(self.reader())
            .await?;
        rows.iter().rev().map(record_of).collect()
    }

    /// The next records after place `after`, oldest first; none at the end.
    ///
    /// # Errors
    /// When the database fails or a record cannot be read.
    pub async fn audit_page(&self, after: i64) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = format!("{COLUMNS} WHERE seq > $1 ORDER BY seq LIMIT $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after).bind(PAGE).fetch_all(self.reader()).await?;
        rows.iter().map(record_of).collect()
    }

    /// Looks at every record from the first. With `expected_head`, the log must contain the record of that hash, so that a
    /// cut-off end is seen.
    ///
    /// # Errors
    /// When the database fails; whatever is wrong with the records is in the verdict.
    pub async fn verify_audit(&self, expected_head: Option<&str>) -> Result<AuditVerdict, StoreError> {
        let mut verifier = Verifier::new(&self.inner.audit_key, expected_head);
        // Before the records: it must not name one that is appended meanwhile.
        verifier.anchor = self
            .inner
            .anchor
            .read(&self.inner.audit_key)
            .map_err(|e| StoreError::Value { what: "the audit log's anchor", value: e.to_string() })?;
        // One transaction, so that a record appended meanwhile does not look out of place.
        let mut tx = self.reader().begin_with(self.kind().begin_reading()).await?;
        walk(&mut tx, &mut verifier).await?;
        Ok(verifier.verdict())
    }

    /// The same of what a transaction sees, without the anchor.
    #[cfg(feature = "bot")]
    pub(super) async fn verify_audit_in(&self, tx: &mut WriteTransaction) -> Result<AuditVerdict, StoreError> {
        let mut verifier = Verifier::new(&self.inner.audit_key, None);
        walk(tx, &mut verifier).await?;
        Ok(verifier.verdict())
    }
}

/// Shows every record to the verifier.
async fn walk(tx: &mut WriteTransaction, verifier: &mut Verifier<'_>) -> Result<(), StoreError> {
    let mut offset = 0;
    loop {
        // By count and not by `seq`: what the numbers say is to be doubted here.
        let sql = format!("{COLUMNS} ORDER BY seq LIMIT $1 OFFSET $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(PAGE).bind(offset).fetch_all(&mut **tx).await?;
        for row in &rows {
            let record = record_of(row);
            verifier.look_at(record.as_ref().map_err(ToString::to_string));
        }
        if (rows.len() as i64) < PAGE {
            return Ok(());
        }
        offset += PAGE;
    }
}

fn details_text(details: &BTreeMap<String, String>) -> Result<String, StoreError> {
    serde_json::to_string(details).map_err(|e| StoreError::Value { what: "details", value: e.to_string() })
}

fn record_of(row: &AnyRow) -> Result<AuditRecord, StoreError> {
    let text: String = row.try_get(16)?;
    let details: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
    // The hash covers the parsed form, so the text must be the one that it is printed as.
    if details_text(&details)? != text {
        return Err(StoreError::Value { what: "details", value: text });
    }
    Ok(AuditRecord {
        body: AuditBody {
            seq: row.try_get(0)?,
            at: time_of(row.try_get(1)?)?,
            actor: row.try_get(2)?,
            basis: row.try_get(3)?,
            action: row.try_get(4)?,
            result: row.try_get(5)?,
            repo: row.try_get(6)?,
            pr: row.try_get(7)?,
            environment: row.try_get(8)?,
            target: row.try_get(9)?,
            commit: row.try_get(10)?,
            digest: row.try_get(11)?,
            policy_hash: row.try_get(12)?,
            sql_hash: row.try_get(13)?,
            run: row.try_get(14)?,
            correlation: row.try_get(15)?,
            details,
            previous: row.try_get(17)?,
        },
        hash: row.try_get(18)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AuditKey {
        AuditKey::new(&SecretString::from("0123456789abcdef"))
    }

    fn log(length: i64) -> Vec<AuditRecord> {
        let mut previous = GENESIS.to_owned();
        (1..=length)
            .map(|seq| {
                let body = AuditBody {
                    seq,
                    at: DateTime::from_timestamp_millis(1_700_000_000_000 + seq).unwrap(),
                    actor: "alice".into(),
                    basis: Some("role dba".into()),
                    action: "approved".into(),
                    result: "ok".into(),
                    repo: None,
                    pr: Some(7),
                    environment: None,
                    target: None,
                    commit: None,
                    digest: None,
                    policy_hash: None,
                    sql_hash: None,
                    run: None,
                    correlation: None,
                    details: BTreeMap::from([("why".to_owned(), format!("\"{seq}\" <ä>"))]),
                    previous: previous.clone(),
                };
                let mut record = AuditRecord { body, hash: String::new() };
                record.hash = key().hash(&record);
                previous.clone_from(&record.hash);
                record
            })
            .collect()
    }

    fn judge(log: &[AuditRecord], head: Option<&str>) -> AuditVerdict {
        let text: String = log.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        verify_export(&key(), text.as_bytes(), head).unwrap()
    }

    #[test]
    fn b17_an_untouched_log_is_valid() {
        let log = log(5);
        let verdict = judge(&log, None);
        assert_eq!((verdict.valid, verdict.records, verdict.first_bad), (true, 5, None));
        assert_eq!(verdict.head, log[4].hash);
        assert!(judge(&log, Some(&log[2].hash)).valid, "the log may have grown since a head was printed");
        assert!(judge(&[], None).valid);
        assert!(judge(&[], Some(GENESIS)).valid);
    }

    #[test]
    fn b17_every_change_is_named() {
        let whole = log(6);
        for i in 0..6 {
            let mut altered = whole.clone();
            altered[i].body.actor = "mallory".into();
            assert_eq!(judge(&altered, None).first_bad, Some(i as i64 + 1), "altered {i}");
        }
        for i in 0..5 {
            let mut removed = whole.clone();
            removed.remove(i);
            assert_eq!(judge(&removed, None).first_bad, Some(i as i64 + 1), "removed {i}");
            let mut moved = whole.clone();
            moved.swap(i, i + 1);
            assert_eq!(judge(&moved, None).first_bad, Some(i as i64 + 1), "moved {i}");
        }
        let mut cut = whole.clone();
        let head = cut.pop().unwrap().hash;
        assert!(judge(&cut, None).valid);
        let verdict = judge(&cut, Some(&head));
        assert_eq!((verdict.valid, verdict.first_bad), (false, Some(6)));
    }

    #[test]
    fn b17_a_log_made_with_another_key_is_refused() {
        let text: String = log(2).iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        let other = AuditKey::new(&SecretString::from("another key altogether"));
        assert_eq!(verify_export(&other, text.as_bytes(), None).unwrap().first_bad, Some(1));
    }

    #[test]
    fn lines_that_are_no_records_are_named() {
        let verdict = verify_export(&key(), "{}\n".as_bytes(), None).unwrap();
        assert_eq!((verdict.valid, verdict.first_bad), (false, Some(1)));
    }

    #[test]
    fn a_generated_key_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(AuditKey::FILE);
        let first = AuditKey::read_or_make(&file).unwrap();
        let again = AuditKey::read_or_make(&file).unwrap();
        assert_eq!(first.0.expose_secret(), again.0.expose_secret());
        assert_eq!(first.0.expose_secret().len(), 64);
        std::fs::write(&file, "short").unwrap();
        assert!(AuditKey::read_or_make(&file).is_err());
        assert!(!format!("{first:?}").contains(first.0.expose_secret()));
    }
}
