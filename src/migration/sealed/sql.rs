//! Where a sealed value may stand in SQL.

use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use super::{MARK, Misplaced, is_part, is_whole};
use crate::ids::Engine;
use crate::migration::execution;

/// How statements begin that take values: data, and what a server keeps of passwords and connections to itself. What would
/// stay readable in the schema (a default, a view, a function), or be run (`DO`), takes none.
const TAKES: [&[&str]; 14] = [
    &["insert"],
    &["update"],
    &["delete"],
    &["merge"],
    &["replace"],
    &["with"],
    &["select"],
    &["values"],
    &["create", "role"],
    &["alter", "role"],
    &["create", "user"],
    &["alter", "user"],
    &["create", "subscription"],
    &["alter", "subscription"],
];
/// In front of a pattern, which says what is meant and is no value; or of a name.
const BEFORE_PATTERNS: [&str; 8] = ["like", "ilike", "to", "regexp", "glob", "match", "as", "escape"];
/// Functions that run a text, read a file of that name, or change a setting; types of names.
const TAKES_CODE: [&str; 32] = [
    "dblink",
    "dblink_exec",
    "dblink_send_query",
    "dblink_open",
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "ts_stat",
    "ts_rewrite",
    "crosstab",
    "connectby",
    "set_config",
    "lo_import",
    "lo_export",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_ls_dir",
    "load_extension",
    "readfile",
    "writefile",
    "nextval",
    "setval",
    "currval",
    "regclass",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regtype",
    "regrole",
    "regnamespace",
    "regconfig",
];

struct Token<'t> {
    kind: TokenKind,
    range: Range<usize>,
    text: &'t str,
}

impl Token<'_> {
    fn is_text(&self) -> bool {
        match self.kind {
            TokenKind::Literal { kind } => !matches!(kind, LiteralKind::Int { .. } | LiteralKind::Numeric { .. }),
            _ => false,
        }
    }

    fn is_word(&self, words: &[&str]) -> bool {
        self.kind == TokenKind::Ident && words.iter().any(|word| self.text.eq_ignore_ascii_case(word))
    }
}

/// The literals of a script that hold a sealed value, their quotes included; each that is in the wrong place with why.
pub(super) fn literals(engine: Engine, script: &str) -> Vec<Result<Range<usize>, Misplaced>> {
    let mut at = 0;
    let mut tokens = Vec::new();
    // What stands in a comment is no value; what the lexer takes apart stands in quotes that it does not know.
    let mut loose: Vec<usize> = script.match_indices(MARK).map(|(at, _)| at).collect();
    for token in tokenize(script) {
        let range = at..at + token.len as usize;
        at = range.end;
        let text = &script[range.clone()];
        if text.contains(MARK) {
            loose.retain(|at| !range.contains(at));
        }
        if !matches!(token.kind, TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. }) {
            tokens.push(Token { kind: token.kind, text, range });
        }
    }
    let help = "write it as a literal of its own, `'ENC[…]'`, in a migration without other quotes than these";
    let (message, _) = is_part(help);
    if let Some(at) = loose.first() {
        return vec![Err(Misplaced { at: *at, message, help: help.to_owned() })];
    }
    let held: Vec<usize> = (0..tokens.len()).filter(|n| tokens[*n].text.contains(MARK)).collect();
    if held.is_empty() {
        return Vec::new();
    }
    let statements = match execution::statements(engine, script) {
        Ok(statements) => statements,
        Err(wrong) => {
            return vec![Err(Misplaced { at: tokens[held[0]].range.start, message: wrong.message, help: wrong.help })];
        }
    };
    let strange = strange(engine, script, &tokens);
    let judge = |n: usize| {
        let token = &tokens[n];
        if let Some(what) = strange {
            return Err((
                format!("a sealed value stands in a file with {what}, where literals cannot be told for certain"),
                "put it into a migration of its own",
            ));
        }
        let within = statements.iter().find(|s| s.range.contains(&token.range.start));
        let Some(statement) = within else { return Err(is_part("make it a literal of its own: `'ENC[…]'`")) };
        let own: Vec<&Token<'_>> = tokens.iter().filter(|t| statement.range.contains(&t.range.start)).collect();
        judged(token, &own)
    };
    held.into_iter()
        .map(|n| match judge(n) {
            Ok(()) => Ok(tokens[n].range.clone()),
            Err((message, help)) => Err(Misplaced { at: tokens[n].range.start, message, help: help.to_owned() }),
        })
        .collect()
}

/// What keeps the lexer, which is PostgreSQL's as it is set up, from telling the server's literals.
fn strange(engine: Engine, script: &str, tokens: &[Token<'_>]) -> Option<&'static str> {
    let lower = script.to_ascii_lowercase();
    if engine == Engine::Postgresql {
        return lower.contains("standard_conforming_strings").then_some("a setting of its own for backslashes");
    }
    let of_postgres = |t: &Token<'_>| t.is_text() && !t.text.starts_with('\'');
    let quoted = |t: &Token<'_>| matches!(t.kind, TokenKind::Backtick | TokenKind::OpenBracket);
    tokens.iter().any(|t| of_postgres(t) || quoted(t)).then_some("another kind of quotes")
}

type Why = (String, &'static str);

fn judged(token: &Token<'_>, statement: &[&Token<'_>]) -> Result<(), Why> {
    let help = "make it a literal of its own, `'ENC[…]'`, with `||` to what stands beside it";
    let content = token.text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    if !token.is_text() || !content.is_some_and(is_whole) {
        return Err(is_part(help));
    }
    let place = statement.iter().position(|t| t.range.start == token.range.start).unwrap_or(0);
    let before = place.checked_sub(1).map(|n| statement[n]);
    // Literals beside each other are one.
    if before.is_some_and(Token::is_text) || statement.get(place + 1).is_some_and(|t| t.is_text()) {
        return Err(is_part(help));
    }
    let begins =
        |words: &&[&str]| words.iter().enumerate().all(|(n, w)| statement.get(n).is_some_and(|t| t.is_word(&[w])));
    if !TAKES.iter().any(begins) {
        return Err((
            "a sealed value stands in a statement whose text stays readable on the server, or is run".to_owned(),
            "seal what INSERT, UPDATE, DELETE, MERGE and SELECT take, and the passwords of roles, user mappings and subscriptions",
        ));
    }
    let second = place.checked_sub(2).map(|n| statement[n]);
    let matches = |t: &Token<'_>| matches!(t.kind, TokenKind::Tilde | TokenKind::At);
    let is_pattern = before.is_some_and(|t| t.is_word(&BEFORE_PATTERNS) || matches(t))
        || (before.is_some_and(|t| t.kind == TokenKind::Star) && second.is_some_and(matches));
    if is_pattern {
        return Err((
            "a sealed value stands where a pattern or a name does, so nobody could see what is meant".to_owned(),
            "write patterns and names as they are; seal values",
        ));
    }
    if let Some(name) = statement.iter().find(|t| t.is_word(&TAKES_CODE)) {
        return Err((
            format!("a sealed value stands beside `{}`, which takes a name or a text that is run", name.text),
            "write that as it is; seal values, in a statement of their own",
        ));
    }
    Ok(())
}
