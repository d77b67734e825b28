//! Tables: their columns and constraints, and what `ALTER TABLE` does to them.

use std::collections::BTreeSet;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::change::{Action, ColumnDef, ConstraintDef, ConstraintKind, Filled, PartitionKey, PartitionOf, What};
use super::super::types::ColumnType;
use super::values::{constrained, filled_by, given, is_always};
use super::words::{significant, words};
use super::{cascades, keys_of, named};
use crate::lint::script::{is_temporary, name_of};

pub(super) fn create_table(create: &ast::CreateTable) -> What {
    let mut closed = create.inherits().is_none() && create.of_type().is_none() && create.partition_of().is_none();
    let mut parts = Vec::new();
    for arg in create.table_arg_list().into_iter().flat_map(|l| l.args()) {
        match arg {
            ast::TableArg::Column(column) => {
                let constraints: Vec<SyntaxNode> = column
                    .clauses()
                    .filter_map(|c| match c {
                        ast::ColumnClause::ColumnConstraint(c) => Some(c.syntax().clone()),
                        _ => None,
                    })
                    .collect();
                add_column(named(column.name()), column.ty(), &constraints, false, &mut parts);
            }
            ast::TableArg::LikeClause(_) => closed = false,
            ast::TableArg::TableConstraint(constraint) => {
                parts.extend(constraint_of(constraint.syntax(), None).map(Action::AddConstraint));
            }
        }
    }
    // A constraint may stand in front of its columns.
    parts.sort_by_key(pass);
    What::CreateTable {
        name: named(create.table_name()),
        if_not_exists: create.if_not_exists().is_some(),
        temporary: create.persistence().is_some_and(|p| is_temporary(p.syntax())),
        parts,
        closed,
        partition_of: create.partition_of().map(|of| PartitionOf {
            table: named(of.table_name_ref()),
            is_default: is_default(create.partition_type()),
        }),
        partitioned: create.partition_by().map(|by| partition_key(&by)),
    }
}

fn partition_key(by: &ast::PartitionBy) -> PartitionKey {
    let keys: Option<Vec<String>> = by.partition_item_list().and_then(|l| keys_of(&l).into_iter().collect());
    keys.map_or(PartitionKey::Computed, PartitionKey::Columns)
}

fn is_default(partition: Option<ast::PartitionType>) -> bool {
    matches!(partition, Some(ast::PartitionType::PartitionDefault(_)))
}

/// Types whose columns refuse NULL without saying so.
const SERIALS: [&str; 6] = ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];

fn add_column(
    name: String,
    ty: Option<ast::Type>,
    constraints: &[SyntaxNode],
    if_not_exists: bool,
    out: &mut Vec<Action>,
) {
    let is_serial = ty.as_ref().is_some_and(|t| SERIALS.contains(&name_of(t.syntax()).as_str()));
    let ty = ty.map(|t| ColumnType::of(t.syntax()));
    let filled = constrained(is_serial, constraints);
    let not_null = is_serial
        || matches!(filled, Filled::Identity { .. })
        || constraints
            .iter()
            .any(|n| matches!(n.kind(), SyntaxKind::NOT_NULL_CONSTRAINT | SyntaxKind::PRIMARY_KEY_CONSTRAINT));
    out.push(Action::AddColumn { name: name.clone(), column: ColumnDef { ty, not_null, filled }, if_not_exists });
    for node in constraints {
        out.extend(constraint_of(node, Some(&name)).map(Action::AddConstraint));
    }
}

