//! What another tool's table says, laid beside Godwit's own history. Where the two agree nothing happens; what only the
//! other tool knows is taken over; where they disagree nobody guesses (docs/adr/0081-native-history.md). Pure.

use std::collections::BTreeMap;

use super::{Index, belongs, refusal};
use crate::ids::{Engine, TargetName};
use crate::migration::native::{Book, Elsewhere, Entry, Found, Ledger, Said, Tool, is_same_text};
use crate::migration::{Migration, MigrationSet, Version};
use crate::plan::{HistoryRow, MigrationState, Refusal};

/// Other tools' tables on one target, as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Native {
    /// The tables that may be there.
    pub book: Book,
    /// Those that are.
    pub found: Vec<Found>,
    /// Those that are and could be of more than one folder.
    unclear: Vec<Found>,
    /// What looks like a tool's table under another name or in another schema.
    elsewhere: Vec<Found>,
}

impl Native {
    /// What was found of a book's tables; the book gets the entries of these.
    pub fn of(mut book: Book, found: Vec<Found>, set: &MigrationSet, target: &TargetName, engine: Engine) -> Self {
        book.write(set, target, engine, |n| found.iter().any(|f| f.ledger == n));
        let (elsewhere, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.elsewhere.is_some());
        let shared = book.unclear();
        let (unclear, found) = found.into_iter().partition(|f| shared.contains(&f.ledger));
        Self { book, found, unclear, elsewhere }
    }

    /// Whether no table of another tool is there for these folders.
    pub fn is_absent(&self) -> bool {
        self.found.is_empty() && self.unclear.is_empty() && self.elsewhere.is_empty()
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
    /// Repeatable ones that the history has as they are, and that the other tool ran since with another text.
    pub outdated: Vec<&'a Migration>,
    /// What the other tool's table says against running others, by migration.
    pub said: Vec<(&'a Migration, MigrationState, String)>,
    /// Why nothing may run.
    pub refusals: Vec<Refusal>,
    /// Those among them that a baseline does not settle.
    pub unclear: Vec<Refusal>,
}

impl Compared<'_> {
    pub fn adopts(&self, migration: &Migration) -> bool {
        self.adopt.iter().any(|m| std::ptr::eq(*m, migration))
    }

    /// Whether it has to run again, whatever the history says.
    pub fn is_outdated(&self, migration: &Migration) -> bool {
        self.outdated.iter().any(|m| std::ptr::eq(*m, migration))
    }

    /// The state that the other tool's table gives a migration against the history, or without it, and why.
    pub fn state_of(&self, migration: &Migration) -> Option<(MigrationState, String)> {
        let said = self.said.iter().find(|(m, ..)| std::ptr::eq(*m, migration));
        said.map(|(_, state, note)| (*state, note.clone()))
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
        one(set, &native.book, ledger, found, &of_unit(set, ledger, (target, engine)), index, &mut out);
    }
    for found in &native.unclear {
        let Some(ledger) = native.book.ledgers.get(found.ledger) else { continue };
        out.refusals.extend(could_be_anothers(ledger, found, &of_unit(set, ledger, (target, engine)), index));
    }
    for found in &native.elsewhere {
        let known = native.found.iter().chain(&native.unclear).filter_map(|f| native.book.ledgers.get(f.ledger));
        let Some(ledger) = native.book.ledgers.get(found.ledger) else { continue };
        if known.into_iter().all(|other| other.unit != ledger.unit) {
            out.refusals.extend(stands_elsewhere(ledger, found));
        }
    }
    out
}

/// The migrations of a ledger's folder, by id.
fn of_unit<'a>(
    set: &'a MigrationSet,
    ledger: &Ledger,
    (target, engine): (&TargetName, Engine),
) -> BTreeMap<&'a str, &'a Migration> {
    let own = set.migrations.iter().filter(|m| m.unit == ledger.unit && belongs(m, target, engine));
    own.map(|m| (m.id.as_str(), m)).collect()
}

/// Why nothing may run where the table could be this folder's or another's, and has what the history does not know.
fn could_be_anothers(
    ledger: &Ledger,
    found: &Found,
    migrations: &BTreeMap<&str, &Migration>,
    index: &Index<'_>,
) -> Option<Refusal> {
    let words = words(ledger.tool, found);
    let unknown = ledger.entries.iter().find_map(|entry| {
        let migration = migrations.get(entry.id.as_str())?;
        let covered = !entry.repeatable && words.up_to.is_some_and(|limit| at_most(&entry.key, limit));
        let said = words.by_key.get(entry.key.as_str()).is_some_and(|(said, _)| **said != Said::Gone);
        let known = index.of(migration).is_some_and(|row| row.state == MigrationState::Applied || half_way(row));
        ((said || covered) && !known).then_some(*migration)
    })?;
    Some(refusal(
        "drift",
        format!(
            "`{}` of {} could be that of `{}` or of another folder, and says that `{}` is applied, which the history does not \
             know",
            ledger.table,
            ledger.tool.name(),
            ledger.unit,
            unknown.reference()
        ),
        "say in `godwit.yml` whose it is: `native: never` for each folder to which it does not belong, or `table: NAME` for \
         one whose table has another name; or say what the database holds with `godwit baseline --to VERSION`"
            .to_owned(),
        true,
    ))
}

