//! From a set and a history to a plan, or to the reasons why there is none. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use super::{
    HistoryRow, MigrationPlan, MigrationState, MigrationStatus, PlannedStatement, RecoveryClass, Refusal, Step,
    StepAction,
};
use crate::ids::{Digest, Engine, EnvironmentName, Risk, TargetName};
use crate::migration::execution::{self, CannotExecute, Execution, Nature, execution};
use crate::migration::{Migration, MigrationSet, Script, Severity};

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
    /// Leave it out, and say so in the plan's `left_out`.
    Ignore,
}

/// Whether the statements' texts are wanted, or only how each step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
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
    /// Stop after this migration or version.
    pub to: Option<&'a str>,
    /// What to do with latecomers.
    pub out_of_order: OutOfOrder,
    /// How much to tell.
    pub detail: Detail,
    /// The risk of a migration.
    pub risk: &'a dyn Fn(&Migration) -> Risk,
    /// Whether a migration of another target is applied there; `None` where nobody knows.
    pub applied_elsewhere: &'a dyn Fn(&Migration) -> Option<bool>,
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
}

/// A plan, and what was left out of it on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What will be done.
    pub plan: MigrationPlan,
    /// Migrations left out: latecomers by policy, and those that wait for another target.
    pub left_out: Vec<String>,
    /// The first migration that waits for one of another target, with the reason.
    pub waits: Option<Refusal>,
}

/// Whether `migration` belongs to the target: by name, or, where nothing is configured, by the kind of database.
pub fn belongs(migration: &Migration, target: &TargetName, engine: Engine) -> bool {
    migration.engine == engine && migration.target.as_ref().is_none_or(|t| t == target)
}

/// A hash over everything the history says that a plan depends on.
pub fn history_hash(history: &[HistoryRow]) -> String {
    let mut lines: Vec<String> = history
        .iter()
        .map(|r| format!("{}\0{}\0{}\0{}\0{}", r.unit, r.id, r.checksum, r.state.as_str(), r.statements_done))
        .collect();
    lines.sort();
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
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

/// The history by (unit, id), and for rows whose folder moved, by what they became.
pub struct Index<'a> {
    rows: HashMap<(&'a str, &'a str), &'a HistoryRow>,
}

impl<'a> Index<'a> {
    /// Matches rows to migrations: by unit and id; a row whose unit is gone also by its id alone, if its script is
    /// unchanged and no other row or migration claims the name (a folder that was moved or is named another way).
    pub fn new(set: &'a MigrationSet, history: &'a [HistoryRow]) -> Self {
        let mut rows: HashMap<(&str, &str), &HistoryRow> =
            history.iter().map(|r| ((r.unit.as_str(), r.id.as_str()), r)).collect();
        if rows.is_empty() {
            return Self { rows };
        }
        let known: BTreeSet<(&str, &str)> = set.migrations.iter().map(|m| (m.unit.as_str(), m.id.as_str())).collect();
        let strays: Vec<&HistoryRow> =
            history.iter().filter(|r| !known.contains(&(r.unit.as_str(), r.id.as_str()))).collect();
        for row in &strays {
            if strays.iter().filter(|o| o.id == row.id).count() > 1 {
                continue;
            }
            let mut heirs = set.migrations.iter().filter(|m| {
                m.id == row.id && m.checksum == row.checksum && !rows.contains_key(&(m.unit.as_str(), m.id.as_str()))
            });
            if let (Some(heir), None) = (heirs.next(), heirs.next()) {
                rows.remove(&(row.unit.as_str(), row.id.as_str()));
                rows.insert((heir.unit.as_str(), heir.id.as_str()), row);
            }
        }
        Self { rows }
    }

