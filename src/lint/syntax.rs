//! What the parser does not understand, in words of the script: one finding for each slip, where PostgreSQL would stop.

use std::ops::Range;

use squawk_syntax::ast::AstNode;
use squawk_syntax::syntax_error::SyntaxError;
use squawk_syntax::{Parse, SourceFile, SyntaxKind, SyntaxToken};

use super::script::Finding;
use super::table;
use crate::config::yaml::nearest;

/// Slips beyond this many per script are counted, not printed.
const MAX_SLIPS: usize = 10;
/// How much of a long token is repeated.
const SHOWN: usize = 30;
/// Words that begin a statement.
const VERBS: [&str; 26] = [
    "alter", "analyze", "begin", "call", "cluster", "comment", "commit", "copy", "create", "delete", "do", "drop",
    "grant", "insert", "lock", "merge", "refresh", "reindex", "revoke", "rollback", "select", "set", "truncate",
    "update", "vacuum", "with",
];
/// Words that are written wrong most often, besides those.
const WORDS: [&str; 56] = [
    "table",
    "index",
    "column",
    "constraint",
    "view",
    "function",
    "procedure",
    "trigger",
    "schema",
    "sequence",
    "type",
    "extension",
    "policy",
    "domain",
    "materialized",
    "unique",
    "concurrently",
    "database",
    "role",
    "user",
    "default",
    "primary",
    "foreign",
    "references",
    "check",
    "cascade",
    "restrict",
    "values",
    "where",
    "from",
    "into",
    "order",
    "group",
    "having",
    "join",
    "returns",
    "returning",
    "language",
    "exists",
    "rename",
    "validate",
    "generated",
    "always",
    "identity",
    "using",
    "between",
    "conflict",
    "nothing",
    "replace",
    "temporary",
    "owner",
    "execute",
    "publication",
    "null",
    "valid",
    "limit",
];

/// One finding for each slip: what follows from it up to the end of its statement is left out.
pub fn told(text: &str, parse: &Parse<SourceFile>, errors: &[SyntaxError]) -> Vec<Finding> {
    if errors.is_empty() {
        return Vec::new();
    }
    let tokens = tokens_of(parse);
    if let Some(range) = merge_marks(text, &tokens) {
        let message = "marks of a merge that was not finished stand in the file";
        let help = "keep one of the two sides, and take out the lines `<<<<<<<`, `=======` and `>>>>>>>`";
        return vec![Finding::new(&table::SYNTAX_ERROR, range, message).with_help(help)];
    }
    let slips = slips(&tokens, errors);
    let mut found: Vec<Finding> = slips.iter().take(MAX_SLIPS).map(|slip| of(text, &tokens, slip)).collect();
    if let Some(next) = slips.get(MAX_SLIPS) {
        let message = format!("{} more statements do not parse", slips.len() - MAX_SLIPS);
        found.push(Finding::new(&table::SYNTAX_ERROR, range_of(next[0]), message));
    }
    found
}

/// The words and signs of a script, without blanks and comments.
fn tokens_of(parse: &Parse<SourceFile>) -> Vec<SyntaxToken> {
    let all = parse.tree().syntax().descendants_with_tokens().filter_map(|element| element.into_token());
    all.filter(|token| !matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT)).collect()
}

fn start_of(token: &SyntaxToken) -> usize {
    token.text_range().start().into()
}

fn end_of(token: &SyntaxToken) -> usize {
    token.text_range().end().into()
}

fn range_of(error: &SyntaxError) -> Range<usize> {
    usize::from(error.range().start())..usize::from(error.range().end())
}

/// The errors of each statement that has some: between those of two stands a semicolon.
fn slips<'e>(tokens: &[SyntaxToken], errors: &'e [SyntaxError]) -> Vec<Vec<&'e SyntaxError>> {
    let ends: Vec<usize> = tokens.iter().filter(|t| t.kind() == SyntaxKind::SEMICOLON).map(start_of).collect();
    let statement = |error: &SyntaxError| ends.partition_point(|end| *end < range_of(error).start);
    let mut sorted: Vec<&SyntaxError> = errors.iter().collect();
    sorted.sort_by_key(|error| range_of(error).start);
    sorted.chunk_by(|a, b| statement(a) == statement(b)).map(<[_]>::to_vec).collect()
}

