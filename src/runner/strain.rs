//! Waits before a migration while the server or a replica has too much to do [S4-90].

use super::locked::should_stop;
use super::target::Job;
use crate::drivers::limits::{Looked, REST};
use crate::drivers::{Progress, Session};
use crate::plan::{Refusal, Step};

/// From when on the servers of a run are asked: at once where somebody said what they may be put to, else when the run
/// has gone on for a while, so that a short one is not made longer.
pub(super) fn first_look(job: &Job<'_>) -> Looked {
    if job.options.pace.limits.stated() { Looked::default() } else { Looked::now() }
}

/// To be asked before each migration. Gives why the run must stop.
pub(super) async fn before<S: Session>(
    session: &mut S,
    job: &Job<'_>,
    step: &Step,
    looked: &mut Looked,
) -> Option<Refusal> {
    if !looked.is_due() {
        return None;
    }
    let pace = &job.options.pace;
    let told = |waits: Option<String>| Progress {
        target: step.target.clone(),
        migration: step.migration.clone(),
        statement: 0,
        what: "",
        done: 0,
        total: waits.is_none().then_some(0),
        waits,
    };
    let mut waited = false;
    loop {
        // A server that cannot be reached is told of by the step that comes.
        let Some(why) = session.strain(&pace.limits).await.ok().flatten() else { break };
        if !waited {
            tracing::warn!(target = %step.target, run = %job.run, why, "the run waits before its next migration");
            waited = true;
        }
        pace.tell(&told(Some(why.clone())));
        if let Some(refusal) = should_stop(job) {
            return Some(Refusal { message: format!("{}; it was waiting: {why}", refusal.message), ..refusal });
        }
        tokio::time::sleep(REST).await;
    }
    if waited {
        pace.tell(&told(None));
    }
    *looked = Looked::now();
    None
}
