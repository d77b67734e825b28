//! The `INTO` by which a query of PL/pgSQL fills variables. The parser knows none behind `RETURNING`; the statement without
//! it is plain SQL.

use std::ops::Range;

use squawk_lexer::{TokenKind, tokenize};

/// The bytes of the `INTO` of the statement with which `text` begins, its variables with it. That of `INSERT INTO` and
/// `MERGE INTO` is none.
pub fn into(text: &str) -> Option<Range<usize>> {
    let (mut at, mut parens, mut previous) = (0usize, 0i32, "");
    let mut found: Option<Range<usize>> = None;
    let mut wants_name = false;
    for token in tokenize(text) {
        let start = at;
        at += token.len as usize;
        let word = &text[start..at];
        if matches!(token.kind, TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. }) {
            continue;
        }
        if let Some(range) = &mut found {
            let is_strict = previous.eq_ignore_ascii_case("into") && word.eq_ignore_ascii_case("strict");
            match token.kind {
                TokenKind::OpenBracket => parens += 1,
                TokenKind::CloseBracket => parens -= 1,
                _ if parens > 0 => {}
                TokenKind::Dot | TokenKind::Comma => wants_name = true,
                TokenKind::Semi => return found,
                _ if is_strict => {}
                _ if wants_name => wants_name = false,
                _ => return found,
            }
            range.end = at;
            previous = word;
            continue;
        }
        match token.kind {
            TokenKind::OpenParen => parens += 1,
            TokenKind::CloseParen => parens -= 1,
            TokenKind::Semi => return None,
            TokenKind::Ident
                if parens == 0
                    && word.eq_ignore_ascii_case("into")
                    && !["insert", "merge"].iter().any(|verb| previous.eq_ignore_ascii_case(verb)) =>
            {
                (found, wants_name) = (Some(start..at), true);
            }
            _ => {}
        }
        previous = word;
    }
    found
}

/// The same text with blanks in place of that `INTO`.
pub fn without_into(text: &str) -> Option<String> {
    let range = into(text)?;
    let blank: String = text[range.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    Some(format!("{}{blank}{}", &text[..range.start], &text[range.end..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sample;

    #[test]
    fn the_variables_of_a_statement_are_left_out() {
        for (sql, rest) in [
            (
                "INSERT INTO t (a) VALUES (1) RETURNING id INTO n;",
                Some("INSERT INTO t (a) VALUES (1) RETURNING id       ;"),
            ),
            (
                "DELETE FROM t RETURNING a, b INTO STRICT r.x, n[1];",
                Some("DELETE FROM t RETURNING a, b                      ;"),
            ),
            ("SELECT a INTO\nn FROM t;", Some("SELECT a     \n  FROM t;")),
            ("SELECT a INTO é FROM t", Some("SELECT a         FROM t")),
            ("INSERT INTO t SELECT 1;", None),
            ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE;", None),
            ("SELECT (SELECT 1 INTO n);", None),
            ("SELECT 1; SELECT a INTO n;", None),
        ] {
            assert_eq!(without_into(sql).as_deref(), rest, "{sql}");
        }
    }

    #[test]
    fn f220_statements_that_fill_variables_are_judged_like_others() {
        let told = |body: &str| -> Vec<String> {
            let sql = format!("DO $$ DECLARE n int; BEGIN\n{body}\nEND $$;");
            let all = sample(&[("0001_m.up.sql", &sql)]).0.violations;
            all.iter().filter(|v| v.rule != "missing-down").map(|v| format!("{} {}", v.rule, v.line)).collect()
        };
        assert_eq!(told("SELECT 1 INTO n;\nDELETE FROM t\nRETURNING id INTO n;"), ["delete-without-where 3"]);
        assert_eq!(
            told("WITH x AS (SELECT 1) UPDATE t SET a = 1 RETURNING id INTO STRICT n;"),
            ["update-without-where 2"]
        );
        assert_eq!(told("DELETE FROM t WHERE id = 5 RETURNING id INTO n;"), [""; 0]);
        assert_eq!(told("INSERT INTO t (a) VALUES (1) RETURNING id INTO n;"), [""; 0]);
    }
}
