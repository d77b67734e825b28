//! Copies of documents, and changes by query: tasks of the server that are followed, and judged when they end.

use elasticsearch::http::Method;
use serde_json::{Map, Value, json};

use super::carry::check_literal;
use super::own::{Entry, Unawaited};
use super::session::{At, ElasticsearchSession};
use super::task::{self, Counts};
use super::wire::part;
use super::{own, refused};
use crate::drivers::DriverError;
use crate::migration::operations::elasticsearch::Operation;
use crate::plan::StepAction;

/// How often a copy whose task the server lost is begun again, and a deletion that met changes.
const AGAIN: usize = 5;
/// From this many documents on, a copy is cut into slices that run side by side.
const SLICED_FROM: u64 = 50_000;

/// What is copied where.
pub(super) struct Copy<'a> {
    pub source: &'a str,
    pub dest: &'a str,
    pub query: Option<&'a Map<String, Value>>,
    pub script: Option<&'a Value>,
    pub requests_per_second: Option<f64>,
    pub batch_size: Option<u32>,
}

impl<'a> Copy<'a> {
    /// What a `reindex` copies.
    pub(super) fn of(operation: &'a Operation) -> Option<Self> {
        match operation {
            Operation::Reindex { source, dest, query, script, requests_per_second, batch_size, .. } => Some(Self {
                source,
                dest,
                query: query.as_ref(),
                script: script.as_ref(),
                requests_per_second: *requests_per_second,
                batch_size: *batch_size,
            }),
            _ => None,
        }
    }

    fn query(&self) -> Option<Value> {
        self.query.map(|q| json!(q))
    }

    fn body(&self, batch_size: Option<u32>) -> Value {
        let mut body = json!({
            "source": {"index": self.source},
            // What is there is left as it is, so a second copy only completes the first.
            "dest": {"index": self.dest, "op_type": "create"},
            "conflicts": "proceed",
        });
        if let Some(query) = self.query {
            body["source"]["query"] = json!(query);
        }
        if let Some(size) = self.batch_size.or(batch_size) {
            body["source"]["size"] = json!(size);
        }
        if let Some(script) = self.script {
            body["script"] = script.clone();
        }
        body
    }
}

impl ElasticsearchSession {
    /// `reindex`.
    pub(super) async fn reindex(
        &mut self,
        at: &At<'_>,
        copy: &Copy<'_>,
        wait: bool,
        block_writes: bool,
        operation: &Operation,
    ) -> Result<Option<u64>, DriverError> {
        for (name, what) in [(copy.source, "source"), (copy.dest, "dest")] {
            check_literal(name)?;
            // The server would guess a mapping for a `dest`, and find nothing in a `source`, without an error.
            if self.wire.get(&part(name)).await?.status == 404 {
                return Err(refused(
                    format!("there is no index `{name}`, which is the `{what}` of a reindex"),
                    "make it first, with `create_index`, or correct its name",
                ));
            }
        }
        let before = match self.record(at, at.place).await? {
            // An earlier attempt has begun it; what was there before is not seen any more.
            Some(record) if self.progress(at).is_some() => record,
            Some(_) | None => json!({"dest": copy.dest, "before": own::changes(&self.wire, copy.dest).await?}),
        };
        if self.progress(at).is_none() {
            self.intend(at, json!({}), Some(before.clone())).await?;
        }
        if block_writes {
            self.block(copy.source, true).await?;
        }
        if !wait {
            let task = self.begin(copy).await?;
            let mut entry = self.entry()?.clone();
            entry.unawaited.push(Unawaited { operation: at.place, task, of: json!(operation) });
            self.commit(|fence| fence.entry = Some(entry)).await?;
            return Ok(None);
        }
        let counts = self.copy(at, copy, &json!({})).await?;
        self.verify(copy, &counts, block_writes).await?;
        // With these the copy's own changes of the index are known from anybody else's.
        let after = own::changes(&self.wire, copy.dest).await?;
        let mut record = before;
        record["after"] = json!(after);
        self.intend(at, json!({"copied": counts.created}), Some(record)).await?;
        Ok(Some(counts.created + counts.updated))
    }

