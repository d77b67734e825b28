//! Rows that a table does not take, whatever else it holds.

use std::ops::Range;

use super::super::catalog::{Catalog, Table};
use super::super::change::{Change, ConstraintKind, Filled, Given, Inserted, What};
use super::Note;
use super::refused::refused;

/// Why rows cannot be written as a change says.
pub(super) fn refusal(catalog: &Catalog, change: &Change) -> Option<Note> {
    let range = &change.range;
    match &change.what {
        What::Inserts(inserted) => {
            let listed = inserted.columns.as_ref().zip(inserted.width);
            if let Some((columns, width)) = listed.filter(|(columns, width)| columns.len() != *width) {
                return Some(miscounted(range, &inserted.table, columns.len(), width, "names"));
            }
            let name = catalog.resolve(&inserted.table)?;
            let table = catalog.table(&name).filter(|_| !catalog.is_hooked(&name))?;
            let too_many = inserted.columns.is_none() && table.closed && inserted.width > Some(table.columns.len());
            if let Some(width) = inserted.width.filter(|_| too_many) {
                return Some(miscounted(range, &name, table.columns.len(), width, "has"));
            }
            reckoned(range, &name, table, inserted)
                .or_else(|| empty(catalog, range, &name, table, inserted))
                .or_else(|| no_arbiter(catalog, range, &name, table, inserted))
        }
        What::Assigns { table, values } => {
            let name = catalog.resolve(table)?;
            let table = catalog.table(&name).filter(|_| !catalog.is_hooked(&name))?;
            let (column, what) = values
                .iter()
                .filter(|(_, value)| *value != Given::Default)
                .find_map(|(column, _)| Some((column, by_itself(&table.columns.get(column)?.filled, false)?)))?;
            let message = format!("PostgreSQL refuses it: `{name}.{column}` {what}, and can be set to `DEFAULT` alone");
            Some(refused(range, message, "leave the column out"))
        }
        _ => None,
    }
}

fn miscounted(range: &Range<usize>, name: &str, columns: usize, width: usize, verb: &str) -> Note {
    let of = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (values, columns) = (of(width, "value"), of(columns, "column"));
    let message = match verb {
        "has" => format!("PostgreSQL refuses it: a row has {values}, and `{name}` has {columns}"),
        _ => format!("PostgreSQL refuses it: the statement names {columns} of `{name}` and gives {values}"),
    };
    refused(range, message, "name the columns, and give each of them one value")
}

/// Why a column takes no value but its own.
fn by_itself(filled: &Filled, overriding: bool) -> Option<&'static str> {
    match filled {
        Filled::Generated => Some("is reckoned from other columns"),
        Filled::Identity { always: true } if !overriding => Some("is an identity `GENERATED ALWAYS`"),
        Filled::Identity { .. } | Filled::Nothing | Filled::Default(_) | Filled::Unknown => None,
    }
}

/// A value for a column that takes none.
fn reckoned(range: &Range<usize>, name: &str, table: &Table, inserted: &Inserted) -> Option<Note> {
    let own = |column: &String| by_itself(&table.columns.get(column)?.filled, inserted.overriding);
    let (column, what) = match &inserted.columns {
        Some(columns) => columns.iter().enumerate().find_map(|(n, column)| {
            let is_default = |row: &Vec<Given>| row.get(n) == Some(&Given::Default);
            let is_written = inserted.rows.is_empty() || !inserted.rows.iter().all(is_default);
            own(column).filter(|_| is_written).map(|what| (column, what))
        })?,
        None => {
            // Every column gets a value, whatever their order.
            let is_full = table.closed && inserted.width == Some(table.columns.len());
            let has_default = inserted.rows.iter().flatten().any(|value| *value == Given::Default);
            let mut columns = table.columns.keys().filter(|_| is_full && !has_default);
            columns.find_map(|column| own(column).map(|what| (column, what)))?
        }
    };
    let message = format!("PostgreSQL refuses it: `{name}.{column}` {what}, and takes no other value than `DEFAULT`");
    let help =
        "leave the column out of the list; for an identity, `OVERRIDING SYSTEM VALUE` takes the number that is given";
    Some(refused(range, message, help))
}

/// A row without a value for a column that refuses NULL and has no default.
fn empty(catalog: &Catalog, range: &Range<usize>, name: &str, table: &Table, inserted: &Inserted) -> Option<Note> {
    if inserted.rows.is_empty() || !table.closed || catalog.is_partitioned(name) {
        return None;
    }
    let refuses = |column: &String| table.columns.get(column).is_some_and(|c| c.not_null);
    let listed = inserted.columns.as_deref().unwrap_or_default();
    let says_null = listed
        .iter()
        .enumerate()
        .find(|(n, column)| refuses(column) && inserted.rows.iter().any(|row| row.get(*n) == Some(&Given::Null)));
    if let Some((_, column)) = says_null {
        let message = format!("PostgreSQL refuses it: `{name}.{column}` is `NOT NULL`, and a row gives it NULL");
        return Some(refused(range, message, "give it a value, or leave it out where it has a default"));
    }
    // Without a list, a row may have fewer values than the table has columns, and which is known by their order alone.
    let is_told = inserted.columns.is_some() || inserted.rows.iter().all(Vec::is_empty);
    let left = table.columns.iter().filter(|_| is_told).find(|(column, def)| {
        let is_plain = def.ty.as_ref().is_some_and(|ty| catalog.shape(ty).is_some());
        def.not_null && def.filled == Filled::Nothing && is_plain && !listed.contains(column)
    });
    let (column, _) = left?;
    let message = format!(
        "PostgreSQL refuses it: `{name}.{column}` is `NOT NULL` without a default, and the row gives it no value"
    );
    Some(refused(range, message, "name the column and give it a value, or give it a default first"))
}

/// `ON CONFLICT` on columns that nothing keeps unique.
fn no_arbiter(catalog: &Catalog, range: &Range<usize>, name: &str, table: &Table, inserted: &Inserted) -> Option<Note> {
    let columns = inserted.conflict.as_ref()?;
    let is_known = columns.iter().all(|column| table.columns.contains_key(column));
    let may_be = table.constraints.values().any(|c| matches!(c.kind, ConstraintKind::UsingIndex { .. }));
    if !table.closed || !is_known || may_be || catalog.unique_on(name, columns).next().is_some() {
        return None;
    }
    let message = format!(
        "PostgreSQL refuses it: no primary key, unique constraint or unique index of `{name}` is on exactly ({})",
        columns.join(", ")
    );
    let help = "name the columns of one that there is, create one first, or leave the columns out behind `ON CONFLICT` where it \
                says `DO NOTHING`; one with a `WHERE` needs the same `WHERE` behind the columns";
    Some(refused(range, message, help))
}
