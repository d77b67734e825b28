//! Brings lost deliveries back: GitHub delivers nothing again by itself, but keeps a log of what failed.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};

use super::Bot;
use super::error::JobError;
use super::worker::chain;
use crate::github::Attempt;
use crate::ids::DeliveryId;

/// GitHub delivers again what is younger.
const KEPT: Duration = Duration::days(3);
/// The name under which the time of the last look is kept; most looks go back little further than that.
const LOOKED: &str = "delivery-log";
/// How much further at least.
const MARGIN: Duration = Duration::seconds(30);
/// Time between looks at the whole log.
const WHOLE_EVERY: Duration = Duration::hours(1);
/// Pages of one look at most.
const PAGES: usize = 50;
/// Deliveries asked for in one look at most; the next look goes on.
const AT_ONCE: usize = 200;
/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::hours(1);

impl Bot {
    /// Asks GitHub for the deliveries that failed and never arrived.
    ///
    /// # Errors
    /// When GitHub's log cannot be read, or the store fails.
    pub(super) async fn redeliver_lost(&self, now: DateTime<Utc>) -> Result<(), JobError> {
        let whole = self.store.take_pass("delivery-log", WHOLE_EVERY).await?;
        let began = Utc::now();
        let margin = (Duration::from_std(self.settings.sweep_interval).unwrap_or(KEPT) * 2).clamp(MARGIN, KEPT);
        let last = if whole { None } else { self.store.moment(LOOKED).await? };
        let since = last.map_or(now - KEPT, |last| (last - margin).max(now - KEPT));
        let mut log: Vec<Attempt> = Vec::new();
        let (mut cursor, mut complete) = (None, false);
        for _ in 0..PAGES {
            let (page, next) = self.github.attempts(cursor.as_deref()).await?;
            let ended = page.last().is_none_or(|oldest| oldest.delivered_at < since);
            log.extend(page);
            cursor = next;
            complete = ended || cursor.is_none();
            if complete {
                break;
            }
        }
        for lost in failed(&log, whole, now).into_iter().take(AT_ONCE) {
            // It may have arrived although GitHub heard no answer.
            let Ok(id) = DeliveryId::new(lost.guid.as_str()) else { continue };
            if self.store.knows_delivery(&id).await? {
                continue;
            }
            match self.github.deliver_again(lost.id).await {
                Ok(()) => tracing::info!(delivery = %id, "a delivery that failed is asked for again"),
                Err(error) => {
                    tracing::warn!(delivery = %id, error = chain(&error), "a lost delivery does not come again");
                }
            }
        }
        if complete {
            self.store.keep_moment(LOOKED, began).await?;
        }
        Ok(())
    }
}

/// The last attempt of each delivery that no attempt brought over, oldest first, once its time has come: attempts that go
/// on failing become rare. A log that does not go back to a delivery's first attempt does not tell how many there were:
/// that is left to the looks at the whole.
fn failed(log: &[Attempt], whole: bool, now: DateTime<Utc>) -> Vec<&Attempt> {
    let mut deliveries: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in log {
        deliveries.entry(&attempt.guid).or_default().push(attempt);
    }
    let mut lost: Vec<&Attempt> = deliveries
        .into_values()
        .filter(|attempts| !attempts.iter().any(|a| (200..300).contains(&a.status_code)))
        .filter(|attempts| whole || attempts.iter().any(|a| !a.redelivery))
        .filter_map(|attempts| {
            let last = attempts.iter().max_by_key(|a| (a.delivered_at, a.id))?;
            let wait = match u32::try_from(attempts.len()).unwrap_or(u32::MAX) {
                0 | 1 => Duration::zero(),
                many => Duration::minutes(1_i64 << many.min(7)).min(LONGEST_WAIT),
            };
            let young = last.delivered_at > now - KEPT;
            (young && last.delivered_at + wait <= now).then_some(*last)
        })
        .collect();
    lost.sort_by_key(|a| (a.delivered_at, a.id));
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: u64, guid: &str, minutes_ago: i64, status_code: i64) -> Attempt {
        let delivered_at = DateTime::UNIX_EPOCH + Duration::days(100) - Duration::minutes(minutes_ago);
        Attempt { id, guid: guid.into(), delivered_at, status_code, redelivery: false }
    }

    #[test]
    fn b9_what_never_arrived_is_asked_for_and_ever_more_rarely() {
        let now = DateTime::UNIX_EPOCH + Duration::days(100);
        let ids = |log: &[Attempt]| failed(log, true, now).iter().map(|a| a.id).collect::<Vec<_>>();
        assert_eq!(ids(&[attempt(1, "a", 0, 502), attempt(2, "b", 5, 503), attempt(3, "c", 1, 202)]), [2, 1]);
        // One attempt that arrived is enough, whenever that was.
        assert_eq!(ids(&[attempt(1, "a", 9, 502), attempt(2, "a", 5, 200), attempt(3, "a", 1, 500)]), [] as [u64; 0]);
        // Twice in vain: not at once again.
        let twice = |ago| [attempt(1, "a", ago + 9, 502), attempt(2, "a", ago, 502)];
        assert_eq!(ids(&twice(3)), [] as [u64; 0]);
        assert_eq!(ids(&twice(4)), [2]);
        let often: Vec<Attempt> = (0..20).map(|n| attempt(n, "a", 59 + 60 * (20 - n as i64), 502)).collect();
        assert_eq!(ids(&often), [19]);
        let many: Vec<Attempt> = (0..90).map(|n| attempt(n, "a", 59, 0)).collect();
        assert_eq!(ids(&many), [] as [u64; 0]);
        // Of one whose first attempts are not in sight, nobody knows how often it was tried.
        let late = [Attempt { redelivery: true, ..attempt(1, "a", 9, 502) }];
        assert_eq!((failed(&late, true, now).len(), failed(&late, false, now).len()), (1, 0));
        // GitHub has forgotten what is older.
        assert_eq!(ids(&[attempt(1, "a", 3 * 24 * 60 + 1, 502)]), [] as [u64; 0]);
    }
}
