//! The parts of bodies that no rule can look into, and why.

use std::ops::Range;

use squawk_syntax::ast::{self, AstNode};

use super::executed::{executes, rendered};
use super::{is_bounded, options_are_bounded, parts};
use crate::lint::script::{name_of, range_of};

/// The part of a `DO` block in `script` that no rule can look into, if there is one, and why.
pub fn unread(script: &str, block: &ast::Do) -> Option<(Range<usize>, &'static str)> {
    let whole = range_of(block.syntax());
    if block.do_language().is_some_and(|l| l.language_ref().is_some_and(|r| name_of(r.syntax()) != "plpgsql")) {
        return Some((whole, "it is written in another language than PL/pgSQL"));
    }
    let Some(body) = block.body().filter(is_bounded).and_then(|_| block.plpgsql()) else {
        return Some((whole, "its body is too deep, or no text"));
    };
    broken(script, &body).or_else(|| unread_within(&body))
}

/// The same of the body of a function or a procedure.
pub fn unread_routine(script: &str, routine: &ast::Stmt) -> Option<(Range<usize>, &'static str)> {
    let whole = range_of(routine.syntax());
    let (atomic, options) = parts(routine)?;
    if atomic.is_some() {
        return None;
    }
    if is_foreign(routine) {
        return Some((whole, "it is written in another language than SQL or PL/pgSQL"));
    }
    if !options_are_bounded(options) {
        return Some((whole, "its body is too deep, or no text"));
    }
    match texts(routine) {
        (Some(body), _) => broken(script, &body).or_else(|| unread_within(&body)),
        (None, sql) => sql.is_some_and(|b| !b.errors().is_empty()).then_some((whole, "its body does not read as SQL")),
    }
}

/// The part of the body of a function or a procedure in `script` that does not read as PL/pgSQL, and why. Nothing of bodies
/// that are too deep to be looked into, or in other languages; what does not read as SQL is told with the script.
pub fn broken_routine(script: &str, routine: &ast::Stmt) -> Option<(Range<usize>, &'static str)> {
    let (atomic, options) = parts(routine)?;
    if atomic.is_some() || is_foreign(routine) || !options_are_bounded(options) {
        return None;
    }
    texts(routine).0.and_then(|body| broken(script, &body))
}

/// The body that is a text, as PL/pgSQL or as SQL.
fn texts(routine: &ast::Stmt) -> (Option<squawk_syntax::plpgsql::Plpgsql>, Option<squawk_syntax::sql_body::SqlBody>) {
    match routine {
        ast::Stmt::CreateFunction(f) => (f.plpgsql(), f.sql_body()),
        ast::Stmt::CreateProcedure(p) => (p.plpgsql(), p.sql_body()),
        _ => (None, None),
    }
}

/// The first statement of a PL/pgSQL body that does not parse.
fn broken(script: &str, body: &squawk_syntax::plpgsql::Plpgsql) -> Option<(Range<usize>, &'static str)> {
    let at = usize::from(body.errors().first()?.range().start()).min(script.len());
    let line = script[at..].lines().next().unwrap_or_default();
    Some((at..at + line.trim_end().len(), "it does not read as PL/pgSQL"))
}

/// Whether a function or a procedure is written in another language than SQL or PL/pgSQL.
pub fn is_foreign(routine: &ast::Stmt) -> bool {
    let Some((_, Some(options))) = parts(routine) else { return false };
    options.options().any(|option| {
        let ast::FuncOption::LanguageFuncOption(language) = option else { return false };
        let written = language.language_ref().map(|l| name_of(l.syntax()));
        let name = written.or_else(|| language.literal()?.string_value().map(|l| l.to_ascii_lowercase()));
        name.is_some_and(|name| name != "sql" && name != "plpgsql")
    })
}

fn unread_within(body: &squawk_syntax::plpgsql::Plpgsql) -> Option<(Range<usize>, &'static str)> {
    let opaque = executes(&body.syntax()).find(|e| e.query().and_then(|q| rendered(&q)).is_none())?;
    let range = body.source_range(opaque.syntax().text_range());
    Some((usize::from(range.start())..usize::from(range.end()), "its SQL is put together while it runs"))
}
