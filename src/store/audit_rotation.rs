//! Which key the audit log is written with, and the change to another.
//!
//! What a process was given is a list, the present key first; which of them the log is written with, the store says by a
//! fingerprint, since processes learn of a new key one after the other. It is read in the transaction of every record, so
//! from the change on nobody writes with the former key; who was not given the new one reads its file again, or fails.

use std::sync::PoisonError;

use sqlx::AnyPool;

use super::anchor::Anchor;
use super::audit::{AuditEntry, AuditHead, COLUMNS, record_of};
use super::audit_chain::{KEY_CHANGED, KEY_TAKEN, NEXT_KEY};
use super::audit_key::AuditKey;
use super::{Store, StoreError, StoreKind, WriteTransaction};

const READ: &str = "SELECT value FROM facts WHERE name = 'audit_key'";
const WRITE: &str =
    "INSERT INTO facts (name, value) VALUES ('audit_key', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The keys of this process, and the place of the one that the log is written with.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub key: AuditKey,
    pub at: usize,
}

/// Finds out which of the keys the log is written with. On a server, where processes share it, another key is refused; a
/// file's key stands beside it, so there it is written down only when it is changed.
pub(super) async fn agree(writer: &AnyPool, kind: StoreKind, key: AuditKey) -> Result<Held, StoreError> {
    let known: Option<String> = sqlx::query_scalar(READ).fetch_optional(writer).await?;
    if let Some(known) = known {
        let at = key.find(&known).ok_or(StoreError::OtherAuditKey)?;
        return Ok(Held { key, at });
    }
    let row =
        sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY seq DESC LIMIT 1"))).fetch_optional(writer).await?;
    // A last record that cannot be read, or is of no key at hand, is for `verify` to tell.
    let at = row.and_then(|row| key.of_record(&record_of(&row).ok()?)).unwrap_or(0);
    if kind == StoreKind::Postgres {
        sqlx::query("INSERT INTO facts (name, value) VALUES ('audit_key', $1) ON CONFLICT (name) DO NOTHING")
            .bind(key.fingerprint(at))
            .execute(writer)
            .await?;
        let agreed: String = sqlx::query_scalar(READ).fetch_one(writer).await?;
        let at = key.find(&agreed).ok_or(StoreError::OtherAuditKey)?;
        return Ok(Held { key, at });
    }
    Ok(Held { key, at })
}

impl Store {
    /// The keys as this process knows them.
    pub(super) fn keys(&self) -> Held {
        self.inner.audit_key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, with the key that the log is written with now.
    pub(super) async fn keys_in(&self, tx: &mut WriteTransaction) -> Result<Held, StoreError> {
        let held = self.keys();
        let known: Option<String> = sqlx::query_scalar(READ).fetch_optional(&mut **tx).await?;
        let Some(known) = known.filter(|known| *known != held.key.fingerprint(held.at)) else { return Ok(held) };
        let found = |key: AuditKey| key.find(&known).map(|at| Held { key, at });
        let now =
            found(held.key.clone()).or_else(|| held.key.again().and_then(found)).ok_or(StoreError::OtherAuditKey)?;
        *self.inner.audit_key.write().unwrap_or_else(PoisonError::into_inner) = now.clone();
        Ok(now)
    }

    /// Reads the anchor with the key that the log is written with.
    pub(super) fn read_anchor(&self) -> std::io::Result<Anchor> {
        let held = self.keys();
        self.inner.anchor.read(&held.key, held.at)
    }

    /// Whether the log is written with the first of the keys given.
    pub fn has_present_audit_key(&self) -> bool {
        self.keys().at == 0
    }

    /// Writes the log with the first of the keys from now on: `entry` says so, with the former key, and names the new one;
    /// a second record, with the new one, seals what is before it. Gives the new end.
    ///
    /// # Errors
    /// When that is the key in use, this process's key is none of the log's, or the database fails.
    pub async fn rotate_audit_key(&self, entry: AuditEntry) -> Result<AuditHead, StoreError> {
        let mut tx = self.begin().await?;
        let held = self.keys_in(&mut tx).await?;
        if held.at == 0 {
            return Err(StoreError::SameAuditKey);
        }
        let next = held.key.fingerprint(0);
        let mut changed = AuditEntry { action: KEY_CHANGED.to_owned(), ..entry.clone() };
        changed.details.insert(NEXT_KEY.to_owned(), next.clone());
        let (_, before) = self.append_audit_in(&mut tx, changed).await?;
        let sound = self.continues(&mut tx, &before).await?;
        sqlx::query(WRITE).bind(&next).execute(&mut *tx).await?;
        let taken = AuditEntry { action: KEY_TAKEN.to_owned(), ..entry };
        let (head, _) = self.append_audit_in(&mut tx, taken).await?;
        tx.commit().await?;
        if sound {
            self.drop_anchor(&head);
        }
        Ok(head)
    }
}

/// Writes down which key a log that was just copied is written with.
#[cfg(feature = "bot")]
pub(super) async fn settle(tx: &mut WriteTransaction, held: &Held) -> Result<(), StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY seq DESC LIMIT 1")))
        .fetch_optional(&mut **tx)
        .await?;
    let last = row.and_then(|row| record_of(&row).ok());
    if let Some(at) = last.and_then(|last| held.key.of_record(&last)) {
        sqlx::query(WRITE).bind(held.key.fingerprint(at)).execute(&mut **tx).await?;
    }
    Ok(())
}
