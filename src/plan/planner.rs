//! From a set and a history to a plan, or to the reasons why there is none. Pure.

pub mod edited;
mod limit;
mod native;
mod state;
mod steps;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use limit::Limit;
pub use native::{Native, noted_below};
pub use state::{Index, held, statuses};
pub use steps::{plain_risk, recovery_class};
pub use summary::{HistorySummary, Rows, history_hash};

use super::{HistoryRow, MigrationPlan, MigrationState, RecoveryClass, Refusal, Step, StepAction};
use crate::ids::{Digest, Engine, EnvironmentName, MigrationId, RepoName, Risk, RunId, TargetName};
use crate::migration::{Migration, MigrationSet, Severity, Version};
use state::drift;
use steps::{bare_step, step};

/// The reason of a refusal that `godwit resume` settles by itself.
const INTERRUPTED_ROLLBACK: &str = "interrupted-rollback";

/// What to do with a migration whose version is lower than one already applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutOfOrder {
    /// Refuse, naming both.
    #[default]
    Error,
    /// Run it all the same.
    Apply,
    /// Leave it out, and say so.
    Ignore,
}

/// Whether the statements' texts are wanted, or only how each step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Every statement's text, and the locks that a step takes.
    Plan,
    /// Every statement's text.
    Full,
    /// None of them.
    Brief,
}

/// A set's text above which a plan names the file instead of repeating its statements (bytes).
const LONG_SCRIPT: usize = 1024 * 1024;

/// What a plan is made from.
pub struct Request<'a> {
    /// The environment; `None` for an ad hoc run.
    pub environment: Option<&'a EnvironmentName>,
    /// The target.
    pub target: &'a TargetName,
    /// Its kind.
    pub engine: Engine,
    /// Every migration of the repository.
    pub set: &'a MigrationSet,
    /// The set's digest.
    pub digest: &'a Digest,
    /// What the target says was applied.
    pub history: &'a [HistoryRow],
    /// Runs in the history that the store knows to be another repository's.
    pub foreign: &'a BTreeMap<RunId, RepoName>,
    /// What the finished statements of migrations that failed behind them read, by reference, as the store recorded it
    /// ([`edited::beginning_of`]).
    pub finished: &'a BTreeMap<String, String>,
    /// What other tools' tables say.
    pub native: &'a Native,
    /// Stop after this migration or version.
    pub to: Option<&'a str>,
    /// Only the migrations of this service.
    pub service: Option<&'a str>,
    /// Whether the server can commit several changes together.
    pub transactions: bool,
    /// What to do with latecomers.
    pub out_of_order: OutOfOrder,
    /// The contract migrations that a person released, as [`Migration::release_key`].
    pub released: &'a BTreeSet<String>,
    /// How much to tell.
    pub detail: Detail,
    /// The risk of a migration.
    pub risk: &'a dyn Fn(&Migration) -> Risk,
    /// Whether a migration of another target is applied there; `None` where nobody knows.
    pub applied_elsewhere: &'a dyn Fn(&Migration) -> Option<bool>,
}

impl Request<'_> {
    /// Whether the migration is of the service that was asked for, if one was.
    fn wants(&self, migration: &Migration) -> bool {
        self.service.is_none_or(|s| migration.service.as_deref() == Some(s))
    }
}

/// What to undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// This one.
    Migration(String),
    /// Everything after this version, which itself stays.
    To(String),
    /// The newest so many.
    Steps(usize),
    /// Those of these, as `unit/id`, that are still applied, in this order.
    These(Vec<String>),
}

/// A plan, and what was left out of it on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What will be done.
    pub plan: MigrationPlan,
    /// Migrations left out: latecomers by policy, and those that wait for another target.
    pub left_out: Vec<String>,
    /// Those of them that come too late for their number, each with what is applied above it.
    pub late: Vec<(String, MigrationId)>,
    /// Contract migrations that wait for a person's release.
    pub held: Vec<String>,
    /// The first migration that waits for one of another target, with the reason.
    pub waits: Option<Refusal>,
}

/// Whether `migration` belongs to the target: by name, or, where nothing is configured, by the kind of database.
pub fn belongs(migration: &Migration, target: &TargetName, engine: Engine) -> bool {
    migration.engine == engine && migration.target.as_ref().is_none_or(|t| t == target)
}

