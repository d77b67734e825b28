//! Backward scripts that are no way back: they hold statements, and none of them changes anything.

use super::execution;
use crate::ids::Engine;

/// Whether `down` leaves everything as it is although `up` changes the schema: nothing but constants that are selected and
/// settings of the session. A rollback with it would record an undo that did not happen.
pub fn undoes_nothing(engine: Engine, up: &str, down: &str) -> bool {
    // Most scripts begin with a word that changes something, and are not looked at closer.
    is_sql(engine)
        && execution::first_word_of(down).is_some_and(is_idle_word)
        && is_idle(engine, down)
        && changes_schema(engine, up)
}

fn is_sql(engine: Engine) -> bool {
    matches!(engine, Engine::Postgresql | Engine::Sqlite)
}

fn is_idle_word(word: &str) -> bool {
    ["SELECT", "VALUES", "SET", "RESET", "SHOW", "BEGIN", "START", "COMMIT", "END"]
        .iter()
        .any(|w| word.eq_ignore_ascii_case(w))
}

/// Whether no statement changes anything. What calls a function or reads a table may be there for what that does.
fn is_idle(engine: Engine, text: &str) -> bool {
    let Ok(statements) = execution::statements(engine, text) else { return false };
    statements.iter().all(|s| {
        let sql = &text[s.range.clone()];
        let mut words = execution::significant_tokens(sql).into_iter().map(|range| &sql[range]);
        match words.next() {
            Some(word) if ["SELECT", "VALUES"].iter().any(|w| word.eq_ignore_ascii_case(w)) => {
                !words.any(|w| w == "(" || ["FROM", "INTO"].iter().any(|x| w.eq_ignore_ascii_case(x)))
            }
            Some(word) => is_idle_word(word),
            None => true,
        }
    })
}

fn changes_schema(engine: Engine, text: &str) -> bool {
    let changes = |w: &str| ["CREATE", "ALTER", "DROP", "TRUNCATE"].iter().any(|x| w.eq_ignore_ascii_case(x));
    let Ok(statements) = execution::statements(engine, text) else { return false };
    statements.iter().any(|s| execution::first_word_of(&text[s.range.clone()]).is_some_and(changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f208_f210_constants_and_settings_are_no_way_back_of_a_schema() {
        let up = "-- why\nALTER TABLE t ADD COLUMN a int;";
        for down in [
            "SELECT 1;",
            "select 1",
            "-- nothing to do\nSELECT 'kept', 2;\n",
            "SET lock_timeout = '1s';",
            "BEGIN; SELECT 1; COMMIT;",
            "SELECT 1; RESET lock_timeout;",
        ] {
            for engine in [Engine::Postgresql, Engine::Sqlite] {
                assert!(undoes_nothing(engine, up, down), "{down}");
            }
            assert!(!undoes_nothing(Engine::Postgresql, "UPDATE t SET a = 1 WHERE a = 2;", down), "data alone: {down}");
            assert!(!undoes_nothing(Engine::Postgresql, "", down), "{down}");
        }
        for down in [
            "",
            "-- nothing",
            "ALTER TABLE t DROP COLUMN a;",
            "SELECT 1; ALTER TABLE t DROP COLUMN a;",
            "SELECT undo_it();",
            "SELECT setval('s', 1);",
            "SELECT a INTO b FROM t;",
            "SET search_path = x; DROP TABLE t;",
            "WITH d AS (DELETE FROM t RETURNING 1) SELECT 1 FROM d;",
            "DO $$ BEGIN END $$;",
        ] {
            assert!(!undoes_nothing(Engine::Postgresql, up, down), "{down}");
        }
    }
}
