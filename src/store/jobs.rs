//! Work to be done later, one key at a time, until it is done or given up.
//!
//! When work is due and how long a claim lasts is told by the store's clock, whatever those of its replicas say.
//! A claim is a lease: it lapses when its worker stops beating, and whoever lost it cannot finish the work any more.
//! A job may therefore run twice; what it does must be safe to repeat.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::replicas::wake_others;
use super::{Store, StoreError, millis, time_of};
use crate::github::Event;
use crate::ids::DeliveryId;
use crate::redact;

/// A job that was begun this often is given up; a crash counts too, so a job that kills its worker cannot do so for ever.
pub const MAX_ATTEMPTS: u32 = 10;
/// Jobs in one claim at most.
const CLAIM: i64 = 100;
/// What is due within this time need not be queued once more.
const SOON: chrono::TimeDelta = chrono::TimeDelta::seconds(15);
/// The first wait between attempts; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// After so many attempts in an outage the waits grow no further: five minutes later at the latest it is tried again.
const OUTAGE_DOUBLINGS: u32 = 8;

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id, a ULID.
    pub id: String,
    /// What arrived.
    pub event: Event,
    /// The delivery it came from; the correlation id of everything that follows.
    pub delivery: Option<DeliveryId>,
    /// Which attempt this is, from 1; those that an outage ended are among them.
    pub attempt: u32,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}

/// Every due job of one key, held by one worker until the lease lapses.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The key; nobody else works on it meanwhile.
    pub key: String,
    /// The jobs, oldest first.
    pub jobs: Vec<Job>,
    token: String,
    lease: Duration,
}

/// A job that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
    /// The delivery it came from.
    pub delivery: Option<DeliveryId>,
    /// What went wrong last.
    pub error: String,
    /// When it was given up.
    pub at: DateTime<Utc>,
}

/// How much work there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueState {
    /// Waiting, due or not.
    pub queued: i64,
    /// Being worked on.
    pub running: i64,
    /// Given up.
    pub dead: i64,
    /// When the oldest open job was stored.
    pub oldest: Option<DateTime<Utc>>,
    /// When the oldest claim was made.
    pub oldest_claim: Option<DateTime<Utc>>,
}

/// How long to wait after an attempt: doubling, bounded, and spread over the upper half so that jobs which failed
/// together do not come back together. `spread` lies in `0.0..1.0`.
pub fn wait_after(attempt: u32, spread: f64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_WAIT).mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0)
}

/// When a job that failed in its `attempt` should be tried again.
pub fn next_attempt(attempt: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    // The standard library's hasher is seeded by chance, which is all the spread has to be.
    let chance = std::hash::RandomState::new().build_hasher().finish();
    now + wait_after(attempt, (chance >> 11) as f64 / (1_u64 << 53) as f64)
}

/// When a job should be tried again whose `attempt` failed because somebody did not answer.
pub fn after_outage(attempt: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    next_attempt(attempt.min(OUTAGE_DOUBLINGS), now)
}

impl Claim {
    /// How long the lease lasts from the last heartbeat; beat at a third of it.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// What says that the work is this claim's.
    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

impl Store {
    /// Stores work that did not come by a delivery of its own, such as what the sweep found.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue(&self, key: &str, event: &Event, correlation: Option<&DeliveryId>) -> Result<(), StoreError> {
        self.enqueue_at(key, event, correlation, Utc::now()).await
    }

