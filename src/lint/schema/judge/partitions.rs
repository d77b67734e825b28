//! Partitioned tables: what they cannot have in the way in which others do, and what a new partition costs.

use std::collections::HashSet;
use std::ops::Range;

use super::super::PARTITION_BESIDE_DEFAULT;
use super::super::catalog::{Catalog, Table};
use super::super::change::{Action, Change, ConstraintDef, ConstraintKind, ViewDef, What};
use super::Note;
use crate::ids::Risk;
use crate::lint::Severity;
use crate::lint::script::Finding;

/// How a partitioned table gets an index without waiting.
pub const INDEX_OF_PARTITIONED: &str = "create it `ON ONLY` the partitioned table, which reads no row; then `CREATE INDEX \
     CONCURRENTLY` on each partition, each in a migration of its own; then `ALTER INDEX … ATTACH PARTITION` for each of them";

/// An index that cannot be built beside writes: on a partitioned table, or on a view.
pub(super) fn no_concurrent_index(catalog: &Catalog, range: &Range<usize>, table: &str, only: bool) -> Option<Note> {
    const RULE: &str = "require-concurrent-index-creation";
    let unfixable =
        |message: String, help| Some(Note::Unfixable { rules: &[RULE], range: range.clone(), message, help });
    if let Some(ViewDef { materialized: false, .. }) = catalog.view(table) {
        let message = format!("`{table}` is a view: PostgreSQL refuses an index on it, `CONCURRENTLY` or not");
        return unfixable(
            message,
            "create the index on the table that the view reads, or make the view a materialized one",
        );
    }
    if let Some(ViewDef { materialized: true, .. }) = catalog.view(table) {
        return Some(Note::Tell {
            rule: RULE,
            range: range.clone(),
            message: format!(
                "`{table}` is a materialized view: nobody's writes wait, only its `REFRESH` does, until the index is built"
            ),
            help: None,
            severity: Severity::Info,
            risk: Risk::Low,
        });
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
pub(super) fn of_partitioned(
    catalog: &Catalog,
    range: &Range<usize>,
    name: &str,
    action: &Action,
    version: u32,
    out: &mut Vec<Note>,
) {
    match action {
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
        ConstraintKind::Unique(_) | ConstraintKind::Primary(_) => Some(Note::Unfixable {
            rules: &["disallowed-unique-constraint", "adding-serial-primary-key-field"],
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

/// A new partition that has a valid check: where that implies the bounds PostgreSQL reads no row of it.
pub(super) fn checked_before(catalog: &Catalog, range: &Range<usize>, partition: &str) -> Option<Note> {
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
/// `made` are the tables that hold nothing yet: a partition with rows that is attached is told by `attach-partition`,
/// the default partition included.
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
