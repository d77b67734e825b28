//! Tasks of the server: copies and changes by query that go on without their client.

use std::time::Duration;

use elasticsearch::http::Method;
use serde_json::Value;

use super::session::{At, ElasticsearchSession};
use super::strain::HELD;
use super::wire::{Wire, part, words};
use crate::drivers::limits::Looked;
use crate::drivers::{DriverError, Progress, StatementFailure, jittered};
use crate::ids::RunId;

/// What the server says of a task.
pub(super) enum State {
    /// It runs: its status.
    Running(Value),
    /// It has ended: the whole answer.
    Ended(Value),
    /// It is not known (any more), which says nothing of what it did: the server's words.
    Unknown(String),
}

/// What a task has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Documents it has looked at, or will.
    pub total: u64,
    /// Made.
    pub created: u64,
    /// Written over.
    pub updated: u64,
    /// Deleted.
    pub deleted: u64,
    /// Passed over by the script.
    pub noops: u64,
    /// There already, or changed meanwhile.
    pub conflicts: u64,
}

impl Counts {
    /// From a status or a result.
    pub(super) fn of(body: &Value) -> Self {
        let n = |key: &str| body[key].as_u64().unwrap_or(0);
        Self {
            total: n("total"),
            created: n("created"),
            updated: n("updated"),
            deleted: n("deleted"),
            noops: n("noops"),
            conflicts: n("version_conflicts"),
        }
    }

    /// Documents dealt with.
    pub(super) fn done(&self) -> u64 {
        self.created + self.updated + self.deleted + self.noops + self.conflicts
    }
}

/// What came of a task that has ended: `completed` alone is no success.
pub(super) fn judge(body: &Value) -> Result<Counts, StatementFailure> {
    let failure = |message: String, code: Option<&str>, hint: &str| StatementFailure {
        message: crate::redact::text(&message),
        code: code.map(str::to_owned),
        line: None,
        hint: Some(hint.to_owned()),
    };
    let error = &body["error"];
    if error.is_object() {
        return Err(failure(words(error), error["type"].as_str(), "mend the cause and run again"));
    }
    let response = &body["response"];
    if let Some(first) = response["failures"].as_array().and_then(|f| f.first()) {
        let cause = if first["cause"].is_object() { &first["cause"] } else { &first["reason"] };
        let count = response["failures"].as_array().map_or(0, Vec::len);
        let document = first["id"].as_str().map(|id| format!(" (document `{id}`)")).unwrap_or_default();
        return Err(failure(
            format!("{count} documents failed; the first{document}: {}", words(cause)),
            cause["type"].as_str(),
            "mend these documents or the mapping, and run again",
        ));
    }
    if let Some(why) = response["canceled"].as_str() {
        return Err(failure(
            format!("the server's task was cancelled: {why}"),
            None,
            "find out who cancelled it, and run again",
        ));
    }
    if response["timed_out"] == true {
        return Err(failure("the server's task ran out of time".to_owned(), None, "run again"));
    }
    Ok(Counts::of(response))
}

/// Looks at a task.
pub(super) async fn look(wire: &Wire, task: &str) -> Result<State, DriverError> {
    let answer = wire.get(&format!("_tasks/{}", part(task))).await?;
    if answer.status == 404 {
        return Ok(State::Unknown(answer.failure().message));
    }
    let body = answer.ok()?;
    Ok(if body["completed"] == true { State::Ended(body) } else { State::Running(body["task"]["status"].clone()) })
}

/// Whether a task was ended before it had done everything, as an earlier attempt does when it is told to stop.
pub(super) async fn was_cancelled(wire: &Wire, task: &str) -> Result<bool, DriverError> {
    Ok(matches!(look(wire, task).await?, State::Ended(body) if is_cancelled(&body)))
}

/// Whether a task that has ended was told to. One that was searching then ends as if its search had failed.
fn is_cancelled(body: &Value) -> bool {
    let error = &body["error"];
    body["response"]["canceled"].is_string()
        || error.is_object()
            && (body["task"]["cancelled"] == true || error.to_string().contains("task_cancelled_exception"))
}

/// Asks a task to end. One that is not known has.
pub(super) async fn cancel(wire: &Wire, task: &str) -> Result<(), DriverError> {
    wire.ask(Method::Post, &format!("_tasks/{}/_cancel", part(task)), None).await?.found().map(|_| ())
}

