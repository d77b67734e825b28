//! Scripts that no server of their engine understands as they stand, and why: templates whose placeholders nobody filled in,
//! and the SQL of another database. Asked where a script does not parse; one word then stands for all its syntax errors.

use std::ops::Range;

use squawk_syntax::ast::AstNode;
use squawk_syntax::{Parse, SourceFile, SyntaxKind};

use super::script::Finding;
use super::table;
use crate::migration::Layout;

/// How placeholders begin and end.
const PLACEHOLDERS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("${", "}")];

/// What is said instead of the syntax errors of `text`, if one of these reasons is found in it. Nothing may be left to say:
/// what Flyway would fill in is told by its layout.
pub fn instead_of_errors(text: &str, parse: &Parse<SourceFile>, layout: Layout) -> Option<Vec<Finding>> {
    if let Some(range) = placeholder(text, parse) {
        let told_by_layout = layout == Layout::Flyway && text[range.clone()].starts_with("${");
        return Some(if told_by_layout { Vec::new() } else { vec![unfilled(text, range)] });
    }
    mysql(text, parse).map(|(range, word)| vec![of_mysql(range, word)])
}

/// The first placeholder of a script that does not parse.
pub fn placeholder(text: &str, parse: &Parse<SourceFile>) -> Option<Range<usize>> {
    let mut found: Vec<Range<usize>> = PLACEHOLDERS.iter().flat_map(|marks| between(text, marks)).collect();
    if found.is_empty() {
        return None;
    }
    let quiet = quiet(parse);
    found.retain(|range| !quiet.iter().any(|q| q.contains(&range.start)));
    found.into_iter().min_by_key(|range| range.start)
}

/// What stands between two marks on one line, with them.
fn between<'t>(text: &'t str, (open, close): &'t (&str, &str)) -> impl Iterator<Item = Range<usize>> + 't {
    text.match_indices(open).filter_map(move |(at, _)| {
        let line = text[at..].lines().next()?;
        let end = line[open.len()..].find(close)?;
        Some(at..at + open.len() + end + close.len())
    })
}

/// Texts and comments, in which any word may stand.
fn quiet(parse: &Parse<SourceFile>) -> Vec<Range<usize>> {
    let tokens = parse.tree().syntax().descendants_with_tokens().filter_map(|element| element.into_token());
    let is_quiet = |kind| {
        matches!(
            kind,
            SyntaxKind::COMMENT
                | SyntaxKind::STRING
                | SyntaxKind::ESC_STRING
                | SyntaxKind::DOLLAR_QUOTED_STRING
                | SyntaxKind::NATIONAL_STRING
                | SyntaxKind::UNICODE_ESC_STRING
                | SyntaxKind::BIT_STRING
                | SyntaxKind::BYTE_STRING
        )
    };
    let of = |token: squawk_syntax::SyntaxToken| {
        let range = token.text_range();
        usize::from(range.start())..usize::from(range.end())
    };
    tokens.filter(|token| is_quiet(token.kind())).map(of).collect()
}

/// What is said of a template.
pub fn unfilled(text: &str, range: Range<usize>) -> Finding {
    let message = format!(
        "`{}` is a placeholder that nobody filled in: the file is a template, which no server understands, and nothing else in it was looked at",
        &text[range.clone()]
    );
    let help = "commit what its program makes of it and let `godwit.yml` name that folder, or write the value itself";
    Finding::new(&table::UNFILLED_TEMPLATE, range, message).with_help(help)
}

