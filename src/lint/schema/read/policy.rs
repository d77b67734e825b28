//! Policies of row level security.

use squawk_syntax::ast::{self, AstNode};

use super::named;
use crate::lint::schema::change::{PolicyCommand, PolicyDef, What};
use crate::lint::script::name_of;

/// `CREATE POLICY`.
pub(super) fn created(create: &ast::CreatePolicy) -> What {
    let word = create.as_policy_type().and_then(|kind| kind.ident_token());
    let command = match create.policy_command().map(|command| command.command()) {
        None | Some(Some(ast::PolicyCommandKind::PolicyCommandAll(_))) => PolicyCommand::All,
        Some(Some(ast::PolicyCommandKind::PolicyCommandSelect(_))) => PolicyCommand::Select,
        Some(_) => PolicyCommand::Other,
    };
    let roles = create.policy_roles().and_then(|roles| roles.role_ref_list());
    let roles = roles.map(|list| list.role_refs().map(|role| name_of(role.syntax())).collect());
    let condition = create.using_expr_clause().and_then(|using| using.expr());
    let is_true = |expr: ast::Expr| {
        let said = expr.syntax().text().to_string();
        said.trim_matches(|c: char| c.is_whitespace() || matches!(c, '(' | ')')).eq_ignore_ascii_case("true")
    };
    let def = PolicyDef {
        permissive: word.is_none_or(|word| word.text().eq_ignore_ascii_case("permissive")),
        command,
        roles: roles.unwrap_or_else(|| ["public".to_owned()].into()),
        open: condition.map(is_true),
    };
    What::Policy { table: table(create.on_table()), name: named(create.policy()), def: Some(def) }
}

/// A policy that is dropped or changed.
pub(super) fn gone(on: Option<ast::OnTable>, policy: Option<ast::PolicyRef>) -> What {
    What::Policy { table: table(on), name: named(policy), def: None }
}

fn table(on: Option<ast::OnTable>) -> String {
    named(on.and_then(|on| on.table_name_ref()))
}
