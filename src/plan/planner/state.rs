//! The history laid beside the files: which row belongs to which migration, and what does not fit. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::native::{self, Native};
use super::{INTERRUPTED_ROLLBACK, Request, belongs, edited, refusal};
use crate::ids::{Engine, EnvironmentName, TargetName};
use crate::migration::naming::quoted;
use crate::migration::{Migration, MigrationSet, operations};
use crate::plan::{HistoryRow, MigrationState, MigrationStatus, Refusal, StepAction};

/// The history by (unit, id), and for rows whose folder moved, by what they became.
pub struct Index<'a> {
    rows: HashMap<(&'a str, &'a str), &'a HistoryRow>,
    /// Rows that no migration of the set owns, in the history's order.
    strays: Vec<&'a HistoryRow>,
}

impl<'a> Index<'a> {
    /// Matches rows to migrations: by unit and id; a row whose unit is gone also by its id alone, if its script is
    /// unchanged and no other row or migration claims the name (a folder that was moved or is named another way).
    pub fn new(set: &'a MigrationSet, history: &'a [HistoryRow]) -> Self {
        let mut rows: HashMap<(&str, &str), &HistoryRow> =
            history.iter().map(|r| ((r.unit.as_str(), r.id.as_str()), r)).collect();
        if rows.is_empty() {
            return Self { rows, strays: Vec::new() };
        }
        let known: HashSet<(&str, &str)> = set.migrations.iter().map(|m| (m.unit.as_str(), m.id.as_str())).collect();
        let mut strays: Vec<&HistoryRow> =
            history.iter().filter(|r| !known.contains(&(r.unit.as_str(), r.id.as_str()))).collect();
        for row in strays.clone() {
            if strays.iter().filter(|o| o.id == row.id).count() > 1 {
                continue;
            }
            let mut heirs = set.migrations.iter().filter(|m| {
                m.id == row.id && m.checksum == row.checksum && !rows.contains_key(&(m.unit.as_str(), m.id.as_str()))
            });
            if let (Some(heir), None) = (heirs.next(), heirs.next()) {
                rows.remove(&(row.unit.as_str(), row.id.as_str()));
                rows.insert((heir.unit.as_str(), heir.id.as_str()), row);
                strays.retain(|s| !std::ptr::eq(*s, row));
            }
        }
        Self { rows, strays }
    }

    /// The row of a migration.
    pub fn of(&self, migration: &Migration) -> Option<&'a HistoryRow> {
        self.rows.get(&(migration.unit.as_str(), migration.id.as_str())).copied()
    }
}

/// What a target says about each migration of the set, and behind them what it alone knows.
pub fn statuses(
    set: &MigrationSet,
    target: &TargetName,
    engine: Engine,
    history: &[HistoryRow],
    native: &Native,
    released: &BTreeSet<String>,
    environment: Option<&EnvironmentName>,
) -> Vec<MigrationStatus> {
    let index = Index::new(set, history);
    let other = native::compare(set, (target, engine), native, &index);
    let adopted = |m: &Migration| other.adopts(m).then(|| native::by_other_tool(native, m));
    let mut out: Vec<MigrationStatus> = set
        .migrations
        .iter()
        .filter(|m| belongs(m, target, engine))
        .map(|m| match index.of(m) {
            None => MigrationStatus {
                id: m.id.clone(),
                unit: m.unit.clone(),
                state: match other.state_of(m) {
                    _ if other.adopts(m) => MigrationState::Applied,
                    Some((state, _)) => state,
                    None => MigrationState::Pending,
                },
                action: other.adopts(m).then_some(StepAction::Baseline),
                applied_at: None,
                by: None,
                duration_ms: None,
                pr: None,
                commit: None,
                note: adopted(m).or_else(|| other.state_of(m).map(|(_, note)| note)).or_else(|| {
                    (m.is_contract() && !released.contains(&m.release_key())).then(|| held(set, m, environment))
                }),
            },
            Some(row) => {
                let edited = row.state == MigrationState::Applied && row.checksum != m.checksum;
                if (edited && m.repeatable && !other.adopts(m)) || other.is_outdated(m) {
                    let note = Some("changed since it was applied, and runs again".to_owned());
                    return MigrationStatus {
                        unit: m.unit.clone(),
                        state: MigrationState::Pending,
                        ..status_of(row, note)
                    };
                }
                if other.adopts(m) {
                    let status = status_of(row, adopted(m));
                    let (state, action) = (MigrationState::Applied, Some(StepAction::Baseline));
                    return MigrationStatus { unit: m.unit.clone(), state, action, ..status };
                }
                // The folder's own tool has tried since, and plans go by what it says.
                if let Some((state, note)) = other.state_of(m) {
                    let status = status_of(row, Some(note));
                    return MigrationStatus { unit: m.unit.clone(), state, action: None, ..status };
                }
                let unwritten = other.unwritten.iter().any(|u| std::ptr::eq(*u, m));
                let note = edited.then(|| format!("edited after it was applied: `{}`", m.up.path)).or_else(|| {
                    unwritten.then(|| "applied, but the table of the folder's own tool does not say so".to_owned())
                });
                MigrationStatus { unit: m.unit.clone(), ..status_of(row, note) }
            }
        })
        .collect();
    out.extend(index.strays.iter().map(|row| {
        let note = (row.state == MigrationState::Applied).then(|| "its file is gone".to_owned());
        status_of(row, note)
    }));
    out
}

