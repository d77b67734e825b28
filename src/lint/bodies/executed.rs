//! The SQL that an `EXECUTE` sends, as far as it can be read: a text, `format` of a text, or texts joined with names.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxNode};

use super::variables::VALUE;
use crate::lint::depth;
use crate::lint::script::builtin;

/// Stands for a name that is only known when the body runs. Two bytes, as `%I` has; nobody writes it.
pub(super) const UNKNOWN: &str = "ǝ";

pub(super) fn executes(tree: &SyntaxNode) -> impl Iterator<Item = ast::PlpgsqlDynExecuteStmt> {
    tree.descendants().filter_map(ast::PlpgsqlDynExecuteStmt::cast)
}

/// The SQL that an `EXECUTE` sends, and the byte of the body at which it begins: a text, `format` of a text, or texts
/// joined with names. Nothing where it cannot be told, or is no SQL by itself.
pub(super) fn rendered(query: &ast::PlpgsqlExpr) -> Option<(usize, String)> {
    let expr = query.target_list()?.targets().next()?.expr()?;
    let (at, text) = piece(&expr)?;
    (depth::is_bounded(&text) && SourceFile::parse(&text).errors().is_empty()).then_some((at, text))
}

/// The same where it is a text as it stands, with nothing in it that is only known when the body runs.
pub(super) fn literal(query: &ast::PlpgsqlExpr) -> Option<(usize, String)> {
    let mut expr = query.target_list()?.targets().next()?.expr()?;
    while let ast::Expr::ParenExpr(inner) = &expr {
        expr = inner.expr()?;
    }
    matches!(expr, ast::Expr::Literal(_)).then_some(())?;
    rendered(query)
}

fn piece(expr: &ast::Expr) -> Option<(usize, String)> {
    match expr {
        ast::Expr::Literal(literal) => text_of(literal),
        ast::Expr::ParenExpr(inner) => piece(&inner.expr()?),
        ast::Expr::CallExpr(call) => {
            if builtin(call)? != "format" {
                return None;
            }
            let ast::FuncArgExpr::Expr(first) = call.arg_list()?.args().next()?.func_arg_expr()? else { return None };
            let (at, text) = piece(&first)?;
            Some((at, filled(&text)))
        }
        ast::Expr::BinExpr(_) => joined(expr),
        _ => None,
    }
}

fn text_of(literal: &ast::Literal) -> Option<(usize, String)> {
    let decoded = literal.decoded_value()?;
    Some((usize::from(decoded.source_pos(0u32.into())), decoded.into_text()))
}

/// One operand of a chain of `||`: where it stands, and its text with the byte at which that begins.
struct Operand {
    range: Range<usize>,
    text: Option<(usize, String)>,
}

fn operands(expr: &ast::Expr, out: &mut Vec<Operand>) -> Option<()> {
    let start = usize::from(expr.syntax().text_range().start());
    let range = start..usize::from(expr.syntax().text_range().end());
    match expr {
        ast::Expr::BinExpr(both) => {
            let (left, right) = (both.lhs()?, both.rhs()?);
            let between = usize::from(left.syntax().text_range().end()) - start
                ..usize::from(right.syntax().text_range().start()) - start;
            (both.syntax().text().to_string().get(between)?.trim() == "||").then_some(())?;
            operands(&left, out)?;
            operands(&right, out)?;
        }
        ast::Expr::Literal(literal) => out.push(Operand { range, text: Some(text_of(literal)?) }),
        _ => out.push(Operand { range, text: None }),
    }
    Some(())
}

/// The texts of a chain, with something like a name wherever something else stands.
fn joined(expr: &ast::Expr) -> Option<(usize, String)> {
    let mut chain = Vec::new();
    operands(expr, &mut chain)?;
    let first = chain.first()?;
    let start = first.text.as_ref().map_or(first.range.start, |(at, _)| *at);
    let mut out = String::new();
    let mut named = false;
    for operand in &chain {
        match &operand.text {
            Some((at, text)) => {
                let gap = at.checked_sub(start + out.len())?;
                out.push_str(&if named { placeholder(gap) } else { " ".repeat(gap) });
                out.push_str(text);
                named = false;
            }
            None => named = true,
        }
    }
    let rest = chain.last()?.range.end.checked_sub(start + out.len())?;
    out.push_str(&placeholder(if named { rest } else { 0 }));
    Some((start, out))
}

/// Something like a name, of so many bytes.
fn placeholder(bytes: usize) -> String {
    let mut out = UNKNOWN.repeat(bytes / UNKNOWN.len());
    out.push_str(if bytes % UNKNOWN.len() == 1 { "_" } else { "" });
    out
}

/// A text for `format` with something in the places that it fills.
fn filled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let spec = &rest[at + 1..];
        let Some(end) = spec.find(|c: char| !matches!(c, '0'..='9' | '$' | '-' | '*')) else { break };
        let width = 1 + end + 1;
        match spec.as_bytes()[end] {
            b'%' => out.push_str(" %"),
            b'L' => out.push_str(&format!("'{}'", " ".repeat(width - 2))),
            b'I' | b's' => out.push_str(&placeholder(width)),
            _ => return out,
        }
        rest = &spec[end + 1..];
    }
    out.push_str(rest);
    out
}

/// A message in which names and values that nobody knows yet are dots.
pub fn without_placeholders(message: &str) -> String {
    let mut out = String::new();
    let message = &without_values(message);
    let mut parts = message.split(UNKNOWN);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        if !out.ends_with('…') {
            out.push('…');
        }
        out.push_str(part.strip_prefix('_').unwrap_or(part));
    }
    out
}

/// The same for what stands for values.
fn without_values(message: &str) -> String {
    let mut out = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(VALUE) {
        out.push_str(&rest[..at]);
        out.push('…');
        rest = rest[at + 1..].trim_start_matches('0');
    }
    out.push_str(rest);
    out
}
