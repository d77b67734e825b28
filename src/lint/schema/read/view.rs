//! Views: what they read, and the columns that they have.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::super::change::{ViewColumns, ViewDef};
use super::words::{relations, words};
use crate::lint::script::name_of;

/// A view of a statement, with the names that it gives its columns.
pub(super) fn view(
    statement: &SyntaxNode,
    named: Option<ast::ColumnList>,
    query: Option<ast::SelectVariant>,
) -> ViewDef {
    let mut columns = query.map(|query| columns_of(&query)).unwrap_or_default();
    for (n, column) in named.into_iter().flat_map(|list| list.column_names()).enumerate() {
        let name = Some(name_of(column.syntax()));
        match columns.first.get_mut(n) {
            Some(first) => *first = name,
            None => columns.first.push(name),
        }
    }
    let (reads, words) = (relations(statement), words(statement));
    ViewDef { materialized: false, filled: true, reads, words, columns }
}

/// The columns of a query. Nothing is known of those behind a `*`.
fn columns_of(query: &ast::SelectVariant) -> ViewColumns {
    let ast::SelectVariant::Select(select) = query else { return ViewColumns::default() };
    let Some(targets) = select.select_clause().and_then(|clause| clause.target_list()) else {
        return ViewColumns::default();
    };
    let mut columns = ViewColumns { first: Vec::new(), complete: true };
    for target in targets.targets() {
        let expr = target.expr();
        let is_star = target.star_token().is_some()
            || matches!(&expr, Some(ast::Expr::FieldExpr(field)) if field.star_token().is_some());
        if is_star || expr.is_none() {
            columns.complete = false;
            break;
        }
        let written = target.as_name().and_then(|name| name.name()).map(|name| name_of(name.syntax()));
        let own = || match &expr {
            Some(ast::Expr::NameRef(name)) => Some(name_of(name.syntax())),
            Some(ast::Expr::FieldExpr(field)) => field.field().map(|name| name_of(name.syntax())),
            _ => None,
        };
        columns.first.push(written.or_else(own));
    }
    columns
}
