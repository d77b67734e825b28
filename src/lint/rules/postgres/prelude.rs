//! What nearly every rule uses, and the few questions that several of them ask.

pub(super) use squawk_syntax::ast::{self, AstNode};
pub(super) use squawk_syntax::{SyntaxKind, SyntaxNode};

use crate::migration::backfill::markers;

pub(super) use crate::ids::Risk;
pub(super) use crate::lint::fix::Rewrite;
pub(super) use crate::lint::picked::{self, Picked};
pub(super) use crate::lint::rules::{Check, OwnRule, Report};
pub(super) use crate::lint::script::{Script, Statement, builtin, name_of, tables_of};
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

/// What `ALTER TABLE` and `ALTER MATERIALIZED VIEW` do, each with what it is done to.
pub(super) fn table_actions(stmt: &ast::Stmt) -> Vec<(String, ast::AlterTableAction)> {
    match stmt {
        ast::Stmt::AlterTable(alter) => {
            let table = named(alter.table_relation_name());
            alter.actions().map(|action| (table.clone(), action)).collect()
        }
        ast::Stmt::AlterMaterializedView(alter) => {
            let view = named(alter.view_ref());
            let of_tables = |action| match action {
                ast::AlterMaterializedViewAction::AlterTableAction(action) => Some((view.clone(), action)),
                _ => None,
            };
            alter.action().filter_map(of_tables).collect()
        }
        _ => Vec::new(),
    }
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

    /// Which rows, where a condition says it.
    pub(super) fn picked(&self) -> Option<Picked> {
        match self {
            Change::Update(update) => Picked::of_update(update),
            Change::Delete(delete) => Picked::of_delete(delete),
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

/// The tables from which an `INSERT … SELECT` copies rows; none where a condition picks a handful of them, or a limit does.
pub(super) fn copied_from(script: &Script<'_>, insert: &ast::Insert) -> Vec<String> {
    let Some(ast::InsertSource::SelectVariant(source)) = insert.insert_source() else { return Vec::new() };
    if !script.words.insert || matches!(source, ast::SelectVariant::Values(_)) {
        return Vec::new();
    }
    if let ast::SelectVariant::Table(table) = &source {
        return vec![named(table.relation_name())];
    }
    read_whole(insert.syntax())
}

/// The tables that a statement which copies what it reads, reads as a whole.
pub(super) fn read_whole(statement: &SyntaxNode) -> Vec<String> {
    let tables = statement.descendants().filter_map(ast::RelationFromItem::cast);
    let read: Vec<String> = tables.filter(|t| reads_all(t.syntax())).map(|t| named(t.relation_name_ref())).collect();
    let queries = statement.descendants().filter_map(ast::WithTable::cast);
    let queries: Vec<String> = queries.map(|q| named(q.name())).collect();
    let systems = |t: &String| t.starts_with("pg_") || t.starts_with("information_schema.");
    read.into_iter().filter(|t| !queries.contains(t) && !systems(t)).collect()
}

/// The table that a query reads from its first row to its last: the only one it names, without a condition.
pub(super) fn scanned(select: &ast::Select) -> Option<String> {
    let mut items = select.from_clause()?.syntax().children();
    let table = ast::RelationFromItem::cast(items.next()?).filter(|_| items.next().is_none())?;
    // An index may know the first and the last.
    let mut calls = select.syntax().descendants().filter_map(ast::CallExpr::cast);
    let ends = calls.any(|call| matches!(builtin(&call).as_deref(), Some("min" | "max")));
    let some = select.where_clause().is_some() || select.syntax().children().any(|c| cuts(c.kind()));
    (!ends && !some && select.with_clause().is_none()).then(|| named(table.relation_name_ref()))
}

/// Whether a statement that copies gets every row of a table that is read there, as far as its words tell.
fn reads_all(table: &SyntaxNode) -> bool {
    for above in table.ancestors().skip(1) {
        match above.kind() {
            SyntaxKind::INSERT | SyntaxKind::CREATE_TABLE_AS | SyntaxKind::CREATE_MATERIALIZED_VIEW => return true,
            SyntaxKind::SELECT => {
                let Some(select) = ast::Select::cast(above) else { return false };
                let picks = select.where_clause().is_some() && Picked::of_query(&select, table).is_few(picked::by_name);
                if picks || makes_one_row(&select) || select.syntax().children().any(|c| cuts(c.kind())) {
                    return false;
                }
            }
            SyntaxKind::FROM_CLAUSE
            | SyntaxKind::JOIN
            | SyntaxKind::JOIN_EXPR
            | SyntaxKind::PAREN_FROM_ITEM
            | SyntaxKind::PAREN_EXPR
            | SyntaxKind::PAREN_SELECT
            | SyntaxKind::COMPOUND_SELECT
            | SyntaxKind::WITH_TABLE
            | SyntaxKind::WITH_CLAUSE => {}
            // A condition, a value: what is read there only decides.
            _ => return false,
        }
    }
    false
}

/// Whether a query makes one row of all: it aggregates, and groups by nothing.
fn makes_one_row(select: &ast::Select) -> bool {
    let own = |call: &ast::CallExpr| {
        call.syntax().ancestors().find(|a| a.kind() == SyntaxKind::SELECT).as_ref() == Some(select.syntax())
    };
    let of = select.select_clause().map(|c| c.syntax().clone());
    let calls = of.iter().flat_map(SyntaxNode::descendants).filter_map(ast::CallExpr::cast).filter(own);
    let names: Vec<String> = calls.filter_map(|c| builtin(&c)).collect();
    select.group_by_clause().is_none() && names.iter().any(|n| AGGREGATES.contains(&n.as_str()))
}

/// `LIMIT`, `OFFSET`, `FETCH`.
pub(super) fn cuts(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::LIMIT_CLAUSE | SyntaxKind::OFFSET_CLAUSE | SyntaxKind::FETCH_CLAUSE)
}

/// Words that make one row of all.
pub(super) const AGGREGATES: [&str; 8] = ["count", "min", "max", "sum", "avg", "bool_and", "bool_or", "array_agg"];
