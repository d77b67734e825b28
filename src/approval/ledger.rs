//! Migrations that some environment holds stand still: they are not edited, deleted, renamed or overtaken by a lower
//! version (B-16). Pure: what the store recorded in, what a pull request does to it out.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Evaluation, Status};
use crate::ids::{EnvironmentName, PrNumber, TargetName};
use crate::migration::naming::quoted;
use crate::migration::{Migration, MigrationSet};

/// The gate's name in the approvals table.
pub const LEDGER: &str = "recorded migrations";

/// What the store says an environment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The environment.
    pub environment: EnvironmentName,
    /// The target.
    pub target: TargetName,
    /// The folder that numbers it.
    pub unit: String,
    /// Its name there.
    pub migration: String,
    /// Checksum of its forward script then.
    pub checksum: String,
    /// The pull request that brought it, where one did.
    pub pr: Option<PrNumber>,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Whether the record names this repository; runs of the command line name none.
    pub of_this_repository: bool,
}

impl Recorded {
    fn reference(&self) -> String {
        if self.unit.is_empty() { self.migration.clone() } else { format!("{}/{}", self.unit, self.migration) }
    }

    /// Environment, time and pull request, for a sentence.
    fn place(&self) -> String {
        let from = self.pr.map(|pr| format!(", `#{}`", pr.0)).unwrap_or_default();
        format!("`{}` (`{}`, since {}{from})", self.environment, self.target, self.at.format("%Y-%m-%d %H:%M UTC"))
    }
}

/// What a change does to a recorded migration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Its forward script differs.
    Edited,
    /// It is gone.
    Deleted,
    /// Its script stands under another name.
    Renamed(String),
    /// A new one, named here, has a lower version.
    Overtaken(String),
}

/// A change of what environments hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The recorded migration, `unit/id`.
    pub migration: String,
    /// What commands call it.
    pub called: String,
    /// What is done to it.
    pub deed: Deed,
    /// The records it stands in, in the order of `recorded`.
    pub places: Vec<Recorded>,
}

/// What going from `before` to `after` does to `recorded`. What the change leaves alone is not looked at: a record that
/// disagrees with the base for longer is drift, which every run tells.
pub fn breaches(before: &MigrationSet, after: &MigrationSet, recorded: &[Recorded]) -> Vec<Breach> {
    let (was, is) = (by_reference(before), by_reference(after));
    let mut found: BTreeMap<(String, Deed), Vec<Recorded>> = BTreeMap::new();
    for record in recorded.iter().filter(|r| is_ours(r, &was)) {
        let reference = record.reference();
        let (old, new) = (was.get(reference.as_str()), is.get(reference.as_str()));
        let deed = match (old, new) {
            (_, Some(new)) if new.checksum.to_string() == record.checksum => None,
            (Some(old), Some(new)) if old.checksum == new.checksum => None,
            (_, Some(_)) => Some(Deed::Edited),
            (Some(_), None) => Some(match elsewhere(after, record, &was) {
                Some(name) => Deed::Renamed(name),
                None => Deed::Deleted,
            }),
            (None, None) => None,
        };
        if let Some(deed) = deed {
            found.entry((reference, deed)).or_default().push(record.clone());
        }
    }
    for record in recorded {
        let reference = record.reference();
        let Some(held) = was.get(reference.as_str()).filter(|_| is_ours(record, &was)) else { continue };
        let renamed: BTreeSet<&String> = found
            .keys()
            .filter_map(|(_, deed)| match deed {
                Deed::Renamed(to) => Some(to),
                Deed::Edited | Deed::Deleted | Deed::Overtaken(_) => None,
            })
            .collect();
        let overtaking = after.migrations.iter().filter(|m| {
            // A contract waits for a person, whatever comes meanwhile.
            m.unit == held.unit
                && m.engine == held.engine
                && m.version < held.version
                && !m.is_contract()
                && !was.contains_key(m.reference().as_str())
                && !renamed.contains(&m.reference())
        });
        let names: Vec<String> = overtaking.map(Migration::reference).collect();
        for name in names {
            found.entry((reference.clone(), Deed::Overtaken(name))).or_default().push(record.clone());
        }
    }
    let called =
        |migration: &String| was.get(migration.as_str()).map_or_else(|| quoted(migration), |m| before.called(m));
    let mut breaches: Vec<Breach> = found
        .into_iter()
        .map(|((migration, deed), places)| Breach { called: called(&migration), migration, deed, places })
        .collect();
    only_the_highest(&mut breaches, &was);
    breaches
}

