//! Where names without a schema lie behind a statement.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::words::{bare, significant};
use crate::lint::script::builtin;

/// The schema that `SET search_path` or `SET SCHEMA` names first; nothing where the statement sets something else.
pub(super) fn set(set: &ast::Set) -> Option<Option<String>> {
    let tokens: Vec<String> =
        significant(set.syntax()).filter(|t| !matches!(t.as_str(), "set" | "local" | "session")).collect();
    let first = match tokens.split_first() {
        Some((first, rest)) if first == "search_path" => rest.get(1),
        Some((first, rest)) if first == "schema" => rest.first(),
        _ => return None,
    };
    Some(schema(first.map(|t| t.trim_matches('\''))))
}

/// The same where it is put back to what the session began with, which is not known.
pub(super) fn reset(reset: &ast::Reset) -> Option<Option<String>> {
    significant(reset.syntax()).any(|t| t == "search_path" || t == "all").then_some(None)
}

/// The schema that `set_config('search_path', …)` names first, in a query or an expression; nothing where none is called.
pub(super) fn configured(query: &SyntaxNode) -> Option<Option<String>> {
    let calls = query.descendants().filter_map(ast::CallExpr::cast);
    let mut calls = calls.filter(|call| builtin(call).is_some_and(|name| name == "set_config"));
    let call = calls.next()?;
    let mut args = call.arg_list().into_iter().flat_map(|list| list.args()).map(|arg| text(arg.expr()));
    match args.next().flatten() {
        Some(name) if !name.eq_ignore_ascii_case("search_path") && calls.next().is_none() => return None,
        Some(name) if name.eq_ignore_ascii_case("search_path") && calls.next().is_none() => {}
        // One of several, or of a name that is not written.
        _ => return Some(None),
    }
    // Where it is called for each row or in one case alone, it may not be.
    let depends = query.descendants().any(|n| matches!(n.kind(), SyntaxKind::FROM_CLAUSE | SyntaxKind::WHERE_CLAUSE));
    let is_called = call.syntax().parent().is_some_and(|parent| parent.kind() == SyntaxKind::TARGET);
    let path = args.next().flatten().filter(|_| is_called && !depends);
    Some(schema(path.map(|path| bare(path.split(',').next().unwrap_or_default().trim())).as_deref()))
}

fn text(expr: Option<ast::Expr>) -> Option<String> {
    match expr? {
        ast::Expr::Literal(literal) => literal.string_value().map(|text| text.to_string()),
        _ => None,
    }
}

/// The first schema of a path as names are kept; nothing where it cannot be told.
fn schema(first: Option<&str>) -> Option<String> {
    let first = first.filter(|s| !s.is_empty() && !s.contains(['$', ',', ' ']) && *s != "default")?;
    Some(if first == "public" { String::new() } else { first.to_owned() })
}
