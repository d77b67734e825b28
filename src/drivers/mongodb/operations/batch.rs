//! Changes of many documents, in batches by `_id`, each with its checkpoint.

use std::time::Instant;

use mongodb::bson::{Bson, Document, doc};

use super::{Running, left};
use crate::drivers::limits::Looked;
use crate::drivers::mongodb::history::{self, UNDO};
use crate::drivers::mongodb::session::{MOVED, MongodbSession, Unit};
use crate::drivers::mongodb::{values, wire};
use crate::drivers::pace::Progress;
use crate::drivers::{DriverError, Session as _};

/// Documents in a batch, where neither the operation nor the run says.
const BATCH: u32 = 1_000;
/// Bytes of ids that one document of [`UNDO`] holds at most; a document may have 16 MB.
const IDS: usize = 4 << 20;
/// How often a batch that others' writes are in the way of is tried before it is made smaller.
const TRIES: u32 = 4;

/// One change of many documents.
pub(super) struct Batch<'a> {
    pub collection: &'a str,
    /// Which documents; one that is done does not match any more, or is behind the checkpoint.
    pub filter: Document,
    /// What is done to each.
    pub update: Bson,
    /// Documents in a batch, if the operation says.
    pub size: Option<u32>,
    /// Whether the ids are kept for the undo.
    pub touched: bool,
}

/// How far an operation is; a part of the row.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    pub last: Option<Bson>,
    pub done: u64,
    pub chunks: i64,
    /// Whether an earlier attempt had begun.
    pub begun: bool,
}

impl Checkpoint {
    /// Of this operation, as the row says.
    pub fn of(row: &Document, running: &Running<'_>) -> Self {
        let found = row.get_document("progress").ok().filter(|p| {
            wire::number(p.get("statement")) == Some(i64::from(running.statement.done))
                && values::text(p, "text") == running.digest
        });
        let Some(found) = found else { return Self::default() };
        Self {
            last: found.get("last").cloned(),
            done: wire::number(found.get("done")).and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            chunks: wire::number(found.get("chunks")).unwrap_or(0),
            begun: true,
        }
    }

    fn document(&self, running: &Running<'_>) -> Document {
        let mut out = doc! {
            "statement": running.statement.done,
            "text": &running.digest,
            "done": i64::try_from(self.done).unwrap_or(i64::MAX),
            "chunks": self.chunks,
        };
        if let Some(last) = &self.last {
            out.insert("last", last.clone());
        }
        out
    }
}

/// A filter with a further condition.
pub(super) fn and(filter: &Document, further: Document) -> Document {
    if filter.is_empty() {
        further
    } else {
        doc! { "$and": [filter.clone(), further] }
    }
}

/// Ids of the next documents, and whether there are no more behind them.
async fn page(
    session: &MongodbSession,
    batch: &Batch<'_>,
    last: Option<&Bson>,
    limit: u32,
) -> Result<(Vec<Bson>, bool), DriverError> {
    let mut find = doc! {
        "find": batch.collection,
        "filter": batch.filter.clone(),
        "sort": { "_id": 1 },
        "projection": { "_id": 1 },
        "limit": i64::from(limit),
        "batchSize": i64::from(limit) + 1,
        "comment": session.comment(),
    };
    if let Some(last) = last {
        // A filter compares within one type only; the bounds of an index go through all of them in order.
        find.insert("filter", and(&batch.filter, doc! { "_id": { "$ne": last.clone() } }));
        find.insert("hint", doc! { "_id": 1 });
        find.insert("min", doc! { "_id": last.clone() });
    }
    if let Some(left) = session.time_left() {
        find.insert("maxTimeMS", left);
    }
    let reply = wire::read(&session.db, find).await?;
    let (found, cursor) = wire::batch_of(&reply);
    if cursor != 0 {
        // Very long ids: the reply was full before the limit.
        let kill = doc! { "killCursors": batch.collection, "cursors": [cursor] };
        wire::read(&session.db, kill).await?;
    }
    let over = cursor == 0 && found.len() < usize::try_from(limit).unwrap_or(usize::MAX);
    let mut ids: Vec<Bson> = found.into_iter().filter_map(|mut d| d.remove("_id")).collect();
    if over && last.is_some_and(|l| *l != Bson::MaxKey) {
        // The bounds end before the greatest id that there can be.
        let greatest = doc! {
            "find": batch.collection, "filter": and(&batch.filter, doc! { "_id": { "$type": "maxKey" } }),
            "projection": { "_id": 1 }, "limit": 1, "singleBatch": true, "comment": session.comment(),
        };
        let (found, _) = wire::batch_of(&wire::read(&session.db, greatest).await?);
        ids.extend(found.into_iter().filter_map(|mut d| d.remove("_id")));
    }
    Ok((ids, over))
}

/// By which name the ids of one operation are kept; one that was edited meanwhile has another.
pub(super) fn kept_under(slot: &str, digest: &str) -> String {
    format!("{slot}:{digest}")
}

/// The ids, in documents that are not too large. They are added to what stands there: without transactions an earlier
/// attempt may have come as far as this and no further.
fn chunks(statement_id: &Document, slot: &str, first: i64, ids: &[Bson]) -> Vec<Document> {
    let mut out = Vec::new();
    let mut chunk: Vec<Bson> = Vec::new();
    let mut size = 0;
    let mut put = |ids: Vec<Bson>| {
        let id = doc! { "of": statement_id.clone(), "slot": slot, "n": first + i64::try_from(out.len()).unwrap_or(0) };
        out.push(doc! { "q": { "_id": id }, "u": { "$addToSet": { "ids": { "$each": ids } } }, "upsert": true });
    };
    for id in ids {
        let length = match id {
            Bson::Document(d) => d.to_vec().map_or(64, |v| v.len()),
            Bson::String(s) => s.len(),
            Bson::Binary(b) => b.bytes.len(),
            _ => 0,
        } + 24;
        if size + length > IDS && !chunk.is_empty() {
            put(std::mem::take(&mut chunk));
            size = 0;
        }
        size += length;
        chunk.push(id.clone());
    }
    if !chunk.is_empty() {
        put(chunk);
    }
    out
}

