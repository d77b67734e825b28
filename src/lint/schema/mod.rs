//! The schema that the earlier migrations built: replayed in their order, asked before each change. Knows what no single
//! file tells: the type that a column has, the check that makes `SET NOT NULL` cheap, the index that is there already.

mod backward;
mod built;
mod catalog;
mod change;
mod judge;
mod picks;
mod read;
mod reversal;
#[cfg(test)]
mod tests;
mod types;
mod worlds;

use std::collections::{BTreeMap, HashMap, HashSet};

pub use backward::{Brought, columns_set, filled};
pub use built::{Built, Column as BuiltColumn, built};
pub use change::Change;
pub use judge::Note;
pub use read::{AGGREGATES, CHANGING, changes};
pub use reversal::unreversed;

use catalog::Catalog;
use change::What;
use judge::Key;
use worlds::{Part, worlds};

use super::fix::Rewrite;
use super::script::Finding;
use super::table::{Applies, RuleInfo, rule};
use super::{Category, Severity};
use crate::ids::{Engine, EnvironmentName, Risk};
use crate::migration::Migration;

static EXISTING_OBJECT: RuleInfo = rule(
    "existing-object",
    Category::Fails,
    Some(Severity::Error),
    Risk::High,
    Applies::Postgresql,
    "Creates what an earlier migration created",
);
static MISSING_OBJECT: RuleInfo = rule(
    "missing-object",
    Category::Fails,
    Some(Severity::Error),
    Risk::High,
    Applies::Postgresql,
    "Uses what is not there at that point of the history",
);
static POSTGRESQL_REFUSES: RuleInfo = rule(
    "postgresql-refuses",
    Category::Fails,
    Some(Severity::Error),
    Risk::High,
    Applies::Postgresql,
    "PostgreSQL refuses it on the tables and views that the migrations make",
);
static OBJECT_IN_USE: RuleInfo = rule(
    "object-in-use",
    Category::Fails,
    Some(Severity::Error),
    Risk::High,
    Applies::Postgresql,
    "Something else hangs on what is dropped or changed",
);
static DUPLICATE_INDEX: RuleInfo = rule(
    "duplicate-index",
    Category::Style,
    Some(Severity::Warning),
    Risk::Low,
    Applies::Postgresql,
    "An index that is there serves the same queries",
);
static FOREIGN_KEY_WITHOUT_INDEX: RuleInfo = rule(
    "foreign-key-without-index",
    Category::Lock,
    Some(Severity::Warning),
    Risk::Low,
    Applies::Postgresql,
    "No index on the columns of a foreign key",
);

static PARTITION_BESIDE_DEFAULT: RuleInfo = rule(
    "partition-beside-default",
    Category::Lock,
    Some(Severity::Warning),
    Risk::High,
    Applies::Postgresql,
    "A new partition has the default partition scanned",
);

static POLICY_OPENS_ALL: RuleInfo = rule(
    "policy-opens-all",
    Category::Security,
    Some(Severity::Warning),
    Risk::High,
    Applies::Postgresql,
    "A policy opens what another one closes",
);
static PUBLISHED_WITHOUT_KEY: RuleInfo = rule(
    "published-without-key",
    Category::Compatibility,
    Some(Severity::Warning),
    Risk::High,
    Applies::Postgresql,
    "A table is published whose rows have no key",
);

/// Every rule that only the history can answer.
pub(super) static RULES: &[&RuleInfo] = &[
    &EXISTING_OBJECT,
    &MISSING_OBJECT,
    &OBJECT_IN_USE,
    &POSTGRESQL_REFUSES,
    &DUPLICATE_INDEX,
    &FOREIGN_KEY_WITHOUT_INDEX,
    &PARTITION_BESIDE_DEFAULT,
    &POLICY_OPENS_ALL,
    &PUBLISHED_WITHOUT_KEY,
];

/// One migration of the history with its changes.
pub struct Step<'a> {
    /// Its place in the set.
    pub at: usize,
    /// The migration.
    pub migration: &'a Migration,
    /// What its forward script does.
    pub changes: Vec<Change>,
    /// What its way back does, where the migration is looked at.
    pub back: Vec<Change>,
}