    /// The same, not before `due`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue_at(
        &self,
        key: &str,
        event: &Event,
        correlation: Option<&DeliveryId>,
        due: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.enqueue_in(None, key, event, correlation, due).await
    }

    /// The same for the workers of one region.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue_in(
        &self,
        region: Option<&str>,
        key: &str,
        event: &Event,
        correlation: Option<&DeliveryId>,
        due: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let text = event_to_text(event)?;
        let (now, due) = (millis(Utc::now()), self.by_its_clock(due).await?);
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO jobs (id, serial_key, delivery, event, state, attempts, created_at, due_at, region) \
             VALUES ($1, $2, $3, $4, 'queued', 0, $5, $6, $7)",
        )
        .bind(self.next_id())
        .bind(key)
        .bind(correlation.map(DeliveryId::as_str))
        .bind(text)
        .bind(now)
        .bind(due)
        .bind(region.unwrap_or(""))
        .execute(&mut *tx)
        .await?;
        wake_others(self.kind(), &mut tx).await?;
        tx.commit().await?;
        self.announce();
        Ok(())
    }

    /// Whether the very same work waits for the workers of a region, to be done soon.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_queued_in(&self, region: Option<&str>, event: &Event) -> Result<bool, StoreError> {
        self.is_queued(region, event, Utc::now() + SOON).await
    }

    /// Whether the very same work waits for workers of no region, and is due at `until` at the latest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_queued_until(&self, event: &Event, until: DateTime<Utc>) -> Result<bool, StoreError> {
        self.is_queued(None, event, until).await
    }

    async fn is_queued(&self, region: Option<&str>, event: &Event, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let Some(key) = event.serial_key() else { return Ok(false) };
        let known: Option<(i64,)> = sqlx::query_as(
            "SELECT due_at FROM jobs WHERE state = 'queued' AND serial_key = $1 AND region = $2 AND event = $3 \
             AND due_at <= $4 LIMIT 1",
        )
        .bind(key)
        .bind(region.unwrap_or(""))
        .bind(event_to_text(event)?)
        .bind(self.by_its_clock(until).await?)
        .fetch_optional(self.reader())
        .await?;
        Ok(known.is_some())
    }

    /// Takes every due job of one key, oldest first, for `lease`; `None` when nothing is due. Keys that somebody else
    /// holds are passed over. Leases that lapsed come back first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(&self, worker: &str, lease: Duration) -> Result<Option<Claim>, StoreError> {
        self.claim_in(None, worker, lease).await
    }

    /// The same of the work of one region.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_in(
        &self,
        region: Option<&str>,
        worker: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let region = region.unwrap_or("");
        let mut tx = self.begin().await?;
        let now = self.clock(&mut tx).await?;
        let until = now.saturating_add(length_of(lease));
        sqlx::query(
            "UPDATE jobs SET state = CASE WHEN attempts >= $2 THEN 'dead' ELSE 'queued' END, \
                 finished_at = CASE WHEN attempts >= $2 THEN $1 ELSE NULL END, claim = NULL, worker = NULL, \
                 lease_until = NULL, error = 'the worker vanished in the middle of it' \
             WHERE state = 'running' AND lease_until <= $1",
        )
        .bind(now)
        .bind(i64::from(MAX_ATTEMPTS))
        .execute(&mut *tx)
        .await?;
        let key: Option<String> = sqlx::query_scalar(
            "SELECT q.serial_key FROM jobs q WHERE q.state = 'queued' AND q.due_at <= $1 AND q.region = $2 AND NOT EXISTS \
                 (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.serial_key = q.serial_key) \
             ORDER BY q.id LIMIT 1",
        )
        .bind(now)
        .bind(region)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(key) = key else {
            tx.commit().await?;
            return Ok(None);
        };
        let token = self.next_id();
        let rows = sqlx::query(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, claim = $1, worker = $2, lease_until = $3, claimed_at = $5 \
             WHERE id IN (SELECT id FROM jobs WHERE state = 'queued' AND serial_key = $4 AND due_at <= $5 AND region = $7 \
                          ORDER BY id LIMIT $6) \
             RETURNING id, event, delivery, attempts + outages, created_at",
        )
        .bind(&token)
        .bind(worker)
        .bind(until)
        .bind(&key)
        .bind(now)
        .bind(CLAIM)
        .bind(region)
        .fetch_all(&mut *tx)
        .await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            match job_of(row) {
                Ok(job) => jobs.push(job),
                // Written by another version: set aside where people see it, rather than failing every claim.
                Err(error) => {
                    let id: String = row.try_get(0)?;
                    tracing::error!(job = %id, %error, "a stored job cannot be read and was given up");
                    sqlx::query("UPDATE jobs SET state = 'dead', finished_at = $2, error = $3, told = 1 WHERE id = $1")
                        .bind(id)
                        .bind(now)
                        .bind(error.to_string())
                        .execute(&mut *tx)
                        .await?;
                }
            }
        }
        tx.commit().await?;
        jobs.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Some(Claim { key, jobs, token, lease }))
    }

    /// Keeps the claim for another lease.
    ///
    /// # Errors
    /// [`StoreError::LostClaim`] when it had lapsed and its jobs are somebody else's; stop then.
    pub async fn heartbeat(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let until = self.clock(&mut tx).await?.saturating_add(length_of(claim.lease));
        let done = sqlx::query("UPDATE jobs SET lease_until = $2 WHERE claim = $1 AND state = 'running'")
            .bind(&claim.token)
            .bind(until)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        if done.rows_affected() == 0 { Err(StoreError::LostClaim) } else { Ok(()) }
    }

    /// Says that one job of the claim is done; the others stay claimed.
    ///
    /// # Errors
    /// [`StoreError::LostClaim`] when the lease had lapsed.
    pub async fn complete_job(&self, claim: &Claim, job: &Job) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE jobs SET state = 'done', finished_at = $3, lease_until = NULL, error = NULL \
             WHERE claim = $1 AND id = $2 AND state = 'running'",
        )
        .bind(&claim.token)
        .bind(&job.id)
        .bind(millis(Utc::now()))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if done.rows_affected() == 0 { Err(StoreError::LostClaim) } else { Ok(()) }
    }

    /// Says that every job of the claim that is still open is done.
    ///
    /// # Errors
    /// [`StoreError::LostClaim`] when the lease had lapsed: the jobs run again.
    pub async fn complete(&self, claim: &Claim) -> Result<(), StoreError> {
        self.finish(
            claim,
            "UPDATE jobs SET state = 'done', finished_at = $2, lease_until = NULL, error = NULL \
             WHERE claim = $1 AND state = 'running'",
            None,
        )
        .await
    }

    /// Closes every job of the claim that is still open, undone, because there is nobody any more to do it for.
    ///
    /// # Errors
    /// [`StoreError::LostClaim`] when the lease had lapsed.
    pub async fn close_undone(&self, claim: &Claim, reason: &str) -> Result<(), StoreError> {
        self.finish(
            claim,
            "UPDATE jobs SET state = 'done', finished_at = $2, lease_until = NULL, error = $3 \
             WHERE claim = $1 AND state = 'running'",
            Some(reason),
        )
        .await
    }

    /// Gives every job of the claim that is still open up, because trying again cannot help.
    ///
    /// # Errors
    /// [`StoreError::LostClaim`] when the lease had lapsed.
    pub async fn give_up(&self, claim: &Claim, error: &str) -> Result<(), StoreError> {
        self.finish(
            claim,
            "UPDATE jobs SET state = 'dead', finished_at = $2, lease_until = NULL, error = $3 \
             WHERE claim = $1 AND state = 'running'",
            Some(error),
        )
        .await
    }

    async fn finish(&self, claim: &Claim, sql: &'static str, error: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut query = sqlx::query(sql).bind(&claim.token).bind(millis(Utc::now()));
        if let Some(error) = error {
            query = query.bind(redact::text(error));
        }
        let done = query.execute(&mut *tx).await?;
        let mut lost = false;
        if done.rows_affected() == 0 {
            // None is open any more: right when each was completed before, and a job that was keeps its claim.
            for job in &claim.jobs {
                let holder: Option<Option<String>> = sqlx::query_scalar("SELECT claim FROM jobs WHERE id = $1")
                    .bind(&job.id)
                    .fetch_optional(&mut *tx)
                    .await?;
                lost |= holder.flatten().as_ref() != Some(&claim.token);
            }
        }
        wake_others(self.kind(), &mut tx).await?;
        tx.commit().await?;
        self.announce();
        if lost { Err(StoreError::LostClaim) } else { Ok(()) }
    }

    /// Puts every job of the claim that is still open back until `at`, or gives it up after [`MAX_ATTEMPTS`]; gives the ids
    /// of those that were given up.
    ///
    /// # Errors
    /// [`StoreError::LostClaim`] when the lease had lapsed.
    pub async fn retry(&self, claim: &Claim, error: &str, at: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
        let due = self.by_its_clock(at).await?;
        let mut tx = self.begin().await?;
        let rows: Vec<(String, String)> = sqlx::query_as(
            "UPDATE jobs SET state = CASE WHEN attempts >= $2 THEN 'dead' ELSE 'queued' END, \
                 finished_at = CASE WHEN attempts >= $2 THEN $3 ELSE NULL END, \
                 due_at = $4, error = $5, claim = NULL, worker = NULL, lease_until = NULL \
             WHERE claim = $1 AND state = 'running' RETURNING id, state",
        )
        .bind(&claim.token)
        .bind(i64::from(MAX_ATTEMPTS))
        .bind(millis(Utc::now()))
        .bind(due)
        .bind(redact::text(error))
        .fetch_all(&mut *tx)
        .await?;
        wake_others(self.kind(), &mut tx).await?;
        tx.commit().await?;
        self.announce();
        if rows.is_empty() {
            return Err(StoreError::LostClaim);
        }
        Ok(rows.into_iter().filter(|(_, state)| state == "dead").map(|(id, _)| id).collect())
    }

    /// Puts every job of the claim that is still open back until `at` because somebody did not answer; the attempt does
    /// not count.
    ///
    /// # Errors
    /// [`StoreError::LostClaim`] when the lease had lapsed.
    pub async fn postpone(&self, claim: &Claim, error: &str, at: DateTime<Utc>) -> Result<(), StoreError> {
        let due = self.by_its_clock(at).await?;
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE jobs SET state = 'queued', attempts = attempts - 1, outages = outages + 1, due_at = $2, error = $3, \
                 claim = NULL, worker = NULL, lease_until = NULL \
             WHERE claim = $1 AND state = 'running'",
        )
        .bind(&claim.token)
        .bind(due)
        .bind(redact::text(error))
        .execute(&mut *tx)
        .await?;
        wake_others(self.kind(), &mut tx).await?;
        tx.commit().await?;
        self.announce();
        if done.rows_affected() == 0 { Err(StoreError::LostClaim) } else { Ok(()) }
    }

    /// Jobs that were given up before `before` and that nobody was told of, oldest first, at most 100. What this version
    /// cannot read is nobody's to tell.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn untold(&self, before: DateTime<Utc>) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, event, delivery, attempts + outages, created_at FROM jobs \
             WHERE state = 'dead' AND told = 0 AND finished_at <= $1 ORDER BY id LIMIT 100",
        )
        .bind(millis(before))
        .fetch_all(self.reader())
        .await?;
        Ok(rows.iter().filter_map(|row| job_of(row).ok()).collect())
    }

    /// Remembers that people were told that a job was given up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_told(&self, job: &Job) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE jobs SET told = 1 WHERE id = $1").bind(&job.id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Whether nothing is queued (due or not) and nothing is being worked on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_idle(&self) -> Result<bool, StoreError> {
        let state = self.queue().await?;
        Ok(state.queued == 0 && state.running == 0)
    }

    /// How much work there is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue(&self) -> Result<QueueState, StoreError> {
        // One small query per index: counting by groups over the whole table would read its history.
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM jobs WHERE state = 'queued'), \
                    (SELECT COUNT(*) FROM jobs WHERE state = 'running'), \
                    (SELECT COUNT(*) FROM jobs WHERE state = 'dead'), \
                    (SELECT created_at FROM jobs WHERE state = 'queued' ORDER BY id LIMIT 1), \
                    (SELECT MIN(created_at) FROM jobs WHERE state = 'running'), \
                    (SELECT MIN(claimed_at) FROM jobs WHERE state = 'running')",
        )
        .fetch_one(self.reader())
        .await?;
        let queued: Option<i64> = row.try_get(3)?;
        let running: Option<i64> = row.try_get(4)?;
        let claimed: Option<i64> = row.try_get(5)?;
        Ok(QueueState {
            queued: row.try_get(0)?,
            running: row.try_get(1)?,
            dead: row.try_get(2)?,
            oldest: [queued, running].into_iter().flatten().min().map(time_of).transpose()?,
            oldest_claim: claimed.map(time_of).transpose()?,
        })
    }

    /// When, by this machine's clock, the next job can be claimed: a queued one is due, or a lease lapses; `None` when there is none. What waits
    /// behind a held key is told of when the key is free.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.next_due_in(None).await
    }

    /// The same of the work of one region.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due_in(&self, region: Option<&str>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT MIN(q.due_at) FROM jobs q WHERE q.state = 'queued' AND q.region = $1 AND NOT EXISTS \
                         (SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.serial_key = q.serial_key)), \
                    (SELECT MIN(lease_until) FROM jobs WHERE state = 'running')",
        )
        .bind(region.unwrap_or(""))
        .fetch_one(self.reader())
        .await?;
        let (due, lapses): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        match due.into_iter().chain(lapses).min() {
            Some(at) => Ok(Some(time_of(self.by_our_clock(at).await?)?)),
            None => Ok(None),
        }
    }

    /// The jobs that were given up, newest first, at most 100.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dead_jobs(&self) -> Result<Vec<DeadJob>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, serial_key, delivery, error, finished_at FROM jobs WHERE state = 'dead' ORDER BY id DESC LIMIT 100",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DeadJob {
                    id: row.try_get(0)?,
                    key: row.try_get(1)?,
                    delivery: delivery_of(row.try_get(2)?)?,
                    error: row.try_get::<Option<String>, _>(3)?.unwrap_or_default(),
                    at: time_of(row.try_get::<Option<i64>, _>(4)?.unwrap_or_default())?,
                })
            })
            .collect()
    }

    /// Whether this delivery is stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows_delivery(&self, id: &DeliveryId) -> Result<bool, StoreError> {
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM deliveries WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await?;
        Ok(known.is_some())
    }

    /// Forgets deliveries older than `before` with their finished work; gives how many. Comments people wrote go with
    /// them. What is open or was given up stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_deliveries(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let before = millis(before);
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM jobs WHERE state = 'done' AND created_at < $1").bind(before).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM answered WHERE at < $1").bind(before).execute(&mut *tx).await?;
        let done = sqlx::query(
            "DELETE FROM deliveries WHERE received_at < $1 AND id NOT IN \
                 (SELECT delivery FROM jobs WHERE delivery IS NOT NULL)",
        )
        .bind(before)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