/// A word that MySQL alone knows, and where it stands.
fn mysql(text: &str, parse: &Parse<SourceFile>) -> Option<(Range<usize>, &'static str)> {
    let lower = text.to_ascii_lowercase();
    let tick = lower.match_indices('`').map(|(at, _)| (at..at + 1, "names in backticks"));
    let counter = words(&lower, "auto_increment").map(|range| (range, "`AUTO_INCREMENT`"));
    let engine = words(&lower, "engine").filter_map(|range| {
        let value = lower[range.end..].trim_start().strip_prefix('=')?.trim_start();
        let known =
            ["innodb", "myisam", "memory", "aria", "ndb", "archive"].into_iter().find(|e| value.starts_with(e))?;
        let end = lower.len() - value.len() + known.len();
        Some((range.start..end, "`ENGINE=…`"))
    });
    let mut found: Vec<(Range<usize>, &'static str)> = tick.chain(counter).chain(engine).collect();
    if found.is_empty() {
        return None;
    }
    let quiet = quiet(parse);
    found.retain(|(range, _)| !quiet.iter().any(|q| q.contains(&range.start)));
    found.into_iter().min_by_key(|(range, _)| range.start)
}

/// Where a word stands by itself.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .filter(move |(at, _)| !text[..*at].ends_with(is_letter) && !text[at + word.len()..].starts_with(is_letter))
        .map(move |(at, _)| at..at + word.len())
}

fn of_mysql(range: Range<usize>, word: &str) -> Finding {
    let message = format!(
        "{word}: this is MySQL's SQL, and MySQL is none of Godwit's engines; nothing else in the file was looked at"
    );
    let help = "leave the folder to the tool that runs it, out of `migrations` in `godwit.yml`, or write it in PostgreSQL's SQL";
    Finding::new(&table::FOREIGN_DIALECT, range, message).with_help(help)
}

#[cfg(test)]
mod tests {
    use crate::lint::{Severity, sample};

    /// Rule, line and first word of what is wrong with a script beyond doubt.
    fn told(sql: &str) -> Vec<(String, u32, String)> {
        let errors =
            sample(&[("0001_m.up.sql", sql)]).0.violations.into_iter().filter(|v| v.severity == Severity::Error);
        errors.map(|v| (v.rule, v.line, v.message.split([' ', ':']).next().unwrap_or("").to_owned())).collect()
    }

    #[test]
    fn f216_a_template_is_told_once_and_its_syntax_errors_are_not() {
        for (sql, line, word) in [
            ("CREATE TABLE {{.Prefix}}users (id int);\nCREATE TABLE {{.Prefix}}orders (id int);", 1, "`{{.Prefix}}`"),
            ("-- {{ no }}\nSELECT '{{no}}';\nALTER TABLE ${SCHEMA}.users ADD COLUMN a int;", 3, "`${SCHEMA}`"),
            ("{% if big %}\nCREATE INDEX i ON t (a);\n{% endif %}", 1, "`{%"),
        ] {
            assert_eq!(told(sql), [("unfilled-template".to_owned(), line, word.to_owned())], "{sql}");
        }
        // A text may hold what it likes, and what is no placeholder is a mistake like others.
        assert_eq!(told("CREATE TABLE t (a text DEFAULT '{{x}}', b int[] DEFAULT '{{1,2},{3,4}}');"), []);
        let rules: Vec<String> =
            told("CREATE TABEL t (a text DEFAULT '{{x}}');").into_iter().map(|(rule, ..)| rule).collect();
        assert!(!rules.is_empty() && rules.iter().all(|rule| rule == "syntax-error"), "{rules:?}");
        assert_eq!(
            told("CREATE TABLE t (a int) ENGINE=InnoDB; -- {{x}}")[0].0,
            "foreign-dialect",
            "a comment makes no template"
        );
    }

    #[test]
    fn s2_133_mysqls_sql_is_told_once_by_its_name() {
        for (sql, line, word) in [
            ("CREATE TABLE `users` (`id` int);\nCREATE TABLE `orders` (`id` int);", 1, "names"),
            ("CREATE TABLE users (id int NOT NULL AUTO_INCREMENT, PRIMARY KEY (id));", 1, "`AUTO_INCREMENT`"),
            ("CREATE TABLE users (\n  id int\n) ENGINE = InnoDB DEFAULT CHARSET=utf8mb4;", 3, "`ENGINE=…`"),
        ] {
            assert_eq!(told(sql), [("foreign-dialect".to_owned(), line, word.to_owned())], "{sql}");
        }
        for sql in
            ["SELECT 'a `tick`';", "-- `tick` AUTO_INCREMENT ENGINE=InnoDB\nSELECT 1;", "CREATE TABLE t (engine text);"]
        {
            assert_eq!(told(sql), [], "{sql}");
        }
    }
}
