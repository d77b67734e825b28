//! The processes that serve one store: who they are, how they hear of each other's work, and who may still write.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use tokio::sync::watch;

use super::{Claim, Store, StoreError, StoreKind, WriteTransaction, millis, time_of};

/// The channel on which processes tell each other of work.
const CHANNEL: &str = "godwit_jobs";
/// Wait before listening is tried again.
#[cfg(feature = "postgres")]
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// How long a process that is gone without a word is remembered: its region keeps its work that long.
const REMEMBERED: chrono::TimeDelta = chrono::TimeDelta::days(7);

/// A process that serves the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its id, new at each start.
    pub id: String,
    /// `all`, `web` or `worker`.
    pub role: String,
    /// The region whose targets it works on.
    pub region: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it last said that it lives.
    pub seen_at: DateTime<Utc>,
}

/// A claim that every transaction must still hold.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    key: String,
    token: String,
}

impl Fence {
    /// Refuses a writer whose claim somebody else has by now.
    pub(super) async fn check(&self, tx: &mut WriteTransaction) -> Result<(), StoreError> {
        let held: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM jobs WHERE state = 'running' AND serial_key = $1 AND claim = $2")
                .bind(&self.key)
                .bind(&self.token)
                .fetch_one(&mut **tx)
                .await?;
        if held == 0 { Err(StoreError::LostClaim) } else { Ok(()) }
    }
}

/// The clock of a store on a server, in milliseconds.
const SERVERS_CLOCK: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// How far the clock of a store is ahead of this machine's, in milliseconds. Less than a second is no difference: the way
/// there and back takes some of it, and two looks shall find the same.
pub(super) async fn ahead<'e>(
    kind: StoreKind,
    connection: impl sqlx::Executor<'e, Database = sqlx::Any>,
) -> Result<i64, StoreError> {
    match kind {
        StoreKind::Sqlite => Ok(0),
        StoreKind::Postgres => {
            let theirs: i64 = sqlx::query_scalar(SERVERS_CLOCK).fetch_one(connection).await?;
            let ahead = theirs - millis(Utc::now());
            // Rounded down: what is due now must not wait for a second that has only just begun.
            Ok(if ahead.abs() < 1000 { 0 } else { ahead.div_euclid(1000) * 1000 })
        }
    }
}

impl Store {
    /// The same store for the work of a claim: once the claim is lost, nothing more can be written through it.
    #[must_use]
    pub fn under(&self, claim: &Claim) -> Self {
        let fence = Fence { key: claim.key.clone(), token: claim.token().to_owned() };
        Self { inner: self.inner.clone(), fence: Some(fence) }
    }

    /// The time that leases are measured by, in milliseconds: one clock for all replicas, whatever theirs say.
    pub(super) async fn clock(&self, tx: &mut WriteTransaction) -> Result<i64, StoreError> {
        match self.kind() {
            StoreKind::Sqlite => Ok(millis(Utc::now())),
            StoreKind::Postgres => Ok(sqlx::query_scalar(SERVERS_CLOCK).fetch_one(&mut **tx).await?),
        }
    }

    /// A time of this machine's clock, by the one that claims are made by: who is to wait a minute waits a minute, whatever
    /// the clocks of the replicas say.
    pub(super) async fn by_its_clock(&self, at: DateTime<Utc>) -> Result<i64, StoreError> {
        Ok(millis(at).saturating_add(ahead(self.kind(), self.reader()).await?))
    }

    /// A time of the store's clock, by this machine's.
    pub(super) async fn by_our_clock(&self, at: i64) -> Result<i64, StoreError> {
        Ok(at.saturating_sub(ahead(self.kind(), self.reader()).await?))
    }

