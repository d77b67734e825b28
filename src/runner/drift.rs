//! The live schema against what the last run left: told by `godwit drift`, and asked before each run of an environment.

use chrono::Utc;

use super::connect::with_driver;
use super::target::Job;
use super::{Actor, RunError, Target};
use crate::drivers::Driver as _;
use crate::plan::drift::{TargetDrift, changes, fingerprint};
use crate::plan::planner::history_hash;
use crate::plan::{Refusal, RunReport, SchemaSnapshot};
use crate::store::Store;
use crate::store::schemas::{SchemaPlace, SchemaRecord};

/// How many changes a refusal names.
const NAMED: usize = 5;

fn place<'a>(actor: &'a Actor, target: &'a Target) -> Option<SchemaPlace<'a>> {
    let environment = target.environment.as_ref()?;
    Some(SchemaPlace { repo: actor.repo.as_ref(), environment, target: &target.name })
}

/// Schema and history hash of a target at this moment.
async fn look(target: &Target) -> Result<(SchemaSnapshot, String), RunError> {
    with_driver!(target, driver => {
        let schema = driver.schema().await.map_err(unreachable)?;
        let history = driver.history().await.map_err(unreachable)?;
        Ok((schema, history_hash(&history)))
    })
}

/// What is different on each target from what was left there. Writes nothing anywhere.
///
/// # Errors
/// When a target or the store cannot be reached.
pub async fn drift(store: &Store, targets: &[Target], actor: &Actor) -> Result<Vec<TargetDrift>, RunError> {
    let mut out = Vec::with_capacity(targets.len());
    for target in targets {
        let (live, history) = look(target).await?;
        let recorded = match place(actor, target) {
            Some(place) => store.recorded_schema(place).await?,
            None => None,
        };
        out.push(compare(target, recorded, &live, &history));
    }
    Ok(out)
}

/// Takes the live schema of each target over as the right one.
///
/// # Errors
/// As [`drift`].
pub async fn accept(store: &Store, targets: &[Target], actor: &Actor) -> Result<(), RunError> {
    for target in targets {
        let (live, history) = look(target).await?;
        if let Some(place) = place(actor, target) {
            store.record_schema(place, &record(&live, history, format!("accepted by {}", actor.by))).await?;
        }
    }
    Ok(())
}

fn record(schema: &SchemaSnapshot, history_hash: String, run: String) -> SchemaRecord {
    SchemaRecord { run, at: Utc::now(), history_hash, fingerprint: fingerprint(schema), schema: schema.clone() }
}

fn compare(target: &Target, recorded: Option<SchemaRecord>, live: &SchemaSnapshot, history: &str) -> TargetDrift {
    let moved = recorded.as_ref().is_some_and(|r| r.history_hash != history);
    TargetDrift {
        target: target.name.clone(),
        engine: target.engine,
        recorded_at: recorded.as_ref().map(|r| r.at),
        recorded_by: recorded.as_ref().map(|r| r.run.clone()),
        history_moved: moved,
        fingerprint: fingerprint(live),
        changes: recorded.map_or(Vec::new(), |r| changes(&r.schema, live)),
    }
}

/// Why the job may not run, when the schema was changed outside Godwit since the last run: the history says that nobody
/// ran anything, and yet the schema is another one.
pub(super) async fn forbids(
    store: &Store,
    job: &Job<'_>,
    live: &SchemaSnapshot,
    history: &str,
) -> Result<Option<Refusal>, RunError> {
    refusal(store, job.actor, job.target, (live, history)).await
}

/// The same for the targets of a plan on which something would run. Writes nothing anywhere.
///
/// # Errors
/// When a target or the store cannot be reached.
pub async fn foretell(
    store: &Store,
    targets: &[Target],
    actor: &Actor,
    plan: &RunReport,
) -> Result<Vec<Refusal>, RunError> {
    let mut found = Vec::new();
    for target in targets.iter().filter(|t| plan.steps.iter().any(|s| s.target == t.name)) {
        let (live, history) = look(target).await?;
        found.extend(refusal(store, actor, target, (&live, &history)).await?);
    }
    Ok(found)
}

async fn refusal(
    store: &Store,
    actor: &Actor,
    target: &Target,
    (live, history): (&SchemaSnapshot, &str),
) -> Result<Option<Refusal>, RunError> {
    let Some(place) = place(actor, target) else { return Ok(None) };
    let Some(recorded) = store.recorded_schema(place).await? else { return Ok(None) };
    let found = compare(target, Some(recorded), live, history);
    if found.changes.is_empty() || found.history_moved {
        return Ok(None);
    }
    let mut names: Vec<&str> = found.changes.iter().map(|c| c.object.as_str()).take(NAMED).collect();
    if found.changes.len() > NAMED {
        names.push("…");
    }
    Ok(Some(Refusal {
        reason: "schema-drift".to_owned(),
        message: format!(
            "the schema of `{}` was changed outside Godwit since the last run: {}",
            target.name,
            names.join(", ")
        ),
        what_to_do: format!(
            "see it with `godwit drift --env {env}`; undo it, or take it over with `godwit drift --env {env} --accept --reason …`",
            env = place.environment
        ),
        needs_human: true,
    }))
}

/// Remembers what a run of an environment left on its target; asked while its lock is held.
pub(super) async fn remember(store: &Store, job: &Job<'_>) -> Result<(), RunError> {
    let Some(place) = place(job.actor, job.target) else { return Ok(()) };
    let (live, history) = look(job.target).await?;
    store.record_schema(place, &record(&live, history, job.run.to_string())).await?;
    Ok(())
}