    /// Waits for a copy that no operation waited for.
    pub(super) async fn await_copy(&mut self, entry: &mut Entry, copy: &Unawaited) -> Result<(), DriverError> {
        let operation: Operation = serde_json::from_value(copy.of.clone())
            .map_err(|e| DriverError::History(format!("a copy in the history cannot be read: {e}")))?;
        let Some(what) = Copy::of(&operation) else { return Ok(()) };
        let (unit, id) = (entry.row.unit.clone(), entry.row.id.clone());
        let at = At { place: copy.operation, unit: &unit, id: &id };
        let counts = match self.follow(&at, &copy.task, what.requests_per_second).await? {
            Some(counts) => counts,
            None => self.copy(&at, &what, &json!({})).await?,
        };
        let blocked = entry.blocks.iter().any(|b| b.index == what.source);
        self.verify(&what, &counts, blocked).await?;
        let after = own::changes(&self.wire, what.dest).await?;
        if let Some(record) = entry.undo.get_mut(&copy.operation.to_string()) {
            record["after"] = json!(after);
        }
        Ok(())
    }

    /// Ends copies of this run whose names were lost with an answer: one that goes on would make an index anew that is
    /// deleted under it.
    pub(super) async fn end_strays(&self) -> Result<(), DriverError> {
        let awaited: Vec<&str> =
            self.entry().map(|e| e.unawaited.iter().map(|u| u.task.as_str()).collect()).unwrap_or_default();
        for task in task::of_runs(&self.wire, std::slice::from_ref(&self.options.run)).await? {
            if !awaited.contains(&task.as_str()) {
                task::end(&self.wire, &task).await?;
            }
        }
        Ok(())
    }

    /// Sends a copy; gives the server's task.
    async fn begin(&self, copy: &Copy<'_>) -> Result<String, DriverError> {
        self.end_strays().await?;
        let mut path = "_reindex?wait_for_completion=false".to_owned();
        match copy.requests_per_second {
            Some(rate) => path.push_str(&format!("&requests_per_second={rate}")),
            None if own::count(&self.wire, copy.source, None).await? >= SLICED_FROM => path.push_str("&slices=auto"),
            None => {}
        }
        let body = copy.body(self.options.pace.batch_size);
        self.submit(&path, &body).await
    }

    async fn submit(&self, path: &str, body: &Value) -> Result<String, DriverError> {
        let answer = self.effect(Method::Post, path, Some(body)).await?.ok()?;
        answer["task"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| refused("the server named no task".to_owned(), "run again"))
    }

    /// Copies, and again when the server lost the task. `about` is kept with the task's name in the progress.
    pub(super) async fn copy(&mut self, at: &At<'_>, copy: &Copy<'_>, about: &Value) -> Result<Counts, DriverError> {
        let mut known = self.progress(at).and_then(|p| p["task"].as_str().map(str::to_owned));
        if let Some(task) = &known
            && task::was_cancelled(&self.wire, task).await?
        {
            // It was told to stop; a new one completes it.
            known = None;
        }
        for _ in 0..AGAIN {
            let task = match known.take() {
                Some(task) => task,
                None => {
                    let task = self.begin(copy).await?;
                    let mut progress = about.clone();
                    progress["task"] = json!(task);
                    self.intend(at, progress, None).await?;
                    task
                }
            };
            if let Some(counts) = self.follow(at, &task, copy.requests_per_second).await? {
                return Ok(counts);
            }
            // Unknown is not failed: what it copied is there, and the next copy completes it.
            tracing::info!(task, "the server does not know the task any more; the copy is begun again");
        }
        Err(refused(
            format!("the server lost the task that copies `{}` to `{}`, {AGAIN} times", copy.source, copy.dest),
            "look at the server's health, and run again",
        ))
    }

