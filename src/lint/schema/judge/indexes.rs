//! Indexes that are there: for the same queries, for a foreign key, for a primary key.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::DUPLICATE_INDEX;
use super::super::catalog::{Catalog, Relation, Table};
use super::super::change::{Action, Change, ConstraintKind, IndexDef, What};
use super::columns::check_says;
use super::{Note, add};
use crate::ids::Risk;
use crate::lint::Severity;

pub(super) fn duplicate(catalog: &Catalog, range: &Range<usize>, table: &str, index: &IndexDef) -> Option<Note> {
    if !index.plain || index.keys.is_empty() {
        return None;
    }
    let mut others: Vec<(&str, &IndexDef)> =
        catalog.indexes_of(table).filter(|(_, other)| other.plain && other.keys.starts_with(&index.keys)).collect();
    others.sort_by_key(|(name, _)| *name);
    let keys = |def: &IndexDef| def.keys.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let (name, other) =
        others.into_iter().find(|(_, other)| !index.unique || (other.unique && other.keys == index.keys))?;
    let message = if other.keys == index.keys {
        format!("the index `{name}` of `{table}` is on the same columns ({})", keys(other))
    } else {
        format!("the index `{name}` of `{table}` on ({}) begins with ({})", keys(other), keys(index))
    };
    let help = "leave it out: PostgreSQL uses the other one for the same queries, and each index costs every write";
    Some(add(&DUPLICATE_INDEX, range, message, help))
}

/// Whether the columns of an index that becomes the primary key refuse NULL already.
pub(super) fn key_of_index(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    table: &Table,
    index: &str,
    version: u32,
) -> Option<Note> {
    let index = catalog.indexes.get(&Catalog::resolve_index(name, index))?;
    let proved = |column: &String| {
        table.columns.get(column).is_some_and(|c| c.not_null) || (version >= 12 && check_says(table, column).is_some())
    };
    let keys: Option<Vec<&String>> = index.def.keys.iter().map(Option::as_ref).collect();
    keys?.into_iter().all(proved).then(|| Note::Tell {
        rule: "primary-key-using-index",
        range: range.clone(),
        message: format!("every column of the key refuses NULL already: `{name}` is not scanned, the lock is brief"),
        help: None,
        severity: Severity::Info,
        risk: Risk::Low,
    })
}

/// A foreign key whose columns may have no index; looked at when the whole history is known.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where it stands.
    pub range: Range<usize>,
    /// The resolved table.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// The foreign keys that a change adds, by the table that holds them.
pub fn keys(catalog: &Catalog, change: &Change) -> Vec<Key> {
    let (table, parts): (Option<String>, &[Action]) = match &change.what {
        What::CreateTable { name, temporary: false, parts, .. } => (catalog.resolve_new(name), parts),
        What::Alter { table, action, .. } => (catalog.resolve(table), action.parts()),
        _ => return Vec::new(),
    };
    let Some(table) = table else { return Vec::new() };
    parts
        .iter()
        .filter_map(|part| match part {
            Action::AddConstraint(def) => match &def.kind {
                ConstraintKind::Foreign { columns, .. } if !columns.is_empty() => {
                    Some(Key { range: change.range.clone(), table: table.clone(), columns: columns.clone() })
                }
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// Whether a foreign key is there at the end, on a table all of whose indexes are known, and none of them serves it.
pub fn lacks_index(catalog: &Catalog, key: &Key) -> bool {
    let Some(Relation::Table(table)) = catalog.relations.get(&key.table) else { return false };
    let is_this = |k: &ConstraintKind| matches!(k, ConstraintKind::Foreign { columns, .. } if *columns == key.columns);
    let wanted: BTreeSet<&String> = key.columns.iter().collect();
    table.closed
        && table.constraints.values().any(|c| is_this(&c.kind))
        && !catalog.indexes_of(&key.table).any(|(_, index)| {
            let first: BTreeSet<&String> = index.keys.iter().take(wanted.len()).flatten().collect();
            first == wanted
        })
}
