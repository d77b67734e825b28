//! Values as they are written: what fills a column where a row says nothing of it, and what a row says.

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::super::change::{Filled, Given};
use super::super::types::ColumnType;
use crate::lint::script::builtin;

/// What a column is filled with by what stands behind it.
pub(super) fn constrained(is_serial: bool, constraints: &[SyntaxNode]) -> Filled {
    let of = |node: &SyntaxNode| match ast::ColumnConstraint::cast(node.clone())? {
        ast::ColumnConstraint::DefaultConstraint(default) => {
            Some(default.expr().map_or(Filled::Unknown, |expr| filled_by(given(&expr))))
        }
        ast::ColumnConstraint::GeneratedConstraint(_) => {
            let is_identity = node.descendants().any(|d| d.kind() == SyntaxKind::GENERATED_IDENTITY);
            Some(if is_identity { Filled::Identity { always: is_always(node) } } else { Filled::Generated })
        }
        _ => None,
    };
    let serial = if is_serial { Filled::Default(Given::Number) } else { Filled::Nothing };
    constraints.iter().find_map(of).unwrap_or(serial)
}

/// A default; one that is NULL is none.
pub(super) fn filled_by(given: Given) -> Filled {
    if given == Given::Null { Filled::Nothing } else { Filled::Default(given) }
}

/// Whether `GENERATED` says `ALWAYS`.
pub(super) fn is_always(node: &SyntaxNode) -> bool {
    node.descendants_with_tokens().filter_map(|e| e.into_token()).any(|t| t.kind() == SyntaxKind::ALWAYS_KW)
}

/// What an expression is, as far as it is a plain value.
pub(super) fn given(expr: &ast::Expr) -> Given {
    match expr {
        ast::Expr::Literal(literal) => of_literal(literal),
        ast::Expr::ParenExpr(inner) => inner.expr().map_or(Given::Other, |inner| given(&inner)),
        ast::Expr::PrefixExpr(signed) => match signed.expr() {
            Some(ast::Expr::Literal(literal)) if of_literal(&literal) == Given::Number => Given::Number,
            _ => Given::Other,
        },
        ast::Expr::CastExpr(cast) => match (cast.expr().map(|inner| given(&inner)), cast.ty()) {
            (Some(Given::Text { value, cast: None }), Some(ty)) => {
                Given::Text { value, cast: Some(ColumnType::of(ty.syntax())) }
            }
            (Some(Given::Null), Some(_)) => Given::Null,
            _ => Given::Other,
        },
        ast::Expr::CallExpr(call) if builtin(call).is_some_and(|name| name == "nextval") => Given::Number,
        _ => Given::Other,
    }
}

fn of_literal(literal: &ast::Literal) -> Given {
    let first = literal.syntax().first_token().map(|t| t.kind());
    match first {
        Some(SyntaxKind::STRING | SyntaxKind::ESC_STRING | SyntaxKind::DOLLAR_QUOTED_STRING) => {
            literal.string_value().map_or(Given::Other, |value| Given::Text { value, cast: None })
        }
        Some(SyntaxKind::INT_NUMBER | SyntaxKind::NUMERIC_NUMBER) => Given::Number,
        Some(SyntaxKind::TRUE_KW | SyntaxKind::FALSE_KW) => Given::Truth,
        Some(SyntaxKind::NULL_KW) => Given::Null,
        Some(SyntaxKind::DEFAULT_KW) => Given::Default,
        _ => Given::Other,
    }
}
