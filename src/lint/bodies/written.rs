//! The bodies that are written as texts, each parsed once for all who look into it.

use std::cell::OnceCell;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::body::{Body, BodyLanguage};
use squawk_syntax::plpgsql::Plpgsql;
use squawk_syntax::sql_body::SqlBody;
use squawk_syntax::syntax_error::SyntaxError;

use super::parts;
use crate::lint::depth;

/// Words that open a level of PL/pgSQL; a body with more of them than this is not looked into.
const OPENERS: [&str; 4] = ["begin", "if", "loop", "case"];

/// The body of a `DO` block, a function or a procedure.
pub enum Written {
    /// There is none that is a text in SQL or PL/pgSQL.
    Nothing,
    /// It is too deep to be parsed, or no text.
    Unreadable,
    /// In PL/pgSQL.
    Plpgsql(ParsedBody<ast::Plpgsql>),
    /// In SQL.
    Sql(ParsedBody<ast::SourceFile>),
}

/// A body with what its parser said of it.
pub struct ParsedBody<T> {
    /// The body.
    pub body: Body<T>,
    errors: OnceCell<Vec<SyntaxError>>,
}

impl<T: BodyLanguage> ParsedBody<T> {
    fn new(body: Body<T>) -> Self {
        Self { body, errors: OnceCell::new() }
    }

    /// Where it does not parse, by the bytes of the script.
    pub fn errors(&self) -> &[SyntaxError] {
        self.errors.get_or_init(|| self.body.errors())
    }
}

impl Written {
    /// Reads the body of a statement.
    pub fn of(statement: &ast::Stmt) -> Self {
        let (plpgsql, sql): (Option<Plpgsql>, Option<SqlBody>) = match statement {
            ast::Stmt::Do(block) => match block.body() {
                Some(body) if is_bounded(&body) => (block.plpgsql(), None),
                _ => return Self::Unreadable,
            },
            routine => match parts(routine) {
                None | Some((Some(_), _)) => return Self::Nothing,
                Some((None, options)) if !options_are_bounded(options.as_ref()) => return Self::Unreadable,
                Some((None, _)) => match routine {
                    ast::Stmt::CreateFunction(f) => (f.plpgsql(), f.sql_body()),
                    ast::Stmt::CreateProcedure(p) => (p.plpgsql(), p.sql_body()),
                    _ => (None, None),
                },
            },
        };
        match (plpgsql, sql) {
            (Some(body), _) => Self::Plpgsql(ParsedBody::new(body)),
            (None, Some(body)) => Self::Sql(ParsedBody::new(body)),
            (None, None) => Self::Nothing,
        }
    }
}

fn options_are_bounded(options: Option<&ast::FuncOptionList>) -> bool {
    options.is_some_and(|o| o.syntax().descendants().filter_map(ast::Literal::cast).all(|l| is_bounded(&l)))
}

/// Whether a body can be parsed without running out of stack.
fn is_bounded(literal: &ast::Literal) -> bool {
    let Some(text) = literal.string_value() else { return false };
    let opened = || {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|w| OPENERS.iter().any(|o| w.eq_ignore_ascii_case(o)))
            .count()
    };
    depth::is_bounded(&text) && opened() <= depth::MAX_DEPTH
}