/// The first mark of a merge that was left unfinished.
fn merge_marks(text: &str, tokens: &[SyntaxToken]) -> Option<Range<usize>> {
    let mut line_start = 0;
    let mut begins = None;
    for line in text.split_inclusive('\n') {
        let is_code = || tokens.iter().any(|t| start_of(t) == line_start && t.text().len() <= 7);
        match begins {
            None if line.starts_with("<<<<<<< ") && is_code() => {
                begins = Some(line_start..line_start + line.trim_end().len());
            }
            Some(_) if line.starts_with(">>>>>>>") => return begins,
            None | Some(_) => {}
        }
        line_start += line.len();
    }
    None
}

/// One slip, told where PostgreSQL stops.
fn of(text: &str, tokens: &[SyntaxToken], errors: &[&SyntaxError]) -> Finding {
    let first = errors[0];
    let finding = |range, message: String| Finding::new(&table::SYNTAX_ERROR, range, message);
    let unclosed = errors.iter().find_map(|error| Some((range_of(error), unclosed(error.message())?)));
    if let Some((range, what)) = &unclosed
        && range.start <= range_of(first).start
    {
        let begin = range.start..text[range.start..].find('\n').map_or(text.len(), |n| range.start + n);
        return finding(begin, format!("{what} that begins here is never closed")).with_help("close it");
    }
    let mut at = tokens.partition_point(|token| end_of(token) <= range_of(first).start);
    // A word that begins a statement is right where it stands; what follows it makes no statement of it.
    let mut begins = begins_at(tokens, at);
    let no_command = first.message().starts_with("expected command");
    let has_object = |t: &SyntaxToken| ["alter", "create", "drop"].iter().any(|v| t.text().eq_ignore_ascii_case(v));
    if begins && no_command && tokens.get(at).is_some_and(has_object) {
        (at, begins) = (at + 1, false);
    }
    let Some(token) = tokens.get(at).filter(|t| t.kind() != SyntaxKind::SEMICOLON) else {
        let place = tokens.get(at).map_or_else(|| last_word(tokens), |t| start_of(t)..end_of(t));
        let message = match missing(first.message()) {
            Some(what) => format!("the statement ends too early: {what} is missing"),
            None => format!("the statement ends too early{}", plainly(first.message())),
        };
        return finding(place, message);
    };
    let range = match range_of(first).start {
        // In the body of a function, which is one text to the script around it.
        inside if start_of(token) < inside => word_at(text, inside),
        _ => start_of(token)..end_of(token),
    };
    let shown: String = text[range.clone()].chars().take(SHOWN).collect();
    let lower = shown.to_ascii_lowercase();
    let on_a_new_line = text[..range.start].trim_end_matches([' ', '\t']).ends_with('\n');
    if !begins && on_a_new_line && VERBS.contains(&lower.as_str()) && may_end(tokens, at) {
        let told = finding(range, format!("`;` is missing in front of `{shown}`, which begins a new statement"));
        return told.with_help("end the statement in front of it with `;`");
    }
    let mut told = if begins && no_command {
        finding(range, format!("no statement begins with `{shown}`"))
    } else if no_command && at > 0 && tokens.get(at - 1).is_some_and(has_object) && begins_at(tokens, at - 1) {
        let verb = tokens[at - 1].text().to_ascii_uppercase();
        finding(range, format!("`{verb} {shown}` is no statement of PostgreSQL"))
    } else if let Some((_, what)) = &unclosed {
        let help = "a quote inside of a text is written twice: `''`";
        let message = format!("`{shown}` does not belong here; {what} behind it is never closed");
        return finding(range, message).with_help(help);
    } else {
        finding(range, format!("`{shown}` does not belong here{}", plainly(first.message())))
    };
    told.help = if asks_for_name(first.message()) && is_reserved(token) {
        Some(format!(
            "`{shown}` is a reserved word: as a name it stands in double quotes, or better, take another name"
        ))
    } else {
        meant(&lower).map(|word| format!("did you mean `{}`?", word.to_ascii_uppercase()))
    };
    told
}

/// Whether a statement begins at a token.
fn begins_at(tokens: &[SyntaxToken], at: usize) -> bool {
    at == 0 || tokens.get(at - 1).is_some_and(|t| t.kind() == SyntaxKind::SEMICOLON)
}

