//! What hangs on the thing that is changed or dropped.

use std::ops::Range;

use super::super::OBJECT_IN_USE;
use super::super::catalog::{Catalog, Relation};
use super::super::types::ColumnType;
use super::{Note, add};
use crate::ids::Risk;
use crate::lint::Severity;

pub(super) fn hangs_on(catalog: &Catalog, range: &Range<usize>, name: &str, dropped: &[String]) -> Option<Note> {
    let goes = |other: &str| dropped.iter().filter_map(|d| catalog.resolve(d)).any(|d| d == other);
    let help = "drop or change what hangs on it first, each in a statement of its own";
    let mut keys: Vec<_> = catalog.referring(name).filter(|(table, _, _)| !goes(table)).collect();
    keys.sort_unstable();
    if let Some((table, constraint, _)) = keys.first() {
        let message = format!("PostgreSQL refuses it: the foreign key `{constraint}` of `{table}` refers to `{name}`");
        return Some(add(&OBJECT_IN_USE, range, message, help));
    }
    let mut views: Vec<&str> = catalog.views_on(name).map(|(view, _, _)| view).filter(|v| !goes(v)).collect();
    views.sort_unstable();
    let view = views.first()?;
    Some(add(&OBJECT_IN_USE, range, format!("PostgreSQL refuses it: the view `{view}` reads `{name}`"), help))
}

/// Tables that cannot be emptied by themselves, as rows of others refer to theirs.
pub(super) fn referred_to(catalog: &Catalog, range: &Range<usize>, emptied: &[String]) -> Option<Note> {
    let names: Vec<String> = emptied.iter().filter_map(|name| catalog.resolve(name)).collect();
    // PostgreSQL looks for keys only where a table has triggers, which one that is not enforced has not.
    let is_enforced = |table: &str, constraint: &str| {
        catalog.table(table).and_then(|table| table.constraints.get(constraint)).is_none_or(|key| key.enforced)
    };
    let mut keys: Vec<(&str, &str, &String)> = names
        .iter()
        .flat_map(|name| catalog.referring(name).map(move |(table, constraint, _)| (table, constraint, name)))
        .filter(|(table, constraint, _)| is_enforced(table, constraint) && !names.iter().any(|name| name == table))
        .collect();
    keys.sort_unstable();
    let (table, constraint, name) = keys.first()?;
    let message = format!(
        "PostgreSQL refuses it, rows or none: the foreign key `{constraint}` of `{table}` refers to `{name}`, which is emptied \
         without `{table}`"
    );
    let help =
        format!("name `{table}` in the same `TRUNCATE`, if its rows may go too; else `DELETE`, in batches that commit");
    Some(add(&OBJECT_IN_USE, range, message, &help))
}

/// An index that cannot be dropped, as a constraint is made of it.
pub(super) fn of_constraint(catalog: &Catalog, range: &Range<usize>, names: &[String]) -> Option<Note> {
    let resolved = names.iter().filter_map(|name| catalog.resolve(name));
    let (name, table) = resolved.into_iter().find_map(|name| {
        let index = catalog.indexes.get(&name).filter(|index| index.of_constraint)?;
        let constraint = name.rsplit('.').next().unwrap_or(&name);
        catalog.table(&index.table)?.constraints.contains_key(constraint).then(|| (constraint.to_owned(), &index.table))
    })?;
    let message =
        format!("PostgreSQL refuses it, with `CASCADE` too: the constraint `{name}` of `{table}` needs this index");
    let help = format!("drop the constraint, and its index goes with it: `ALTER TABLE {table} DROP CONSTRAINT {name}`");
    Some(add(&OBJECT_IN_USE, range, message, &help))
}

/// A column whose type is one of those that are dropped.
pub(super) fn columns_of_type(catalog: &Catalog, range: &Range<usize>, names: &[String]) -> Option<Note> {
    let dropped: Vec<String> =
        names.iter().filter_map(|name| catalog.resolve(name)).filter(|name| catalog.types.contains(name)).collect();
    let mut uses: Vec<(&str, &str, String)> = Vec::new();
    for (name, relation) in &catalog.relations {
        // What becomes of the columns of one that is not closed may be said of another table.
        let Relation::Table(table) = relation else { continue };
        for (column, def) in table.columns.iter().filter(|_| table.closed) {
            let ty = def.ty.as_ref().and_then(ColumnType::foreign_name).and_then(|ty| catalog.resolve(&ty));
            uses.extend(ty.filter(|ty| dropped.contains(ty)).map(|ty| (name.as_str(), column.as_str(), ty)));
        }
    }
    uses.sort_unstable();
    let (table, column, ty) = uses.first()?;
    let message = format!("PostgreSQL refuses it: `{table}.{column}` is of the type `{ty}`");
    Some(add(&OBJECT_IN_USE, range, message, "drop the column first, or give it another type"))
}

pub(super) fn view_reads(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    column: &str,
    refused: &str,
) -> Option<Note> {
    let mut views: Vec<(&str, bool)> = catalog
        .views_on(name)
        .filter(|(_, words, _)| words.contains(column))
        .map(|(view, _, alone)| (view, alone))
        .collect();
    views.sort_unstable();
    let (view, certain) = views.first()?;
    let message = format!("the view `{view}` reads `{name}.{column}`: {refused}");
    let mut note = add(
        &OBJECT_IN_USE,
        range,
        message,
        "drop the view, change the column, create the view again: in one transaction",
    );
    // The word may be another table's column, or a name within the query.
    if !certain && let Note::Add(finding) = &mut note {
        finding.severity = Some(Severity::Warning);
        finding.message =
            format!("the view `{view}` reads `{name}` and names `{column}`: if it means this column, {refused}");
    }
    Some(note)
}

pub(super) fn column_in_use(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    column: &str,
    cascade: bool,
) -> Vec<Note> {
    let mut out = Vec::new();
    if !cascade {
        let mut keys: Vec<_> =
            catalog.referring(name).filter(|(_, _, referred)| referred.iter().any(|c| c == column)).collect();
        keys.sort_unstable();
        if let Some((table, constraint, _)) = keys.first() {
            let message = format!(
                "PostgreSQL refuses it: the foreign key `{constraint}` of `{table}` refers to `{name}.{column}`"
            );
            out.push(add(&OBJECT_IN_USE, range, message, "drop the foreign key first, in a migration of its own"));
        }
        out.extend(view_reads(catalog, range, name, column, "PostgreSQL refuses to drop it"));
    }
    let mut lost: Vec<String> = catalog
        .indexes_of(name)
        .filter(|(_, index)| index.words.contains(column) && (index.keys.len() > 1 || index.computed))
        .map(|(index, _)| format!("`{index}`"))
        .collect();
    lost.sort_unstable();
    if !lost.is_empty() {
        let message = format!("with `{name}.{column}` go the indexes that hold it: {}", lost.join(", "));
        let help = "build the indexes that are still needed without the column first, `CONCURRENTLY`";
        let mut note = add(&OBJECT_IN_USE, range, message, help);
        if let Note::Add(finding) = &mut note {
            finding.severity = Some(Severity::Warning);
            finding.risk = Some(Risk::Medium);
        }
        out.push(note);
    }
    out
}