/// Why a contract migration does not run, and what lets it.
pub fn held(set: &MigrationSet, migration: &Migration, environment: Option<&EnvironmentName>) -> String {
    let place = environment.map_or("--url … --path …".to_owned(), |e| format!("--env {e}"));
    format!("held: contract, release with `godwit release {} {place} --reason …`", set.called(migration))
}

fn status_of(row: &HistoryRow, note: Option<String>) -> MigrationStatus {
    MigrationStatus {
        id: row.id.clone(),
        unit: row.unit.clone(),
        state: row.state,
        action: Some(row.action),
        applied_at: row.finished_at.or(Some(row.started_at)),
        by: Some(row.by.clone()),
        duration_ms: row.finished_at.map(|_| row.duration_ms),
        pr: row.pr,
        commit: row.commit.clone(),
        note: note.or_else(|| row.error.clone()),
    }
}

/// What the history says that does not fit the files.
pub(super) fn drift(request: &Request<'_>, index: &Index<'_>) -> Vec<Refusal> {
    let mut out = Vec::new();
    for migration in request.set.migrations.iter().filter(|m| belongs(m, request.target, request.engine)) {
        let Some(row) = index.of(migration) else { continue };
        let same = row.checksum == migration.checksum;
        match row.state {
            MigrationState::Applied if !same && !migration.repeatable => out.push(refusal(
                "edited",
                format!("`{}` was edited after it was applied", migration.up.path),
                format!(
                    "put the file back and write a new migration; or, if the database is known to be as the file says, \
                     `godwit resolve {} --as applied --reason …`",
                    request.set.called(migration)
                ),
                true,
            )),
            MigrationState::Running | MigrationState::Failed
                if !same
                    && half_done(migration, row)
                    && !edited::goes_on(migration, row, request.finished.get(&migration.reference())) =>
            {
                out.push(edited::half_way(&request.set.called(migration), migration, row));
            }
            MigrationState::Running | MigrationState::Failed if row.is_half_undone() => out.push(refusal(
                INTERRUPTED_ROLLBACK,
                format!("undoing `{}` was interrupted", migration.reference()),
                "run `godwit resume` to finish undoing it".to_owned(),
                false,
            )),
            MigrationState::NeedsHuman => out.push(needs_human(request.set, row)),
            MigrationState::Applied
            | MigrationState::Running
            | MigrationState::Failed
            | MigrationState::Pending
            | MigrationState::RolledBack => {}
        }
    }
    for row in &index.strays {
        // What another repository brings into the same database is its own to look after.
        if request.foreign.contains_key(&row.run) {
            continue;
        }
        match row.state {
            MigrationState::Applied => out.push(refusal(
                "missing",
                format!("`{}` is applied, but its file is gone", row.id),
                format!(
                    "put the file back; or, if the change is undone, `godwit resolve {} --as rolled-back --reason …`; or, if \
                     it is another repository's that shares this database, give each its own schema (`search_path` in the \
                     URL), or run both through one server, whose store knows which is whose",
                    called(request.set, row)
                ),
                true,
            )),
            MigrationState::Running | MigrationState::NeedsHuman => out.push(needs_human(request.set, row)),
            MigrationState::Failed if row.failed_half_way() => out.push(needs_human(request.set, row)),
            MigrationState::Failed | MigrationState::Pending | MigrationState::RolledBack => {}
        }
    }
    out
}

/// Whether something of a migration may be there: statements that were counted, or a first one that goes in batches.
fn half_done(migration: &Migration, row: &HistoryRow) -> bool {
    row.statements_done > 0
        || row.failed_half_way()
        || (row.state == MigrationState::Running
            && (operations::are_operations(migration.engine) || migration.directives.backfill.is_some()))
}

/// What commands call a migration that has a row.
fn called(set: &MigrationSet, row: &HistoryRow) -> String {
    quoted(&set.name(&row.unit, row.id.as_str()))
}

fn needs_human(set: &MigrationSet, row: &HistoryRow) -> Refusal {
    let found = row.error.as_deref().map_or(String::new(), |e| format!(": {e}"));
    refusal(
        "dirty",
        format!("what became of `{}` cannot be proved{found}", row.id),
        format!(
            "look at the database, then `godwit resolve {} --as applied|rolled-back|retry --reason …`",
            called(set, row)
        ),
        true,
    )
}
