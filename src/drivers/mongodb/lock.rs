//! The lock: one document with an owner and an end, judged by the server's clock.

use std::time::Instant;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use super::history::{LOCK, TARGET};
use super::values::text;
use super::wire::{self, Fault};
use crate::drivers::lease::{Heartbeat, Owner};
use crate::drivers::{DriverError, SessionOptions, jittered};
use crate::plan::LockHolder;

/// What a write must reach before it counts.
pub(super) fn majority() -> Document {
    doc! { "w": "majority", "j": true }
}

/// The lock as held by this process.
#[derive(Debug)]
pub(super) struct Lock {
    /// What tells this holding from any other, also of the same run.
    token: String,
    /// Renews it; asked before each change.
    pub heartbeat: Heartbeat,
    /// The run it was taken from without having been given back.
    pub taken_from: Option<String>,
}

fn owner_of(lock: &Document) -> Option<Owner> {
    let owner = lock.get_document("owner").ok()?;
    let text = |name: &str| text(owner, name).to_owned();
    Some(Owner {
        run: text("run"),
        by: text("by"),
        host: text("host"),
        pid: wire::number(owner.get("pid")).unwrap_or(0),
        process: owner.get_str("process").ok().map(str::to_owned),
        since: text("since"),
    })
}

/// What the holding in a lock is told by.
fn token_of(lock: &Document) -> String {
    lock.get_document("owner").map(|o| text(o, "token").to_owned()).unwrap_or_default()
}

fn document_of(owner: &Owner, token: &str) -> Document {
    doc! {
        "run": &owner.run,
        "by": &owner.by,
        "host": &owner.host,
        "pid": owner.pid,
        "process": owner.process.as_deref().map_or(Bson::Null, Bson::from),
        "since": &owner.since,
        "token": token,
    }
}

/// Who holds the lock, by the server's clock; a holder that is known to be dead holds nothing.
pub(super) async fn holder(db: &Database) -> Result<Option<LockHolder>, Fault> {
    let find = doc! {
        "find": LOCK, "limit": 1, "singleBatch": true,
        "filter": { "_id": TARGET, "owner": { "$ne": null }, "$expr": { "$gt": ["$expires", "$$NOW"] } },
    };
    let (found, _) = wire::batch_of(&wire::run(db, None, find).await?);
    Ok(found.first().and_then(owner_of).filter(|o| !o.is_surely_gone()).map(|o| o.holder()))
}

/// Takes the lock where it is free, and gives it as it is afterwards.
async fn try_take(
    db: &Database,
    query: Document,
    owner: &Document,
    lease_ms: i64,
    free: Document,
) -> Result<Document, Fault> {
    let upsert = query.len() == 1;
    let set = doc! {
        "previous": { "$cond": [free.clone(), { "$ifNull": ["$owner.run", null] }, "$previous"] },
        "owner": { "$cond": [free.clone(), { "$literal": owner }, "$owner"] },
        "expires": { "$cond": [free, { "$add": ["$$NOW", lease_ms] }, "$expires"] },
    };
    let command = doc! {
        "findAndModify": LOCK, "query": query, "update": [{ "$set": set }], "upsert": upsert, "new": true,
        "writeConcern": majority(),
    };
    match wire::run(db, None, command).await {
        Ok(reply) => Ok(reply.get_document("value").cloned().unwrap_or_default()),
        // Two made the document at once.
        Err(fault) if fault.code == Some(11000) => Ok(Document::new()),
        Err(fault) => Err(fault),
    }
}

/// Waits for the lock by polling, at most `options.lock_wait`. A holder of this machine whose process is dead is
/// followed at once.
pub(super) async fn take(db: &Database, options: &SessionOptions) -> Result<Lock, DriverError> {
    let began = Instant::now();
    let token = bson::Uuid::new().to_string();
    let owner = document_of(&Owner::this_process(options), &token);
    let lease_ms = i64::try_from(options.lease.as_millis()).unwrap_or(i64::MAX);
    let over =
        || doc! { "$or": [{ "$eq": [{ "$ifNull": ["$owner", null] }, null] }, { "$lte": ["$expires", "$$NOW"] }] };
    loop {
        let asked = Instant::now();
        let mut found = try_take(db, doc! { "_id": TARGET }, &owner, lease_ms, over()).await?;
        let holder = owner_of(&found);
        let theirs = token_of(&found);
        if theirs != token && holder.as_ref().is_some_and(Owner::is_surely_gone) {
            let query = doc! { "_id": TARGET, "owner.token": &theirs };
            found = try_take(db, query, &owner, lease_ms, doc! { "$literal": true }).await?;
        }
        if token_of(&found) == token {
            let taken_from = found.get_str("previous").ok().map(str::to_owned);
            return Ok(Lock { heartbeat: beat(db, options, &token, asked), token, taken_from });
        }
        if began.elapsed() >= options.lock_wait
            && let Some(holder) = holder
        {
            return Err(DriverError::Locked(holder.holder()));
        }
        tokio::time::sleep(jittered(std::time::Duration::from_millis(150))).await;
    }
}

fn beat(db: &Database, options: &SessionOptions, token: &str, asked: Instant) -> Heartbeat {
    let lease_ms = i64::try_from(options.lease.as_millis()).unwrap_or(i64::MAX);
    let (db, token) = (db.clone(), token.to_owned());
    Heartbeat::start(options.lease, asked, move || {
        let db = db.clone();
        let command = doc! {
            "update": LOCK, "writeConcern": majority(),
            "updates": [{ "q": { "_id": TARGET, "owner.token": &token }, "u": [{ "$set": { "expires": { "$add": ["$$NOW", lease_ms] } } }] }],
        };
        async move {
            let reply = wire::run(&db, None, command).await?;
            Ok(wire::number(reply.get("n")) == Some(1))
        }
    })
}

impl Lock {
    /// Gives it back; a lock that somebody else has by now stays theirs.
    pub async fn give_back(self, db: &Database) -> Result<(), DriverError> {
        let command = doc! {
            "update": LOCK, "writeConcern": majority(),
            "updates": [{ "q": { "_id": TARGET, "owner.token": &self.token }, "u": { "$unset": { "owner": "", "expires": "", "previous": "" } } }],
        };
        let reply = wire::run(db, None, command).await?;
        if wire::number(reply.get("n")) == Some(1) {
            return Ok(());
        }
        Err(DriverError::History(
            "the target's lock was gone before this run gave it back; another run may have come in between".to_owned(),
        ))
    }
}
