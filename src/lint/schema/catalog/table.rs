//! One table: what its own definition and changes make of it.

use std::collections::BTreeMap;

use super::super::change::{Action, ColumnDef, ConstraintDef, ConstraintKind, Filled, Given};
use super::super::types::ColumnType;

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its columns.
    pub columns: BTreeMap<String, ColumnDef>,
    /// Its constraints by name.
    pub constraints: BTreeMap<String, ConstraintDef>,
    /// Whether it has no other columns, parents or children.
    pub closed: bool,
    /// Whether it was given a `REPLICA IDENTITY` other than its primary key.
    pub identified: bool,
}

impl Table {
    /// Whether a replica can tell its rows apart.
    pub fn has_identity(&self) -> bool {
        self.identified || self.constraints.values().any(|c| c.kind.is_primary())
    }
}

/// The name that PostgreSQL gives a constraint that has none.
pub(super) fn unnamed(table: &Table, last: &str, kind: &ConstraintKind) -> String {
    let name = match kind {
        ConstraintKind::Primary(_) | ConstraintKind::UsingIndex { .. } => format!("{last}_pkey"),
        ConstraintKind::Unique(columns) => format!("{last}_{}_key", columns.join("_")),
        ConstraintKind::Foreign { columns, .. } => format!("{last}_{}_fkey", columns.join("_")),
        ConstraintKind::Check { words, .. } => {
            let mut columns = words.iter().filter(|w| table.columns.contains_key(*w));
            match (columns.next(), columns.next()) {
                (Some(column), None) => format!("{last}_{column}_check"),
                _ => format!("{last}_check"),
            }
        }
        ConstraintKind::Other => format!("{last}_excl"),
    };
    free(&name, |n| table.constraints.contains_key(n))
}

/// `name`, or with the first number behind it that is free.
pub(super) fn free(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    (1..).map(|n| format!("{name}{n}")).find(|n| !taken(n)).unwrap_or_default()
}

pub(super) fn alter_table(table: &mut Table, action: &Action) {
    match action {
        Action::AddColumn { name, column, if_not_exists } => {
            if !(*if_not_exists && table.columns.contains_key(name)) {
                table.columns.insert(name.clone(), column.clone());
            }
        }
        Action::SetType { column, ty, .. } => {
            if let Some(column) = table.columns.get_mut(column) {
                let family = |ty: &ColumnType| ty.family();
                if column.ty.as_ref().and_then(family) != family(ty)
                    && let Filled::Default(given) = &mut column.filled
                {
                    *given = Given::Other;
                }
                column.ty = Some(ty.clone());
            }
        }
        Action::Fill { column, filled } => {
            if let Some(column) = table.columns.get_mut(column) {
                column.filled = filled.clone();
            }
        }
        Action::AddIdentity { column, always } => {
            if let Some(column) = table.columns.get_mut(column) {
                column.filled = Filled::Identity { always: *always };
            }
        }
        Action::SetNotNull { column, on } => {
            if let Some(column) = table.columns.get_mut(column) {
                column.not_null = *on;
            }
        }
        Action::RenameConstraint { from, to } => {
            if let Some(constraint) = table.constraints.remove(from) {
                table.constraints.insert(to.clone(), constraint);
            }
        }
        Action::Validate { name } => {
            if let Some(constraint) = table.constraints.get_mut(name) {
                constraint.valid = true;
            }
        }
        Action::ReplicaIdentity { on } => table.identified = *on,
        Action::Opens => table.closed = false,
        Action::AddConstraint(_)
        | Action::DropColumn { .. }
        | Action::DropConstraint { .. }
        | Action::RenameColumn { .. }
        | Action::RenameTo(_)
        | Action::SetSchema(_)
        | Action::AlterColumn { .. }
        | Action::Attach { .. }
        | Action::Detach { .. }
        | Action::Several(_)
        | Action::Nothing => {}
    }
}

/// Whether a constraint is about a column.
pub(in crate::lint::schema) fn mentions(kind: &ConstraintKind, column: &str) -> bool {
    match kind {
        ConstraintKind::Primary(columns) | ConstraintKind::Unique(columns) => columns.iter().any(|c| c == column),
        ConstraintKind::Foreign { columns, .. } => columns.iter().any(|c| c == column),
        ConstraintKind::Check { words, .. } => words.contains(column),
        ConstraintKind::UsingIndex { .. } | ConstraintKind::Other => false,
    }
}

pub(super) fn rename_in(kind: &mut ConstraintKind, from: &str, to: &str) {
    match kind {
        ConstraintKind::Primary(columns)
        | ConstraintKind::Unique(columns)
        | ConstraintKind::Foreign { columns, .. } => {
            columns.iter_mut().filter(|c| *c == from).for_each(|c| to.clone_into(c));
        }
        ConstraintKind::Check { words, says_not_null } => {
            if words.remove(from) {
                words.insert(to.to_owned());
            }
            if says_not_null.as_deref() == Some(from) {
                *says_not_null = Some(to.to_owned());
            }
        }
        ConstraintKind::UsingIndex { .. } | ConstraintKind::Other => {}
    }
}
