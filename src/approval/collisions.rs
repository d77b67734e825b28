//! Two open pull requests that get in each other's way: both bring the same version, or both change the same object.
//! Whoever merges second is better told before. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{Engine, TargetName};
use crate::lint::objects_of;
use crate::migration::Migration;

/// Objects that a sentence names; the rest is counted.
const SHOWN: usize = 5;

/// What one migration of an open pull request is and touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The folder that numbers it.
    pub unit: String,
    /// Its name there.
    pub migration: String,
    /// Its version as written.
    pub version: String,
    /// Checksum of its forward script: a stacked pull request brings the very same one.
    pub checksum: String,
    /// The kind of database.
    pub engine: Engine,
    /// The target that takes it.
    pub target: Option<TargetName>,
    /// The tables, collections, indexes, keys that its forward script names.
    pub objects: BTreeSet<String>,
}

impl Touched {
    /// What `migration` touches.
    pub fn of(migration: &Migration) -> Self {
        Self {
            unit: migration.unit.clone(),
            migration: migration.id.to_string(),
            version: migration.version.to_string(),
            checksum: migration.checksum.to_string(),
            engine: migration.engine,
            target: migration.target.clone(),
            objects: objects_of(migration),
        }
    }

    fn is_same(&self, other: &Touched) -> bool {
        self.unit == other.unit && self.migration == other.migration && self.checksum == other.checksum
    }

    /// Whether both may reach one database.
    fn shares_a_database(&self, other: &Touched) -> bool {
        self.engine == other.engine
            && match (&self.target, &other.target) {
                (Some(a), Some(b)) => a == b,
                _ => self.unit == other.unit,
            }
    }
}

/// How two sets of changes collide, in sentences that read the same from either side; empty when they do not.
pub fn between(ours: &[Touched], theirs: &[Touched]) -> Vec<String> {
    // What both bring alike is one change, whoever merges it.
    let own = |list: &[Touched], others: &[Touched]| -> Vec<Touched> {
        list.iter().filter(|t| !others.iter().any(|o| o.is_same(t))).cloned().collect()
    };
    let (ours, theirs) = (own(ours, theirs), own(theirs, ours));
    let mut versions: BTreeSet<String> = BTreeSet::new();
    let mut objects: BTreeSet<String> = BTreeSet::new();
    for a in &ours {
        for b in &theirs {
            if a.unit == b.unit && same_version(&a.version, &b.version) {
                let folder = if a.unit.is_empty() { String::new() } else { format!(" of `{}`", a.unit) };
                versions.insert(format!(
                    "both bring version `{}`{folder}; whoever merges second has to take another number",
                    a.version.clone().min(b.version.clone())
                ));
            }
            if a.shares_a_database(b) {
                objects.extend(a.objects.intersection(&b.objects).cloned());
            }
        }
    }
    let mut found: Vec<String> = versions.into_iter().collect();
    if !objects.is_empty() {
        let names: Vec<String> = objects.iter().take(SHOWN).map(|o| format!("`{}`", o.replace('`', "'"))).collect();
        let more = match objects.len().saturating_sub(SHOWN) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        found.push(format!("both touch {}{more}; agree on who comes first", names.join(", ")));
    }
    found
}

/// `4` and `0004` are one place in the order.
fn same_version(a: &str, b: &str) -> bool {
    let bare = |v: &str| v.trim_start_matches('0').to_owned();
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn touched(migration: &str, version: &str, checksum: &str, objects: &[&str]) -> Touched {
        Touched {
            unit: "m".into(),
            migration: migration.into(),
            version: version.into(),
            checksum: checksum.into(),
            engine: Engine::Postgresql,
            target: TargetName::new("shop").ok(),
            objects: objects.iter().map(|o| (*o).to_owned()).collect(),
        }
    }

    #[test]
    fn the_same_version_and_the_same_table_collide() {
        let orders = touched("0004_orders", "0004", "a", &["orders", "i"]);
        for (other, expected) in [
            (touched("0005_users", "0005", "b", &["users"]), vec![]),
            (touched("4_users", "4", "b", &["users"]), vec!["both bring version `0004` of `m`"]),
            (touched("0005_more", "0005", "b", &["orders"]), vec!["both touch `orders`; agree on who comes first"]),
            (touched("0004_x", "0004", "b", &["i", "orders"]), vec!["both bring", "both touch `i`, `orders`"]),
            // A stacked pull request brings the very same one.
            (orders.clone(), vec![]),
            (Touched { target: TargetName::new("other").ok(), ..touched("5", "5", "b", &["orders"]) }, vec![]),
        ] {
            let found = between(std::slice::from_ref(&orders), std::slice::from_ref(&other));
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (sentence, part) in found.iter().zip(expected) {
                assert!(sentence.starts_with(part), "{sentence}");
            }
        }
    }

    proptest! {
        /// Both sides read the same.
        #[test]
        fn it_does_not_matter_who_asks(
            a in prop::collection::vec((0u8..4, "[ab]", prop::collection::vec("[a-d]", 0..3)), 0..4),
            b in prop::collection::vec((0u8..4, "[ab]", prop::collection::vec("[a-d]", 0..3)), 0..4),
        ) {
            let make = |list: Vec<(u8, String, Vec<String>)>| -> Vec<Touched> {
                list.iter()
                    .map(|(v, c, o)| {
                        let objects: Vec<&str> = o.iter().map(String::as_str).collect();
                        touched(&format!("{v}_x"), &v.to_string(), c, &objects)
                    })
                    .collect()
            };
            let (a, b) = (make(a), make(b));
            prop_assert_eq!(between(&a, &b), between(&b, &a));
            prop_assert_eq!(between(&a, &a), Vec::<String>::new());
        }
    }
}