pub(super) fn action(node: &ast::AlterTableAction) -> Action {
    match node {
        ast::AlterTableAction::AddColumn(add) => {
            let constraints: Vec<SyntaxNode> = add.constraints().map(|c| c.syntax().clone()).collect();
            let mut parts = Vec::new();
            add_column(named(add.column_name()), add.ty(), &constraints, add.if_not_exists().is_some(), &mut parts);
            if parts.len() == 1 { parts.remove(0) } else { Action::Several(parts) }
        }
        ast::AlterTableAction::AddConstraint(add) => add
            .constraint()
            .and_then(|c| constraint_of(c.syntax(), None))
            .map_or(Action::Nothing, Action::AddConstraint),
        ast::AlterTableAction::DropColumn(drop) => Action::DropColumn {
            name: named(drop.column_name_ref()),
            if_exists: drop.if_exists().is_some(),
            cascade: cascades(drop.drop_behavior()),
        },
        ast::AlterTableAction::DropConstraint(drop) => {
            let cascade = cascades(drop.drop_behavior());
            Action::DropConstraint { name: named(drop.constraint_name_ref()), cascade, replaced: false }
        }
        ast::AlterTableAction::AlterColumn(alter) => {
            let column = named(alter.column_name_ref());
            match alter.option() {
                Some(ast::AlterColumnOption::SetType(set)) => match set.ty() {
                    Some(ty) => Action::SetType {
                        using: set.using_expr().is_some(),
                        collated: set.collate().is_some() && set.using_expr().is_none(),
                        plain: set.collate().is_none()
                            && set.using_expr().is_none_or(|u| converts(u.syntax(), &column, ty.syntax())),
                        column,
                        ty: ColumnType::of(ty.syntax()),
                    },
                    None => Action::Opens,
                },
                Some(ast::AlterColumnOption::SetNotNull(_)) => Action::SetNotNull { column, on: true },
                Some(ast::AlterColumnOption::DropNotNull(_)) => Action::SetNotNull { column, on: false },
                Some(ast::AlterColumnOption::AddGenerated(add)) => {
                    Action::AddIdentity { column, always: is_always(add.syntax()) }
                }
                Some(
                    ast::AlterColumnOption::DropDefault(_)
                    | ast::AlterColumnOption::DropIdentity(_)
                    | ast::AlterColumnOption::DropExpression(_),
                ) => Action::Fill { column, filled: Filled::Nothing },
                Some(ast::AlterColumnOption::SetDefault(set)) => {
                    Action::Fill { column, filled: set.expr().map_or(Filled::Unknown, |e| filled_by(given(&e))) }
                }
                Some(
                    ast::AlterColumnOption::SetGenerated(_)
                    | ast::AlterColumnOption::SetGeneratedOptions(_)
                    | ast::AlterColumnOption::SetOptionsList(_),
                ) => Action::Fill { column, filled: Filled::Unknown },
                Some(_) => Action::AlterColumn { column },
                None => Action::Nothing,
            }
        }
        ast::AlterTableAction::RenameColumn(rename) => {
            Action::RenameColumn { from: named(rename.column_name_ref()), to: named(rename.column_name()) }
        }
        ast::AlterTableAction::RenameConstraint(rename) => {
            Action::RenameConstraint { from: named(rename.constraint_name_ref()), to: named(rename.constraint_name()) }
        }
        ast::AlterTableAction::ValidateConstraint(validate) => {
            Action::Validate { name: named(validate.constraint_name_ref()) }
        }
        ast::AlterTableAction::TableRenameTo(rename) => Action::RenameTo(named(rename.table_name())),
        ast::AlterTableAction::SetSchema(set) => Action::SetSchema(named(set.schema_ref())),
        ast::AlterTableAction::AttachPartition(attach) => Action::Attach {
            partition: named(attach.table_name_ref()),
            is_default: is_default(attach.partition_type()),
        },
        ast::AlterTableAction::DetachPartition(detach) => Action::Detach {
            partition: named(detach.table_name_ref()),
            concurrently: matches!(
                detach.detach_partition_option(),
                Some(ast::DetachPartitionOption::DetachConcurrently(_))
            ),
        },
        ast::AlterTableAction::ReplicaIdentity(identity) => Action::ReplicaIdentity {
            on: matches!(
                identity.replica_identity_option(),
                Some(
                    ast::ReplicaIdentityOption::ReplicaIdentityFull(_) | ast::ReplicaIdentityOption::UsingIndexName(_)
                )
            ),
        },
        ast::AlterTableAction::MergePartitions(_)
        | ast::AlterTableAction::SplitPartition(_)
        | ast::AlterTableAction::InheritTable(_)
        | ast::AlterTableAction::NoInheritTable(_)
        | ast::AlterTableAction::OfType(_)
        | ast::AlterTableAction::NotOf(_) => Action::Opens,
        _ => Action::Nothing,
    }
}

