//! Primary keys, unique constraints and foreign keys that cannot be made, or cannot go.

use std::ops::Range;

use super::super::OBJECT_IN_USE;
use super::super::catalog::{Catalog, Table};
use super::super::change::{Action, Change, ConstraintDef, ConstraintKind, Dropped, Filled, What};
use super::super::types::ColumnType;
use super::refused::{constraints, refused};
use super::{Note, add};

/// Why the keys of a change cannot be made as it says.
pub(super) fn refusals(catalog: &Catalog, change: &Change) -> Vec<Note> {
    let range = &change.range;
    match &change.what {
        What::CreateTable { name, temporary: false, parts, if_not_exists, .. } => {
            let Some(name) = catalog.resolve_new(name) else { return Vec::new() };
            if *if_not_exists && catalog.relations.contains_key(&name) {
                return Vec::new();
            }
            let draft = catalog.drafted(&change.what);
            let Some(own) = draft.table(&name) else { return Vec::new() };
            let foreign = constraints(parts).filter_map(|def| foreign(catalog, &draft, range, &name, own, def));
            let is_second = constraints(parts).filter(|def| def.kind.is_primary()).count() > 1;
            foreign.chain(is_second.then(|| second(range, &format!("the statement gives `{name}` two")))).collect()
        }
        What::Alter { table, action, .. } => {
            let Some(name) = catalog.resolve(table) else { return Vec::new() };
            let Some(known) = catalog.table(&name).filter(|_| !catalog.is_there(&name, action)) else {
                return Vec::new();
            };
            match action {
                Action::Several(parts) => {
                    let mut own = known.clone();
                    own.columns.extend(parts.iter().filter_map(|part| match part {
                        Action::AddColumn { name, column, .. } => Some((name.clone(), column.clone())),
                        _ => None,
                    }));
                    constraints(parts).filter_map(|def| added(catalog, range, &name, &own, def)).collect()
                }
                Action::AddConstraint(def) => added(catalog, range, &name, known, def).into_iter().collect(),
                Action::SetNotNull { column, on: false } => {
                    not_nullable(range, &name, known, column).into_iter().collect()
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// A constraint that comes to a table that is there.
fn added(catalog: &Catalog, range: &Range<usize>, name: &str, own: &Table, def: &ConstraintDef) -> Option<Note> {
    if def.kind.is_primary()
        && let Some((constraint, _)) = own.constraints.iter().find(|(_, c)| c.kind.is_primary())
    {
        return Some(second(range, &format!("`{name}` has `{constraint}`")));
    }
    match &def.kind {
        ConstraintKind::UsingIndex { index, .. } => not_of_index(catalog, range, name, index),
        _ => foreign(catalog, catalog, range, name, own, def),
    }
}

fn second(range: &Range<usize>, why: &str) -> Note {
    let message = format!("PostgreSQL refuses it: a table has one primary key, and {why}");
    refused(range, message, "make the second one `UNIQUE`, or drop the first in the same statement")
}

/// A column that must refuse NULL.
fn not_nullable(range: &Range<usize>, name: &str, table: &Table, column: &str) -> Option<Note> {
    let is_key = table.primary_key().is_some_and(|key| key.iter().any(|c| c == column));
    let is_identity = table.columns.get(column).is_some_and(|c| matches!(c.filled, Filled::Identity { .. }));
    let what = match (is_key, is_identity) {
        (true, _) => "in its primary key",
        (_, true) => "an identity column",
        _ => return None,
    };
    let message = format!("PostgreSQL refuses it: `{column}` of `{name}` is {what}, and so never NULL");
    Some(refused(range, message, "drop the primary key or the identity first, or take the statement out"))
}

/// An index of which no constraint can be made.
fn not_of_index(catalog: &Catalog, range: &Range<usize>, name: &str, index: &str) -> Option<Note> {
    if catalog.is_partitioned(name) {
        return None;
    }
    let known = catalog.indexes.get(&Catalog::resolve_index(name, index))?;
    let why = if known.table != name {
        format!("is one of `{}`", known.table)
    } else if known.of_constraint {
        "belongs to a constraint already".to_owned()
    } else if !known.def.unique {
        "is not unique".to_owned()
    } else if known.def.computed {
        "has a `WHERE` or an expression".to_owned()
    } else {
        return None;
    };
    let message = format!("PostgreSQL makes no constraint of the index `{index}`: it {why}");
    let help = "create a unique index on plain columns and without a `WHERE` for it, `CONCURRENTLY`; an index over some rows \
                or on an expression keeps them unique by itself, without a constraint";
    Some(refused(range, message, help))
}

/// A foreign key that refers to what it cannot refer to. `behind`: where the table itself is found, as it will be.
fn foreign(
    catalog: &Catalog,
    behind: &Catalog,
    range: &Range<usize>,
    name: &str,
    own: &Table,
    def: &ConstraintDef,
) -> Option<Note> {
    let ConstraintKind::Foreign { columns, table, referred } = &def.kind else { return None };
    let other = catalog.resolve(table)?;
    let at = if other == name { behind } else { catalog };
    let no = |why: String, help: &str| Some(refused(range, format!("PostgreSQL refuses it: {why}"), help));
    if at.view(&other).is_some() {
        return no(format!("`{other}` is a view, to which no foreign key can refer"), "refer to the table behind it");
    }
    let known = if other == name { own } else { at.table(&other)? };
    let key = match known.primary_key() {
        _ if !referred.is_empty() => referred.as_slice(),
        Some(key) => key,
        None => {
            let is_certain = known.closed && !known.constraints.values().any(|c| c.kind.is_primary());
            let why = format!("`{other}` has no primary key that the foreign key could mean");
            return if is_certain { no(why, UNIQUE_FIRST) } else { None };
        }
    };
    if columns.is_empty() || key.iter().any(|column| !known.columns.contains_key(column)) {
        return None;
    }
    if columns.len() != key.len() {
        let why = format!("({}) are not as many columns as ({}) of `{other}`", columns.join(", "), key.join(", "));
        return no(why, "name a column of the table for each one of the other");
    }
    let unlike = columns.iter().zip(key).find_map(|(from, to)| {
        let ty = |of: &Table, column: &str| of.columns.get(column).and_then(|c| c.ty.clone());
        let (from_ty, to_ty) = (ty(own, from)?, ty(known, to)?);
        is_unlike(catalog, &from_ty, &to_ty).then_some((from, from_ty.shown, to, to_ty.shown))
    });
    if let Some((from, is, to, other_is)) = unlike {
        let why = format!("`{name}.{from}` is {is}, and `{other}.{to}`, to which it refers, is {other_is}");
        return no(why, "give both columns the same type");
    }
    // A column that comes with its own key is unique by what comes behind it.
    let is_here = other != name || at.table(&other).is_some_and(|t| key.iter().all(|c| t.columns.contains_key(c)));
    let lacks = known.closed
        && is_here
        && at.unique_on(&other, key).next().is_none()
        && !known.constraints.values().any(|c| matches!(c.kind, ConstraintKind::UsingIndex { .. }));
    if lacks {
        let why = format!("no primary key and no unique constraint of `{other}` is on exactly ({})", key.join(", "));
        return no(why, UNIQUE_FIRST);
    }
    None
}

const UNIQUE_FIRST: &str = "make the columns to which it refers unique first, with an index that is built `CONCURRENTLY` and has \
                            no `WHERE`; or refer to the primary key";

/// Whether values of two types are never equal.
fn is_unlike(catalog: &Catalog, from: &ColumnType, to: &ColumnType) -> bool {
    match (catalog.shape(from), catalog.shape(to)) {
        (Some(from), Some(to)) => from != to,
        _ => false,
    }
}

/// A primary key or unique constraint to which foreign keys refer.
pub(super) fn constraint_needed(catalog: &Catalog, range: &Range<usize>, name: &str, constraint: &str) -> Option<Note> {
    let known = catalog.table(name)?;
    let (ConstraintKind::Primary(columns) | ConstraintKind::Unique(columns)) = &known.constraints.get(constraint)?.kind
    else {
        return None;
    };
    needed(catalog, range, name, columns, &format!("`{constraint}`"))
}

/// A unique index to which foreign keys refer.
pub(super) fn index_needed(catalog: &Catalog, change: &Change) -> Option<Note> {
    let What::Drop { kind: Dropped::Index { .. }, names, cascade: false, .. } = &change.what else { return None };
    names.iter().find_map(|name| {
        let name = catalog.resolve(name)?;
        let index = catalog.indexes.get(&name).filter(|i| i.def.unique && !i.def.computed && !i.of_constraint)?;
        let columns: Vec<String> = index.def.keys.iter().flatten().cloned().collect();
        needed(catalog, &change.range, &index.table, &columns, &format!("the index `{name}`"))
    })
}

fn needed(catalog: &Catalog, range: &Range<usize>, name: &str, columns: &[String], what: &str) -> Option<Note> {
    // Where there are two, each foreign key hangs on one of them, and which is not known.
    let is_one = catalog.unique_on(name, columns).nth(1).is_none();
    catalog.table(name).filter(|known| known.closed && is_one)?;
    let (table, constraint) = catalog.keys_to(name, columns).into_iter().next()?;
    let message =
        format!("PostgreSQL refuses it: the foreign key `{constraint}` of `{table}` needs {what} of `{name}`");
    let help = "drop the foreign key first, and add it again behind the new key, `NOT VALID`; validate it in a migration of its own";
    Some(add(&OBJECT_IN_USE, range, message, help))
}