/// Of what one new migration comes before, the highest is enough to say.
fn only_the_highest(breaches: &mut Vec<Breach>, was: &BTreeMap<String, &Migration>) {
    let mut highest: BTreeMap<String, String> = BTreeMap::new();
    for breach in breaches.iter() {
        if let Deed::Overtaken(by) = &breach.deed {
            let version = |reference: &str| was.get(reference).map(|m| &m.version);
            let known = highest.entry(by.clone()).or_insert_with(|| breach.migration.clone());
            if version(known) < version(&breach.migration) {
                known.clone_from(&breach.migration);
            }
        }
    }
    breaches.retain(|b| match &b.deed {
        Deed::Overtaken(by) => highest.get(by) == Some(&b.migration),
        Deed::Edited | Deed::Deleted | Deed::Renamed(_) => true,
    });
}

/// A record without a repository is this one's when the base holds the very same script under that name.
fn is_ours(record: &Recorded, was: &BTreeMap<String, &Migration>) -> bool {
    record.of_this_repository
        || was.get(record.reference().as_str()).is_some_and(|m| m.checksum.to_string() == record.checksum)
}

fn by_reference(set: &MigrationSet) -> BTreeMap<String, &Migration> {
    set.migrations.iter().map(|m| (m.reference(), m)).collect()
}

/// Where the recorded script stands now under a name that is new.
fn elsewhere(after: &MigrationSet, record: &Recorded, was: &BTreeMap<String, &Migration>) -> Option<String> {
    let same = |m: &&Migration| m.checksum.to_string() == record.checksum && !was.contains_key(m.reference().as_str());
    after.migrations.iter().find(same).map(Migration::reference)
}

/// The gate over all breaches: `None` without any. Nobody's approval opens it.
pub fn gate(breaches: &[Breach]) -> Option<Evaluation> {
    let first = breaches.first()?;
    let children: Vec<Evaluation> = breaches
        .iter()
        .map(|b| Evaluation::leaf(&format!("`{}`", b.migration), Status::Disapproved, sentence(b)))
        .collect();
    let more = match breaches.len() {
        1 => String::new(),
        n => format!(" ({} more of this kind)", n - 1),
    };
    Some(Evaluation { children, ..Evaluation::leaf(LEDGER, Status::Disapproved, format!("{}{more}", sentence(first))) })
}

/// What is wrong and what to do.
fn sentence(breach: &Breach) -> String {
    let places: Vec<String> = breach.places.iter().map(Recorded::place).collect();
    let (name, held) = (&breach.migration, places.join(", "));
    match &breach.deed {
        Deed::Edited => format!(
            "`{name}` is edited, and {held} holds it as it was; leave the file as it is and write a new migration for the \
             change"
        ),
        Deed::Renamed(to) => {
            format!("`{name}` is renamed to `{to}`, and {held} holds it under its old name; give it its name back")
        }
        Deed::Deleted => format!(
            "`{name}` is deleted, and {held} holds it; take it back there first ({}), newest environment first, or leave \
             the file and write a new migration that undoes it",
            rollbacks(breach)
        ),
        Deed::Overtaken(by) => format!(
            "`{by}` comes before `{name}`, which {held} holds already; give it a version above the recorded ones"
        ),
    }
}

