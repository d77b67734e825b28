//! The schema that a history has built in the end, as plain names: what another description of it is compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Change;
use super::catalog::{Catalog, Relation};
use super::change::What;

/// Tables with their columns, and what cannot be told.
#[derive(Debug, Default)]
pub struct Built {
    /// By name; those of which everything is known.
    pub tables: BTreeMap<String, BTreeMap<String, Column>>,
    /// Names of which nothing certain can be said.
    pub unknown: BTreeSet<String>,
    /// Whether a script may have done anything to anything.
    pub anything: bool,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Whether it refuses NULL.
    pub not_null: bool,
}

/// What scripts build, one after the other, in `schema` where names say none.
pub fn built<'a>(scripts: impl Iterator<Item = &'a [Change]>) -> Built {
    let mut catalog = Catalog::default();
    let mut out = Built::default();
    for changes in scripts {
        catalog.begin(None);
        for change in changes {
            match &change.what {
                What::Anything => out.anything = true,
                What::Call { words, .. } | What::Opaque(words) | What::Cascade(words) => {
                    out.unknown.extend(words.iter().cloned())
                }
                What::Maybe(what) => {
                    out.anything |= matches!(**what, What::Anything);
                    out.unknown.extend(what.names());
                }
                What::CreateFunction { name } => drop(out.unknown.insert(name.clone())),
                What::CreateOther { name, .. } | What::CreateView { name, .. } => {
                    out.unknown.insert(name.clone());
                }
                _ => {}
            }
            catalog.apply(&change.what);
        }
    }
    for (name, relation) in catalog.relations {
        match relation {
            Relation::Table(table) if table.closed => {
                let columns = Rc::unwrap_or_clone(table)
                    .columns
                    .into_iter()
                    .map(|(n, c)| (n, Column { not_null: c.not_null }))
                    .collect();
                out.tables.insert(name, columns);
            }
            Relation::Table(_) | Relation::View(_) | Relation::Other => drop(out.unknown.insert(name)),
        }
    }
    out
}
