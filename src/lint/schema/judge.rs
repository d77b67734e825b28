//! What the catalog knows against a change, before it is made.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::catalog::{Catalog, Relation, Table, mentions};
use super::change::{Action, Change, ConstraintDef, ConstraintKind, Dropped, IndexDef, What};
use super::types::{ColumnType, Effect};
use super::{DUPLICATE_INDEX, EXISTING_OBJECT, MISSING_OBJECT, OBJECT_IN_USE, PARTITION_BESIDE_DEFAULT};
use crate::ids::Risk;
use crate::lint::Severity;
use crate::lint::script::Finding;
use crate::lint::table::{self, RuleInfo};

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
    /// What the rule said of the statement at that place is not so.
    Harmless { rule: &'static str, range: Range<usize> },
    /// PostgreSQL refuses what these rules offer within the range: their findings say this instead, and rewrite nothing.
    Unfixable { rules: &'static [&'static str], range: Range<usize>, message: String, help: &'static str },
}

/// How a partitioned table gets an index without waiting.
pub const INDEX_OF_PARTITIONED: &str = "create it `ON ONLY` the partitioned table, which reads no row; then `CREATE INDEX \
     CONCURRENTLY` on each partition, each in a migration of its own; then `ALTER INDEX … ATTACH PARTITION` for each of them";

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

fn add(rule: &'static RuleInfo, range: &Range<usize>, message: String, help: &str) -> Note {
    Note::Add(Finding::new(rule, range.clone(), message).with_help(help))
}