    /// The row of a migration.
    pub fn of(&self, migration: &Migration) -> Option<&'a HistoryRow> {
        self.rows.get(&(migration.unit.as_str(), migration.id.as_str())).copied()
    }

    /// Rows that no migration of the set owns, in the history's order.
    fn strays(&self, set: &MigrationSet, history: &'a [HistoryRow]) -> Vec<&'a HistoryRow> {
        let owned: BTreeSet<(&str, &str)> =
            set.migrations.iter().filter_map(|m| self.of(m)).map(|r| (r.unit.as_str(), r.id.as_str())).collect();
        history.iter().filter(|r| !owned.contains(&(r.unit.as_str(), r.id.as_str()))).collect()
    }
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
    let last = match request.to.map(|to| position_of(request, to)) {
        Some(Ok(at)) => at,
        Some(Err(r)) => {
            refusals.push(r);
            return Err(refusals);
        }
        None => usize::MAX,
    };
    let highest = highest_applied(request, &index);
    let (mut steps, mut left_out, mut waits) = (Vec::new(), Vec::new(), None);
    let mut planned: BTreeSet<String> = BTreeSet::new();
    for migration in request.set.migrations.iter().take(last.saturating_add(1)) {
        if !belongs(migration, request.target, request.engine) {
            continue;
        }
        let row = index.of(migration);
        match row.map(|r| r.state) {
            Some(MigrationState::Applied | MigrationState::NeedsHuman) => continue,
            Some(MigrationState::Running) if row.is_some_and(|r| r.action == StepAction::Rollback) => continue,
            Some(
                MigrationState::Running | MigrationState::Failed | MigrationState::Pending | MigrationState::RolledBack,
            )
            | None => {}
        }
        if let Some(higher) = highest.get(migration.unit.as_str()).filter(|h| h.version > migration.version) {
            match request.out_of_order {
                OutOfOrder::Apply => {}
                OutOfOrder::Ignore => {
                    left_out.push(migration.reference());
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
        match step(request, migration, StepAction::Apply, &migration.up) {
            Ok(step) => {
                planned.insert(migration.reference());
                steps.push(step);
            }
            Err(r) => refusals.push(r),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(Planned { plan: finish(request, steps), left_out, waits })
}

/// Plans undoing what `selector` names, newest first.
///
/// # Errors
/// Every reason why nothing may be undone: not applied, no backward script, something applied depends on it.
pub fn plan_rollback(request: &Request<'_>, selector: &Selector) -> Result<MigrationPlan, Vec<Refusal>> {
    let index = Index::new(request.set, request.history);
    let mut refusals = invalid_set(request.set);
    // An interrupted rollback is what may go on here.
    refusals.extend(drift(request, &index).into_iter().filter(|r| r.reason != INTERRUPTED_ROLLBACK));
    let applied: Vec<(usize, &Migration)> = request
        .set
        .migrations
        .iter()
        .enumerate()
        .filter(|(_, m)| belongs(m, request.target, request.engine))
        .filter(|(_, m)| {
            index.of(m).is_some_and(|r| {
                r.state == MigrationState::Applied
                    // One that was being undone when the run ended goes on.
                    || (r.state == MigrationState::Running && r.action == StepAction::Rollback)
            })
        })
        .collect();
    let chosen: Vec<&Migration> = match selector {
        Selector::Steps(n) => {
            // Newest is what was applied last, whatever its version.
            let mut newest = applied.clone();
            newest.sort_by_key(|(at, m)| std::cmp::Reverse((index.of(m).map(|r| (r.started_at, r.epoch)), *at)));
            newest.into_iter().take(*n).map(|(_, m)| m).collect()
        }
        Selector::Migration(name) => match request.set.find(name) {
            Some(m) if applied.iter().any(|(_, a)| a.reference() == m.reference()) => vec![m],
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
                refusals.push(unknown(name));
                Vec::new()
            }
        },
        Selector::To(name) => match request.set.find(name) {
            Some(m) => {
                applied.iter().rev().map(|(_, a)| *a).filter(|a| a.unit == m.unit && a.version > m.version).collect()
            }
            None => {
                refusals.push(unknown(name));
                Vec::new()
            }
        },
    };
    for migration in &chosen {
        for (_, other) in &applied {
            let also_undone = chosen.iter().any(|c| c.reference() == other.reference());
            let needs = other.directives.depends_on.iter().any(|d| {
                request.set.find(d).is_some_and(|f| f.reference() == migration.reference())
                    || (migration.unit == other.unit && d == migration.id.as_str())
            });
            if needs && !also_undone {
                refusals.push(refusal(
                    "dependants",
                    format!("`{}` is applied and depends on `{}`", other.reference(), migration.reference()),
                    format!("undo `{}` first", other.id),
                    false,
                ));
            }
        }
    }
    let mut steps = Vec::new();
    for migration in chosen {
        match &migration.down {
            Some(down) if !execution::is_blank_sql(&down.text) => {
                match step(request, migration, StepAction::Rollback, down) {
                    Ok(step) => steps.push(step),
                    Err(r) => refusals.push(r),
                }
            }
            Some(_) | None => refusals.push(refusal(
                "no-down",
                format!("`{}` has no backward script", migration.reference()),
                "write a new migration that takes it back".to_owned(),
                false,
            )),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(finish(request, steps))
}

/// Plans recording everything up to `to` as applied without running it.
///
/// # Errors
/// An unknown version, or a broken set.
pub fn plan_baseline(request: &Request<'_>) -> Result<MigrationPlan, Vec<Refusal>> {
    let index = Index::new(request.set, request.history);
    let mut refusals = invalid_set(request.set);
    let last = match request.to.map(|to| position_of(request, to)) {
        Some(Ok(at)) => at,
        Some(Err(r)) => {
            refusals.push(r);
            0
        }
        None => usize::MAX,
    };
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let steps = request
        .set
        .migrations
        .iter()
        .take(last.saturating_add(1))
        .filter(|m| belongs(m, request.target, request.engine))
        .filter(|m| index.of(m).is_none_or(|r| r.state != MigrationState::Applied))
        .map(|m| Step {
            statements: Vec::new(),
            recovery: RecoveryClass::Atomic,
            in_transaction: true,
            ..bare_step(request, m, StepAction::Baseline, &m.up)
        })
        .collect();
    Ok(finish(request, steps))
}

/// What a target says about each migration of the set, and behind them what it alone knows.
pub fn statuses(
    set: &MigrationSet,
    target: &TargetName,
    engine: Engine,
    history: &[HistoryRow],
) -> Vec<MigrationStatus> {
    let index = Index::new(set, history);
    let mut out: Vec<MigrationStatus> = set
        .migrations
        .iter()
        .filter(|m| belongs(m, target, engine))
        .map(|m| match index.of(m) {
            None => MigrationStatus {
                id: m.id.clone(),
                unit: m.unit.clone(),
                state: MigrationState::Pending,
                applied_at: None,
                by: None,
                duration_ms: None,
                pr: None,
                commit: None,
                note: None,
            },
            Some(row) => {
                let edited = row.state == MigrationState::Applied && row.checksum != m.checksum;
                let note = edited.then(|| format!("edited after it was applied: `{}`", m.up.path));
                MigrationStatus { unit: m.unit.clone(), ..status_of(row, note) }
            }
        })
        .collect();
    out.extend(index.strays(set, history).into_iter().map(|row| {
        let note = (row.state == MigrationState::Applied).then(|| "its file is gone".to_owned());
        status_of(row, note)
    }));
    out
}

fn status_of(row: &HistoryRow, note: Option<String>) -> MigrationStatus {
    MigrationStatus {
        id: row.id.clone(),
        unit: row.unit.clone(),
        state: row.state,
        applied_at: row.finished_at.or(Some(row.started_at)),
        by: Some(row.by.clone()),
        duration_ms: row.finished_at.map(|_| row.duration_ms),
        pr: row.pr,
        commit: row.commit.clone(),
        note: note.or_else(|| row.error.clone()),
    }
}

fn unknown(name: &str) -> Refusal {
    refusal(
        "unknown",
        format!("`{name}` is no migration of this set, or several"),
        "write its id, its version, or `unit/id`".to_owned(),
        false,
    )
}

fn position_of(request: &Request<'_>, to: &str) -> Result<usize, Refusal> {
    let found = request.set.find(to).ok_or_else(|| unknown(to))?;
    Ok(request.set.migrations.iter().position(|m| m.reference() == found.reference()).unwrap_or(usize::MAX))
}

/// Errors of the files themselves.
fn invalid_set(set: &MigrationSet) -> Vec<Refusal> {
    set.problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .map(|p| refusal("invalid-set", format!("{}:{}: {}", p.file, p.line, p.message), p.help.clone(), false))
        .collect()
}

/// What the history says that does not fit the files.
fn drift(request: &Request<'_>, index: &Index<'_>) -> Vec<Refusal> {
    let mut out = Vec::new();
    for migration in request.set.migrations.iter().filter(|m| belongs(m, request.target, request.engine)) {
        let Some(row) = index.of(migration) else { continue };
        let same = row.checksum == migration.checksum;
        match row.state {
            MigrationState::Applied if !same => out.push(refusal(
                "edited",
                format!("`{}` was edited after it was applied", migration.up.path),
                format!(
                    "put the file back and write a new migration; or, if the database is known to be as the file says, \
                     `godwit resolve {} --as applied --reason …`",
                    migration.id
                ),
                true,
            )),
            MigrationState::Running | MigrationState::Failed if !same && row.statements_done > 0 => out.push(refusal(
                "dirty",
                format!(
                    "`{}` was edited after {} of its statements had been run",
                    migration.up.path, row.statements_done
                ),
                format!(
                    "put the file back and run `godwit resume`, or settle it with `godwit resolve {}`",
                    migration.id
                ),
                true,
            )),
            MigrationState::Running if row.action == StepAction::Rollback => out.push(refusal(
                INTERRUPTED_ROLLBACK,
                format!("undoing `{}` was interrupted", migration.reference()),
                "run `godwit resume` to finish undoing it".to_owned(),
                false,
            )),
            MigrationState::NeedsHuman => out.push(needs_human(row)),
            MigrationState::Applied
            | MigrationState::Running
            | MigrationState::Failed
            | MigrationState::Pending
            | MigrationState::RolledBack => {}
        }
    }
    for row in index.strays(request.set, request.history) {
        match row.state {
            MigrationState::Applied => out.push(refusal(
                "missing",
                format!("`{}` is applied, but its file is gone", row.id),
                format!(
                    "put the file back; or, if the change is undone, `godwit resolve {} --as rolled-back --reason …`",
                    row.id
                ),
                true,
            )),
            MigrationState::Running | MigrationState::NeedsHuman => out.push(needs_human(row)),
            MigrationState::Failed if row.statements_done > 0 => out.push(needs_human(row)),
            MigrationState::Failed | MigrationState::Pending | MigrationState::RolledBack => {}
        }
    }
    out
}

fn needs_human(row: &HistoryRow) -> Refusal {
    let found = row.error.as_deref().map_or(String::new(), |e| format!(": {e}"));
    refusal(
        "dirty",
        format!("what became of `{}` cannot be proved{found}", row.id),
        format!("look at the database, then `godwit resolve {} --as applied|rolled-back|retry --reason …`", row.id),
        true,
    )
}

/// Unit → the applied migration with the highest version.
fn highest_applied<'a>(request: &Request<'a>, index: &Index<'_>) -> BTreeMap<&'a str, &'a Migration> {
    let mut highest: BTreeMap<&str, &Migration> = BTreeMap::new();
    for m in request.set.migrations.iter().filter(|m| belongs(m, request.target, request.engine)) {
        if index.of(m).is_some_and(|r| r.state == MigrationState::Applied) {
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

fn bare_step(request: &Request<'_>, migration: &Migration, action: StepAction, script: &Script) -> Step {
    Step {
        unit: migration.unit.clone(),
        migration: migration.id.clone(),
        version: migration.version.as_str().to_owned(),
        target: request.target.clone(),
        engine: request.engine,
        action,
        recovery: RecoveryClass::Atomic,
        in_transaction: true,
        statements: Vec::new(),
        path: script.path.clone(),
        checksum: migration.checksum.clone(),
        risk: (request.risk)(migration),
        reversible: migration.is_reversible(),
    }
}

fn step(request: &Request<'_>, migration: &Migration, action: StepAction, script: &Script) -> Result<Step, Refusal> {
    let execution =
        execution(request.engine, &script.text, migration.directives.no_transaction).map_err(|e| cannot(script, &e))?;
    let line = |n: u32| script.first_line + n - 1;
    let mut step = bare_step(request, migration, action, script);
    match execution {
        Execution::Transaction { body, .. } => {
            if request.detail == Detail::Full {
                step.statements = listed(request.engine, script, body)?;
            }
        }
        Execution::Statements(statements) => {
            step.in_transaction = false;
            let class = |n: Nature| recovery_class(n);
            step.recovery = statements
                .iter()
                .map(|s| class(s.nature))
                .max_by_key(|c| weakness(*c))
                .unwrap_or(RecoveryClass::Atomic);
            step.statements = statements
                .iter()
                .map(|s| PlannedStatement {
                    sql: script.text[s.range.clone()].to_owned(),
                    line: line(s.line),
                    recovery: class(s.nature),
                })
                .collect();
        }
    }
    Ok(step)
}

/// The statements of a transaction, as they are sent.
fn listed(engine: Engine, script: &Script, body: std::ops::Range<usize>) -> Result<Vec<PlannedStatement>, Refusal> {
    let text = &script.text[body.clone()];
    let before = script.text[..body.start].matches('\n').count();
    let found = execution::statements(engine, text).map_err(|e| cannot(script, &e))?;
    let line = |n: u32| script.first_line + n - 1 + u32::try_from(before).unwrap_or(0);
    if text.len() > LONG_SCRIPT {
        return Ok(vec![PlannedStatement {
            sql: format!("-- {} statements, {} bytes: see {}", found.len(), text.len(), script.path),
            line: line(1),
            recovery: RecoveryClass::Atomic,
        }]);
    }
    Ok(found
        .into_iter()
        .map(|s| PlannedStatement {
            sql: text[s.range].to_owned(),
            line: line(s.line),
            recovery: RecoveryClass::Atomic,
        })
        .collect())
}

fn cannot(script: &Script, e: &CannotExecute) -> Refusal {
    refusal(
        "mixed-transaction",
        format!("{}:{}: {}", script.path, script.first_line + e.line - 1, e.message),
        e.help.clone(),
        false,
    )
}

/// The class of a statement that runs on its own.
pub fn recovery_class(nature: Nature) -> RecoveryClass {
    match nature {
        Nature::Transactional => RecoveryClass::Atomic,
        Nature::Session | Nature::Idempotent => RecoveryClass::Idempotent,
        Nature::Verifiable => RecoveryClass::Verifiable,
        Nature::Unprovable => RecoveryClass::Manual,
    }
}

fn weakness(class: RecoveryClass) -> u8 {
    match class {
        RecoveryClass::Atomic => 0,
        RecoveryClass::Idempotent => 1,
        RecoveryClass::Verifiable => 2,
        RecoveryClass::Manual => 3,
    }
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

/// Words that destroy without a way back, by the first words of a statement.
pub fn destroys(engine: Engine, text: &str) -> bool {
    // Most scripts hold none of these words, and are not looked at closer.
    let suspicious = |w: &str| ["drop", "truncate", "delete"].iter().any(|x| w.eq_ignore_ascii_case(x));
    if !text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(suspicious) {
        return false;
    }
    let Ok(statements) = execution::statements(engine, text) else { return false };
    statements.iter().any(|s| {
        let sql = &text[s.range.clone()];
        let words: Vec<String> =
            execution::significant_tokens(sql).into_iter().map(|r| sql[r].to_ascii_uppercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["DROP", "TABLE" | "SCHEMA" | "DATABASE" | "TABLESPACE" | "TYPE" | "SEQUENCE", ..] | ["TRUNCATE", ..] => {
                true
            }
            ["DELETE", rest @ ..] => !rest.contains(&"WHERE"),
            ["ALTER", "TABLE", rest @ ..] => rest.windows(2).any(|w| {
                w[0] == "DROP" && !matches!(w[1], "CONSTRAINT" | "DEFAULT" | "NOT" | "EXPRESSION" | "IDENTITY")
            }),
            _ => false,
        }
    })
}

/// The risk of a migration where no linter is asked: its own word, and `HIGH` if it destroys.
pub fn plain_risk(migration: &Migration) -> Risk {
    let declared = migration.declared_risk().unwrap_or(Risk::Low);
    if destroys(migration.engine, &migration.up.text) { Risk::High } else { declared }
}

#[cfg(test)]
mod tests;
