//! Whether a script destroys something without a way back.

use crate::ids::Engine;
use crate::migration::{execution, operations};

/// Words that destroy without a way back, by the first words of a statement.
pub fn destroys(engine: Engine, text: &str) -> bool {
    if operations::are_operations(engine) {
        return operations::read(engine, text).is_ok_and(|all| all.iter().any(|o| o.operation.destroys()));
    }
    // Most scripts hold none of these words, and are not looked at closer.
    let suspicious = |w: &str| ["drop", "truncate", "delete"].iter().any(|x| w.eq_ignore_ascii_case(x));
    if !text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(suspicious) {
        return false;
    }
    let Ok(statements) = execution::statements(engine, text) else { return false };
    statements.iter().any(|s| {
        let sql = &text[s.range.clone()];
        let words: Vec<String> =
            execution::significant_tokens(sql).into_iter().map(|r| sql[r].to_ascii_uppercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["DROP", "TABLE" | "SCHEMA" | "DATABASE" | "TABLESPACE" | "TYPE" | "SEQUENCE", ..] | ["TRUNCATE", ..] => {
                true
            }
            ["DELETE", rest @ ..] => !rest.contains(&"WHERE"),
            ["ALTER", "TABLE", rest @ ..] => rest.windows(2).any(|w| {
                w[0] == "DROP" && !matches!(w[1], "CONSTRAINT" | "DEFAULT" | "NOT" | "EXPRESSION" | "IDENTITY")
            }),
            _ => false,
        }
    })
}
