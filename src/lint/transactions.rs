//! Words of transactions where PostgreSQL takes none: in what an `EXECUTE` sends, and in functions in SQL.

use super::script::Finding;
use super::table;
use crate::ids::Engine;
use crate::migration::execution::{first_word_of, statements};

/// First words of statements that open, end or divide a transaction.
const WORDS: [&str; 8] = ["ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"];

/// What a text of the statements of bodies holds of them. PL/pgSQL's own `COMMIT` is no such statement.
pub fn sent(text: &str, found: &mut Vec<Finding>) {
    for statement in statements(Engine::Postgresql, text).into_iter().flatten() {
        let word = first_word_of(&text[statement.range.clone()]).unwrap_or_default().to_ascii_uppercase();
        if WORDS.contains(&word.as_str()) {
            let message =
                format!("`{word}` always fails here: neither an `EXECUTE` of PL/pgSQL nor a function in SQL takes it");
            let help = "leave it out: what a block does belongs to the transaction of its file";
            found.push(Finding::new(&table::MIXED_TRANSACTION, statement.range, message).with_help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    #[test]
    fn f215_transactions_in_the_bodies_of_ways_back_and_in_execute_are_told() {
        let refused = |up: &str, down: &str| -> Vec<String> {
            let all = sample(&[("0001_p.up.sql", up), ("0001_p.down.sql", down)]).0.violations;
            let of = all.iter().filter(|v| v.rule == "mixed-transaction");
            of.map(|v| format!("{}:{}", v.file.trim_start_matches("0001_p."), v.line)).collect()
        };
        let block = |body: &str| format!("SELECT 1;\nDO $$ BEGIN\n{body}\nEND $$;");
        for body in [
            "COMMIT;",
            "ROLLBACK;",
            "EXECUTE 'commit';",
            "EXECUTE 'begin';",
            "EXECUTE 'START TRANSACTION';",
            "EXECUTE 'rollback to savepoint a';",
            "SAVEPOINT a;",
            "EXECUTE 'create index concurrently i on t (a)';",
        ] {
            assert_eq!(refused(&block(body), "SELECT 1;"), ["up.sql:3"], "{body}");
            assert_eq!(refused("SELECT 1;", &block(body)), ["down.sql:3"], "{body}");
        }
        // Where the file is no transaction, a block may end its own; but none that it sends.
        let mark = "-- godwit: no-transaction\n";
        assert_eq!(refused(&format!("{mark}{}", block("COMMIT;")), "SELECT 1;"), [""; 0]);
        assert_eq!(refused(&format!("{mark}{}", block("EXECUTE 'commit';")), "SELECT 1;"), ["up.sql:4"]);
        for body in ["RAISE NOTICE 'commit';", "BEGIN UPDATE t SET a = 1 WHERE id = 1; END;", "EXECUTE 'select 1';"] {
            assert_eq!(refused(&block(body), &block(body)), [""; 0], "{body}");
        }
        let sql = "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$\nCOMMIT;\n$$;\nSELECT f();";
        assert_eq!(refused(sql, "SELECT 1;"), ["up.sql:2"]);
        // A procedure that an earlier migration made, or this one.
        let define = "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN\nCOMMIT;\nEND $$;";
        assert_eq!(refused(define, "SELECT 1;\nCALL p();\nDROP PROCEDURE p();"), ["down.sql:2"]);
        let marked = format!("{mark}{define}");
        assert_eq!(refused(&marked, "CALL p();\nDROP PROCEDURE p();"), [""; 0]);
        let harmless = define.replace("COMMIT", "DELETE FROM t");
        assert_eq!(refused(&harmless, "CALL p();\nDROP PROCEDURE p();"), [""; 0]);
        // One file of several parts is read like two files.
        let goose = "-- +goose Up\n-- +goose StatementBegin\nDO $$ BEGIN\nCOMMIT;\nEND $$;\n-- +goose StatementEnd\n\
                     -- +goose Down\n-- +goose StatementBegin\nDO $$ BEGIN\nEXECUTE 'commit';\nEND $$;\n-- +goose StatementEnd\n";
        let all = sample(&[("00001_a.sql", goose)]).0.violations;
        let lines: Vec<u32> = all.iter().filter(|v| v.rule == "mixed-transaction").map(|v| v.line).collect();
        assert_eq!(lines, [4, 10]);
    }
}
