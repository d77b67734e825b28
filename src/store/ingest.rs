//! Deliveries come in here. Concurrent ones share a transaction, so the disk is asked once for many.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use sqlx::{AnyPool, Row as _};
use tokio::sync::{mpsc, oneshot, watch};

use super::copy::places;
use super::replicas::{ahead, bump, wake_others};
use super::{Store, StoreError, StoreKind, WriteTransaction, millis, next_id};
use crate::github::Event;
use crate::ids::DeliveryId;

/// At most this many deliveries share a transaction; each has 6 and 3 values, far below what one statement may bind.
const BATCH: usize = 256;
/// Deliveries that may wait for the writer before callers are held back.
const WAITING: usize = 4096;

/// A delivery whose signature was found right.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// `X-GitHub-Delivery`.
    pub id: DeliveryId,
    /// `X-GitHub-Event`.
    pub name: String,
    /// What the payload says, reduced.
    pub event: Event,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingest {
    /// Stored; its work, if it has any, will be done. Also a redelivery whose work had been given up.
    New,
    /// Known already; its work is done or will be.
    Duplicate,
}

/// A delivery on its way to the writer.
#[derive(Debug)]
pub(super) struct Arrival {
    id: DeliveryId,
    name: String,
    key: Option<String>,
    event: String,
    at: i64,
    answer: oneshot::Sender<Result<Ingest, Arc<StoreError>>>,
}

/// What the writer needs besides the arrivals.
pub(super) struct Writer {
    pub(super) kind: StoreKind,
    pub(super) pool: AnyPool,
    pub(super) ids: Arc<Mutex<ulid::Generator>>,
    pub(super) changes: watch::Sender<u64>,
}

/// Starts the one task that writes deliveries; it ends when the last handle to the store is gone.
pub(super) fn start(writer: Writer) -> mpsc::Sender<Arrival> {
    let (send, mut arrivals) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH);
        // While one batch is being committed the next one gathers in the channel: nobody waits for a timer.
        while arrivals.recv_many(&mut batch, BATCH).await > 0 {
            let taken = std::mem::take(&mut batch);
            match writer.write(&taken).await {
                Ok(results) => {
                    bump(&writer.changes);
                    for (arrival, result) in taken.into_iter().zip(results) {
                        // A caller that went away has no use for the answer; the delivery is stored all the same.
                        let _ = arrival.answer.send(Ok(result));
                    }
                }
                Err(error) => {
                    let error = Arc::new(error);
                    for arrival in taken {
                        let _ = arrival.answer.send(Err(Arc::clone(&error)));
                    }
                }
            }
        }
    });
    send
}

impl Writer {
    async fn write(&self, batch: &[Arrival]) -> Result<Vec<Ingest>, StoreError> {
        let mut tx = self.pool.begin_with(self.kind.begin_writing()).await?;
        let ahead = ahead(self.kind, &mut *tx).await?;
        // In one order everywhere: two processes that get the same deliveries must not wait for each other in turn.
        let mut sorted: Vec<&Arrival> = batch.iter().collect();
        sorted.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let sql = format!(
            "INSERT INTO deliveries (id, event, received_at) VALUES {} ON CONFLICT (id) DO NOTHING RETURNING id",
            places(batch.len(), 3, "")
        );
        let mut insert = sqlx::query(sqlx::AssertSqlSafe(sql));
        for a in sorted {
            insert = insert.bind(a.id.as_str()).bind(a.name.as_str()).bind(a.at);
        }
        let rows = insert.fetch_all(&mut *tx).await?;
        let mut fresh = std::collections::HashSet::with_capacity(rows.len());
        for row in rows {
            fresh.insert(row.try_get::<String, _>(0)?);
        }
        // Taking an id out of the set makes the second of two equal ones in a batch a duplicate.
        let mut results: Vec<Ingest> =
            batch.iter().map(|a| if fresh.remove(a.id.as_str()) { Ingest::New } else { Ingest::Duplicate }).collect();

        let mut woken = false;
        let work: Vec<(&Arrival, &str, String)> = batch
            .iter()
            .zip(&results)
            .filter(|(_, result)| **result == Ingest::New)
            .filter_map(|(a, _)| a.key.as_deref().map(|key| (a, key, next_id(&self.ids))))
            .collect();
        if !work.is_empty() {
            let sql = format!(
                "INSERT INTO jobs (id, serial_key, delivery, event, created_at, due_at, state, attempts) VALUES {}",
                places(work.len(), 6, ", 'queued', 0")
            );
            let mut insert = sqlx::query(sqlx::AssertSqlSafe(sql));
            for (a, key, id) in work {
                insert =
                    insert.bind(id).bind(key).bind(a.id.as_str()).bind(a.event.as_str()).bind(a.at).bind(a.at + ahead);
            }
            insert.execute(&mut *tx).await?;
            woken = true;
        }
        // A redelivery asks for work that was given up to be tried again.
        for (arrival, result) in batch.iter().zip(&mut results) {
            if *result == Ingest::Duplicate && revive(&mut tx, &arrival.id, arrival.at + ahead).await? {
                *result = Ingest::New;
                woken = true;
            }
        }
        if woken {
            wake_others(self.kind, &mut tx).await?;
        }
        tx.commit().await?;
        Ok(results)
    }
}

/// Queues a dead job of a delivery again; `true` when there was one.
async fn revive(tx: &mut WriteTransaction, delivery: &DeliveryId, at: i64) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE jobs SET state = 'queued', attempts = 0, outages = 0, told = 0, due_at = $2, finished_at = NULL \
         WHERE delivery = $1 AND state = 'dead'",
    )
    .bind(delivery.as_str())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

impl Store {
    /// Stores a delivery and the work that follows from it, both or neither; they are on disk when this returns.
    ///
    /// # Errors
    /// When the database fails; then the delivery is not stored and GitHub should hear of it.
    pub async fn ingest(&self, delivery: NewDelivery) -> Result<Ingest, StoreError> {
        let (answer, result) = oneshot::channel();
        let arrival = Arrival {
            key: delivery.event.serial_key(),
            event: super::jobs::event_to_text(&delivery.event)?,
            id: delivery.id,
            name: delivery.name,
            at: millis(delivery.received_at),
            answer,
        };
        self.inner.arrivals.send(arrival).await.map_err(|_| StoreError::Stopped)?;
        result.await.map_err(|_| StoreError::Stopped)?.map_err(StoreError::Shared)
    }
}