/// Whether the statement in front of a token could end there: all its parentheses are closed, and no comma waits.
fn may_end(tokens: &[SyntaxToken], at: usize) -> bool {
    let own = tokens[..at].iter().rev().take_while(|t| t.kind() != SyntaxKind::SEMICOLON);
    let mut open = 0_i32;
    for (n, token) in own.enumerate() {
        match token.kind() {
            SyntaxKind::COMMA | SyntaxKind::EQ | SyntaxKind::AS_KW if n == 0 => return false,
            SyntaxKind::L_PAREN => open += 1,
            SyntaxKind::R_PAREN => open -= 1,
            _ => {}
        }
    }
    open == 0
}

/// The last word of a script.
fn last_word(tokens: &[SyntaxToken]) -> Range<usize> {
    tokens.last().map_or(0..0, |t| start_of(t)..end_of(t))
}

/// The word or sign at a byte of a script.
fn word_at(text: &str, at: usize) -> Range<usize> {
    let rest = &text[at..];
    let letters = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    at..at + letters.max(rest.chars().next().map_or(0, char::len_utf8))
}

/// What is never closed, if that is what an error of the lexer says.
fn unclosed(message: &str) -> Option<&'static str> {
    if message.starts_with("Unterminated dollar") {
        Some("a dollar-quoted text")
    } else if message.starts_with("Missing trailing") {
        Some(if message.contains("comment") {
            "a comment"
        } else if message.contains("identifier") {
            "a quoted name"
        } else {
            "a text"
        })
    } else {
        None
    }
}

/// Whether the parser waits for a name.
fn asks_for_name(message: &str) -> bool {
    message.starts_with("expected") && message.contains("name")
}

/// Whether a word is none for a table: the parser knows which.
fn is_reserved(token: &SyntaxToken) -> bool {
    let word = token.text();
    word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
        && !SourceFile::parse(&format!("ALTER TABLE {word} DROP COLUMN a;")).errors().is_empty()
}

/// The word that a typing slip most likely meant.
fn meant(word: &str) -> Option<&'static str> {
    const LEAST: usize = 4;
    if word.len() < LEAST || VERBS.contains(&word) || WORDS.contains(&word) {
        return None;
    }
    let swapped = |known: &&str| {
        let sorted = |w: &str| {
            let mut letters: Vec<char> = w.chars().collect();
            letters.sort_unstable();
            letters
        };
        sorted(known) == sorted(word)
    };
    let all = || VERBS.iter().chain(&WORDS).copied();
    all().find(|known| swapped(known)).or_else(|| nearest(word, &all().collect::<Vec<_>>()))
}

/// The one sign or word that the parser misses, as a script spells it.
fn missing(message: &str) -> Option<String> {
    let kind = message.strip_prefix("expected ")?;
    let kind = kind.split(", ").next().unwrap_or(kind);
    let sign = match kind {
        "L_PAREN" => "(",
        "R_PAREN" => ")",
        "L_BRACK" => "[",
        "R_BRACK" => "]",
        "SEMICOLON" => ";",
        "EQ" => "=",
        "DOT" => ".",
        "COLON" => ":",
        // It would be one way to go on among many.
        "COMMA" => return None,
        "STRING" => return Some("a text in quotes".to_owned()),
        "INT_NUMBER" => return Some("a number".to_owned()),
        "IDENT" => return Some("a name".to_owned()),
        _ => {
            let word = kind.strip_suffix("_KW")?;
            return word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_').then(|| format!("`{word}`"));
        }
    };
    Some(format!("`{sign}`"))
}