/// The commands that take a recorded migration back, newest environment first.
fn rollbacks(breach: &Breach) -> String {
    let mut commands: Vec<String> = Vec::new();
    for place in breach.places.iter().rev() {
        let on = place.pr.map(|pr| format!(" on `#{}`", pr.0)).unwrap_or_default();
        let command = format!("`/godwit rollback {} {}`{on}", place.environment, breach.called);
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn set(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<SourceFile> = files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect();
        resolve(&files, &[MigrationRoot::folder("m")])
    }

    fn recorded(set: &MigrationSet, id: &str, environment: &str) -> Recorded {
        let migration = set.migrations.iter().find(|m| m.id.as_str() == id).unwrap();
        Recorded {
            environment: EnvironmentName::new(environment).unwrap(),
            target: TargetName::new("shop").unwrap(),
            unit: migration.unit.clone(),
            migration: id.to_owned(),
            checksum: migration.checksum.to_string(),
            pr: Some(PrNumber(7)),
            at: DateTime::UNIX_EPOCH,
            of_this_repository: true,
        }
    }

    const ONE: (&str, &str) = ("m/0001_a.up.sql", "CREATE TABLE a (id int);\n");
    const THREE: (&str, &str) = ("m/0003_c.up.sql", "CREATE TABLE c (id int);\n");

    #[test]
    fn b16_what_an_environment_holds_stands_still() {
        let base = set(&[ONE, THREE]);
        let held = [recorded(&base, "0001_a", "staging"), recorded(&base, "0003_c", "production")];
        for (files, expected) in [
            (vec![ONE, THREE], vec![]),
            // Line ends and rollbacks are no edits of what was applied.
            (vec![(ONE.0, "CREATE TABLE a (id int);\r\n"), THREE, ("m/0001_a.down.sql", "DROP TABLE a;")], vec![]),
            (vec![ONE, THREE, ("m/0004_d.up.sql", "CREATE TABLE d (id int);")], vec![]),
            (vec![(ONE.0, "CREATE TABLE b (id int);\n"), THREE], vec![("m/0001_a", Deed::Edited)]),
            (vec![THREE], vec![("m/0001_a", Deed::Deleted)]),
            (vec![("m/0001_z.up.sql", ONE.1), THREE], vec![("m/0001_a", Deed::Renamed("m/0001_z".into()))]),
            (
                vec![ONE, THREE, ("m/0002_b.up.sql", "CREATE TABLE b (id int);")],
                vec![("m/0003_c", Deed::Overtaken("m/0002_b".into()))],
            ),
        ] {
            let found = breaches(&base, &set(&files), &held);
            let found: Vec<(&str, Deed)> = found.iter().map(|b| (b.migration.as_str(), b.deed.clone())).collect();
            assert_eq!(found, expected, "{files:?}");
        }
    }

    #[test]
    fn b16_the_gate_names_environment_and_record_and_the_way_out() {
        let base = set(&[ONE, THREE]);
        let held = [recorded(&base, "0003_c", "staging"), recorded(&base, "0003_c", "production")];
        let gate = gate(&breaches(&base, &set(&[ONE]), &held)).unwrap();
        assert_eq!(gate.status, Status::Disapproved);
        for part in [
            "`m/0003_c` is deleted",
            "`staging` (`shop`, since 1970-01-01 00:00 UTC, `#7`)",
            "(`/godwit rollback production 0003_c` on `#7`, `/godwit rollback staging 0003_c` on `#7`)",
            "or leave the file and write a new migration",
        ] {
            assert!(gate.reason.contains(part), "{part}\n{}", gate.reason);
        }
    }

    #[test]
    fn records_of_others_do_not_count_and_reverting_an_edit_is_fine() {
        let base = set(&[ONE, THREE]);
        let foreign = Recorded {
            of_this_repository: false,
            checksum: "sha256:other".into(),
            ..recorded(&base, "0001_a", "staging")
        };
        assert_eq!(breaches(&base, &set(&[THREE]), std::slice::from_ref(&foreign)), []);
        let unnamed = Recorded { of_this_repository: false, ..recorded(&base, "0001_a", "staging") };
        assert_eq!(breaches(&base, &set(&[THREE]), &[unnamed]).len(), 1);
        // The base was edited past the checks; the pull request brings back what the environment holds.
        let edited = set(&[(ONE.0, "CREATE TABLE other (id int);\n"), THREE]);
        let held = [recorded(&base, "0001_a", "staging")];
        assert_eq!(breaches(&edited, &base, &held), []);
        assert_eq!(breaches(&edited, &edited, &held), []);
    }
}
