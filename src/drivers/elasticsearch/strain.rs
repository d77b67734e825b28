//! Whether the cluster has so much to do that copies and migrations had better wait. Replicas are written to before a write
//! is answered, so none is ever behind.

use serde_json::Value;

use super::session::ElasticsearchSession;
use super::wire::Wire;
use crate::drivers::{DriverError, Limits};

/// Documents in a second of a copy that is held up; it ends its batch and hardly begins another.
pub(super) const HELD: f64 = 1.0;

/// How long the master keeps a change waiting, in milliseconds, before its caller gets an error instead.
const GIVEN_UP_MS: f64 = 30_000.0;

/// What nodes said of their queues when they were asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Queues {
    /// The fullest queue, in percent.
    full: f64,
    /// What was refused for want of a place since the nodes were started.
    refused: u64,
}

impl Queues {
    /// From the table of thread pools.
    fn of(pools: &Value) -> Self {
        let number = |pool: &Value, name: &str| pool[name].as_str().and_then(|n| n.parse::<f64>().ok());
        let mut out = Self::default();
        for pool in pools.as_array().into_iter().flatten() {
            // A queue without an end is never full.
            if let (Some(waiting), Some(most)) =
                (number(pool, "queue"), number(pool, "queue_size").filter(|m| *m > 0.0))
            {
                out.full = out.full.max(100.0 * waiting / most);
            }
            out.refused += pool["rejected"].as_str().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        out
    }
}

async fn ask(wire: &Wire) -> Result<Option<Queues>, DriverError> {
    let answer = wire.get("_cat/thread_pool/write,search?format=json&h=name,queue,queue_size,rejected").await?;
    // Only some users may ask.
    Ok(answer.is_ok().then(|| Queues::of(&answer.body)))
}

/// How long the oldest of the changes that wait for the master has waited, in percent of the time after which whoever asked
/// for it is told that it was not done.
fn waiting(health: &Value) -> f64 {
    health["task_max_waiting_in_queue_millis"].as_f64().unwrap_or(0.0) / GIVEN_UP_MS * 100.0
}

impl ElasticsearchSession {
    /// Why to wait: queues of writes or searches that are nearly full, or that refused some since the last look; changes of
    /// indices, mappings and aliases that the master does not get to.
    pub(super) async fn strained(&mut self, limits: &Limits) -> Result<Option<String>, DriverError> {
        if limits.any_load() {
            return Ok(None);
        }
        let Some(now) = ask(&self.wire).await? else { return Ok(None) };
        let before = self.queues.replace(now);
        let refused = before.map_or(0, |before| now.refused.saturating_sub(before.refused));
        if let Some(full) = limits.overloaded(now.full, "a node's queue of writes or searches is full") {
            return Ok(Some(full));
        }
        if refused > 0 {
            return Ok(Some(format!("the cluster has just refused {refused} requests for want of a place")));
        }
        let health = self.wire.get("_cluster/health?filter_path=task_max_waiting_in_queue_millis").await?;
        Ok(limits.overloaded(
            waiting(&health.body),
            "the time after which the cluster's master gives waiting changes up has passed",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fullest_queue_counts() {
        let pool = |queue: &str, size: &str, rejected: &str| json!({"name": "write", "queue": queue, "queue_size": size, "rejected": rejected});
        let pools = json!([pool("0", "1000", "2"), pool("150", "200", "1"), pool("9", "-1", "0")]);
        assert_eq!(Queues::of(&pools), Queues { full: 75.0, refused: 3 });
        assert_eq!(Queues::of(&json!({})), Queues::default());
    }

    #[test]
    fn s4_90_the_oldest_change_that_waits_for_the_master_counts() {
        assert_eq!(waiting(&json!({"task_max_waiting_in_queue_millis": 15_000})), 50.0);
        assert_eq!(waiting(&json!({"task_max_waiting_in_queue_millis": 0})), 0.0);
        assert_eq!(waiting(&json!({"error": {"type": "security_exception"}})), 0.0, "not everybody may ask");
    }
}
