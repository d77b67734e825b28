//! What another tool's table says, laid beside Godwit's own history. Where the two agree nothing happens; what only the
//! other tool knows is taken over; where they disagree nobody guesses (docs/adr/0081-native-history.md). Pure.

use std::collections::BTreeMap;

use super::{Index, belongs, refusal};
use crate::ids::{Engine, TargetName};
use crate::migration::native::{Book, Entry, Found, Ledger, Said, Tool};
use crate::migration::{Migration, MigrationSet, Version};
use crate::plan::{HistoryRow, MigrationState, Refusal};

/// Other tools' tables on one target, as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Native {
    /// The tables that may be there.
    pub book: Book,
    /// Those that are.
    pub found: Vec<Found>,
}

impl Native {
    /// What was found of a book's tables; the book gets the entries of these.
    pub fn of(mut book: Book, found: Vec<Found>, set: &MigrationSet, target: &TargetName, engine: Engine) -> Self {
        book.write(set, target, engine, |n| found.iter().any(|f| f.ledger == n));
        Self { book, found }
    }

    /// The tool whose table is kept for a migration.
    fn tool_of(&self, migration: &Migration) -> Option<Tool> {
        let ledgers = self.found.iter().filter_map(|f| self.book.ledgers.get(f.ledger));
        ledgers.filter(|l| l.unit == migration.unit).map(|l| l.tool).next()
    }
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub(super) struct Compared<'a> {
    /// Applied by the other tool, and not in the history.
    pub adopt: Vec<&'a Migration>,
    /// In the history, and not in the other tool's table.
    pub unwritten: Vec<&'a Migration>,
    /// Why nothing may run.
    pub refusals: Vec<Refusal>,
    /// Those among them that a baseline does not settle.
    pub unclear: Vec<Refusal>,
}

impl Compared<'_> {
    pub fn adopts(&self, migration: &Migration) -> bool {
        self.adopt.iter().any(|m| std::ptr::eq(*m, migration))
    }
}

pub(super) fn compare<'a>(
    set: &'a MigrationSet,
    (target, engine): (&TargetName, Engine),
    native: &Native,
    index: &Index<'_>,
) -> Compared<'a> {
    let mut out = Compared::default();
    let mut seen: BTreeMap<&str, Tool> = BTreeMap::new();
    for found in &native.found {
        let Some(ledger) = native.book.ledgers.get(found.ledger) else { continue };
        if let Some(other) = seen.insert(&ledger.unit, ledger.tool) {
            out.unclear.push(refusal(
                "drift",
                format!(
                    "the database has the tables of both {} and {}, and the folder `{}` could be either's",
                    other.name(),
                    ledger.tool.name(),
                    ledger.unit
                ),
                "say which in `godwit.yml`: `layout: numbered` with `native: always`, `layout: sqlx`, or `native: never`"
                    .to_owned(),
                true,
            ));
            continue;
        }
        let migrations: BTreeMap<&str, &Migration> = set
            .migrations
            .iter()
            .filter(|m| m.unit == ledger.unit && belongs(m, target, engine))
            .map(|m| (m.id.as_str(), m))
            .collect();
        one(set, ledger, found, &migrations, index, &mut out);
    }
    out
}

/// The last word of a table on each key, and the version up to which everything counts.
struct Words<'a> {
    by_key: BTreeMap<&'a str, (&'a Said, Option<&'a str>)>,
    up_to: Option<&'a str>,
}

fn words<'a>(tool: Tool, found: &'a Found) -> Words<'a> {
    let mut words = Words { by_key: BTreeMap::new(), up_to: None };
    for row in &found.rows {
        let new = (&row.said, row.checksum.as_deref());
        let slot = words.by_key.entry(row.key.as_str()).or_insert(new);
        // Prisma stops at a row that failed, whatever comes after it.
        if !(tool == Tool::Prisma && *slot.0 == Said::Dirty) {
            *slot = new;
        }
        if row.said == Said::UpTo || (row.said == Said::Dirty && tool.notes_one_version()) {
            words.up_to = Some(&row.key);
        }
    }
    words
}

fn at_most(key: &str, limit: &str) -> bool {
    Version::numeric(key) <= Version::numeric(limit)
}

