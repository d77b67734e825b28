//! What is there already, and what is not.

use std::ops::Range;

use super::super::catalog::{Catalog, Table};
use super::super::change::{Action, Asked, Change, ConstraintKind, Dropped, What};
use super::super::{EXISTING_OBJECT, MISSING_OBJECT};
use super::{Note, add};

pub(super) fn existing(range: &Range<usize>, what: &str) -> Note {
    let help =
        "take it out, or choose another name; `IF NOT EXISTS` would leave what is there as it is, whatever that is";
    add(&EXISTING_OBJECT, range, format!("{what} is there already: an earlier migration creates it"), help)
}

pub(super) fn absent(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    later: &dyn Fn(&str) -> Option<String>,
) -> Option<Note> {
    if catalog.relations.contains_key(name) || catalog.indexes.contains_key(name) {
        return None;
    }
    if catalog.gone.contains(name) {
        let message = format!("`{name}` is not there any more: an earlier migration dropped or renamed it");
        return Some(add(&MISSING_OBJECT, range, message, "use the name that it has now, or take the statement out"));
    }
    let maker = later(name)?;
    let message = format!("`{name}` is not there yet: `{maker}` creates it, which runs later");
    Some(add(&MISSING_OBJECT, range, message, "give this migration a version behind the one that creates the table"))
}

pub(super) fn absent_column(range: &Range<usize>, name: &str, table: &Table, column: &str) -> Option<Note> {
    (table.closed && !table.columns.contains_key(column)).then(|| {
        let message = format!("`{name}` has no column `{column}` after the earlier migrations");
        add(&MISSING_OBJECT, range, message, "use the name that the column has now")
    })
}

/// The first of some columns that a table does not have. Every table has those of the system.
pub(super) fn absent_columns<'a>(
    range: &Range<usize>,
    name: &str,
    table: &Table,
    columns: impl IntoIterator<Item = &'a String>,
) -> Option<Note> {
    const SYSTEM: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];
    let written = columns.into_iter().filter(|column| !column.is_empty() && !SYSTEM.contains(&column.as_str()));
    written.into_iter().find_map(|column| absent_column(range, name, table, column))
}

/// The first column that a statement's expressions name and its table does not have.
pub(super) fn asked(catalog: &Catalog, asked: &[Asked]) -> Option<Note> {
    /// Types that a whole row may be turned into as if they were its columns, and what tables had of old.
    const OF_ROWS: [&str; 6] = ["bpchar", "char", "name", "oid", "text", "varchar"];
    asked.iter().find_map(|asked| {
        let name = catalog.resolve(&asked.table)?;
        let table = catalog.table(&name)?;
        let is_other = OF_ROWS.contains(&asked.column.as_str()) || asked.qualified && catalog.is_routine(&asked.column);
        if is_other { None } else { absent_columns(&asked.range, &name, table, [&asked.column]) }
    })
}

/// What a change leaves as it is because it is there already, and the way back takes all the same.
pub fn not_made(catalog: &Catalog, change: &Change, back: &[Change]) -> Option<Note> {
    let message = match &change.what {
        What::CreateTable { name, if_not_exists: true, temporary: false, .. }
        | What::CreateOther { name, tolerant: true } => {
            let name = catalog.resolve_new(name).filter(|name| catalog.relations.contains_key(name))?;
            let drops = |what: &What| match what {
                What::Drop { kind: Dropped::Table, names, .. } => {
                    names.iter().any(|n| catalog.resolve(n).as_ref() == Some(&name))
                }
                _ => false,
            };
            back.iter().any(|change| drops(&change.what)).then(|| {
                format!(
                    "`{name}` is there already: an earlier migration creates it, so this does nothing, and the way back drops                      that migration's table with all its rows"
                )
            })?
        }
        What::Alter { table, action, .. } => {
            let name = catalog.resolve(table)?;
            let known = catalog.table(&name)?;
            let column = tolerated(action).find(|column| known.columns.contains_key(*column))?;
            let drops = |what: &What| match what {
                What::Alter { table, action, .. } => {
                    catalog.resolve(table).as_ref() == Some(&name)
                        && matches!(action, Action::DropColumn { name, .. } if name == column)
                }
                _ => false,
            };
            back.iter().any(|change| drops(&change.what)).then(|| {
                format!(
                    "the column `{column}` of `{name}` is there already: an earlier migration creates it, so this does                      nothing, and the way back drops that migration's column with all its values"
                )
            })?
        }
        _ => return None,
    };
    let help = "take it out, or choose another name; without `IF NOT EXISTS` it fails where it would do nothing";
    Some(add(&EXISTING_OBJECT, &change.range, message, help))
}

/// The columns that are added only where they are not there.
fn tolerated(action: &Action) -> impl Iterator<Item = &String> {
    action.parts().iter().filter_map(|part| match part {
        Action::AddColumn { name, if_not_exists: true, .. } => Some(name),
        _ => None,
    })
}

/// A constraint that is not there to be validated, or cannot be.
pub(super) fn validated(range: &Range<usize>, name: &str, table: &Table, constraint: &str) -> Option<Note> {
    let help = "use the name that the constraint has now, or take the statement out";
    match table.constraints.get(constraint) {
        Some(known) => {
            let is_key = known.kind.is_primary() || matches!(known.kind, ConstraintKind::Unique(_));
            is_key.then(|| {
                let message =
                    format!("`{constraint}` of `{name}` is no foreign key and no check: PostgreSQL refuses it");
                add(&MISSING_OBJECT, range, message, help)
            })
        }
        // A name that PostgreSQL may have given itself is not certain.
        None if !table.closed || is_made_up(constraint) => None,
        None => {
            let message = format!("`{name}` has no constraint `{constraint}` after the earlier migrations");
            Some(add(&MISSING_OBJECT, range, message, help))
        }
    }
}

/// Whether a constraint's name is like those that PostgreSQL gives where none is written.
fn is_made_up(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    ["_check", "_excl", "_fkey", "_key", "_not_null", "_pkey"].iter().any(|end| name.ends_with(end))
}
