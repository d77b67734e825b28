//! Statements that PostgreSQL refuses on the tables, indexes and views that are there, whatever rows they hold.

use std::ops::Range;

use super::super::POSTGRESQL_REFUSES;
use super::super::catalog::{Catalog, Table};
use super::super::change::{
    Action, Change, ConstraintDef, ConstraintKind, Dropped, Misfit, PartitionKey, ViewColumns, What,
};
use super::partitions::INDEX_OF_PARTITIONED;
use super::{Note, add, casts, inserted, keys};

pub(super) fn refused(range: &Range<usize>, message: String, help: &str) -> Note {
    add(&POSTGRESQL_REFUSES, range, message, help)
}

/// Why a change cannot be made, as far as it is certain.
pub(super) fn refusals(catalog: &Catalog, change: &Change, version: u32) -> Vec<Note> {
    let mut out = keys::refusals(catalog, change);
    out.extend(inserted::refusal(catalog, change));
    out.extend(of_partitions_and_views(catalog, change, version));
    out
}

fn misfit(range: &Range<usize>, part: &str, holds: &Misfit) -> Note {
    let elsewhere = "reckon it from the row alone; for more, fill the column in a trigger, or in a statement of its own, and check \
                     it in a trigger";
    let (message, help) = match holds {
        Misfit::Query => (format!("PostgreSQL takes no query in {part}"), elsewhere),
        Misfit::Aggregate(name) => {
            (format!("PostgreSQL takes no `{name}` in {part}: it is reckoned from many rows"), elsewhere)
        }
        Misfit::Changing(what) => (
            format!("`{what}` is not `IMMUTABLE`, and {part} keeps what comes out: PostgreSQL refuses it"),
            "leave it out; where an index shall hold recent rows only, give it a fixed day and build it anew from time to time, and \
             let queries say the same condition",
        ),
    };
    refused(range, message, help)
}

