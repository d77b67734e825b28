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

/// What `ALTER DEFAULT PRIVILEGES` grants.
pub(super) fn granted_by_default(statement: &Statement) -> Option<ast::GrantDefaultPrivileges> {
    let ast::Stmt::AlterDefaultPrivileges(alter) = &statement.node else { return None };
    match alter.action()? {
        ast::AlterDefaultPrivilegesAction::GrantDefaultPrivileges(grant) => Some(grant),
        ast::AlterDefaultPrivilegesAction::RevokeDefaultPrivileges(_) => None,
    }
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

/// A change of rows that stands in a statement.
pub(super) enum Change {
    /// `UPDATE`.
    Update(ast::Update),
    /// `DELETE`.
    Delete(ast::Delete),
}

impl Change {
    /// Its own words.
    pub(super) fn syntax(&self) -> &SyntaxNode {
        match self {
            Change::Update(update) => update.syntax(),
            Change::Delete(delete) => delete.syntax(),
        }
    }

    /// The table whose rows it changes.
    pub(super) fn table(&self) -> String {
        match self {
            Change::Update(update) => named(update.relation_name()),
            Change::Delete(delete) => named(delete.relation_name()),
        }
    }

    /// Which rows.
    pub(super) fn condition(&self) -> Option<ast::WhereClauseOrCurrentOf> {
        match self {
            Change::Update(update) => update.where_clause_or_current_of(),
            Change::Delete(delete) => delete.where_clause_or_current_of(),
        }
    }
}

/// The changes of rows in a statement: the statement itself, and what its `WITH` carries out.
pub(super) fn changes_of(script: &Script<'_>, statement: &Statement) -> Vec<Change> {
    let mut found: Vec<Change> = match &statement.node {
        ast::Stmt::Update(update) => vec![Change::Update(update.clone())],
        ast::Stmt::Delete(delete) => vec![Change::Delete(delete.clone())],
        ast::Stmt::Select(_)
        | ast::Stmt::SelectInto(_)
        | ast::Stmt::CompoundSelect(_)
        | ast::Stmt::ParenSelect(_)
        | ast::Stmt::Insert(_)
        | ast::Stmt::Merge(_)
        | ast::Stmt::Table(_)
        | ast::Stmt::Values(_) => Vec::new(),
        // What others hold is not carried out now: functions, rules, prepared statements.
        _ => return Vec::new(),
    };
    if script.words.changes_within {
        // The statement itself is counted above.
        let within = statement.node.syntax().descendants().skip(1);
        found.extend(within.filter_map(ast::WithQuery::cast).filter_map(|q| match q {
            ast::WithQuery::Update(update) => Some(Change::Update(update)),
            ast::WithQuery::Delete(delete) => Some(Change::Delete(delete)),
            _ => None,
        }));
    }
    found
}
