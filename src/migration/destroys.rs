//! Whether a script destroys something without a way back, or only adds to what is there.

use crate::ids::Engine;
use crate::migration::{execution, operations};

/// Words that change nothing that was there before.
const CREATING: [&str; 10] = ["CREATE", "COMMENT", "SET", "RESET", "SELECT", "SHOW", "BEGIN", "START", "COMMIT", "END"];

/// Whether a script in SQL does nothing but create: whoever has to undo it drops what it made, and needs nobody to say how.
pub fn only_creates(engine: Engine, text: &str) -> bool {
    let creates = |word: &str| CREATING.iter().any(|w| word.eq_ignore_ascii_case(w));
    // What does not parse is told by itself.
    let Ok(statements) = execution::statements(engine, text) else { return true };
    statements.iter().all(|s| execution::first_word_of(&text[s.range.clone()]).is_none_or(creates))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n06_a_script_that_only_creates_is_told_from_one_that_changes_what_is_there() {
        for (sql, expected) in [
            ("CREATE TABLE t (id int);\n-- DROP TABLE u;\nCREATE INDEX i ON t (id);", true),
            ("BEGIN; create table t (id int); COMMENT ON TABLE t IS 'drop'; COMMIT;", true),
            ("", true),
            ("CREATE TABLE t (id int); DROP TABLE u;", false),
            ("ALTER TABLE t ADD COLUMN a int;", false),
            ("INSERT INTO t VALUES (1);", false),
            ("WITH d AS (DELETE FROM t RETURNING 1) SELECT 1 FROM d;", false),
            ("DO $$ BEGIN DROP TABLE t; END $$;", false),
        ] {
            for engine in [Engine::Postgresql, Engine::Sqlite] {
                assert_eq!(only_creates(engine, sql), expected, "{engine} {sql}");
            }
        }
    }
}