fn of_partitions_and_views(catalog: &Catalog, change: &Change, version: u32) -> Vec<Note> {
    let range = &change.range;
    match &change.what {
        What::Misfit { part, holds } => vec![misfit(range, part, holds)],
        What::CreateTable { name, temporary: false, parts, partitioned: Some(key), .. } => {
            let keys = constraints(parts).filter_map(|def| unique_columns(&def.kind));
            keys.filter_map(|columns| lacks_key(range, name, key, columns)).take(1).collect()
        }
        What::CreateIndex { table, concurrently, index, .. } => {
            let Some(table) = catalog.resolve(table).filter(|name| catalog.table(name).is_some()) else {
                return Vec::new();
            };
            let Some(key) = catalog.partition_key(&table) else { return Vec::new() };
            let columns: Vec<String> = index.keys.iter().flatten().cloned().collect();
            let lacks = if index.unique { lacks_key(range, &table, key, &columns) } else { None };
            let concurrent = concurrently.then(|| {
                let message = format!("`{table}` is partitioned: PostgreSQL refuses to build its index `CONCURRENTLY`");
                refused(range, message, INDEX_OF_PARTITIONED)
            });
            lacks.or(concurrent).into_iter().collect()
        }
        What::Alter { table, action, .. } => {
            let mut out = Vec::new();
            if let Some(name) = catalog.resolve(table)
                && let Some(table) = catalog.table(&name)
            {
                let each = action.parts().iter();
                each.for_each(|part| altered(catalog, range, &name, table, part, version, &mut out));
            }
            out
        }
        What::Drop { kind: Dropped::Index { concurrently: true }, names, cascade, .. } => {
            not_dropped_beside(catalog, range, names, *cascade).into_iter().collect()
        }
        What::Refresh { view, concurrently: true, fills } => {
            not_refreshed_beside(catalog, range, view, *fills).into_iter().collect()
        }
        What::CreateView { name, replaces: true, view, .. } => {
            let Some(name) = catalog.resolve_new(name) else { return Vec::new() };
            let Some(old) = catalog.view(&name).filter(|old| !old.materialized) else { return Vec::new() };
            not_replaced(&old.columns, &view.columns)
                .map(|what| {
                    let message = format!("PostgreSQL does not replace the view `{name}`: {what}");
                    let help = "keep the columns that it has, in their order, and add new ones behind them; or drop the view \
                                and create it again, in one transaction";
                    refused(range, message, help)
                })
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The constraints among the parts of a table.
pub(super) fn constraints(parts: &[Action]) -> impl Iterator<Item = &ConstraintDef> {
    parts.iter().filter_map(|part| match part {
        Action::AddConstraint(def) => Some(def),
        _ => None,
    })
}

fn unique_columns(kind: &ConstraintKind) -> Option<&[String]> {
    match kind {
        ConstraintKind::Primary(columns) | ConstraintKind::Unique(columns) => Some(columns),
        ConstraintKind::UsingIndex { .. }
        | ConstraintKind::Foreign { .. }
        | ConstraintKind::Check { .. }
        | ConstraintKind::Other => None,
    }
}

/// Unique columns of a partitioned table that cannot be so over all partitions.
fn lacks_key(range: &Range<usize>, table: &str, key: &PartitionKey, columns: &[String]) -> Option<Note> {
    let why = match key {
        PartitionKey::Columns(key) => {
            let missing = key.iter().find(|column| !columns.contains(column))?;
            format!("`{table}` is partitioned by `{missing}`, which is not among the unique columns")
        }
        PartitionKey::Computed => format!("`{table}` is partitioned by an expression, and can have no unique columns"),
        PartitionKey::Unknown => return None,
    };
    let help =
        "add the columns of the partition key to it; or make each partition unique by itself, with an index of its own";
    Some(refused(range, format!("PostgreSQL refuses it: {why}"), help))
}

fn altered(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    table: &Table,
    action: &Action,
    version: u32,
    out: &mut Vec<Note>,
) {
    match action {
        Action::AddConstraint(def) => {
            let Some(key) = catalog.partition_key(name) else { return };
            out.extend(unique_columns(&def.kind).and_then(|columns| lacks_key(range, name, key, columns)));
            out.extend(constrained(range, name, def, version));
        }
        Action::Detach { concurrently: true, .. } => out.extend(catalog.default_partition(name).map(|default| {
            let message = format!(
                "`{name}` has the default partition `{default}`: PostgreSQL refuses to detach a partition of it `CONCURRENTLY`"
            );
            let help = "leave `CONCURRENTLY` out: it is quick once it has the lock; keep a short `lock_timeout`, and try again \
                        when it runs out";
            refused(range, message, help)
        })),
        Action::SetType { column, ty, using, .. } => {
            out.extend(casts::not_cast(catalog, range, name, table, column, ty, *using));
        }
        Action::AddIdentity { column, .. } if table.closed => {
            let is_nullable = table.columns.get(column).is_some_and(|c| !c.not_null);
            let may_be_said = table.constraints.values().any(|c| {
                matches!(&c.kind, ConstraintKind::Check { says_not_null: Some(of), .. } if of == column)
                    || matches!(&c.kind, ConstraintKind::UsingIndex { primary: true, .. })
            });
            if is_nullable && !may_be_said {
                let message = format!("`{name}.{column}` may be NULL: PostgreSQL makes no such column an identity");
                out.push(refused(range, message, "`SET NOT NULL` first, in the same statement or before"));
            }
        }
        _ => {}
    }
}

/// A constraint that a partitioned table cannot have in this form.
fn constrained(range: &Range<usize>, name: &str, def: &ConstraintDef, version: u32) -> Option<Note> {
    match &def.kind {
        ConstraintKind::Foreign { .. } if !def.valid && version < 18 => {
            let message = format!(
                "`{name}` is partitioned: before PostgreSQL 18 a foreign key of a partitioned table cannot be `NOT VALID`"
            );
            let help = "add the same foreign key to each partition, `NOT VALID`, and validate it there, each in a migration of its \
                        own; the one of the partitioned table, without `NOT VALID`, then takes them over and reads no row";
            Some(refused(range, message, help))
        }
        ConstraintKind::UsingIndex { .. } => {
            let message = format!("`{name}` is partitioned: PostgreSQL makes no constraint of an index there");
            let help = "add the constraint with `ALTER TABLE ONLY`; give each partition its own, from an index that was built \
                        `CONCURRENTLY`; then `ALTER INDEX … ATTACH PARTITION` for each of them";
            Some(refused(range, message, help))
        }
        _ => None,
    }
}

/// `DROP INDEX CONCURRENTLY` in a form that there is not.
fn not_dropped_beside(catalog: &Catalog, range: &Range<usize>, names: &[String], cascade: bool) -> Option<Note> {
    if names.len() > 1 {
        let message = "PostgreSQL drops no more than one index `CONCURRENTLY` in a statement".to_owned();
        return Some(refused(range, message, "write a statement for each of them"));
    }
    if cascade {
        let message = "PostgreSQL drops no index `CONCURRENTLY` with `CASCADE`".to_owned();
        return Some(refused(range, message, "leave `CASCADE` out, and drop what hangs on the index first"));
    }
    let table = |name: &String| Some(&catalog.indexes.get(&catalog.resolve(name)?)?.table);
    let known = |table: &&String| catalog.table(table).is_some() && catalog.is_partitioned(table);
    let table = names.iter().filter_map(table).find(known)?;
    let message = format!("`{table}` is partitioned: PostgreSQL refuses to drop its index `CONCURRENTLY`");
    let help = "leave `CONCURRENTLY` out: it is quick once it has the locks; keep a short `lock_timeout`, and try again when it \
                runs out";
    Some(refused(range, message, help))
}

/// `REFRESH MATERIALIZED VIEW CONCURRENTLY` of a view that cannot be refreshed so.
fn not_refreshed_beside(catalog: &Catalog, range: &Range<usize>, view: &str, fills: bool) -> Option<Note> {
    let name = catalog.resolve(view)?;
    let known = catalog.view(&name).filter(|view| view.materialized)?;
    let why = if !fills {
        "`CONCURRENTLY` and `WITH NO DATA` exclude each other".to_owned()
    } else if !catalog.indexes_of(&name).any(|(_, index)| index.unique && !index.computed) {
        format!(
            "`{name}` has no unique index on plain columns without a `WHERE`, by which its rows could be told apart"
        )
    } else if !known.filled {
        format!("`{name}` was left `WITH NO DATA`, and no migration has filled it since")
    } else {
        return None;
    };
    let help = "create a unique index on columns of the view first, and fill the view once without `CONCURRENTLY`";
    Some(refused(range, format!("PostgreSQL refuses it: {why}"), help))
}

/// Why a view with these columns cannot become one with those.
fn not_replaced(old: &ViewColumns, new: &ViewColumns) -> Option<String> {
    let renamed = old.first.iter().zip(&new.first).find_map(|(old, new)| match (old, new) {
        (Some(old), Some(new)) if old != new => Some((old, new)),
        _ => None,
    });
    if let Some((old, new)) = renamed {
        return Some(format!("`{new}` stands where its column `{old}` is"));
    }
    let lost = old.first.get(new.first.len()..).filter(|lost| new.complete && !lost.is_empty())?;
    Some(match &lost[0] {
        Some(column) => format!("its column `{column}` would go"),
        None => "some of its columns would go".to_owned(),
    })
}
