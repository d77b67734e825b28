//! What GitHub asks of its callers besides patience: not too much at once, not too many writes a minute, and silence
//! while a limit is used up (going on may get an App banned).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::GithubError;

/// Requests of one installation under way at once; GitHub allows a hundred over all of them.
const AT_ONCE: usize = 20;
/// Writes that may follow each other at once; after them one a second.
const BURST: f64 = 20.0;

/// Through which every request of one installation goes.
pub(super) struct Gate {
    at_once: Semaphore,
    /// `None`: this server has no limit on writes (GitHub Enterprise Server, unless its owner wants one).
    writes: Option<Mutex<Bucket>>,
    /// Nothing is asked before.
    until: Mutex<Option<DateTime<Utc>>>,
}

impl Gate {
    /// An open one; `paced` where writes are counted.
    pub(super) fn new(paced: bool) -> Self {
        let bucket = || Mutex::new(Bucket { left: BURST, at: Instant::now() });
        Self { at_once: Semaphore::new(AT_ONCE), writes: paced.then(bucket), until: Mutex::new(None) }
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// While a limit is used up, without asking GitHub.
    pub(super) async fn enter(&self, writes: bool) -> Result<SemaphorePermit<'_>, GithubError> {
        if let (true, Some(bucket)) = (writes, &self.writes) {
            let wait = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
            tokio::time::sleep(wait).await;
        }
        let closed = || GithubError::Unusable("the way to GitHub is closed".to_owned());
        let permit = self.at_once.acquire().await.map_err(|_| closed())?;
        match *self.until.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(until) if until > Utc::now() => Err(GithubError::RateLimited { until }),
            Some(_) | None => Ok(permit),
        }
    }

    /// Takes note of what an answer says about the limit.
    pub(super) fn heard(&self, headers: &HeaderMap) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
        if number("x-ratelimit-remaining") == Some(0)
            && let Some(reset) = number("x-ratelimit-reset").and_then(|s| DateTime::from_timestamp(s, 0))
        {
            self.close_until(reset);
        }
    }

    /// Asks nothing before `until`, at most for an hour: a clock that is wrong must not close it for ever.
    pub(super) fn close_until(&self, until: DateTime<Utc>) {
        let until = until.min(Utc::now() + chrono::Duration::hours(1));
        let mut held = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |known| known.max(until)));
    }
}

/// Counts writes: a store of them that fills up by one a second.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// Takes one; gives how long to wait before it may be used.
    fn take(&mut self, now: Instant) -> Duration {
        self.left = (self.left + now.saturating_duration_since(self.at).as_secs_f64()).min(BURST) - 1.0;
        self.at = now;
        Duration::from_secs_f64((-self.left).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_eighty_writes_in_any_minute() {
        let start = Instant::now();
        let mut bucket = Bucket { left: BURST, at: start };
        // As fast as they come: when each of two hundred is let through, in seconds from the first.
        let at: Vec<f64> = (0..200).map(|_| bucket.take(start).as_secs_f64()).collect();
        assert_eq!(at[19], 0.0);
        for (i, first) in at.iter().enumerate() {
            let within = at[i..].iter().filter(|t| **t - first < 60.0).count();
            assert!(within <= 80, "{within} from {first} on");
        }
        // After a rest they may follow each other again.
        assert_eq!(bucket.take(start + Duration::from_secs(400)), Duration::ZERO);
    }

    #[tokio::test]
    async fn nothing_is_asked_while_a_limit_is_used_up() {
        let gate = Gate::new(false);
        let reset = Utc::now() + chrono::Duration::seconds(90);
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining", "0".parse().unwrap());
        headers.insert("x-ratelimit-reset", reset.timestamp().to_string().parse().unwrap());
        gate.heard(&headers);
        let refused = gate.enter(false).await.unwrap_err();
        assert_eq!(refused.retry_at().map(|t| t.timestamp()), Some(reset.timestamp()));
        headers.insert("x-ratelimit-remaining", "7".parse().unwrap());
        let open = Gate::new(false);
        open.heard(&headers);
        assert!(open.enter(true).await.is_ok());
    }
}
