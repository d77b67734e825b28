//! What dead runs left alive on the server: open transactions, statements, index builds.

use std::time::{Duration, Instant};

use mongodb::Database;
use mongodb::bson::{Document, doc};
use tokio::time::sleep;

use super::session::Predecessor;
use super::wire;
use crate::drivers::{DriverError, SessionOptions, jittered};

/// How long a statement of a dead run is waited for before it is ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends the transaction that the run before left open: it holds the fence, and its documents, for as long as the server
/// lets it. The run's session is named in the fence.
pub(super) async fn end_session(db: &Database, predecessor: Option<&Predecessor>) -> Result<(), DriverError> {
    let Some(session) = predecessor.and_then(|p| p.session.clone()) else { return Ok(()) };
    match wire::run(db, None, doc! { "killSessions": [session] }).await {
        // Without the right to do so the server ends it by itself, after `transactionLifetimeLimitSeconds`.
        Ok(_) | Err(wire::Fault { error: DriverError::Statement(_), .. }) => Ok(()),
        Err(fault) => Err(fault.error),
    }
}

/// The statements of `runs` that the server works on, as it tells them apart: by the comment they carry.
async fn alive(db: &Database, runs: &[String], all_users: bool) -> Result<Vec<Document>, wire::Fault> {
    let of_them = format!("^godwit:({}):", runs.join("|"));
    let command = doc! {
        "aggregate": 1,
        "pipeline": [
            { "$currentOp": { "allUsers": all_users, "idleSessions": false } },
            { "$match": { "command.comment": { "$regex": of_them } } },
            { "$project": { "opid": 1, "desc": 1, "command.createIndexes": 1, "msg": 1 } },
        ],
        "cursor": {},
    };
    Ok(wire::batch_of(&wire::run(&db.client().database("admin"), None, command).await?).0)
}

/// Waits until nothing of `runs` is alive, and ends what takes too long: index builds get as long as a lock would.
pub(super) async fn statements(db: &Database, runs: &[String], options: &SessionOptions) -> Result<(), DriverError> {
    if runs.is_empty() {
        return Ok(());
    }
    let began = Instant::now();
    let mut all_users = true;
    loop {
        let found = match alive(db, runs, all_users).await {
            // Without the right to look at others' one may still look at one's own.
            Err(fault) if fault.code == Some(13) && all_users => {
                all_users = false;
                continue;
            }
            other => other?,
        };
        if found.is_empty() {
            return Ok(());
        }
        let builds = |op: &Document| op.get_document("command").is_ok_and(|c| c.contains_key("createIndexes"));
        for op in &found {
            let patience = if builds(op) { options.lock_wait + PATIENCE } else { PATIENCE };
            if began.elapsed() >= patience
                && let Some(id) = op.get("opid")
            {
                let kill =
                    wire::run(&db.client().database("admin"), None, doc! { "killOp": 1, "op": id.clone() }).await;
                // Without the right to end it one can only wait longer.
                if let Err(fault) = kill
                    && !matches!(fault.error, DriverError::Statement(_))
                {
                    return Err(fault.error);
                }
            }
        }
        if began.elapsed() >= options.lock_wait + PATIENCE * 2 {
            return Err(DriverError::Unreachable(format!(
                "operation {} of an earlier run is alive on the server and does not end",
                found.first().and_then(|o| o.get("opid")).map(ToString::to_string).unwrap_or_default()
            )));
        }
        sleep(jittered(Duration::from_millis(100))).await;
    }
}
