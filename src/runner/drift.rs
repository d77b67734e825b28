//! The live schema against what the last run left: told by `godwit drift`, and asked before each run of an environment.

use chrono::Utc;

use super::connect::with_driver;
use super::settle::{Recorded, history_with, older};
use super::target::Job;
use super::{Actor, RunError, Target};
use crate::drivers::Driver as _;
use crate::ids::EnvironmentName;
use crate::migration::MigrationSet;
use crate::plan::drift::{TargetDrift, changes, fingerprint};
use crate::plan::planner::history_hash;
use crate::plan::{Refusal, RunReport, SchemaSnapshot};
use crate::store::Store;
use crate::store::schemas::{SchemaPlace, SchemaRecord};

/// How many changes a refusal names.
const NAMED: usize = 5;

fn place<'a>(actor: &'a Actor, target: &'a Target, identity: &'a str) -> Option<SchemaPlace<'a>> {
    let environment = target.environment.as_ref()?;
    Some(SchemaPlace { repo: actor.repo.as_ref(), environment, target: &target.name, identity })
}

/// What a target is at this moment.
pub(super) struct Live {
    /// What identifies the database; empty where Godwit has never been.
    pub identity: String,
    pub schema: SchemaSnapshot,
    /// Hash of its history.
    pub history: String,
}

async fn look(target: &Target) -> Result<Live, RunError> {
    Ok(look_with(target, None).await?.0)
}

/// The same, with why it may not run where it is older than what was recorded of it.
async fn look_with(target: &Target, recorded: Option<Recorded<'_>>) -> Result<(Live, Vec<Refusal>), RunError> {
    with_driver!(target, driver => {
        let identity = driver.identity().await.map_err(unreachable)?.unwrap_or_default();
        let schema = driver.schema().await.map_err(unreachable)?;
        let (history, older) = history_with(&mut driver, recorded).await?;
        Ok((Live { identity, schema, history: history_hash(&history) }, older))
    })
}

/// What is different on each target from what was left there. Writes nothing anywhere.
///
/// # Errors
/// When a target or the store cannot be reached.
pub async fn drift(
    store: &Store,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
) -> Result<Vec<TargetDrift>, RunError> {
    let mut out = Vec::with_capacity(targets.len());
    for target in targets {
        let (live, older) = look_with(target, Some((store, set))).await?;
        let recorded = match place(actor, target, &live.identity) {
            Some(place) => store.recorded_schema(place).await?,
            None => None,
        };
        let found = compare(target, recorded, &live);
        // What is gone from the history is no migration that ran.
        out.push(TargetDrift { history_moved: found.history_moved && older.is_empty(), older, ..found });
    }
    Ok(out)
}

/// What sets each target apart from the same target of another environment, as the last run there left it: that one is
/// not asked, so whoever may only reach production can still compare it with staging [S1-52]. Writes nothing anywhere.
///
/// # Errors
/// When a target or the store cannot be reached.
pub async fn against(
    store: &Store,
    targets: &[Target],
    actor: &Actor,
    other: &EnvironmentName,
) -> Result<Vec<TargetDrift>, RunError> {
    let mut out = Vec::with_capacity(targets.len());
    for target in targets {
        let live = look(target).await?;
        let left = store.last_schema(actor.repo.as_ref(), other, &target.name).await?;
        out.push(compare(target, left, &live));
    }
    Ok(out)
}

/// Takes the live schema of each target over as the right one.
///
/// # Errors
/// As [`drift`].
pub async fn accept(store: &Store, targets: &[Target], actor: &Actor) -> Result<(), RunError> {
    for target in targets {
        let live = look(target).await?;
        if let Some(place) = place(actor, target, &live.identity) {
            store.record_schema(place, &record(&live, format!("accepted by {}", actor.by))).await?;
        }
    }
    Ok(())
}

fn record(live: &Live, run: String) -> SchemaRecord {
    let (history_hash, schema) = (live.history.clone(), live.schema.clone());
    SchemaRecord { run, at: Utc::now(), history_hash, fingerprint: fingerprint(&schema), schema }
}

fn compare(target: &Target, recorded: Option<SchemaRecord>, live: &Live) -> TargetDrift {
    let moved = recorded.as_ref().is_some_and(|r| r.history_hash != live.history);
    TargetDrift {
        target: target.name.clone(),
        engine: target.engine,
        recorded_at: recorded.as_ref().map(|r| r.at),
        recorded_by: recorded.as_ref().map(|r| r.run.clone()),
        history_moved: moved,
        older: Vec::new(),
        fingerprint: fingerprint(&live.schema),
        changes: recorded.map_or(Vec::new(), |r| changes(&r.schema, &live.schema)),
    }
}

/// Why the job may not run, when the schema was changed outside Godwit since the last run: the history says that nobody
/// ran anything, and yet the schema is another one.
pub(super) async fn forbids(store: &Store, job: &Job<'_>, live: &Live) -> Result<Option<Refusal>, RunError> {
    refusal(store, job.actor, job.target, live).await
}

/// The same for the targets of a plan on which something would run, and that a target is older than what was recorded of
/// it. Writes nothing anywhere.
///
/// # Errors
/// When a target or the store cannot be reached.
pub async fn foretell(
    store: &Store,
    set: &MigrationSet,
    targets: &[Target],
    actor: &Actor,
    plan: &RunReport,
) -> Result<Vec<Refusal>, RunError> {
    let mut found = Vec::new();
    for target in targets.iter().filter(|t| plan.steps.iter().any(|s| s.target == t.name)) {
        if target.environment.is_none() {
            // Nothing is remembered of its schema.
            found.extend(older((store, set), target).await?);
            continue;
        }
        let (live, older) = look_with(target, Some((store, set))).await?;
        match refusal(store, actor, target, &live).await? {
            Some(refusal) => found.push(refusal),
            None => found.extend(older),
        }
    }
    Ok(found)
}

async fn refusal(store: &Store, actor: &Actor, target: &Target, live: &Live) -> Result<Option<Refusal>, RunError> {
    let Some(place) = place(actor, target, &live.identity) else { return Ok(None) };
    let Some(recorded) = store.recorded_schema(place).await? else { return Ok(None) };
    let found = compare(target, Some(recorded), live);
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
    if job.target.environment.is_none() {
        return Ok(());
    }
    let live = look(job.target).await?;
    if let Some(place) = place(job.actor, job.target, &live.identity) {
        store.record_schema(place, &record(&live, job.run.to_string())).await?;
    }
    Ok(())
}