/// What one run will do in one environment, as a hash: the digest of the files, the history, the steps in order, the
/// target's fingerprint and this program's version (DECISIONS 1).
pub fn plan_hash(plan: &MigrationPlan, fingerprint: &str) -> String {
    let mut hash = Sha256::new();
    let environment = plan.environment.as_ref().map_or("", |e| e.as_str());
    for part in [
        environment,
        plan.target.as_str(),
        fingerprint,
        plan.digest.as_str(),
        plan.history_hash.as_str(),
        env!("CARGO_PKG_VERSION"),
    ] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    for step in &plan.steps {
        hash.update(
            format!(
                "{}\0{}\0{}\0{}\0{}\n",
                step.unit,
                step.migration,
                step.action.as_str(),
                step.checksum,
                step.in_transaction
            )
            .as_bytes(),
        );
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

fn refusal(reason: &str, message: String, what_to_do: String, needs_human: bool) -> Refusal {
    Refusal { reason: reason.to_owned(), message, what_to_do, needs_human }
}

/// Plans everything pending, in run order.
///
/// # Errors
/// Every reason why nothing may run.
pub fn plan_apply(request: &Request<'_>) -> Result<Planned, Vec<Refusal>> {
    let index = Index::new(request.set, request.history);
    let mut refusals = invalid_set(request.set);
    refusals.extend(drift(request, &index));
    let limit = match Limit::of(request) {
        Ok(limit) => limit,
        Err(refusal) => {
            refusals.push(refusal);
            return Err(refusals);
        }
    };
    let other = native::compare(request.set, (request.target, request.engine), request.native, &index);
    let highest = highest_applied(request, &index, &other);
    let (mut left_out, mut late, mut waiting, mut waits) = (Vec::new(), Vec::new(), Vec::new(), None);
    // What another tool has applied is recorded first.
    let mut steps: Vec<Step> = other.adopt.iter().map(|m| baseline_step(request, m)).collect();
    let mut planned: BTreeSet<String> = other.adopt.iter().map(|m| m.reference()).collect();
    for (at, migration) in request.set.migrations.iter().enumerate() {
        if !limit.holds(at, migration) {
            continue;
        }
        if !belongs(migration, request.target, request.engine) || !request.wants(migration) || other.adopts(migration) {
            continue;
        }
        let row = index.of(migration);
        match row.map(|r| r.state) {
            Some(MigrationState::Applied)
                if migration.repeatable
                    && (row.is_some_and(|r| r.checksum != migration.checksum) || other.is_outdated(migration)) => {}
            Some(MigrationState::Applied | MigrationState::NeedsHuman) => continue,
            Some(_) if row.is_some_and(HistoryRow::is_half_undone) => continue,
            Some(
                MigrationState::Running | MigrationState::Failed | MigrationState::Pending | MigrationState::RolledBack,
            )
            | None => {}
        }
        // One that was begun was released then, and must be finished.
        let begun = row.is_some_and(|r| r.state == MigrationState::Running || r.failed_half_way());
        if migration.is_contract() && !begun && !request.released.contains(&migration.release_key()) {
            waiting.push(migration.reference());
            continue;
        }
        // A contract comes when a person says so, whatever came before it meanwhile.
        let higher = highest.get(migration.unit.as_str()).filter(|_| !migration.is_contract());
        if let Some(higher) = higher.filter(|h| h.version > migration.version) {
            match request.out_of_order {
                OutOfOrder::Apply => {}
                OutOfOrder::Ignore => {
                    left_out.push(migration.reference());
                    late.push((migration.reference(), higher.id.clone()));
                    continue;
                }
                OutOfOrder::Error => {
                    refusals.push(refusal(
                        "out-of-order",
                        format!(
                            "`{}` comes before `{}`, which is applied already",
                            migration.reference(),
                            higher.id
                        ),
                        "give it a version above the applied ones, or allow it with `--out-of-order apply` (or `ignore`)"
                            .to_owned(),
                        false,
                    ));
                    continue;
                }
            }
        }
        if waits.is_some() {
            left_out.push(migration.reference());
            continue;
        }
        if let Some(unmet) = unmet_dependency(request, &index, migration, &planned) {
            waits = Some(unmet);
            left_out.push(migration.reference());
            continue;
        }
        if let Some(unrunnable) = &migration.unrunnable {
            refusals.push(refusal(
                "invalid-set",
                format!("{}:{}: {}", migration.up.path, unrunnable.line, unrunnable.why),
                unrunnable.what_to_do.clone(),
                false,
            ));
            continue;
        }
        match step(request, migration, StepAction::Apply, &migration.up) {
            Ok(step) => {
                planned.insert(migration.reference());
                steps.push(step);
            }
            Err(r) => refusals.push(r),
        }
    }
    if !(other.unclear.is_empty() && other.refusals.is_empty()) {
        // What came late can be told once it is known what is applied.
        refusals.retain(|r| r.reason != "out-of-order");
    }
    refusals.extend(other.unclear.into_iter().chain(other.refusals));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(Planned { plan: finish(request, steps), left_out, late, held: waiting, waits })
}

/// Plans undoing what `selector` names, newest first, as far as what depends on it on other targets is undone.
///
/// # Errors
/// Every reason why nothing may be undone: not applied, no backward script, something applied depends on it.
pub fn plan_rollback(request: &Request<'_>, selector: &Selector) -> Result<Planned, Vec<Refusal>> {
    let index = Index::new(request.set, request.history);
    let mut refusals = invalid_set(request.set);
    // An interrupted rollback is what may go on here.
    refusals.extend(drift(request, &index).into_iter().filter(|r| r.reason != INTERRUPTED_ROLLBACK));
    let other = native::compare(request.set, (request.target, request.engine), request.native, &index);
    if let Some(unrecorded) = other.adopt.first() {
        refusals.push(refusal(
            "not-recorded",
            format!("`{}` was {}", unrecorded.reference(), native::by_other_tool(request.native, unrecorded)),
            "record what was applied there first: `godwit baseline`".to_owned(),
            false,
        ));
    }
    refusals.extend(other.unclear.into_iter().chain(other.refusals));
    let applied: Vec<(usize, &Migration)> = request
        .set
        .migrations
        .iter()
        .enumerate()
        .filter(|(_, m)| belongs(m, request.target, request.engine))
        .filter(|(_, m)| {
            index.of(m).is_some_and(|r| {
                // One that was being undone when the run ended goes on.
                r.state == MigrationState::Applied || r.is_half_undone()
            })
        })
        .collect();
    let chosen: Vec<&Migration> = match selector {
        Selector::Steps(n) => {
            // Newest is what was applied last, whatever its version; clocks may be wrong, epochs only rise.
            let mut newest = applied.clone();
            newest.sort_by_key(|(at, m)| std::cmp::Reverse((index.of(m).map(|r| (r.epoch, r.started_at)), *at)));
            newest.into_iter().map(|(_, m)| m).filter(|m| request.wants(m) && !m.repeatable).take(*n).collect()
        }
        Selector::Migration(name) => match lookup(request.set, name) {
            Some(m) if applied.iter().any(|(_, a)| a.reference() == m.reference()) => vec![m],
            // It is another target's to undo.
            Some(m) if !belongs(m, request.target, request.engine) => Vec::new(),
            Some(m) => {
                refusals.push(refusal(
                    "not-applied",
                    format!("`{}` is not applied here", m.reference()),
                    "name one that `godwit status` shows as applied".to_owned(),
                    false,
                ));
                Vec::new()
            }
            None => {
                refusals.push(unknown(request.set, name));
                Vec::new()
            }
        },
        Selector::These(names) => {
            names.iter().filter_map(|n| applied.iter().find(|(_, a)| &a.reference() == n)).map(|(_, a)| *a).collect()
        }
        Selector::To(name) => match lookup(request.set, name) {
            Some(m) => {
                let later = |a: &&Migration| a.unit == m.unit && a.version > m.version && !a.repeatable;
                applied.iter().rev().map(|(_, a)| *a).filter(later).collect()
            }
            None => match limit::shared(request.set, name) {
                Some(stays) => {
                    let later = |a: &&Migration| limit::semver(a.version.as_str()).is_some_and(|v| v > stays);
                    applied.iter().rev().map(|(_, a)| *a).filter(later).collect()
                }
                None => {
                    refusals.push(unknown(request.set, name));
                    Vec::new()
                }
            },
        },
    };
    for migration in &chosen {
        for (_, other) in &applied {
            let also_undone = chosen.iter().any(|c| c.reference() == other.reference());
            let needs = needs(request.set, other, migration);
            // Later ones of the same folder were written for what this one left behind, unless they were there first.
            let begun = |m: &Migration| index.of(m).map(|r| (r.epoch, r.started_at));
            let follows = !other.repeatable
                && other.unit == migration.unit
                && other.version > migration.version
                && begun(other) >= begun(migration);
            if also_undone || !(needs || follows) {
                continue;
            }
            let (message, what_to_do) = if needs {
                let leans = leans_on_it(other, migration);
                (leans.message, leans.what_to_do)
            } else {
                (
                    format!("`{}` was applied after `{}`", other.reference(), migration.reference()),
                    "undo the later ones first (`--steps N`), or all of them together (`--to VERSION`, which itself stays)"
                        .to_owned(),
                )
            };
            refusals.push(refusal("dependants", message, what_to_do, false));
        }
    }
    let mut steps = Vec::new();
    let (mut left_out, mut waits) = (Vec::new(), None);
    for migration in chosen {
        // What another target holds goes first; everything older waits with this one.
        waits = waits.or_else(|| leaning_elsewhere(request, migration).map(|other| leans_on_it(other, migration)));
        if waits.is_some() {
            left_out.push(migration.reference());
        }
        match &migration.down {
            Some(down) if migration.is_reversible() => match step(request, migration, StepAction::Rollback, down) {
                Ok(step) if waits.is_none() => steps.push(step),
                Ok(_) => {}
                Err(r) => refusals.push(r),
            },
            Some(_) | None => refusals.push(refusal(
                "no-down",
                match &migration.down {
                    Some(down) if !down.is_blank(request.engine) => {
                        format!("`{}` undoes nothing of `{}`", down.path, migration.reference())
                    }
                    Some(_) | None => format!("`{}` has no backward script", migration.reference()),
                },
                "write a new migration that takes it back".to_owned(),
                false,
            )),
        }
    }
    if !refusals.is_empty() {
        refusals.extend(waits);
        return Err(refusals);
    }
    Ok(Planned { plan: finish(request, steps), left_out, late: Vec::new(), held: Vec::new(), waits })
}

/// Whether `other` names `migration` as something it depends on.
fn needs(set: &MigrationSet, other: &Migration, migration: &Migration) -> bool {
    other.directives.depends_on.iter().any(|d| {
        set.find(d).is_some_and(|f| f.reference() == migration.reference())
            || (migration.unit == other.unit && d == migration.id.as_str())
    })
}

fn leans_on_it(other: &Migration, migration: &Migration) -> Refusal {
    refusal(
        "dependants",
        format!("`{}` is applied and depends on `{}`", other.reference(), migration.reference()),
        format!("undo `{}` first", other.id),
        false,
    )
}

/// What another target holds that depends on `migration`.
fn leaning_elsewhere<'a>(request: &Request<'a>, migration: &Migration) -> Option<&'a Migration> {
    request.set.migrations.iter().find(|other| {
        !belongs(other, request.target, request.engine)
            && needs(request.set, other, migration)
            && (request.applied_elsewhere)(other) == Some(true)
    })
}

