//! Whether the server or a replica has so much to do that batches and migrations had better wait.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use super::session::MongodbSession;
use super::wire;
use crate::drivers::{DriverError, Limits};

/// How long a member that has everything may take to say so: the first write after a rest makes it look as far behind as the
/// rest was long.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

impl MongodbSession {
    /// Why to wait: too many operations at once, writes that the server itself holds up, or a replica that is too far behind.
    /// Without the right to look, or behind a router, nothing can be waited for.
    pub(super) async fn strained(&self, limits: &Limits) -> Result<Option<String>, DriverError> {
        let admin = self.db.client().database("admin");
        if !limits.any_load() {
            let ask = doc! { "serverStatus": 1, "repl": 0, "metrics": 0, "locks": 0, "network": 0, "tcmalloc": 0 };
            let status = wire::run(&admin, None, ask).await.unwrap_or_default();
            let why = load(&status).and_then(|percent| {
                limits.overloaded(
                    percent,
                    "the server's places for reads or writes are taken, those in the queue included",
                )
            });
            if why.is_some() {
                return Ok(why);
            }
            if holds_writes_up(&status) {
                return Ok(Some("the server holds writes up until a majority of its set has caught up".to_owned()));
            }
        }
        if limits.max_lag.is_none() || !self.has_transactions() {
            return Ok(None);
        }
        let mut why = None;
        for look in 0..2 {
            if look > 0 {
                tokio::time::sleep(ON_ITS_WAY).await;
            }
            let status = wire::run(&admin, None, doc! { "replSetGetStatus": 1 }).await.unwrap_or_default();
            why = limits.behind(lag(&status));
            if why.is_none() {
                break;
            }
        }
        Ok(why)
    }
}

/// How many operations run and wait, in percent of those that the storage may run at once.
fn load(status: &Document) -> Option<f64> {
    let number = |of: &Document, name: &str| wire::number(of.get(name)).map(|n| n as f64);
    let below = |name: &str, inner: &str| status.get_document(name).ok()?.get_document(inner).ok();
    // Servers from 8.0 on say it elsewhere.
    let places = below("wiredTiger", "concurrentTransactions").or_else(|| below("queues", "execution"))?;
    let queue = below("globalLock", "currentQueue");
    [("read", "readers"), ("write", "writers")]
        .into_iter()
        .filter_map(|(place, waiting)| {
            let place = places.get_document(place).ok()?;
            let all = number(place, "totalTickets").filter(|all| *all > 0.0)?;
            let waiting = queue.and_then(|q| number(q, waiting)).unwrap_or(0.0);
            Some(100.0 * (number(place, "out")? + waiting) / all)
        })
        .reduce(f64::max)
}

/// Whether flow control is at work: what a majority of the members has is too far behind what the primary has.
fn holds_writes_up(status: &Document) -> bool {
    let control = status.get_document("flowControl").ok();
    control.is_some_and(|c| c.get_bool("enabled").unwrap_or(false) && c.get_bool("isLagged").unwrap_or(false))
}

/// How far the slowest replica is behind the primary.
fn lag(status: &Document) -> Option<Duration> {
    let members: Vec<&Document> = status.get_array("members").ok()?.iter().filter_map(Bson::as_document).collect();
    let of = |state: i64| {
        members
            .iter()
            .filter(move |m| wire::number(m.get("state")) == Some(state))
            .filter_map(|m| m.get_datetime("optimeDate").ok().map(|t| t.timestamp_millis()))
    };
    let (primary, slowest) = (of(1).max()?, of(2).min()?);
    Some(Duration::from_millis(u64::try_from(primary - slowest).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;

    use super::*;

    #[test]
    fn s4_90_the_slowest_replica_counts() {
        let member = |state: i32, ms: i64| doc! { "state": state, "optimeDate": DateTime::from_millis(ms) };
        let status = doc! { "members": [member(1, 90_000), member(2, 89_000), member(2, 60_000), member(8, 0)] };
        assert_eq!(lag(&status), Some(Duration::from_secs(30)));
        assert_eq!(lag(&doc! { "members": [member(1, 90_000)] }), None);
    }

    #[test]
    fn what_waits_for_a_place_counts_like_what_has_one() {
        let places = |read: i32, write: i32| {
            doc! { "read": { "out": read, "available": 20 - read, "totalTickets": 20 },
            "write": { "out": write, "available": 20 - write, "totalTickets": 20 } }
        };
        let queue = doc! { "total": 12, "readers": 10, "writers": 2 };
        let six =
            doc! { "wiredTiger": { "concurrentTransactions": places(20, 1) }, "globalLock": { "currentQueue": queue } };
        assert_eq!(load(&six), Some(150.0));
        assert_eq!(load(&doc! { "queues": { "execution": places(1, 5) } }), Some(25.0));
        assert_eq!(load(&doc! { "ok": 1 }), None);
    }

    #[test]
    fn s4_90_flow_control_counts_where_it_is_on() {
        // As MongoDB 6.0 says it.
        let status = |enabled: bool, lagged: bool| {
            doc! { "flowControl": { "enabled": enabled, "targetRateLimit": 100, "timeAcquiringMicros": 41_i64,
            "locksPerKiloOp": 0.0, "sustainerRate": 0, "isLagged": lagged, "isLaggedCount": 1, "isLaggedTimeMicros": 9_i64 } }
        };
        assert!(holds_writes_up(&status(true, true)));
        assert!(!holds_writes_up(&status(true, false)) && !holds_writes_up(&status(false, true)));
        assert!(!holds_writes_up(&doc! { "ok": 1 }));
    }
}
