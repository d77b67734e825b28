//! Named points at which a test kills the program: `GODWIT_FAILPOINT=<name>:kill[:<n>]` ends the process at the n-th
//! (default: first) time it comes to that point. Without the variable nothing happens.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Name of the variable.
pub const VARIABLE: &str = "GODWIT_FAILPOINT";

/// Every point, in the order in which a run comes to them.
pub const NAMES: [&str; 10] = [
    "lock_post",
    "intent_pre",
    "intent_post",
    "stmt_sent",
    "stmt_acked",
    "commit_sent",
    "commit_acked",
    "record_pre",
    "record_post",
    "unlock_pre",
];

/// The bot's own points around each environment's run, in order: before it, after it, once its end is in the audit log,
/// once the environment is recorded, once people were told.
pub const OF_THE_BOT: [&str; 5] = ["run_pre", "run_post", "end_audited", "end_recorded", "end_told"];

struct Armed {
    name: String,
    nth: u32,
    seen: AtomicU32,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let value = std::env::var(VARIABLE).ok()?;
            let mut parts = value.split(':');
            let name = parts.next()?.to_owned();
            (parts.next() == Some("kill")).then_some(())?;
            let nth = parts.next().map_or(Some(1), |n| n.parse().ok())?;
            Some(Armed { name, nth, seen: AtomicU32::new(0) })
        })
        .as_ref()
}

/// Whether this time is the one at which the process ends at `name`.
fn is_due(name: &str) -> bool {
    armed().is_some_and(|a| a.name == name && a.seen.fetch_add(1, Ordering::Relaxed) + 1 == a.nth)
}

/// Ends the process here if the variable says so: no destructor runs, no connection is closed in order.
pub fn hit(name: &'static str) {
    if is_due(name) {
        std::process::abort();
    }
}

/// Whether the process is to end once what comes next has been sent; the caller sends, then calls [`die`].
pub fn is_due_after_sending(names: &[&'static str]) -> bool {
    names.iter().any(|n| is_due(n))
}

/// Ends the process.
pub fn die() -> ! {
    std::process::abort()
}