/// Whether a migration of `target` depends on one that is not its own: then an order between databases is to be kept.
pub fn leans_on_others(set: &MigrationSet, target: &TargetName, engine: Engine) -> bool {
    let own = |m: &Migration| belongs(m, target, engine);
    set.migrations
        .iter()
        .filter(|m| own(m) && !m.directives.depends_on.is_empty())
        .any(|m| m.directives.depends_on.iter().any(|d| set.find(d).is_some_and(|needed| !own(needed))))
}

/// Plans recording everything up to `to` as applied without running it; without `to`, what another tool's table says.
///
/// # Errors
/// An unknown version, a broken set, or tables of other tools that cannot be understood.
pub fn plan_baseline(request: &Request<'_>) -> Result<MigrationPlan, Vec<Refusal>> {
    let index = Index::new(request.set, request.history);
    let mut refusals = invalid_set(request.set);
    let limit = Limit::of(request).unwrap_or_else(|refusal| {
        refusals.push(refusal);
        Limit::Nowhere
    });
    let other = native::compare(request.set, (request.target, request.engine), request.native, &index);
    let adopts: Vec<&Migration> = other.adopt.clone();
    refusals.extend(other.unclear);
    if request.to.is_none() {
        refusals.extend(other.refusals);
        if request.native.is_absent() {
            refusals.push(refusal(
                "no-native-history",
                format!("`{}` holds no table of another migration tool for these folders", request.target),
                "say what the database holds already: `--to VERSION`".to_owned(),
                false,
            ));
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let missing = |m: &Migration| {
        index.of(m).is_none_or(|r| r.state != MigrationState::Applied)
            // What the other tool lacks is written there as well.
            || other.unwritten.iter().any(|u| std::ptr::eq(*u, m))
    };
    let wanted = |m: &&Migration| match request.to {
        Some(_) => belongs(m, request.target, request.engine) && missing(m),
        None => adopts.iter().any(|a| std::ptr::eq(*a, *m)),
    };
    let steps = request
        .set
        .migrations
        .iter()
        .enumerate()
        .filter(|(at, m)| limit.holds(*at, m))
        .map(|(_, m)| m)
        .filter(wanted)
        .map(|m| baseline_step(request, m))
        .collect();
    Ok(finish(request, steps))
}

/// A step that only records.
fn baseline_step(request: &Request<'_>, migration: &Migration) -> Step {
    Step {
        statements: Vec::new(),
        recovery: RecoveryClass::Atomic,
        recovery_reason: "only a row of the history is written".to_owned(),
        probe: "the row itself".to_owned(),
        in_transaction: true,
        ..bare_step(request, migration, StepAction::Baseline, &migration.up)
    }
}

/// Why a name means no migration, or which it may mean.
pub fn unknown(set: &MigrationSet, name: &str) -> Refusal {
    let meant: Vec<String> = set.meant(name).into_iter().map(|one| format!("`{one}`")).collect();
    let (message, what_to_do) = if meant.is_empty() {
        (format!("`{name}` is no migration of this set"), "write its id, its version, or `unit/id`".to_owned())
    } else {
        (format!("several migrations are called `{name}`"), format!("write which one: {}", meant.join(", ")))
    };
    refusal("unknown", message, what_to_do, false)
}

/// The migration that `name` means: as everywhere, or by its version written another way (`4` for `0004`).
fn lookup<'a>(set: &'a MigrationSet, name: &str) -> Option<&'a Migration> {
    set.find(name).or_else(|| {
        let wanted = Version::numeric(name);
        let is_number = name.bytes().all(|b| b.is_ascii_digit());
        let mut hits = set.migrations.iter().filter(|m| is_number && m.version.same_place(&wanted));
        match (hits.next(), hits.next()) {
            (Some(m), None) => Some(m),
            _ => None,
        }
    })
}

