//! The audit log: rows are only ever added, and each is chained to the one before by a keyed hash (DECISIONS 25, B-17).
//!
//! The hash is HMAC-SHA256 over the record as compact JSON, in the order of [`AuditRecord`]'s fields, with `previous` and
//! without `hash`; fields that are absent are left out, so that later versions may add some. The key is not in the store:
//! who holds the store alone can spoil the log but not make it up. What a chain cannot show by itself is that its end was
//! cut off; the anchor beside the store shows that, and a head printed elsewhere.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::anchor::Anchor;
use super::approvals::number;
use super::audit_chain::{AuditVerdict, GENESIS, Verifier};
use super::audit_key::AuditKey;
use super::{Store, StoreError, WriteTransaction, millis, time_of};
use crate::ids::{CommitSha, DeliveryId, Digest, EnvironmentName, PrNumber, RepoName, RunId, TargetName};
use crate::redact;

/// Records read at a time.
const PAGE: i64 = 1000;
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
    /// Only of these actions; all where none is named.
    pub actions: Vec<&'static str>,
    /// Only after this place.
    pub after: i64,
    /// Only the newest so many.
    pub last: Option<u32>,
}

pub(super) const COLUMNS: &str = "SELECT seq, at, actor, basis, action, result, repo, pr, environment, target, commit_id, digest, \
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
        let anchored = match self.read_anchor() {
            Ok(Anchor::Missing) => return Ok(true),
            Ok(Anchor::At(at) | Anchor::Former(at)) => at,
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
        let held = self.keys();
        if let Err(error) = self.inner.anchor.write(&held.key, held.at, head) {
            tracing::warn!(%error, "the anchor of the audit log cannot be written");
        }
    }

    /// Takes the log as it is, whatever the anchor says, and records that with what is missing; gives the new end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accept_audit(&self, mut entry: AuditEntry) -> Result<AuditHead, StoreError> {
        let anchored = match self.read_anchor() {
            Ok(Anchor::At(at) | Anchor::Former(at)) => format!("record {} with {}", at.seq, at.hash),
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
        let held = self.keys_in(tx).await?;
        record.hash = held.key.hash(held.at, &record);
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
        // Only what is asked for stands in the statement: a place that may be empty keeps both databases from their indices.
        let mut places = 1;
        let mut place = |there: bool, condition: &str| {
            if !there {
                return String::new();
            }
            places += 1;
            format!(" AND {}", condition.replace('?', &format!("${places}")))
        };
        // What was written before the repository was renamed counts as well.
        let repo = "(repo = ? OR EXISTS (SELECT 1 FROM former_names f JOIN repositories r ON r.id = f.repository \
                    WHERE f.former = audit.repo AND audit.at < f.until_at AND r.name = ?))";
        let repo = place(filter.repo.is_some(), repo);
        let pr = place(filter.pr.is_some(), "pr = ?");
        let environment = place(filter.environment.is_some(), "environment = ?");
        let run = place(filter.run.is_some(), "run = ?");
        let actions: Vec<String> =
            filter.actions.iter().map(|_| place(true, "action = ?").replacen(" AND ", "", 1)).collect();
        let actions = if actions.is_empty() { String::new() } else { format!(" AND ({})", actions.join(" OR ")) };
        let last = place(true, "LIMIT ?").replacen(" AND ", " ", 1);
        let sql = format!("{COLUMNS} WHERE seq > $1{repo}{pr}{environment}{run}{actions} ORDER BY seq DESC{last}");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(filter.after);
        if let Some(repo) = &filter.repo {
            query = query.bind(repo.as_str());
        }
        if let Some(pr) = filter.pr {
            query = query.bind(number(pr));
        }
        if let Some(environment) = &filter.environment {
            query = query.bind(environment.as_str());
        }
        if let Some(run) = &filter.run {
            query = query.bind(run.as_str());
        }
        for action in &filter.actions {
            query = query.bind(*action);
        }
        let rows = query.bind(filter.last.map_or(i64::MAX, i64::from)).fetch_all(self.reader()).await?;
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
        self.verify_audit_with(&[], expected_head).await
    }

    /// The same with further keys that the log was written with before.
    ///
    /// # Errors
    /// When the database fails; whatever is wrong with the records is in the verdict.
    pub async fn verify_audit_with(
        &self,
        former: &[AuditKey],
        expected_head: Option<&str>,
    ) -> Result<AuditVerdict, StoreError> {
        let held = self.keys();
        let key = former.iter().fold(held.key, AuditKey::with_former);
        let mut verifier = Verifier::new(&key, expected_head);
        self.verify(&mut verifier).await?;
        Ok(verifier.verdict())
    }

    /// The same of a log that may not be written with the present key yet.
    ///
    /// # Errors
    /// When the database fails; whatever is wrong with the records is in the verdict.
    pub async fn verify_audit_in_use(&self) -> Result<AuditVerdict, StoreError> {
        let held = self.keys();
        let mut verifier = Verifier::new(&held.key, None).ending_with(held.at);
        self.verify(&mut verifier).await?;
        Ok(verifier.verdict())
    }

    async fn verify(&self, verifier: &mut Verifier<'_>) -> Result<(), StoreError> {
        // Before the records: it must not name one that is appended meanwhile.
        verifier.anchor = self
            .read_anchor()
            .map_err(|e| StoreError::Value { what: "the audit log's anchor", value: e.to_string() })?;
        // One transaction, so that a record appended meanwhile does not look out of place.
        let mut tx = self.reader().begin_with(self.kind().begin_reading()).await?;
        walk(&mut tx, verifier).await
    }

    /// The same of what a transaction sees, without the anchor.
    #[cfg(feature = "bot")]
    pub(super) async fn verify_audit_in(&self, tx: &mut WriteTransaction) -> Result<AuditVerdict, StoreError> {
        let held = self.keys();
        let mut verifier = Verifier::new(&held.key, None);
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

pub(super) fn record_of(row: &AnyRow) -> Result<AuditRecord, StoreError> {
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
