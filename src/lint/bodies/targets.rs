//! The `INTO` by which a query of PL/pgSQL fills variables. The parser takes it for a mistake; without it the query reads
//! as SQL, and is judged like any other.

use std::borrow::Cow;
use std::ops::Range;

use squawk_lexer::{Token, TokenKind, tokenize};
use squawk_syntax::ast;
use squawk_syntax::{Parse, SourceFile, SyntaxKind};

use super::{Written, source_range};
use crate::lint::script::{Statement, statements_of};

/// A script as it was parsed.
pub struct Parsed<'t> {
    /// The text that was.
    pub text: Cow<'t, str>,
    /// Its tree.
    pub parse: Parse<SourceFile>,
    /// The statements of the tree.
    pub statements: Vec<Statement>,
}

/// Parses a script, with blanks where its bodies of PL/pgSQL fill variables: each byte keeps its place.
pub fn parsed(text: Cow<'_, str>) -> Parsed<'_> {
    let parse = SourceFile::parse(&text);
    let statements = statements_of(&parse);
    let blanks = blanks(&text, &statements);
    if blanks.is_empty() {
        return Parsed { text, parse, statements };
    }
    let mut text = text.into_owned();
    for blank in blanks {
        let spaces = text[blank.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect::<String>();
        text.replace_range(blank, &spaces);
    }
    let parse = SourceFile::parse(&text);
    Parsed { text: Cow::Owned(text), statements: statements_of(&parse), parse }
}

fn blanks(text: &str, statements: &[Statement]) -> Vec<Range<usize>> {
    let mut blanks = Vec::new();
    for statement in statements {
        let has_body =
            matches!(&statement.node, ast::Stmt::Do(_) | ast::Stmt::CreateFunction(_) | ast::Stmt::CreateProcedure(_));
        if !has_body || !text[statement.range.clone()].to_ascii_lowercase().contains("into") {
            continue;
        }
        let Written::Plpgsql(parsed) = statement.written() else { continue };
        let body = &parsed.body;
        for node in body.syntax().descendants().filter(|n| n.kind() == SyntaxKind::ERROR) {
            let range = source_range(body, &node);
            let Some(part) = text.get(range.clone()) else { continue };
            blanks.extend(targets(part).into_iter().map(|t| range.start + t.start..range.start + t.end));
        }
    }
    // An error may lie within another.
    blanks.sort_by_key(|range| range.start);
    blanks.dedup();
    blanks
}

/// Every `INTO` with its targets that is not of `INSERT INTO` or `MERGE INTO`.
fn targets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let tokens = significant(text);
    let word = |n: usize| tokens.get(n).map_or("", |(range, _)| &text[range.clone()]);
    let is = |n: usize, wanted: &str| word(n).eq_ignore_ascii_case(wanted);
    let mut parens = 0i32;
    let mut n = 0;
    while let Some((range, kind)) = tokens.get(n) {
        match kind {
            TokenKind::OpenParen => parens += 1,
            TokenKind::CloseParen => parens -= 1,
            TokenKind::Semi => parens = 0,
            TokenKind::Ident
                if parens == 0 && is(n, "into") && !(n > 0 && (is(n - 1, "insert") || is(n - 1, "merge"))) =>
            {
                let first = if is(n + 1, "strict") { n + 2 } else { n + 1 };
                if let Some(last) = last_target(&tokens, first) {
                    found.push(range.start..tokens[last].0.end);
                    n = last;
                }
            }
            _ => {}
        }
        n += 1;
    }
    found
}

/// The last token of `a, b.c, d[1]`, which begins at the token `n`.
fn last_target(tokens: &[(Range<usize>, TokenKind)], mut n: usize) -> Option<usize> {
    let kind = |n: usize| tokens.get(n).map(|(_, kind)| *kind);
    let is_name = |n: usize| {
        matches!(kind(n), Some(TokenKind::Ident | TokenKind::QuotedIdent { .. } | TokenKind::PositionalParam { .. }))
    };
    if !is_name(n) {
        return None;
    }
    loop {
        match kind(n + 1) {
            Some(TokenKind::Dot | TokenKind::Comma) if is_name(n + 2) => n += 2,
            Some(TokenKind::OpenBracket) => {
                n += 1;
                while !matches!(kind(n), None | Some(TokenKind::CloseBracket | TokenKind::Semi)) {
                    n += 1;
                }
                if !matches!(kind(n), Some(TokenKind::CloseBracket)) {
                    return None;
                }
            }
            _ => return Some(n),
        }
    }
}

/// The tokens but for white space and comments, with their bytes.
fn significant(text: &str) -> Vec<(Range<usize>, TokenKind)> {
    let mut start = 0usize;
    let place = |token: Token| {
        let range = start..start + token.len as usize;
        start = range.end;
        (range, token.kind)
    };
    let is_blank = |kind: &TokenKind| {
        matches!(kind, TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } | TokenKind::Eof)
    };
    tokenize(text).map(place).filter(|(_, kind)| !is_blank(kind)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f220_a_query_that_fills_variables_reads_as_one_that_does_not() {
        for (query, plain) in [
            ("SELECT a, b INTO STRICT n, v FROM t;", "SELECT a, b                  FROM t;"),
            ("SELECT INTO r.x /* c */ a FROM t;", "SELECT          /* c */ a FROM t;"),
            ("INSERT INTO t (a) VALUES (1) RETURNING id INTO n;", "INSERT INTO t (a) VALUES (1) RETURNING id       ;"),
            ("SELECT a INTO l[i + 1], \"B\" FROM t;", "SELECT a                    FROM t;"),
            ("UPDATE t SET a = 1 RETURNING a\nINTO\n n;", "UPDATE t SET a = 1 RETURNING a\n    \n  ;"),
        ] {
            let script = |query: &str| format!("DO $$ BEGIN IF true THEN {query} END IF; END $$;");
            assert_eq!(parsed(Cow::Owned(script(query))).text, script(plain));
        }
        for script in [
            "SELECT a INTO n FROM t;",
            "DO $$ BEGIN EXECUTE 'select 1' INTO n; FETCH c INTO n; END $$;",
            "DO $$ BEGIN INSERT INTO t VALUES (1; END $$;",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT a INTO n FROM t $$;",
        ] {
            assert_eq!(parsed(Cow::Borrowed(script)).text, script);
        }
    }
}