    /// Compares what there is with what there should be, after everything written can be found.
    pub(super) async fn verify(&self, copy: &Copy<'_>, counts: &Counts, blocked: bool) -> Result<(), DriverError> {
        if counts.done() < counts.total {
            return Err(refused(
                format!("{} of {} documents of `{}` were copied", counts.done(), counts.total, copy.source),
                "run again: the copy goes on from there",
            ));
        }
        if copy.script.is_some() {
            // A script may leave documents out, or give several the same name.
            return Ok(());
        }
        let there = own::count(&self.wire, copy.dest, None).await?;
        let expected = match blocked {
            true => own::count(&self.wire, copy.source, copy.query().as_ref()).await?,
            false => counts.total,
        };
        if counts.total < expected || there < expected {
            return Err(refused(
                format!("`{}` holds {there} documents after the copy of {expected} from `{}`", copy.dest, copy.source),
                "look at both indices, and run again: the copy goes on from there",
            ));
        }
        Ok(())
    }

    /// `update_by_query` and `delete_by_query`.
    pub(super) async fn by_query(&mut self, at: &At<'_>, operation: &Operation) -> Result<u64, DriverError> {
        let (index, body, kind, rate, conflicts) = match operation {
            Operation::UpdateByQuery { index, query, script, requests_per_second } => {
                let mut body = json!({"query": query});
                if let Some(script) = script {
                    body["script"] = script.clone();
                }
                (index, body, "_update_by_query", *requests_per_second, "abort")
            }
            Operation::DeleteByQuery { index, query, requests_per_second } => {
                (index, json!({"query": query}), "_delete_by_query", *requests_per_second, "proceed")
            }
            _ => return Ok(0),
        };
        check_literal(index)?;
        let mut known = self.progress(at).and_then(|p| p["task"].as_str().map(str::to_owned));
        let mut changed = 0;
        for _ in 0..AGAIN {
            let task = match known.take() {
                Some(task) => task,
                None => {
                    self.intend(at, json!({}), None).await?;
                    // What was written lately is found, too.
                    self.wire.ask(Method::Post, &format!("{}/_refresh", part(index)), None).await?.ok()?;
                    let mut path =
                        format!("{}/{kind}?wait_for_completion=false&refresh=true&conflicts={conflicts}", part(index));
                    if let Some(rate) = rate {
                        path.push_str(&format!("&requests_per_second={rate}"));
                    }
                    let task = self.submit(&path, &body).await?;
                    self.intend(at, json!({"task": task}), None).await?;
                    task
                }
            };
            match self.follow(at, &task, rate).await? {
                Some(counts) if counts.conflicts == 0 => return Ok(changed + counts.updated + counts.deleted),
                // Changed while it was looked at: the next turn finds it as it is now.
                Some(counts) => changed += counts.updated + counts.deleted,
                None if kind == "_delete_by_query" => {}
                None => {
                    return Err(refused(
                        format!(
                            "the server lost the task that updates `{index}`; which documents it has changed cannot be told"
                        ),
                        "look at the documents, then write a query that finds only the others",
                    ));
                }
            }
        }
        Err(refused(
            format!("documents of `{index}` change faster than they can be deleted"),
            "end the writes to them, and run again",
        ))
    }

    /// Ends what a copy that is taken back may have left alive.
    pub(super) async fn end_copy(&mut self, place: usize) -> Result<(), DriverError> {
        let Some(entry) = self.entry().ok().cloned() else { return Ok(()) };
        for copy in entry.unawaited.iter().filter(|c| c.operation == place) {
            task::end(&self.wire, &copy.task).await?;
        }
        Ok(())
    }

    /// Whether every document of `index` was put there by this migration's own copies.
    pub(super) async fn is_all_ours(&mut self, at: &At<'_>, index: &str) -> Result<bool, DriverError> {
        let Some(entry) = self.entry().ok().filter(|e| e.is(at.unit, at.id)).cloned() else { return Ok(false) };
        let now = own::changes(&self.wire, index).await?;
        let copies: Vec<&Value> = entry.undo.values().filter(|r| r["dest"] == index).collect();
        let Some(last) = copies.iter().filter_map(|r| r["after"].as_u64()).max() else {
            // A copy that did not end says nothing; a person who rolls back was asked before.
            return Ok(now == 0 || !copies.is_empty() && entry.row.action == StepAction::Undo);
        };
        Ok(now == last)
    }
}