/// When PostgreSQL gets to an action, of all those in one `ALTER TABLE`.
pub(super) fn pass(action: &Action) -> u8 {
    match action {
        Action::DropColumn { .. }
        | Action::DropConstraint { .. }
        | Action::SetNotNull { on: false, .. }
        | Action::Fill { filled: Filled::Nothing, .. } => 0,
        Action::SetType { .. } => 1,
        Action::AddColumn { .. } | Action::Several(_) => 2,
        Action::SetNotNull { on: true, .. } | Action::AlterColumn { .. } => 3,
        Action::AddConstraint(def) => match def.kind {
            ConstraintKind::Primary(_) | ConstraintKind::Unique(_) | ConstraintKind::UsingIndex { .. } => 4,
            ConstraintKind::Foreign { .. } | ConstraintKind::Check { .. } | ConstraintKind::Other => 5,
        },
        Action::AddIdentity { .. } | Action::Fill { .. } => 5,
        Action::RenameColumn { .. }
        | Action::RenameConstraint { .. }
        | Action::Validate { .. }
        | Action::RenameTo(_)
        | Action::SetSchema(_)
        | Action::Attach { .. }
        | Action::Detach { .. }
        | Action::ReplicaIdentity { .. }
        | Action::Opens
        | Action::Nothing => 6,
    }
}

/// Whether `USING` says only what a plain change would do: the column, or a cast of it to the new type.
fn converts(using: &SyntaxNode, column: &str, ty: &SyntaxNode) -> bool {
    let said: String = significant(using).skip(1).filter(|t| t != "(" && t != ")").collect();
    let cast: String = significant(ty).filter(|t| t != "(" && t != ")").collect();
    said == column || said == format!("{column}::{cast}")
}

fn columns_of(list: Option<ast::ForeignKeyColumnList>) -> Vec<String> {
    list.map(|l| l.column_name_refs().map(|c| name_of(c.syntax())).collect()).unwrap_or_default()
}

/// A constraint; `column` is the one that it stands behind.
fn constraint_of(node: &SyntaxNode, column: Option<&str>) -> Option<ConstraintDef> {
    let own = || column.map(str::to_owned).into_iter().collect::<Vec<_>>();
    let listed = |p: Option<ast::IndexParameters>| {
        p.and_then(|p| p.column_list())
            .map_or_else(own, |l| l.column_name_refs().map(|c| name_of(c.syntax())).collect())
    };
    let constraint = ast::Constraint::cast(node.clone())?;
    let using = |u: Option<ast::UsingIndexName>, primary| {
        u.map(|u| ConstraintKind::UsingIndex { index: named(u.index_ref()), primary })
    };
    let kind = match &constraint {
        ast::Constraint::PrimaryKeyConstraint(c) => {
            using(c.using_index(), true).unwrap_or_else(|| ConstraintKind::Primary(listed(c.index_parameters())))
        }
        ast::Constraint::UniqueConstraint(c) => {
            using(c.using_index(), false).unwrap_or_else(|| ConstraintKind::Unique(listed(c.index_parameters())))
        }
        ast::Constraint::ForeignKeyConstraint(c) => ConstraintKind::Foreign {
            columns: columns_of(c.from_columns()),
            table: named(c.table_name_ref()),
            referred: columns_of(c.to_columns()),
        },
        ast::Constraint::ReferencesConstraint(c) => ConstraintKind::Foreign {
            columns: own(),
            table: named(c.table()),
            referred: c.column().map(|c| name_of(c.syntax())).into_iter().collect(),
        },
        ast::Constraint::CheckConstraint(c) => ConstraintKind::Check {
            words: words(c.syntax()),
            says_not_null: c.expr().and_then(|e| says_not_null(e.syntax())),
        },
        ast::Constraint::ExcludeConstraint(_) => ConstraintKind::Other,
        ast::Constraint::NotNullConstraint(c) if column.is_none() => {
            let words: BTreeSet<String> = c.column_name_ref().map(|c| name_of(c.syntax())).into_iter().collect();
            ConstraintKind::Check { says_not_null: words.first().cloned(), words }
        }
        ast::Constraint::NotNullConstraint(_)
        | ast::Constraint::NullConstraint(_)
        | ast::Constraint::DefaultConstraint(_)
        | ast::Constraint::GeneratedConstraint(_) => return None,
    };
    let name = constraint.constraint_name().map(|n| name_of(n.syntax()));
    let enforced = !node.descendants().any(|n| n.kind() == SyntaxKind::NOT_ENFORCED);
    Some(ConstraintDef { name, kind, valid: !constraint.is_not_valid(), enforced })
}

/// The column of `column IS NOT NULL`.
fn says_not_null(expr: &SyntaxNode) -> Option<String> {
    let tokens: Vec<String> = significant(expr).filter(|t| t != "(" && t != ")").collect();
    match tokens.as_slice() {
        [column, is, not, null] if is == "is" && not == "not" && null == "null" => Some(column.clone()),
        _ => None,
    }
}
