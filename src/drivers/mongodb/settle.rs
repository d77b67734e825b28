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

/// How long connections of a dead run are waited for. Those of a program that is no more go within moments; those of one
/// that is frozen, or whose machine is gone, stay, and what had been sent on them has long been read by then.
const UNREAD: Duration = Duration::from_secs(5);

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

/// Waits until the server has closed the connections of the run before, at most [`UNREAD`]: it closes one only when it
/// has read all that was sent on it, so that no command of that run, unseen so far, begins later.
pub(super) async fn connections(db: &Database, predecessor: Option<&Predecessor>) -> Result<(), DriverError> {
    let Some(client) = predecessor.and_then(|p| p.client.as_deref()) else { return Ok(()) };
    let began = Instant::now();
    loop {
        let open = current(db, doc! { "idleConnections": true }, doc! { "appName": client }).await?;
        if open.is_empty() || began.elapsed() >= UNREAD {
            return Ok(());
        }
        sleep(jittered(Duration::from_millis(50))).await;
    }
}

/// What the server works on or holds open that `wanted` matches: of everybody, or of this user without the right to look
/// at others'.
async fn current(db: &Database, of: Document, wanted: Document) -> Result<Vec<Document>, wire::Fault> {
    let ask = |all_users: bool| {
        let mut asked = doc! { "allUsers": all_users, "idleSessions": false };
        asked.extend(of.clone());
        doc! {
            "aggregate": 1,
            "pipeline": [
                { "$currentOp": asked },
                { "$match": wanted.clone() },
                { "$project": { "opid": 1, "command.createIndexes": 1 } },
            ],
            "cursor": {},
        }
    };
    let admin = db.client().database("admin");
    let reply = match wire::run(&admin, None, ask(true)).await {
        Err(fault) if fault.code == Some(13) => wire::run(&admin, None, ask(false)).await?,
        other => other?,
    };
    Ok(wire::batch_of(&reply).0)
}

/// Waits until nothing of `runs` is alive, and ends what takes too long: index builds get as long as a lock would.
pub(super) async fn statements(db: &Database, runs: &[String], options: &SessionOptions) -> Result<(), DriverError> {
    if runs.is_empty() {
        return Ok(());
    }
    let began = Instant::now();
    // Statements are told apart by the comment they carry.
    let of_them = doc! { "command.comment": { "$regex": format!("^godwit:({}):", runs.join("|")) } };
    loop {
        let found = current(db, Document::new(), of_them.clone()).await?;
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
