//! The parts of bodies that no rule can look into, and why.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::plpgsql::Plpgsql;

use super::executed::{executes, rendered};
use super::written::ParsedBody;
use super::{Written, parts};
use crate::lint::script::{Statement, name_of};

/// The part of the body of a statement of `script` that no rule can look into, if there is one, and why.
pub fn unread(script: &str, statement: &Statement) -> Option<(Range<usize>, &'static str)> {
    let whole = || statement.range.clone();
    if is_foreign(&statement.node) {
        return Some((whole(), "it is written in another language than SQL or PL/pgSQL"));
    }
    match statement.written() {
        Written::Nothing => None,
        Written::Unreadable => Some((whole(), "its body is too deep, or no text")),
        Written::Plpgsql(parsed) => broken(script, parsed).or_else(|| unread_within(&parsed.body)),
        Written::Sql(parsed) => (!parsed.errors().is_empty()).then(|| (whole(), "its body does not read as SQL")),
    }
}

/// The part of the body of a function or a procedure in `script` that does not read as PL/pgSQL, and why. Nothing of bodies
/// that are too deep to be looked into, or in other languages; what does not read as SQL is told with the script.
pub fn broken_routine(script: &str, routine: &Statement) -> Option<(Range<usize>, &'static str)> {
    match routine.written() {
        Written::Plpgsql(parsed) => broken(script, parsed),
        Written::Nothing | Written::Unreadable | Written::Sql(_) => None,
    }
}

/// The first statement of a PL/pgSQL body that does not parse.
fn broken(script: &str, body: &ParsedBody<ast::Plpgsql>) -> Option<(Range<usize>, &'static str)> {
    let at = usize::from(body.errors().first()?.range().start()).min(script.len());
    let line = script[at..].lines().next().unwrap_or_default();
    Some((at..at + line.trim_end().len(), "it does not read as PL/pgSQL"))
}

/// Whether a `DO` block, a function or a procedure is written in another language than SQL or PL/pgSQL.
pub fn is_foreign(statement: &ast::Stmt) -> bool {
    if let ast::Stmt::Do(block) = statement {
        let named = block.do_language().and_then(|l| l.language_ref());
        return named.is_some_and(|language| name_of(language.syntax()) != "plpgsql");
    }
    let Some((_, Some(options))) = parts(statement) else { return false };
    options.options().any(|option| {
        let ast::FuncOption::LanguageFuncOption(language) = option else { return false };
        let written = language.language_ref().map(|l| name_of(l.syntax()));
        let name = written.or_else(|| language.literal()?.string_value().map(|l| l.to_ascii_lowercase()));
        name.is_some_and(|name| name != "sql" && name != "plpgsql")
    })
}

fn unread_within(body: &Plpgsql) -> Option<(Range<usize>, &'static str)> {
    let opaque = executes(&body.syntax()).find(|e| e.query().and_then(|q| rendered(&q)).is_none())?;
    let range = body.source_range(opaque.syntax().text_range());
    Some((usize::from(range.start())..usize::from(range.end()), "its SQL is put together while it runs"))
}