/// Why nothing may run where a table of another name, or in another schema, knows a folder's migrations and no others. One
/// that the connection does not see may be another project's, which counts from 1 as well: there a time or a sum has to agree.
fn stands_elsewhere(ledger: &Ledger, found: &Found) -> Option<Refusal> {
    let Elsewhere { table, in_path } = found.elsewhere.as_ref()?;
    let words = words(ledger.tool, found);
    let is_start = |said: &Said| *said == Said::UpTo && !ledger.tool.notes_one_version();
    let mut keys = words.by_key.iter().filter(|(_, (said, _))| **said != Said::Gone && !is_start(said)).peekable();
    keys.peek()?;
    let own = |key: &str| ledger.entries.iter().find(|e| e.key == key);
    let (mut all, mut sure) = (true, *in_path);
    for (key, (_, sum)) in keys {
        let entry = own(key);
        all &= entry.is_some();
        let is_time = key.len() >= TIME && key.bytes().all(|b| b.is_ascii_digit());
        sure |= is_time || entry.is_some_and(|e| sum.is_some() && e.checksum.as_deref() == *sum);
    }
    (all && sure).then(|| {
        refusal(
            "drift",
            format!(
                "`{table}` looks like the table in which {} keeps what it applied, and knows migrations of {}",
                ledger.tool.name(),
                here(&ledger.unit)
            ),
            format!(
                "if it is, write `table: {table}` beside the folder's `path` in `godwit.yml`, so that nothing is run again; if \
                 it is another's, write `native: never` there, or say what the database holds with `godwit baseline --to VERSION`"
            ),
            true,
        )
    })
}

/// The migrations that are not in the history, and that a tool which notes one version has as applied: they count only as
/// long as the history knows none above them.
pub fn noted_below<'a>(
    set: &'a MigrationSet,
    (target, engine): (&TargetName, Engine),
    history: &[HistoryRow],
    native: &Native,
) -> Vec<&'a Migration> {
    let adopted = compare(set, (target, engine), native, &Index::new(set, history)).adopt;
    let notes_one = |m: &&Migration| native.tool_of(m).is_some_and(Tool::notes_one_version);
    adopted.into_iter().filter(notes_one).collect()
}

/// Digits of a version from which on it is a day at least, and not a number that every project has.
const TIME: usize = 8;

/// A folder in a sentence.
fn here(unit: &str) -> String {
    if unit.is_empty() { "this folder".to_owned() } else { format!("`{unit}`") }
}

/// What golang-migrate notes while no version is applied.
const NO_VERSION: &str = "-1";

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
    book: &Book,
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
                let refusal = dirty(set, ledger, migration);
                out.said.push((migration, MigrationState::Failed, refusal.message.clone()));
                out.refusals.push(refusal);
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
            (false, true) => {
                // The sum of a baseline is that of another file.
                let theirs = sum.flatten().filter(|_| said == Some(&Said::Applied));
                match (theirs, entry.checksum.as_deref()) {
                    (Some(theirs), Some(ours)) if theirs != ours && !is_same_text(ledger.tool, migration, theirs) => {
                        // A repeatable one that has changed since simply runs again.
                        if !entry.repeatable {
                            let refusal = edited(set, ledger, migration);
                            out.said.push((migration, MigrationState::Applied, refusal.message.clone()));
                            out.refusals.push(refusal);
                        }
                    }
                    _ => out.adopt.push(migration),
                }
            }
            // What ran last is what the tool's newest row says: both write it.
            (true, true) if entry.repeatable && ledger.tool == Tool::Flyway => {
                let as_noted = row.is_some_and(|r| r.checksum == migration.checksum);
                match sum.flatten() == entry.checksum.as_deref() {
                    true if !as_noted => out.adopt.push(migration),
                    false if as_noted => out.outdated.push(migration),
                    true | false => {}
                }
            }
            (true, true) | (false, false) => {}
        }
    }
    let strange = words.by_key.iter().filter(|(key, (said, _))| **said != Said::Gone && !book.knows(ledger, key));
    for (key, (said, _)) in strange {
        // A baseline of another tool may stand for versions that never were files.
        if **said == Said::UpTo && !ledger.tool.notes_one_version() {
            continue;
        }
        if ledger.tool == Tool::GolangMigrate && *key == NO_VERSION {
            out.refusals.push(refusal(
                "dirty",
                format!("{} failed while undoing its first migration, and has noted it in `{table}`", ledger.tool.name()),
                format!(
                    "look at the database, then settle it: {}, or record up to where it is applied with `godwit baseline \
                     --to VERSION`",
                    ledger.tool.way_out()
                ),
                true,
            ));
            continue;
        }
        out.unclear.push(refusal(
            "missing",
            format!(
                "`{table}` of {} knows `{}`, which no file of {} has",
                ledger.tool.name(),
                key.trim_start_matches('~'),
                here(&ledger.unit)
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
        if ledger.tool.notes_one_version() {
            format!(
                "{} failed in `{}`, or while undoing what comes after it, and has noted it in `{}`",
                ledger.tool.name(),
                migration.reference(),
                ledger.table
            )
        } else {
            format!(
                "{} failed in `{}` and has noted it in `{}`",
                ledger.tool.name(),
                migration.reference(),
                ledger.table
            )
        },
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