/// What the parser's message adds, as far as it is in words.
fn plainly(message: &str) -> String {
    if let Some(what) = missing(message) {
        return format!("; {what} is expected");
    }
    let what = message.split(", got").next().unwrap_or(message);
    let what = what.split(", found").next().unwrap_or(what).trim_end_matches('.');
    let names_kinds = what.split(' ').any(|w| w == "COMMA" || w.contains('_'));
    match what {
        "expected command" | "unexpected token" | "missing comma" => String::new(),
        _ if names_kinds => String::new(),
        "expected path name" | "expected name" => "; a name is expected".to_owned(),
        "expected expr" | "expected an expression" | "expected expression" => "; a value is expected".to_owned(),
        "expected from item" => "; a table is expected".to_owned(),
        "unexpected trailing comma" => ": nothing follows it".to_owned(),
        "unexpected comma" => ": nothing stands in front of it".to_owned(),
        "Invalid operator" => String::new(),
        _ => {
            let mut letters = what.chars();
            let first = letters.next().map(|c| c.to_ascii_lowercase());
            match what.strip_prefix("expected ") {
                Some(thing) => format!("; {thing} is expected"),
                None => format!(": {}", first.into_iter().chain(letters).collect::<String>()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    /// Line, column, message and help of each syntax error.
    fn told(sql: &str) -> Vec<(u32, u32, String, String)> {
        let found = sample(&[("0001_m.up.sql", sql)]).0.violations;
        let errors = found.into_iter().filter(|v| v.rule == "syntax-error");
        errors.map(|v| (v.line, v.column, v.message, v.help.unwrap_or_default())).collect()
    }

    #[test]
    fn a_slip_is_told_once_where_it_stands_and_in_words_of_the_script() {
        for (sql, line, column, words, help) in [
            ("CREATE TABLE t (id bigint PRIMARY KEY, a text;", 1, 46, "`)` is missing", ""),
            (
                "CREATE TABLE t (id bigint PRIMARY KEY, a text,);",
                1,
                46,
                "`,` does not belong here: nothing follows",
                "",
            ),
            ("CRAETE TABLE t (id bigint);", 1, 1, "no statement begins with `CRAETE`", "`CREATE`"),
            ("ALTER TABEL t ADD COLUMN a int;", 1, 7, "`ALTER TABEL` is no statement", "`TABLE`"),
            ("ALTER TABLE t ADD COLUMN a int DEFUALT 1;", 1, 32, "`DEFUALT` does not belong here", "`DEFAULT`"),
            ("ALTER TABLE t ADD COLUMN a int\nALTER TABLE t ADD COLUMN b int;", 2, 1, "`;` is missing", "`;`"),
            ("SELECT 1;\nINSERT INTO t VALUES ('it's');", 2, 27, "`s` does not belong here; a text", "`''`"),
            ("INSERT INTO t VALUES ('abc);", 1, 23, "a text that begins here is never closed", "close"),
            ("SELECT 1;\nCREATE FUNCTION f() RETURNS int AS $$ SELECT 1;", 2, 36, "a dollar-quoted text", "close"),
            ("/* open\nSELECT 1;", 1, 1, "a comment that begins here is never closed", "close"),
            (
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELEC 1 $$;",
                1,
                52,
                "`SELEC` does not belong here",
                "`SELECT`",
            ),
            ("UPDATE t SET a = WHERE id = 1;", 1, 18, "`WHERE` does not belong here; a value is expected", ""),
            ("DROP TABLE t IF EXISTS;", 1, 14, "`IF` does not belong here", ""),
            ("CREATE INDEX ON t a;", 1, 19, "`a` does not belong here; `(` is expected", ""),
            ("ALTER TABLE t ADD COLUMN", 1, 19, "the statement ends too early; a name is expected", ""),
            ("CREATE TABLE user (id bigint PRIMARY KEY);", 1, 14, "`user` does not belong here", "reserved word"),
            ("ALTER TABLE t ADD COLUMN a varchar(20 NOT NULL;", 1, 39, "`NOT` does not belong here", ""),
            (
                "CREATE TABLE t (id bigint PRIMARY KEY);\n<<<<<<< HEAD\nSELECT 1;\n=======\nSELECT 2;\n>>>>>>> other",
                2,
                1,
                "marks of a merge",
                "one of the two sides",
            ),
        ] {
            let found = told(sql);
            let [(at, from, message, advice)] = &found[..] else { panic!("{sql}: {found:?}") };
            assert_eq!((*at, *from), (line, column), "{sql}: {found:?}");
            assert!(message.contains(words) && advice.contains(help), "{sql}: {found:?}");
            assert!(!help.is_empty() || advice.is_empty(), "{sql}: {found:?}");
        }
    }

    #[test]
    fn each_statement_that_does_not_parse_is_told() {
        let found = told("CREATE TABLE t (a int,, b int);\nSELECT FROM WHERE;\nSELECT 1;\nUPDATE t SER a = 1;");
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2, 4], "{found:?}");
        let many = told(&"SELEC 1;\n".repeat(14));
        assert_eq!(many.len(), 11, "{many:?}");
        assert_eq!(many[10].2, "4 more statements do not parse");
    }

    #[test]
    fn what_parses_is_not_told() {
        for sql in ["SELECT '<<<<<<< HEAD';", "/*\n<<<<<<< HEAD\n>>>>>>> x\n*/ SELECT 1;", "SELECT 'it''s', $$a;b$$;"] {
            assert_eq!(told(sql), [], "{sql}");
        }
    }
}