/// Errors of the files themselves.
fn invalid_set(set: &MigrationSet) -> Vec<Refusal> {
    set.problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .map(|p| refusal("invalid-set", format!("{}:{}: {}", p.file, p.line, p.message), p.help.clone(), false))
        .collect()
}

/// Unit → the applied migration with the highest version.
fn highest_applied<'a>(
    request: &Request<'a>,
    index: &Index<'_>,
    other: &native::Compared<'_>,
) -> BTreeMap<&'a str, &'a Migration> {
    let mut highest: BTreeMap<&str, &Migration> = BTreeMap::new();
    for m in request.set.migrations.iter().filter(|m| belongs(m, request.target, request.engine)) {
        // A repeatable script stands behind all versions, those to come included.
        let applied = index.of(m).is_some_and(|r| r.state == MigrationState::Applied) || other.adopts(m);
        if applied && !m.repeatable {
            let slot = highest.entry(m.unit.as_str()).or_insert(m);
            if m.version > slot.version {
                *slot = m;
            }
        }
    }
    highest
}

fn unmet_dependency(
    request: &Request<'_>,
    index: &Index<'_>,
    migration: &Migration,
    planned: &BTreeSet<String>,
) -> Option<Refusal> {
    migration.directives.depends_on.iter().find_map(|reference| {
        let needed = request
            .set
            .migrations
            .iter()
            .find(|m| m.unit == migration.unit && m.id.as_str() == reference)
            .or_else(|| request.set.find(reference))?;
        let met = if belongs(needed, request.target, request.engine) {
            planned.contains(&needed.reference())
                || index.of(needed).is_some_and(|r| r.state == MigrationState::Applied)
        } else {
            (request.applied_elsewhere)(needed).unwrap_or(false)
        };
        (!met).then(|| {
            refusal(
                "dependency",
                format!("`{}` depends on `{}`, which is not applied", migration.reference(), needed.reference()),
                format!("apply `{}` first", needed.reference()),
                false,
            )
        })
    })
}

fn finish(request: &Request<'_>, steps: Vec<Step>) -> MigrationPlan {
    MigrationPlan {
        environment: request.environment.cloned(),
        target: request.target.clone(),
        digest: request.digest.clone(),
        history_hash: history_hash(request.history),
        risk: steps.iter().map(|s| s.risk).max().unwrap_or(Risk::Low),
        steps,
    }
}

#[cfg(test)]
mod applied;
#[cfg(test)]
mod tests;
