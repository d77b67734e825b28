//! What the catalog knows against a change, before it is made.

mod casts;
mod columns;
mod dependents;
mod indexes;
mod inserted;
mod keys;
mod partitions;
mod policies;
mod presence;
mod published;
mod refused;

use std::ops::Range;

use super::catalog::{Catalog, Table};
use super::change::{Action, Change, ConstraintDef, ConstraintKind, Dropped, What};
use crate::ids::Risk;
use crate::lint::Severity;
use crate::lint::script::Finding;
use crate::lint::table::RuleInfo;

pub use columns::{checked_column, every_row, narrow_keys};
pub use indexes::{Key, keys, lacks_index};
pub use partitions::{INDEX_OF_PARTITIONED, beside_default};
pub use policies::opens_all;
pub use presence::not_made;
pub use published::without_key;

use columns::{set_not_null, set_type};
use dependents::{column_in_use, columns_of_type, hangs_on, of_constraint, referred_to, view_reads};
use indexes::{duplicate, key_of_index};
use partitions::{checked_before, no_concurrent_index, of_partitioned};
use presence::{absent, absent_column, absent_columns, asked, existing, validated};
use refused::refusals;

/// What comes of a change.
#[derive(Debug, Clone)]
pub enum Note {
    /// A finding of the catalog's own rules.
    Add(Finding),
    /// More is known than another rule could see: its findings within the range say this instead.
    Tell {
        rule: &'static str,
        range: Range<usize>,
        message: String,
        help: Option<String>,
        severity: Severity,
        risk: Risk,
    },
    /// What the rules said of the statement at that place is not so.
    Harmless { rules: &'static [&'static str], range: Range<usize> },
    /// PostgreSQL refuses what these rules offer within the range: their findings say this instead, and rewrite nothing.
    Unfixable { rules: &'static [&'static str], range: Range<usize>, message: String, help: &'static str },
    /// A column that is as wide as what it refers to: no rewrite makes it wider.
    Narrow { table: String, column: String },
}

fn add(rule: &'static RuleInfo, range: &Range<usize>, message: String, help: &str) -> Note {
    Note::Add(Finding::new(rule, range.clone(), message).with_help(help))
}

/// What is to be said about a change. `version` is PostgreSQL's, `later` tells whether a later migration creates a table.
pub fn notes(catalog: &Catalog, change: &Change, version: u32, later: &dyn Fn(&str) -> Option<String>) -> Vec<Note> {
    let range = &change.range;
    if let What::Maybe(what) = &change.what {
        // Where it happens it costs what it costs; where it would fail it may not happen.
        let change = Change { what: (**what).clone(), ..change.clone() };
        let mut costs = notes(catalog, &change, version, later);
        costs.retain(|note| !matches!(note, Note::Add(_)));
        return costs;
    }
    let mut out = refusals(catalog, change, version);
    match &change.what {
        What::CreateTable { name, if_not_exists: false, temporary: false, .. }
        | What::CreateOther { name, tolerant: false }
        | What::CreateView { name, tolerant: false, .. } => {
            if let Some(name) = catalog.resolve_new(name).filter(|n| catalog.relations.contains_key(n)) {
                out.push(existing(range, &format!("`{name}`")));
            }
        }
        What::CreateType { name, .. } => {
            if let Some(name) = catalog.resolve_new(name).filter(|n| catalog.types.contains(n)) {
                out.push(existing(range, &format!("the type `{name}`")));
            }
        }
        What::CreateIndex { name, table, if_not_exists, only, index, .. } => {
            let Some(table) = catalog.resolve(table) else { return out };
            let name = name.as_ref().map(|n| Catalog::resolve_index(&table, n));
            if let Some(name) = name.as_ref().filter(|n| catalog.indexes.contains_key(*n)) {
                if !if_not_exists {
                    out.push(existing(range, &format!("the index `{name}`")));
                }
                return out;
            }
            out.extend(absent(catalog, range, &table, later));
            if let Some(known) = catalog.table(&table) {
                let columns = index.keys.iter().flatten().chain(&index.included);
                out.extend(absent_columns(range, &table, known, columns));
            }
            out.extend(duplicate(catalog, range, &table, index));
            out.extend(no_concurrent_index(catalog, range, &table, *only));
        }
        What::Alter { table, if_exists, action } => {
            let Some(name) = catalog.resolve(table) else { return out };
            if !if_exists {
                out.extend(absent(catalog, range, &name, later));
            }
            if let Some(table) = catalog.table(&name) {
                for part in action.parts() {
                    match (action, part) {
                        // What comes with a column is about that column.
                        (Action::Several(_), Action::AddConstraint(def)) => {
                            out.extend(constraint_columns(catalog, range, None, def));
                        }
                        _ => alter(catalog, range, &name, table, part, version, &mut out),
                    }
                }
            }
            for part in action.parts() {
                of_partitioned(catalog, range, &name, part, version, &mut out);
            }
        }
        What::Drop { kind: Dropped::Table | Dropped::View, names, if_exists, cascade } => {
            for name in names.iter().filter_map(|n| catalog.resolve(n)) {
                if !if_exists {
                    out.extend(absent(catalog, range, &name, later));
                }
                if !cascade {
                    out.extend(hangs_on(catalog, range, &name, names));
                }
            }
        }
        What::Drop { kind: Dropped::Index { .. }, names, .. } => {
            out.extend(of_constraint(catalog, range, names));
            out.extend(keys::index_needed(catalog, change));
            let of = |name: &String| Some(&catalog.indexes.get(&catalog.resolve(name)?)?.table);
            if let Some(table) = names.iter().filter_map(of).find(|table| catalog.is_partitioned(table)) {
                out.push(Note::Unfixable {
                    rules: &["require-concurrent-index-deletion"],
                    range: range.clone(),
                    message: format!(
                        "dropping an index of `{table}`, which is partitioned, locks it and all of its partitions `ACCESS EXCLUSIVE`; \
                         PostgreSQL cannot do it `CONCURRENTLY`"
                    ),
                    help: "it is quick once it has the locks: keep a short `lock_timeout`, and try again when it runs out",
                });
            }
        }
        What::Drop { kind: Dropped::Type, names, cascade: false, .. } => {
            out.extend(columns_of_type(catalog, range, names));
        }
        What::Columns { table, columns } => {
            let Some(name) = catalog.resolve(table) else { return out };
            out.extend(catalog.table(&name).and_then(|table| absent_columns(range, &name, table, columns)));
        }
        What::Asks(columns) => out.extend(asked(catalog, columns)),
        What::Truncate { tables, cascade: false } => out.extend(referred_to(catalog, range, tables)),
        _ => {}
    }
    out
}