/// What is to be said about a change. `version` is PostgreSQL's, `later` tells whether a later migration creates a table.
pub fn notes(catalog: &Catalog, change: &Change, version: u32, later: &dyn Fn(&str) -> Option<String>) -> Vec<Note> {
    let range = &change.range;
    let mut out = Vec::new();
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
        What::CreateIndex { name, table, if_not_exists, only, index } => {
            let Some(table) = catalog.resolve(table) else { return out };
            let name = name.as_ref().map(|n| Catalog::resolve_index(&table, n));
            if let Some(name) = name.as_ref().filter(|n| catalog.indexes.contains_key(*n)) {
                if !if_not_exists {
                    out.push(existing(range, &format!("the index `{name}`")));
                }
                return out;
            }
            out.extend(absent(catalog, range, &table, later));
            out.extend(duplicate(catalog, range, &table, index));
            out.extend(no_concurrent_index(catalog, range, &table, *only));
        }
        What::Alter { table, if_exists, action } => {
            let Some(name) = catalog.resolve(table) else { return out };
            if !if_exists {
                out.extend(absent(catalog, range, &name, later));
            }
            if let Some(table) = catalog.table(&name) {
                alter(catalog, range, &name, table, action, version, &mut out);
            }
            of_partitioned(catalog, range, &name, action, version, &mut out);
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
        What::Drop { kind: Dropped::Index, names, .. } => {
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
        _ => {}
    }
    out
}

/// An index that cannot be built beside writes: on a partitioned table, or on a view.
fn no_concurrent_index(catalog: &Catalog, range: &Range<usize>, table: &str, only: bool) -> Option<Note> {
    const RULE: &str = "require-concurrent-index-creation";
    let unfixable =
        |message: String, help| Some(Note::Unfixable { rules: &[RULE], range: range.clone(), message, help });
    if let Some(Relation::View { materialized: false, .. }) = catalog.relations.get(table) {
        let message = format!("`{table}` is a view: PostgreSQL refuses an index on it, `CONCURRENTLY` or not");
        return unfixable(
            message,
            "create the index on the table that the view reads, or make the view a materialized one",
        );
    }
    match (catalog.is_partitioned(table), only) {
        (true, true) => Some(Note::Tell {
            rule: RULE,
            range: range.clone(),
            message: format!(
                "on `{table}` alone, which is partitioned, nothing is built: the lock is brief. The index becomes valid once one of \
                 each partition is attached to it"
            ),
            help: None,
            severity: Severity::Info,
            risk: Risk::Low,
        }),
        (true, false) => unfixable(
            format!(
                "`{table}` is partitioned: the index is built on every partition, and writes to all of them wait until the last is \
                 done; PostgreSQL cannot do it `CONCURRENTLY`"
            ),
            INDEX_OF_PARTITIONED,
        ),
        (false, true) if catalog.table(table).is_none() => unfixable(
            format!(
                "`ON ONLY` builds nothing where `{table}` is partitioned, and PostgreSQL then refuses `CONCURRENTLY`; on any other \
                 table writes wait until the index is built"
            ),
            "where it is partitioned, build the index of each partition `CONCURRENTLY`, and attach them; where not, leave `ONLY` out",
        ),
        _ => None,
    }
}

/// What cannot be done to a partitioned table in the way in which it is to others, whether more is known of it or not.
fn of_partitioned(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    action: &Action,
    version: u32,
    out: &mut Vec<Note>,
) {
    match action {
        Action::Several(parts) => {
            parts.iter().for_each(|part| of_partitioned(catalog, range, name, part, version, out));
        }
        Action::AddConstraint(def) if def.valid && catalog.is_partitioned(name) => {
            out.extend(constraint_of_partitioned(range, name, &def.kind, version));
        }
        Action::Detach { .. } => out.extend(catalog.default_partition(name).map(|default| Note::Unfixable {
            rules: &["require-concurrent-partition-detach"],
            range: range.clone(),
            message: format!(
                "detaching a partition locks `{name}` `ACCESS EXCLUSIVE`; beside `{default}`, its default partition, PostgreSQL cannot do \
                 it `CONCURRENTLY`"
            ),
            help: "it is quick once it has the lock: keep a short `lock_timeout`, and try again when it runs out",
        })),
        _ => {}
    }
}

/// A constraint of a partitioned table that cannot come in the ways in which others do.
fn constraint_of_partitioned(range: &Range<usize>, name: &str, kind: &ConstraintKind, version: u32) -> Option<Note> {
    match kind {
        ConstraintKind::Foreign { .. } if version < 18 => Some(Note::Unfixable {
            rules: &["adding-foreign-key-constraint", "constraint-missing-not-valid"],
            range: range.clone(),
            message: format!(
                "`{name}` is partitioned: the foreign key reads every row of all partitions, while writes to both tables wait; before \
                 PostgreSQL 18 it cannot be `NOT VALID`"
            ),
            help: "add the same foreign key to each partition, `NOT VALID`, and validate it there, each in a migration of its own; the one \
                   of the partitioned table then takes them over and reads no row",
        }),
        ConstraintKind::Unique(_) => Some(Note::Unfixable {
            rules: &["disallowed-unique-constraint"],
            range: range.clone(),
            message: format!(
                "`{name}` is partitioned: an index is built on every partition under an `ACCESS EXCLUSIVE` lock; PostgreSQL can neither \
                 build it `CONCURRENTLY` nor make the constraint of an index"
            ),
            help: "add the constraint with `ALTER TABLE ONLY`, which reads no row; give each partition its own, from an index that was \
                   built `CONCURRENTLY`; then `ALTER INDEX … ATTACH PARTITION` for each of them",
        }),
        _ => None,
    }
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

/// A new column whose type is a domain that refuses some values: PostgreSQL looks at each row, and writes it anew, whatever
/// the default is. With the table.
pub fn checked_column(catalog: &Catalog, change: &Change) -> Option<(String, Note)> {
    let What::Alter { table, action, .. } = &change.what else { return None };
    let name = catalog.resolve(table)?;
    let parts = match action {
        Action::Several(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let (column, domain) = parts.iter().find_map(|part| match part {
        Action::AddColumn { name, column, .. } => {
            let ty = column.ty.as_ref().map(|ty| ty.shown.to_lowercase())?;
            catalog.is_checked(ty.strip_prefix("public.").unwrap_or(&ty)).then_some((name, ty))
        }
        _ => None,
    })?;
    let rule = table::find("adding-field-with-default")?;
    let message = format!(
        "`{domain}` is a domain with a constraint: the new column `{column}` has `{name}` rewritten under an `ACCESS EXCLUSIVE` \
         lock, be its default constant or none"
    );
    let help =
        "add the column with the plain type, and its check as `NOT VALID`; validate it in a migration of its own";
    let mut note = add(rule, &change.range, message, help);
    if let Note::Add(finding) = &mut note {
        finding.tables = vec![name.clone()];
    }
    Some((name, note))
}

/// A change of rows that leaves none out, as every column that it asks for refuses NULL. With the table.
pub fn every_row(catalog: &Catalog, change: &Change) -> Option<(String, Note)> {
    let What::Rows { table, columns, removes } = &change.what else { return None };
    let name = catalog.resolve(table)?;
    let known = catalog.table(&name)?;
    let refuses =
        |column: &String| known.columns.get(column).is_some_and(|c| c.not_null) || check_says(known, column).is_some();
    let rule = table::find("where-always-true").filter(|_| columns.iter().all(refuses))?;
    let names: Vec<String> = columns.iter().map(|column| format!("`{name}.{column}`")).collect();
    let (verb, refuse) =
        (if *removes { "removes" } else { "changes" }, if names.len() == 1 { "refuses" } else { "refuse" });
    let message = format!(
        "{} {refuse} NULL, so the condition is true for every row, and the statement {verb} the whole table",
        names.join(" and ")
    );
    let help = "say which rows are meant, or change them in batches that commit one by one, and keep a copy of what is overwritten";
    let mut note = add(rule, &change.range, message, help);
    if let Note::Add(finding) = &mut note {
        finding.tables = vec![name.clone()];
    }
    Some((name, note))
}

/// A constraint that is not there to be validated, or cannot be.
fn validated(range: &Range<usize>, name: &str, table: &Table, constraint: &str) -> Option<Note> {
    let help = "use the name that the constraint has now, or take the statement out";
    match table.constraints.get(constraint) {
        Some(known) => {
            let is_key = is_primary(&known.kind) || matches!(known.kind, ConstraintKind::Unique(_));
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

/// The columns that are added only where they are not there.
fn tolerated(action: &Action) -> impl Iterator<Item = &String> {
    let parts = match action {
        Action::Several(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    parts.iter().filter_map(|part| match part {
        Action::AddColumn { name, if_not_exists: true, .. } => Some(name),
        _ => None,
    })
}

fn existing(range: &Range<usize>, what: &str) -> Note {
    let help =
        "take it out, or choose another name; `IF NOT EXISTS` would leave what is there as it is, whatever that is";
    add(&EXISTING_OBJECT, range, format!("{what} is there already: an earlier migration creates it"), help)
}

fn absent(catalog: &Catalog, range: &Range<usize>, name: &str, later: &dyn Fn(&str) -> Option<String>) -> Option<Note> {
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

fn absent_column(range: &Range<usize>, name: &str, table: &Table, column: &str) -> Option<Note> {
    (table.closed && !table.columns.contains_key(column)).then(|| {
        let message = format!("`{name}` has no column `{column}` after the earlier migrations");
        add(&MISSING_OBJECT, range, message, "use the name that the column has now")
    })
}

fn duplicate(catalog: &Catalog, range: &Range<usize>, table: &str, index: &IndexDef) -> Option<Note> {
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

fn hangs_on(catalog: &Catalog, range: &Range<usize>, name: &str, dropped: &[String]) -> Option<Note> {
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

fn alter(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    table: &Table,
    action: &Action,
    version: u32,
    out: &mut Vec<Note>,
) {
    match action {
        Action::Several(parts) => {
            parts.iter().for_each(|part| alter(catalog, range, name, table, part, version, out));
        }
        Action::AddColumn { name: column, if_not_exists: false, .. } if table.columns.contains_key(column) => {
            out.push(existing(range, &format!("the column `{column}` of `{name}`")));
        }
        Action::AddConstraint(def) => {
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
            if table.constraints.get(constraint).is_some_and(|c| is_primary(&c.kind)) =>
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
        Action::Validate { name: constraint } => out.extend(validated(range, name, table, constraint)),
        Action::SetNotNull { column, on } => {
            out.extend(absent_column(range, name, table, column));
            if *on {
                out.extend(set_not_null(range, name, table, column, version));
            }
        }
        Action::SetType { column, ty, plain } => {
            out.extend(absent_column(range, name, table, column));
            out.extend(view_reads(catalog, range, name, column, "its type cannot be changed"));
            out.extend(set_type(catalog, range, name, table, column, ty, *plain));
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

/// A new partition that has a valid check: where that implies the bounds PostgreSQL reads no row of it.
fn checked_before(catalog: &Catalog, range: &Range<usize>, partition: &str) -> Option<Note> {
    let partition = catalog.resolve(partition)?;
    let check = valid_check(catalog.table(&partition)?)?;
    Some(Note::Tell {
        rule: "attach-partition",
        range: range.clone(),
        message: format!(
            "`{partition}` has the valid check `{check}`: where it implies the bounds, and a check of the default partition \
             excludes them, no row is read; else every row is checked under an exclusive lock"
        ),
        help: None,
        severity: Severity::Info,
        risk: Risk::Medium,
    })
}

/// The first check of a table, by its name, that was tried on every row.
fn valid_check(table: &Table) -> Option<&str> {
    let is_valid = |c: &ConstraintDef| c.valid && matches!(c.kind, ConstraintKind::Check { .. });
    table.constraints.iter().filter(|(_, c)| is_valid(c)).map(|(name, _)| name.as_str()).min()
}

/// A partition that comes to a table with a default partition, whose rows might belong to it. With the default partition.
/// `made` are the tables that hold nothing yet; a partition attached with rows, default or not, `attach-partition` tells.
pub fn beside_default(catalog: &Catalog, change: &Change, made: &HashSet<String>) -> Option<(String, Note)> {
    let (table, partition) = match &change.what {
        What::CreateTable { name, temporary: false, partition_of: Some(of), .. } if !of.is_default => {
            (catalog.resolve(&of.table)?, name)
        }
        What::Alter { table, action: Action::Attach { partition, is_default: false }, .. } => {
            catalog.resolve(partition).filter(|name| made.contains(name))?;
            (catalog.resolve(table)?, partition)
        }
        _ => return None,
    };
    let default = catalog.default_partition(&table)?.to_owned();
    let mut finding = match catalog.table(&default).and_then(valid_check) {
        None => {
            let message = format!(
                "`{default}` is the default partition of `{table}`: it is locked `ACCESS EXCLUSIVE`, and all of its rows are \
                 read for one that belongs to `{partition}`; if there is one, the statement fails"
            );
            Finding::new(&PARTITION_BESIDE_DEFAULT, change.range.clone(), message).with_help(format!(
                "in a migration before, give `{default}` a `CHECK` that excludes the new bounds (`IS NOT NULL` of the key and \
                 outside of them), `NOT VALID`, and validate it; the rows are then not read, and the check can go afterwards"
            ))
        }
        Some(check) => {
            let message = format!(
                "`{default}`, the default partition of `{table}`, has the valid check `{check}`: where it excludes the bounds \
                 of `{partition}`, no row is read and the lock on it is brief"
            );
            let mut finding = Finding::new(&PARTITION_BESIDE_DEFAULT, change.range.clone(), message);
            (finding.severity, finding.risk) = (Some(Severity::Info), Some(Risk::Medium));
            finding
        }
    };
    finding.tables = vec![default.clone()];
    Some((default, Note::Add(finding)))
}

fn view_reads(catalog: &Catalog, range: &Range<usize>, name: &str, column: &str, refused: &str) -> Option<Note> {
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

fn column_in_use(catalog: &Catalog, range: &Range<usize>, name: &str, column: &str, cascade: bool) -> Vec<Note> {
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

fn is_primary(kind: &ConstraintKind) -> bool {
    matches!(kind, ConstraintKind::Primary(_) | ConstraintKind::UsingIndex { primary: true, .. })
}

/// Whether the columns of an index that becomes the primary key refuse NULL already.
fn key_of_index(
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

/// The valid check by which a column is never NULL.
fn check_says<'a>(table: &'a Table, column: &str) -> Option<&'a String> {
    let says =
        |kind: &ConstraintKind| matches!(kind, ConstraintKind::Check { says_not_null: Some(of), .. } if of == column);
    table.constraints.iter().find(|(_, c)| c.valid && says(&c.kind)).map(|(name, _)| name)
}

fn set_not_null(range: &Range<usize>, name: &str, table: &Table, column: &str, version: u32) -> Option<Note> {
    let harmless = |message: String| Note::Tell {
        rule: "adding-not-nullable-field",
        range: range.clone(),
        message,
        help: None,
        severity: Severity::Info,
        risk: Risk::Low,
    };
    if table.columns.get(column)?.not_null {
        return Some(harmless(format!("`{name}.{column}` refuses NULL already: nothing is scanned")));
    }
    let check = check_says(table, column)?;
    // Before 12 the server does not look at constraints.
    (version >= 12).then(|| {
        harmless(format!("the valid check `{check}` says so already: `{name}` is not scanned, the lock is brief"))
    })
}

fn set_type(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    table: &Table,
    column: &str,
    new: &ColumnType,
    plain: bool,
) -> Option<Note> {
    let old = table.columns.get(column)?.ty.as_ref()?;
    let is = format!("`{name}.{column}` is {}", old.shown);
    let tell = |message: String, help: Option<&str>, severity, risk| {
        Some(Note::Tell {
            rule: "changing-column-type",
            range: range.clone(),
            message,
            help: help.map(str::to_owned),
            severity,
            risk,
        })
    };
    match old.change_to(new) {
        Effect::Unknown => None,
        Effect::NoRewrite if !plain => None,
        Effect::NoRewrite => {
            if let Some((check, _)) = table
                .constraints
                .iter()
                .find(|(_, c)| mentions(&c.kind, column) && matches!(c.kind, ConstraintKind::Check { .. }))
            {
                let message = format!(
                    "{is}: changing it to {} rewrites no row, but runs the check `{check}` on every one of them under an ACCESS EXCLUSIVE lock",
                    new.shown
                );
                return tell(
                    message,
                    Some("drop the check first, add it again as `NOT VALID`, and validate it later"),
                    Severity::Warning,
                    Risk::High,
                );
            }
            let mut rebuilt: Vec<&str> = catalog
                .indexes_of(name)
                .filter(|(_, i)| i.computed && i.words.contains(column))
                .map(|(n, _)| n)
                .collect();
            rebuilt.sort_unstable();
            if let Some(index) = rebuilt.first() {
                let message = format!(
                    "{is}: changing it to {} rewrites no row, but builds the index `{index}` anew under an ACCESS EXCLUSIVE lock",
                    new.shown
                );
                return tell(
                    message,
                    Some("drop the index before, and build it `CONCURRENTLY` behind"),
                    Severity::Warning,
                    Risk::High,
                );
            }
            let referred = table.constraints.values().any(
                |c| matches!(&c.kind, ConstraintKind::Foreign { columns, .. } if columns.iter().any(|c| c == column)),
            ) || catalog.referring(name).any(|(_, _, c)| c.is_empty() || c.iter().any(|c| c == column));
            if referred {
                // Whether the key is checked again depends on both sides' operators.
                return None;
            }
            tell(
                format!("{is}: changing it to {} rewrites nothing; the lock is brief", new.shown),
                None,
                Severity::Info,
                Risk::Low,
            )
        }
        Effect::Rewrite => {
            let zone = if old.gains_zone(new) { ", unless the session's zone is UTC" } else { "" };
            tell(
                format!(
                    "{is}: changing it to {} writes the table and its indexes anew under an ACCESS EXCLUSIVE lock{zone}, and running programs still expect the old type",
                    new.shown
                ),
                None,
                Severity::Warning,
                Risk::High,
            )
        }
    }
}

/// The foreign keys that a change adds, by the table that holds them.
pub fn keys(catalog: &Catalog, change: &Change) -> Vec<Key> {
    let (table, parts): (Option<String>, Vec<&Action>) = match &change.what {
        What::CreateTable { name, temporary: false, parts, .. } => (catalog.resolve_new(name), parts.iter().collect()),
        What::Alter { table, action: Action::Several(parts), .. } => (catalog.resolve(table), parts.iter().collect()),
        What::Alter { table, action, .. } => (catalog.resolve(table), vec![action]),
        _ => return Vec::new(),
    };
    let Some(table) = table else { return Vec::new() };
    parts
        .into_iter()
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
