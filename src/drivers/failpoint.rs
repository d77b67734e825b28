//! Named points at which a test kills the program: `GODWIT_FAILPOINT=<name>:kill[:<n>]` ends the process at the n-th
//! (default: first) time it comes to that point. `<name>:wait:<n>:<file>` makes the file there and goes on once somebody
//! has removed it, so that a test can cut connections, stop the process or end the server at exactly that moment.
//! Without the variable nothing happens.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Name of the variable.
pub const VARIABLE: &str = "GODWIT_FAILPOINT";

/// Every point at which a target may hold something of a run, in the order in which it comes to them. Before them there is
/// `lock_pre`: everything is judged, and the lock is about to be asked for.
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
pub const OF_THE_BOT: [&str; 5] = ["run_pre", "run_post", "end_pre", "end_recorded", "end_told"];

/// How long something is being sent before it counts as sent.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// What happens at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Kill,
    Wait(PathBuf),
}

#[derive(Debug)]
struct Armed {
    name: String,
    action: Action,
    nth: u32,
    seen: AtomicU32,
}

fn parse(value: &str) -> Option<Armed> {
    let mut parts = value.splitn(4, ':');
    let (name, action) = (parts.next()?.to_owned(), parts.next()?);
    let nth = parts.next().map_or(Some(1), |n| n.parse().ok())?;
    let action = match (action, parts.next()) {
        ("kill", None) => Action::Kill,
        ("wait", Some(file)) => Action::Wait(PathBuf::from(file)),
        _ => return None,
    };
    Some(Armed { name, action, nth, seen: AtomicU32::new(0) })
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?)).as_ref()
}

/// Something that is to happen now.
#[derive(Debug, Clone, Copy)]
struct Due(&'static Action);

impl Due {
    /// Makes it happen: no destructor runs and no connection is closed in order, or the process waits here.
    fn happens(self) {
        match self.0 {
            Action::Kill => std::process::abort(),
            Action::Wait(file) => wait(file),
        }
    }
}

/// Holds this thread up until the file that it makes is gone. A file that cannot be made holds up nothing.
fn wait(file: &std::path::Path) {
    if std::fs::write(file, std::process::id().to_string()).is_err() {
        return;
    }
    while file.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is to happen at `name` if this time is the one.
fn due(name: &str) -> Option<Due> {
    armed().filter(|a| a.name == name && a.seen.fetch_add(1, Ordering::Relaxed) + 1 == a.nth).map(|a| Due(&a.action))
}

/// Ends the process here, or holds it up, if the variable says so.
pub fn hit(name: &'static str) {
    if let Some(due) = due(name) {
        due.happens();
    }
}

/// Sends, and if one of `names` is due, lets it happen while the answer is on its way.
pub async fn sent<T>(names: &[&'static str], sending: impl Future<Output = T>) -> T {
    let Some(due) = names.iter().find_map(|n| due(n)) else { return sending.await };
    let mut sending = std::pin::pin!(sending);
    let answer = tokio::time::timeout(ON_ITS_WAY, &mut sending).await.ok();
    due.happens();
    match answer {
        Some(answer) => answer,
        None => sending.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_ends_the_process_or_holds_it_up() {
        let read = |value| parse(value).map(|a| (a.name, a.action, a.nth));
        assert_eq!(read("stmt_sent:kill"), Some(("stmt_sent".to_owned(), Action::Kill, 1)));
        assert_eq!(read("stmt_sent:kill:3"), Some(("stmt_sent".to_owned(), Action::Kill, 3)));
        let wait = Action::Wait(PathBuf::from("/a:b/c"));
        assert_eq!(read("unlock_pre:wait:2:/a:b/c"), Some(("unlock_pre".to_owned(), wait, 2)));
        for nothing in ["", "x", "x:die", "x:kill:y", "x:wait", "x:wait:1", "x:kill:1:/f"] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