fn one<'a>(
    set: &MigrationSet,
    ledger: &Ledger,
    found: &Found,
    migrations: &BTreeMap<&str, &'a Migration>,
    index: &Index<'_>,
    out: &mut Compared<'a>,
) {
    let words = words(ledger.tool, found);
    let state = |e: &Entry| migrations.get(e.id.as_str()).and_then(|m| index.of(m)).map(|r| r.state);
    // A tool that notes one version says nothing of latecomers below it: only of what is above all that we know.
    let begun = |e: &Entry| migrations.get(e.id.as_str()).and_then(|m| index.of(m)).is_some_and(half_way);
    let highest = ledger.entries.iter().rposition(|e| state(e) == Some(MigrationState::Applied) || begun(e));
    let table = &ledger.table;
    for (at, entry) in ledger.entries.iter().enumerate() {
        let Some(&migration) = migrations.get(entry.id.as_str()) else { continue };
        let row = index.of(migration);
        if row.is_some_and(half_way) {
            continue;
        }
        let own = row.is_some_and(|r| r.state == MigrationState::Applied);
        let (said, sum) = words.by_key.get(entry.key.as_str()).copied().unzip();
        let covered = !entry.repeatable && words.up_to.is_some_and(|limit| at_most(&entry.key, limit));
        let theirs = match said {
            Some(Said::Dirty) => {
                out.refusals.push(dirty(set, ledger, migration));
                continue;
            }
            Some(Said::Applied) => true,
            Some(Said::Gone) => false,
            Some(Said::UpTo) | None => covered,
        };
        match (own, theirs) {
            (true, false) => {
                out.unwritten.push(migration);
                out.refusals.push(refusal(
                    "drift",
                    format!("`{}` is applied by the history, but not by `{table}` of {}", migration.reference(), ledger.tool.name()),
                    format!(
                        "if it is applied, `godwit resolve {id} --as applied --reason …` writes it there (`godwit baseline` \
                         for many); if {} undid it, `godwit resolve {id} --as rolled-back --reason …`; or leave the table \
                         alone with `native: never` in `godwit.yml`",
                        ledger.tool.name(),
                        id = set.called(migration),
                    ),
                    true,
                ));
            }
            (false, true) if ledger.tool.notes_one_version() && highest.is_some_and(|h| at < h) => {}
            (false, true) => match (sum.flatten(), entry.checksum.as_deref()) {
                (Some(theirs), Some(ours)) if theirs != ours => {
                    // A repeatable one that has changed since simply runs again.
                    if !entry.repeatable {
                        out.refusals.push(edited(set, ledger, migration));
                    }
                }
                _ => out.adopt.push(migration),
            },
            (true, true) | (false, false) => {}
        }
    }
    let known = |key: &str| ledger.entries.iter().any(|e| e.key == key);
    let strange = words.by_key.iter().filter(|(key, (said, _))| **said != Said::Gone && !known(key));
    for (key, (said, _)) in strange {
        // A baseline of another tool may stand for versions that never were files.
        if **said == Said::UpTo && !ledger.tool.notes_one_version() {
            continue;
        }
        out.unclear.push(refusal(
            "missing",
            format!(
                "`{table}` of {} knows `{}`, which no file of `{}` has",
                ledger.tool.name(),
                key.trim_start_matches('~'),
                ledger.unit
            ),
            "put the file back; or leave the table alone with `native: never` in `godwit.yml`".to_owned(),
            true,
        ));
    }
}

/// Whether Godwit's own record says that somebody has to go on, or to decide: then it alone counts.
fn half_way(row: &HistoryRow) -> bool {
    match row.state {
        MigrationState::Running | MigrationState::NeedsHuman => true,
        MigrationState::Failed => row.failed_half_way(),
        MigrationState::Pending | MigrationState::Applied | MigrationState::RolledBack => false,
    }
}

fn dirty(set: &MigrationSet, ledger: &Ledger, migration: &Migration) -> Refusal {
    refusal(
        "dirty",
        format!("{} failed in `{}` and has noted it in `{}`", ledger.tool.name(), migration.reference(), ledger.table),
        if ledger.tool.notes_one_version() {
            format!(
                "look at the database, then settle it: {}, or record up to where it is applied with `godwit baseline --to \
                 VERSION` and, if `{id}` is not, `godwit resolve {id} --as rolled-back --reason …`",
                ledger.tool.way_out(),
                id = set.called(migration)
            )
        } else {
            format!(
                "look at the database, then settle it: {}, or `godwit resolve {} --as applied|rolled-back --reason …`",
                ledger.tool.way_out(),
                set.called(migration)
            )
        },
        true,
    )
}

fn edited(set: &MigrationSet, ledger: &Ledger, migration: &Migration) -> Refusal {
    refusal(
        "edited",
        format!("`{}` was edited after {} applied it", migration.up.path, ledger.tool.name()),
        format!(
            "put the file back; or, if the database is known to be as the file says, `godwit resolve {} --as applied --reason …`",
            set.called(migration)
        ),
        true,
    )
}

/// What a status says of a migration that only the other tool has applied.
pub(super) fn by_other_tool(native: &Native, migration: &Migration) -> String {
    let tool = native.tool_of(migration).map_or("another tool", Tool::name);
    format!("applied by {tool}; the next run takes it over")
}