/// A lease in milliseconds.
fn length_of(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}

/// An event as it is stored.
pub(super) fn event_to_text(event: &Event) -> Result<String, StoreError> {
    serde_json::to_string(event).map_err(|e| StoreError::Value { what: "an event", value: e.to_string() })
}

fn job_of(row: &AnyRow) -> Result<Job, StoreError> {
    let event: String = row.try_get(1)?;
    Ok(Job {
        id: row.try_get(0)?,
        event: serde_json::from_str(&event)
            .map_err(|e| StoreError::Value { what: "an event", value: e.to_string() })?,
        delivery: delivery_of(row.try_get(2)?)?,
        attempt: u32::try_from(row.try_get::<i64, _>(3)?).unwrap_or(u32::MAX),
        created_at: time_of(row.try_get(4)?)?,
    })
}

fn delivery_of(text: Option<String>) -> Result<Option<DeliveryId>, StoreError> {
    text.map(|id| DeliveryId::new(id).map_err(|e| StoreError::Value { what: e.what, value: e.value })).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        for attempt in 1..40 {
            let (low, high) = (wait_after(attempt, 0.0), wait_after(attempt, 1.0));
            assert!(low * 2 == high && high <= LONGEST_WAIT, "{attempt}: {low:?} {high:?}");
            assert!(wait_after(attempt + 1, 0.5) >= wait_after(attempt, 0.5));
        }
        assert_eq!(wait_after(1, 1.0), FIRST_WAIT);
        assert_eq!(wait_after(u32::MAX, 1.0), LONGEST_WAIT);
    }

    #[test]
    fn the_next_attempt_lies_ahead() {
        let now = Utc::now();
        for attempt in 1..12 {
            let wait = (next_attempt(attempt, now) - now).to_std().unwrap();
            assert!(wait >= wait_after(attempt, 0.0) && wait <= wait_after(attempt, 1.0));
        }
    }
}
