//! What nearly every rule uses, and the few questions that several of them ask.

pub(super) use squawk_syntax::ast::{self, AstNode};
pub(super) use squawk_syntax::{SyntaxKind, SyntaxNode};

use crate::migration::backfill::markers;

pub(super) use crate::ids::Risk;
pub(super) use crate::lint::fix::Rewrite;
pub(super) use crate::lint::rules::{Check, OwnRule, Report};
pub(super) use crate::lint::script::{Script, Statement, name_of, tables_of};
pub(super) use crate::lint::table::{Applies, RuleInfo};
pub(super) use crate::lint::{Category, Severity};

/// The name a node spells, empty when it is missing (the statement does not parse).
pub(super) fn named(node: Option<impl AstNode>) -> String {
    node.map(|n| name_of(n.syntax())).unwrap_or_default()
}

/// Whether a statement runs in batches: its marker becomes the range of one.
pub(super) fn in_batches(script: &Script<'_>, statement: &Statement) -> bool {
    !markers(&script.text[statement.range.clone()]).is_empty()
}

/// The syntax node of a statement.
pub(super) fn statement_node(statement: &Statement) -> SyntaxNode {
    statement.node.syntax().clone()
}

/// The options of `CREATE|ALTER ROLE|USER`.
pub(super) fn role_options(stmt: &ast::Stmt) -> Vec<ast::RoleOption> {
    let list = match stmt {
        ast::Stmt::CreateRole(s) => s.role_option_list(),
        ast::Stmt::CreateUser(s) => s.role_option_list(),
        ast::Stmt::CreateGroup(s) => s.role_option_list(),
        ast::Stmt::AlterRole(s) => match s.action() {
            Some(ast::AlterRoleAction::RoleOptionList(list)) => Some(list),
            _ => None,
        },
        ast::Stmt::AlterUser(s) => match s.action() {
            Some(ast::AlterUserAction::RoleOptionList(list)) => Some(list),
            _ => None,
        },
        _ => None,
    };
    list.map(|l| l.role_options().collect()).unwrap_or_default()
}

/// The types of the columns that a statement makes.
pub(super) fn types_made(stmt: &ast::Stmt) -> Vec<ast::Type> {
    match stmt {
        ast::Stmt::CreateTable(create) => create
            .table_arg_list()
            .into_iter()
            .flat_map(|l| l.args())
            .filter_map(|arg| match arg {
                ast::TableArg::Column(column) => column.ty(),
                ast::TableArg::LikeClause(_) | ast::TableArg::TableConstraint(_) => None,
            })
            .collect(),
        ast::Stmt::AlterTable(alter) => alter
            .actions()
            .filter_map(|action| match action {
                ast::AlterTableAction::AddColumn(add) => add.ty(),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