    /// Says that a process serves the store, or still does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn join(&self, id: &str, role: &str, region: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let now = self.clock(&mut tx).await?;
        sqlx::query(
            "INSERT INTO replicas (id, role, region, started_at, seen_at) VALUES ($1, $2, $3, $4, $4) \
             ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .bind(id)
        .bind(role)
        .bind(region.unwrap_or(""))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM replicas WHERE seen_at < $1")
            .bind(now - REMEMBERED.num_milliseconds())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Says that a process serves the store no more. A region's last worker stays known: its work waits for the next.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leave(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM replicas WHERE id = $1 AND region = ''").bind(id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// The processes that said they live within `lately`, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replicas(&self, lately: Duration) -> Result<Vec<Replica>, StoreError> {
        let lately = i64::try_from(lately.as_millis()).unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "SELECT id, role, region, started_at, seen_at FROM replicas \
             WHERE seen_at >= (SELECT MAX(seen_at) FROM replicas) - $1 ORDER BY id",
        )
        .bind(lately)
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let region: String = row.try_get(2)?;
                Ok(Replica {
                    id: row.try_get(0)?,
                    role: row.try_get(1)?,
                    region: (!region.is_empty()).then_some(region),
                    started_at: time_of(row.try_get(3)?)?,
                    seen_at: time_of(row.try_get(4)?)?,
                })
            })
            .collect()
    }

    /// The regions that have workers of their own, alive or not: their targets are left to them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn served_regions(&self) -> Result<BTreeSet<String>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar("SELECT DISTINCT region FROM replicas WHERE region <> ''")
            .fetch_all(self.reader())
            .await?;
        Ok(names.into_iter().collect())
    }

    /// Whether this process is the one that does something now which one does every `pause`; taken when it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_pass(&self, what: &str, pause: chrono::Duration) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let now = self.clock(&mut tx).await?;
        let name = format!("pass:{what}");
        let last: Option<String> =
            sqlx::query_scalar("SELECT value FROM facts WHERE name = $1").bind(&name).fetch_optional(&mut *tx).await?;
        let since = last.and_then(|at| at.parse::<i64>().ok()).map_or(i64::MAX, |at| now.saturating_sub(at));
        // A clock that was set back does not keep everybody waiting.
        if (0..pause.num_milliseconds()).contains(&since) {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(&name)
        .bind(now.to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// When something was last done; `None` when it never was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn moment(&self, what: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<String> = sqlx::query_scalar("SELECT value FROM facts WHERE name = $1")
            .bind(format!("moment:{what}"))
            .fetch_optional(self.reader())
            .await?;
        at.and_then(|at| at.parse().ok()).map(time_of).transpose()
    }

    /// Remembers when something was last done.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_moment(&self, what: &str, at: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(format!("moment:{what}"))
        .bind(millis(at).to_string())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Tells when jobs were added or given back, by this process, or by any on PostgreSQL: await `changed()`, then claim.
    /// A word may be lost, and processes that share a file do not hear each other: claim by interval too.
    pub fn job_changes(&self) -> watch::Receiver<u64> {
        let changes = self.inner.changes.subscribe();
        #[cfg(feature = "postgres")]
        if let Some(url) = &self.inner.listen_at
            && !self.inner.listening.swap(true, std::sync::atomic::Ordering::SeqCst)
        {
            tokio::spawn(listen(url.clone(), self.inner.changes.clone()));
        }
        changes
    }

    /// Wakes this process's workers.
    pub(super) fn announce(&self) {
        bump(&self.inner.changes);
    }
}

/// Wakes the workers of a process.
pub(super) fn bump(changes: &watch::Sender<u64>) {
    changes.send_modify(|n| *n = n.wrapping_add(1));
}

/// Wakes the workers of every process when the transaction is committed.
pub(super) async fn wake_others(kind: StoreKind, tx: &mut WriteTransaction) -> Result<(), StoreError> {
    if kind == StoreKind::Postgres {
        sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Listens until nobody wants to hear any more.
#[cfg(feature = "postgres")]
async fn listen(url: String, changes: watch::Sender<u64>) {
    use sqlx::postgres::PgListener;
    let heard = async {
        loop {
            let listening = async {
                let mut listener = PgListener::connect(&url).await?;
                listener.listen(CHANNEL).await?;
                // What was told before anybody listened.
                bump(&changes);
                loop {
                    listener.recv().await?;
                    bump(&changes);
                }
            };
            let Err(error): Result<std::convert::Infallible, sqlx::Error> = listening.await;
            let error = crate::redact::text(&error.to_string());
            tracing::warn!(error, "other replicas are not heard; looking by interval");
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    };
    tokio::select! {
        () = heard => {}
        () = changes.closed() => {}
    }
}