/// Asks a task to end and waits until it has.
pub(super) async fn end(wire: &Wire, task: &str) -> Result<(), DriverError> {
    cancel(wire, task).await?;
    let mut pause = Duration::from_millis(20);
    while let State::Running(_) = look(wire, task).await? {
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    Ok(())
}

/// The tasks that runs have left alive.
pub(super) async fn of_runs(wire: &Wire, runs: &[RunId]) -> Result<Vec<String>, DriverError> {
    let body = wire.get("_tasks?detailed=true&actions=*reindex*,*byquery*").await?.ok()?;
    let nodes = body["nodes"].as_object().cloned().unwrap_or_default();
    let tasks = nodes.values().filter_map(|n| n["tasks"].as_object()).flatten();
    Ok(tasks
        .filter(|(_, task)| task["parent_task_id"].is_null())
        .filter(|(_, task)| {
            let opaque = task["headers"]["X-Opaque-Id"].as_str().unwrap_or_default();
            let run = opaque.strip_prefix("godwit:").and_then(|o| o.split(':').next());
            run.is_some_and(|run| runs.iter().any(|r| r.as_str() == run))
        })
        .map(|(id, _)| id.clone())
        .collect())
}

impl ElasticsearchSession {
    /// Follows a task to its end; `None` when the server does not know it (any more). A run that is stopped ends it. While
    /// the cluster has too much to do it is held up; else it goes at the `rate` that the migration gives, or none.
    pub(super) async fn follow(
        &mut self,
        at: &At<'_>,
        task: &str,
        rate: Option<f64>,
    ) -> Result<Option<Counts>, DriverError> {
        let mut pause = Duration::from_millis(20);
        let mut hold = Hold { looked: Looked::default(), why: None, held: None };
        loop {
            let counts = match look(&self.wire, task).await? {
                State::Unknown(_) => return Ok(None),
                State::Ended(body) => {
                    let counts = judge(&body).map_err(DriverError::Statement)?;
                    self.options.pace.tell(&self.told(at, counts.done(), Some(counts.total)));
                    return Ok(Some(counts));
                }
                State::Running(status) => {
                    self.hold_up(task, rate, &status, &mut hold).await?;
                    Counts::of(&status)
                }
            };
            let told = Progress { waits: hold.why.clone(), ..self.told(at, counts.done(), Some(counts.total)) };
            if let Err(stopped) = self.options.pace.between(&told).await {
                end(&self.wire, task).await?;
                return Err(stopped);
            }
            self.check()?;
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Holds a task up while the cluster has too much to do, and lets it go again, which takes effect at once [S4-90].
    async fn hold_up(
        &mut self,
        task: &str,
        rate: Option<f64>,
        status: &Value,
        hold: &mut Hold,
    ) -> Result<(), DriverError> {
        if !hold.looked.is_due() || rate.is_some_and(|rate| rate <= HELD) {
            return Ok(());
        }
        let limits = self.options.pace.limits;
        hold.why = self.strained(&limits).await?;
        hold.looked = Looked::now();
        // A run that was killed may have left it so.
        let is_held = hold
            .held
            .unwrap_or_else(|| status["requests_per_second"].as_f64().is_some_and(|now| now > 0.0 && now < 1.5 * HELD));
        let wanted = hold.why.is_some();
        if wanted != is_held {
            let rate = if wanted { HELD } else { rate.unwrap_or(-1.0) };
            let path = format!("_reindex/{}/_rethrottle?requests_per_second={rate}", part(task));
            // One that has ended meanwhile is not known any more.
            self.wire.ask(Method::Post, &path, None).await?.found()?;
        }
        hold.held = Some(wanted);
        Ok(())
    }
}

/// Whether a task is held up, and why.
struct Hold {
    looked: Looked,
    why: Option<String>,
    /// As we have left it; `None` before the first look.
    held: Option<bool>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_completed_task_may_have_failed() {
        let good =
            json!({"completed": true, "response": {"total": 3, "created": 2, "version_conflicts": 1, "failures": []}});
        let counts = judge(&good).unwrap();
        assert_eq!((counts.total, counts.done()), (3, 3));
        let failed = json!({"completed": true, "response": {"total": 3, "failures": [{"id": "7", "status": 400,
            "cause": {"type": "mapper_parsing_exception", "reason": "failed to parse field [n]"}}]}});
        let failure = judge(&failed).unwrap_err();
        assert_eq!(
            failure.message,
            "1 documents failed; the first (document `7`): mapper_parsing_exception: failed to parse field [n]"
        );
        let error =
            json!({"completed": true, "error": {"type": "index_not_found_exception", "reason": "no such index [x]"}});
        assert_eq!(judge(&error).unwrap_err().code.as_deref(), Some("index_not_found_exception"));
        let cancelled = json!({"completed": true, "response": {"canceled": "by user request", "failures": []}});
        assert!(judge(&cancelled).unwrap_err().message.contains("by user request"));
        let shards = json!({"type": "search_phase_execution_exception", "reason": "all shards failed"});
        let searching = json!({"completed": true, "task": {"cancelled": true}, "error": shards});
        assert!(is_cancelled(&cancelled) && is_cancelled(&searching) && !is_cancelled(&error));
        assert!(!is_cancelled(&json!({"completed": true, "task": {"cancelled": false}, "error": shards})));
    }
}