/// Columns of a constraint that are not there: its own, but for one that comes with its column, and those it refers to.
fn constraint_columns(
    catalog: &Catalog,
    range: &Range<usize>,
    own: Option<(&str, &Table)>,
    def: &ConstraintDef,
) -> Option<Note> {
    let columns: &[String] = match &def.kind {
        ConstraintKind::Primary(columns)
        | ConstraintKind::Unique(columns)
        | ConstraintKind::Foreign { columns, .. } => columns,
        ConstraintKind::UsingIndex { .. } | ConstraintKind::Check { .. } | ConstraintKind::Other => &[],
    };
    let absent = own.and_then(|(name, table)| absent_columns(range, name, table, columns));
    absent.or_else(|| {
        let ConstraintKind::Foreign { table, referred, .. } = &def.kind else { return None };
        let other = catalog.resolve(table)?;
        absent_columns(range, &other, catalog.table(&other)?, referred)
    })
}

fn alter(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    table: &Table,
    action: &Action,
    version: u32,
    out: &mut Vec<Note>,
) {
    if let Action::DropConstraint { name: constraint, cascade: false, .. } = action {
        out.extend(keys::constraint_needed(catalog, range, name, constraint));
    }
    match action {
        Action::AddColumn { name: column, if_not_exists: false, .. } if table.columns.contains_key(column) => {
            out.push(existing(range, &format!("the column `{column}` of `{name}`")));
        }
        Action::AddConstraint(def) => {
            out.extend(constraint_columns(catalog, range, Some((name, table)), def));
            if let Some(constraint) = def.name.as_ref().filter(|c| table.constraints.contains_key(*c)) {
                out.push(existing(range, &format!("the constraint `{constraint}` of `{name}`")));
            }
            if let ConstraintKind::UsingIndex { index, primary: true } = &def.kind {
                out.extend(key_of_index(catalog, range, name, table, index, version));
            }
        }
        Action::DropColumn { name: column, if_exists, cascade } => {
            if !if_exists {
                out.extend(absent_column(range, name, table, column));
            }
            out.extend(column_in_use(catalog, range, name, column, *cascade));
        }
        Action::DropConstraint { name: constraint, replaced: false, .. }
            if table.constraints.get(constraint).is_some_and(|c| c.kind.is_primary()) =>
        {
            out.push(Note::Tell {
                rule: "ban-drop-constraint",
                range: range.clone(),
                message: format!(
                    "`{constraint}` is the primary key of `{name}`: updates and deletes of the table are not replicated without one, \
                     `ON CONFLICT` and foreign keys lose what they rely on, and duplicates may come"
                ),
                help: Some("add the new key in the same statement, from an index that was built `CONCURRENTLY`".to_owned()),
                severity: Severity::Warning,
                risk: Risk::High,
            });
        }
        Action::DropConstraint { name: constraint, .. } => {
            out.extend(table.constraints.get(constraint).and_then(|c| said_twice(range, name, table, constraint, c)));
        }
        Action::Attach { partition, .. } => out.extend(checked_before(catalog, range, partition)),
        Action::RenameColumn { from, to } => {
            out.extend(absent_column(range, name, table, from));
            if table.columns.contains_key(to) && table.columns.contains_key(from) {
                out.push(existing(range, &format!("the column `{to}` of `{name}`")));
            }
        }
        Action::AddIdentity { column, .. } | Action::AlterColumn { column } | Action::Fill { column, .. } => {
            out.extend(absent_column(range, name, table, column));
        }
        Action::Validate { name: constraint } => out.extend(validated(range, name, table, constraint)),
        Action::SetNotNull { column, on } => {
            out.extend(absent_column(range, name, table, column));
            if *on {
                out.extend(set_not_null(range, name, table, column, version));
            }
        }
        Action::SetType { column, ty, plain, collated, .. } => {
            out.extend(absent_column(range, name, table, column));
            out.extend(view_reads(catalog, range, name, column, "its type cannot be changed"));
            out.extend(set_type(catalog, range, name, table, column, ty, (*plain, *collated)));
        }
        _ => {}
    }
}

/// A check on the way to `NOT NULL` that the column says itself by now.
fn said_twice(
    range: &Range<usize>,
    name: &str,
    table: &Table,
    constraint: &str,
    known: &ConstraintDef,
) -> Option<Note> {
    let ConstraintKind::Check { says_not_null: Some(column), .. } = &known.kind else { return None };
    table.columns.get(column).filter(|c| c.not_null)?;
    Some(Note::Tell {
        rule: "ban-drop-constraint",
        range: range.clone(),
        message: format!("`{constraint}` says what `{name}.{column}` says itself by now: it is `NOT NULL`"),
        help: None,
        severity: Severity::Info,
        risk: Risk::Low,
    })
}