/// Changes every document that the filter finds, from the checkpoint on, and marks the statement done together with the
/// last batch. Gives how many documents were gone through.
pub(super) async fn run(
    session: &mut MongodbSession,
    running: &Running<'_>,
    batch: &Batch<'_>,
    row: &Document,
) -> Result<u64, DriverError> {
    let mut at = Checkpoint::of(row, running);
    let most = batch.size.or(session.options.pace.batch_size).unwrap_or(BATCH).max(1);
    let mut size = most;
    let total = total(session, batch).await;
    let statement = running.statement;
    let began = Instant::now();
    let mut looked = Looked::default();
    let mut progress = Progress {
        target: session.options.target.clone(),
        migration: statement.id.clone(),
        statement: statement.done,
        what: "documents",
        done: at.done,
        total,
        waits: None,
    };
    loop {
        while_strained(session, &mut progress, &mut looked).await?;
        let (ids, over) = page(session, batch, at.last.as_ref(), size).await?;
        let count = ids.len();
        let mut unit = Unit { counts: 1, ..Unit::default() };
        let mut next = Checkpoint {
            last: ids.last().cloned().or_else(|| at.last.clone()),
            done: at.done + count as u64,
            chunks: at.chunks,
            begun: true,
        };
        if count > 0 {
            if batch.touched {
                let kept = chunks(
                    &history::row_id(statement.unit, statement.id),
                    &kept_under(&running.slot, &running.digest),
                    at.chunks,
                    &ids,
                );
                next.chunks += i64::try_from(kept.len()).unwrap_or(0);
                unit.effect.push(doc! { "update": UNDO, "updates": kept });
                unit.exactly = session.has_transactions().then_some(count as u64);
            }
            unit.effect.push(doc! { "update": batch.collection, "updates": [{
                "q": and(&batch.filter, doc! { "_id": { "$in": ids } }), "u": batch.update.clone(), "multi": true,
            }] });
        }
        let mut fields = running.record(doc! { "began": true });
        if over {
            unit.done = Some(statement.done);
            unit.history.push(history::done(statement, fields));
        } else {
            fields.insert("progress", doc! { "$literal": next.document(running) });
            unit.history.push(history::set(statement.unit, statement.id, fields));
        }
        match session.change_within(&unit, (size > 1).then_some(TRIES)).await {
            Ok(_) => {}
            // Others changed some of these documents meanwhile: they are looked for again.
            Err(fault) if fault.code == Some(MOVED) && began.elapsed() < session.options.retry_for => continue,
            // Too many at once for the server, or others write to one of them.
            Err(fault) if (fault.transient || fault.code == Some(388)) && size > 1 => {
                size = (size / 2).max(1);
                session.options.pace.may_go_on()?;
                continue;
            }
            Err(fault) => return Err(fault.error),
        }
        at = next;
        size = size.saturating_mul(2).min(most);
        progress.done = at.done;
        if over {
            session.options.pace.tell(&progress);
            return Ok(at.done);
        }
        session.options.pace.between(&progress).await?;
    }
}

/// How many documents there are, where that is known without looking at each.
async fn total(session: &MongodbSession, batch: &Batch<'_>) -> Option<u64> {
    session.options.pace.listener.as_ref()?;
    let count = doc! { "aggregate": batch.collection, "pipeline": [{ "$collStats": { "count": {} } }], "cursor": {} };
    let (found, _) = wire::batch_of(&wire::read(&session.db, count).await.ok()?);
    found.first().and_then(|d| wire::number(d.get("count"))).and_then(|n| u64::try_from(n).ok())
}

/// Waits while the server or a replica has enough to do [S4-90].
async fn while_strained(
    session: &mut MongodbSession,
    progress: &mut Progress,
    looked: &mut Looked,
) -> Result<(), DriverError> {
    if !looked.is_due() {
        return Ok(());
    }
    let limits = session.options.pace.limits;
    while let Some(why) = session.strain(&limits).await? {
        progress.waits = Some(why);
        session.options.pace.rest(progress).await?;
    }
    progress.waits = None;
    *looked = Looked::now();
    Ok(())
}

/// What stands in the row, unless the statement is done already by an attempt whose end was lost.
pub(super) async fn unfinished(
    session: &mut MongodbSession,
    running: &Running<'_>,
) -> Result<Option<Document>, DriverError> {
    let row = left(session, running.statement).await?;
    let done = wire::number(row.get("statements_done")).unwrap_or(0) >= i64::from(running.statement.done);
    Ok((!done).then_some(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_in_documents_that_are_not_too_large() {
        let ids: Vec<Bson> = (0..10).map(|n| Bson::String(format!("{n}{}", "x".repeat(1 << 20)))).collect();
        let kept = chunks(&doc! { "unit": "u", "id": "1" }, "undo.o0", 7, &ids);
        assert_eq!(kept.len(), 4);
        let ns: Vec<i64> = kept
            .iter()
            .map(|c| c.get_document("q").unwrap().get_document("_id").unwrap().get_i64("n").unwrap())
            .collect();
        assert_eq!(ns, [7, 8, 9, 10]);
    }
}