/// The database that a migration belongs to, as far as it can be told: its target, else its folder.
pub fn database(migration: &Migration) -> Option<String> {
    (migration.engine == Engine::Postgresql).then(|| match &migration.target {
        Some(target) => format!("target {target}"),
        None => format!("folder {}", migration.unit),
    })
}

/// What the history says about the two scripts of a migration.
#[derive(Debug, Default)]
pub struct Notes {
    /// About the forward one.
    pub up: Vec<Note>,
    /// About the way back.
    pub down: Vec<Note>,
}

/// What the history says about its migrations, by their place in the set. `steps` are in the order in which they run;
/// those of `together` come in one change, so that what one of them makes holds no rows for the others. `environment` is the
/// one that is asked about, if it is one.
pub fn judge(
    steps: &[Step<'_>],
    version: u32,
    together: &HashSet<usize>,
    environment: Option<&EnvironmentName>,
) -> HashMap<usize, Notes> {
    let mut of: BTreeMap<String, Vec<&Step<'_>>> = BTreeMap::new();
    for step in steps {
        if let Some(database) = database(step.migration) {
            of.entry(database).or_default().push(step);
        }
    }
    let mut notes = HashMap::new();
    for history in of.values() {
        for world in worlds(history, environment) {
            replay(&world, version, together, &mut notes);
        }
    }
    notes
}

fn replay(history: &[(&Step<'_>, Part)], version: u32, together: &HashSet<usize>, notes: &mut HashMap<usize, Notes>) {
    let mut catalog = Catalog::default();
    let mut keys: Vec<(usize, Key)> = Vec::new();
    let mut made_together: HashSet<String> = HashSet::new();
    for (n, (step, part)) in history.iter().enumerate() {
        catalog.begin(step.migration.schema());
        if *part == Part::Judged {
            let lost = backward::takes(&catalog, step);
            if !lost.is_empty() {
                notes.entry(step.at).or_default().down.extend(lost);
            }
        }
        let mut made = if together.contains(&step.at) { made_together.clone() } else { HashSet::new() };
        for (at, change) in step.changes.iter().enumerate() {
            if *part == Part::Forgotten {
                catalog.forget(&change.what.names());
                continue;
            }
            let later = |name: &str| created_later(&history[n..], &catalog, name);
            if let What::CreateTable { name, .. } = &change.what {
                made.extend(catalog.resolve_new(name));
            }
            if *part == Part::Applied {
                catalog.apply(&change.what);
                continue;
            }
            let mut found = judge::notes(&catalog, change, version, &later);
            found.extend(judge::without_key(&catalog, change, &step.changes[at + 1..]));
            found.extend(judge::opens_all(&catalog, change, &step.changes[..at], &step.changes[at + 1..]));
            found.extend(judge::not_made(&catalog, change, &step.back));
            found.extend(
                judge::checked_column(&catalog, change)
                    .or_else(|| judge::every_row(&catalog, change))
                    .or_else(|| picks::told(&catalog, change))
                    .or_else(|| judge::beside_default(&catalog, change, &made))
                    .filter(|(table, _)| !made.contains(table))
                    .map(|(_, note)| note),
            );
            let narrow = judge::narrow_keys(&catalog, change).into_iter();
            // What the same change makes is rewritten with it.
            found.extend(narrow.filter(|(other, _)| !made.contains(other)).map(|(_, note)| note));
            keys.extend(judge::keys(&catalog, change).into_iter().map(|key| (step.at, key)));
            catalog.apply(&change.what);
            if !found.is_empty() {
                notes.entry(step.at).or_default().up.extend(found);
            }
        }
        if *part == Part::Judged {
            let refused = backward::refused(&catalog, step, version);
            if !refused.is_empty() {
                notes.entry(step.at).or_default().down.extend(refused);
            }
        }
        if together.contains(&step.at) {
            made_together = made;
        }
    }
    for (at, key) in keys.into_iter().filter(|(_, key)| judge::lacks_index(&catalog, key)) {
        let message = format!(
            "no index begins with ({}) of `{}`: each row deleted or re-keyed on the other side scans the whole table",
            key.columns.join(", "),
            key.table
        );
        let help = if catalog.is_partitioned(&key.table) {
            judge::INDEX_OF_PARTITIONED.to_owned()
        } else {
            format!("CREATE INDEX CONCURRENTLY ON {} ({});", key.table, key.columns.join(", "))
        };
        let fix = history.iter().find(|(s, _)| s.at == at).and_then(|(step, _)| index_behind(step, &key));
        notes.entry(at).or_default().up.push(Note::Add(Finding {
            tables: vec![key.table],
            fix,
            ..Finding::new(&FOREIGN_KEY_WITHOUT_INDEX, key.range, message).with_help(help)
        }));
    }
}

/// A table that is made right there can have its index in the next statement, without a lock that anyone waits for.
fn index_behind(step: &Step<'_>, key: &Key) -> Option<Rewrite> {
    let made = step.changes.iter().find(|c| c.range == key.range && !c.in_body)?;
    let What::CreateTable { name, .. } = &made.what else { return None };
    let plain =
        |n: &String| n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'));
    if !plain(name) || !key.columns.iter().all(plain) {
        return None;
    }
    let end = key.range.end;
    let create = format!("CREATE INDEX ON {name} ({})", key.columns.join(", "));
    let text = match step.migration.up.text.get(..end)?.ends_with(';') {
        true => format!("\n{create};"),
        false => format!(";\n{create}"),
    };
    Some(Rewrite { title: "Create the index with the table".to_owned(), edits: vec![(end..end, text)] })
}

/// The later migration that creates a table which cannot have been there before: nothing up to then takes it away.
fn created_later(rest: &[(&Step<'_>, Part)], catalog: &Catalog, name: &str) -> Option<String> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is = |written: &str| written == name || written == last;
    for (n, (step, _)) in rest.iter().enumerate() {
        for change in &step.changes {
            match &change.what {
                What::CreateTable { name: made, if_not_exists: false, temporary: false, .. } if is(made) => {
                    let sure =
                        n > 0 && catalog.resolve_new(made).as_deref() == Some(name) && step.migration.only_in.is_none();
                    return sure.then(|| step.migration.id.to_string());
                }
                What::Maybe(what) if matches!(**what, What::Anything) || what.names().iter().any(|n| is(n)) => {
                    return None;
                }
                What::Anything | What::SearchPath(_) | What::CreateFunction { .. } => return None,
                What::Opaque(words) if words.contains(last) => return None,
                What::Drop { names, .. } if names.iter().any(|n| is(n)) => return None,
                What::Drop { kind: change::Dropped::Schema, .. } => return None,
                What::Alter { table, action: change::Action::RenameTo(_) | change::Action::SetSchema(_), .. }
                    if is(table) =>
                {
                    return None;
                }
                What::CreateTable { name: made, .. } | What::CreateOther { name: made, .. } if is(made) => return None,
                _ => {}
            }
        }
    }
    None
}

/// Lets what the history knows stand in for what a rule could only guess, and adds what only it can tell.
pub fn weigh(notes: Vec<Note>, found: &mut Vec<Finding>) {
    for note in notes {
        match note {
            Note::Add(finding) => found.push(finding),
            Note::Narrow { table, column } => {
                let of = |f: &&mut Finding| f.column.as_ref().is_some_and(|(t, c)| *t == table && *c == column);
                found.iter_mut().filter(of).for_each(|finding| finding.fix = None);
            }
            Note::Harmless { rules, range } => {
                found.retain(|f| !rules.contains(&f.rule.id) || f.range.start != range.start);
            }
            Note::Unfixable { rules, range, message, help } => {
                for finding in found.iter_mut().filter(|f| rules.contains(&f.rule.id) && range.contains(&f.range.start))
                {
                    finding.fix = None;
                    // What is harmless stays so.
                    if finding.severity != Some(Severity::Info) {
                        finding.message.clone_from(&message);
                        finding.help = Some(help.to_owned());
                    }
                }
            }
            Note::Tell { rule, range, message, help, severity, risk } => {
                for finding in found.iter_mut().filter(|f| f.rule.id == rule && range.contains(&f.range.start)) {
                    finding.message.clone_from(&message);
                    finding.severity = Some(severity);
                    finding.risk = Some(risk);
                    if help.is_some() || severity == Severity::Info {
                        finding.help.clone_from(&help);
                    }
                    if severity == Severity::Info {
                        finding.fix = None;
                    }
                }
            }
        }
    }
}
