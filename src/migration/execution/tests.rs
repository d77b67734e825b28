use proptest::prelude::*;

use super::*;

fn pg(text: &str) -> Result<Execution, CannotExecute> {
    execution(Engine::Postgresql, text, false)
}

fn texts(engine: Engine, text: &str) -> Vec<&str> {
    statements(engine, text).expect("splits").into_iter().map(|s| &text[s.range]).collect()
}

#[test]
fn semicolons_inside_things_end_nothing() {
    for text in [
        "select ';'",
        "select $$ a; b $$",
        "select $x$ $$ ; $$ $x$",
        "select 1 /* ; /* ; */ ; */ + 1",
        "select 1 -- ;\n + 2",
        "select e'\\';'",
        "select \"a;b\" from t",
        "create rule r as on insert to t do also (insert into a values (1); insert into b values (2))",
        "create function f() returns int language sql begin atomic select case when true then 1 end; select 2; end",
        "do $$ begin perform 1; commit; end $$",
        "select u&'d;\\0061'",
    ] {
        assert_eq!(texts(Engine::Postgresql, text), [text]);
        assert_eq!(texts(Engine::Postgresql, &format!(";; {text} ;\n-- end\n;")), [text]);
    }
}

#[test]
fn lines_are_those_of_the_first_word() {
    let found =
        statements(Engine::Postgresql, "-- head\n\ncreate table a (\n id int);\n/* x\n */ drop table a;").unwrap();
    assert_eq!(found.iter().map(|s| s.line).collect::<Vec<_>>(), [3, 6]);
}

#[test]
fn a_files_own_outer_transaction_becomes_ours() {
    let text = "-- why\nBEGIN;\ncreate table a (id int);\nCOMMIT;\n-- end";
    let Execution::Transaction { body, modes: None } = pg(text).unwrap() else { panic!("a transaction") };
    assert_eq!(&text[body], "\ncreate table a (id int);\n");
    let text = "start transaction isolation level serializable; select 1; end";
    let Execution::Transaction { body, modes: Some(modes) } = pg(text).unwrap() else { panic!("modes") };
    assert_eq!((&text[body], &text[modes]), (" select 1; ", "isolation level serializable"));
    assert!(matches!(pg("begin work; commit"), Ok(Execution::Transaction { modes: None, .. })));
}

#[test]
fn a_file_that_commits_more_than_once_runs_part_by_part() {
    let text = "begin;\nselect 1;\nselect 2;\ncommit;\nselect 3;\nbegin; select 4; commit; begin; commit;";
    let Ok(Execution::Statements(parts)) = pg(text) else { panic!("parts") };
    let shown: Vec<(u32, &str)> = parts.iter().map(|p| (p.line, &text[p.range.clone()])).collect();
    assert_eq!(shown, [(2, "select 1;\nselect 2"), (5, "select 3"), (6, "select 4")]);
    assert!(parts.iter().all(|p| p.nature == Nature::Transactional));
    let Ok(Execution::Statements(parts)) = pg("select 1;\nbegin; select 2; commit;") else { panic!("parts") };
    assert_eq!(parts.len(), 2);
}

#[test]
fn unbalanced_or_nested_transactions_are_refused_with_their_line() {
    for (text, line, part) in [
        ("begin;\nselect 1;", 1, "without a COMMIT"),
        ("select 1;\ncommit;", 2, "without a BEGIN"),
        ("begin;\nbegin;\ncommit;", 2, "line 1 opened"),
        ("begin;\nselect 1;\nrollback;", 3, "ROLLBACK"),
        ("select 1;\nbegin isolation level serializable; select 2; commit;", 2, "modes of its own"),
        ("begin;\nselect 1;\ncommit and chain;", 3, "CHAIN"),
        ("\\connect shop\nselect 1;", 1, "psql"),
        ("copy t from stdin;\n1\n\\.\n", 1, "stdin"),
        ("select 1;\nprepare transaction 'x';", 2, "PREPARE"),
        ("select 1;\ndiscard all;", 2, "lock"),
        ("select 1;\nselect 'abc;", 2, "string"),
        ("select $a$ x $b$", 1, "dollar"),
        ("select 1 /* a", 1, "comment"),
    ] {
        let e = pg(text).expect_err(text);
        assert_eq!(e.line, line, "{text}");
        assert!(e.message.contains(part), "{text}: {}", e.message);
        assert!(!e.help.is_empty());
    }
    assert!(pg("begin; savepoint a; rollback to savepoint a; commit").is_ok());
}

#[test]
fn r11_what_cannot_run_in_a_transaction_is_recognised_without_being_told() {
    for (text, words, nature) in [
        ("create index concurrently i on t (a)", "CREATE INDEX CONCURRENTLY", Nature::Verifiable),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "CREATE INDEX CONCURRENTLY", Nature::Verifiable),
        ("create index /* x */ concurrently on t (a)", "CREATE INDEX CONCURRENTLY", Nature::Unprovable),
        ("drop index concurrently i", "DROP INDEX CONCURRENTLY", Nature::Verifiable),
        ("reindex index concurrently i", "REINDEX CONCURRENTLY", Nature::Idempotent),
        ("reindex (concurrently, verbose) table t", "REINDEX CONCURRENTLY", Nature::Idempotent),
        ("reindex database d", "REINDEX DATABASE", Nature::Idempotent),
        ("vacuum (analyze) t", "VACUUM", Nature::Idempotent),
        ("alter system set work_mem = '1MB'", "ALTER SYSTEM", Nature::Idempotent),
        ("create database d", "CREATE DATABASE", Nature::Verifiable),
        ("drop database d", "DROP DATABASE", Nature::Verifiable),
        ("create tablespace s location '/x'", "CREATE TABLESPACE", Nature::Verifiable),
        ("drop tablespace s", "DROP TABLESPACE", Nature::Verifiable),
        ("alter table p detach partition c concurrently", "DETACH PARTITION CONCURRENTLY", Nature::Verifiable),
        ("alter table p detach partition c finalize", "DETACH PARTITION CONCURRENTLY", Nature::Verifiable),
    ] {
        let Ok(Execution::Statements(found)) = pg(text) else { panic!("{text}") };
        assert_eq!((found[0].outside_transaction, found[0].nature), (Some(words), nature), "{text}");
        let e = pg(&format!("select 1;\n{text};")).expect_err(text);
        assert_eq!(e.line, 2, "{text}");
        assert!(e.message.contains(words) && e.message.contains("line 1"), "{}", e.message);
        assert!(execution(Engine::Postgresql, &format!("select 1;\n{text};"), true).is_ok());
        assert!(pg(&format!("set lock_timeout = '2s';\n{text};\n{text}")).is_ok(), "several alone are fine");
        assert!(pg(&format!("begin;\n{text};\ncommit")).is_err());
    }
    for text in [
        "create index i on t (a)",
        "refresh materialized view concurrently v",
        "alter type t add value 'x'",
        "comment on table t is 'create index concurrently i'",
        "-- vacuum\nselect 1",
        "select $$ vacuum $$",
        "reindex table t",
        "cluster t using i",
        "alter table t drop column concurrently, add column x int",
    ] {
        assert!(matches!(pg(text), Ok(Execution::Transaction { .. })), "{text}");
    }
}

#[test]
fn a_marked_file_goes_statement_by_statement_and_a_block_in_it_is_one() {
    let text = "set lock_timeout='1s';\nbegin; update a set x=1; update b set y=2; commit;\nvacuum a; call p();";
    let Ok(Execution::Statements(found)) = execution(Engine::Postgresql, text, true) else { panic!("statements") };
    let got: Vec<_> = found.iter().map(|s| (&text[s.range.clone()], s.nature)).collect();
    assert_eq!(
        got,
        [
            ("set lock_timeout='1s'", Nature::Session),
            ("update a set x=1; update b set y=2", Nature::Transactional),
            ("vacuum a", Nature::Idempotent),
            ("call p()", Nature::Unprovable),
        ]
    );
}

#[test]
fn sqlite_knows_triggers_and_its_own_outsiders() {
    let trigger =
        "create temp trigger t after insert on a begin insert into b values (';'); select case when 1 then 2 end; end";
    assert_eq!(texts(Engine::Sqlite, &format!("{trigger};\nselect [a;b], `c;d`, \"e;f\" from x;")).len(), 2);
    let run = |t: &str| execution(Engine::Sqlite, t, false);
    assert!(matches!(run("vacuum; pragma journal_mode=wal;"), Ok(Execution::Statements(s)) if s.len() == 2));
    let e = run("create table a (id);\npragma foreign_keys=off;").expect_err("mixed");
    assert_eq!(e.line, 2);
    assert!(matches!(run("pragma user_version=3; create table a(id)"), Ok(Execution::Transaction { .. })));
    let text = "begin immediate; create table a(id); commit;";
    let Ok(Execution::Transaction { body, .. }) = run(text) else { panic!("transaction") };
    assert_eq!(&text[body], " create table a(id); ");
}

#[test]
fn blank_means_comments_only() {
    assert!(is_blank_sql("-- nothing\n/* to do */ ;\n"));
    assert!(!is_blank_sql("select 1"));
    assert!(!is_blank_sql("select 'x"));
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("create table a (id int)".to_owned()),
        Just("select ';'".to_owned()),
        Just("select $q$ ; begin; $q$".to_owned()),
        Just("create index concurrently i on t (a)".to_owned()),
        Just("vacuum t".to_owned()),
        Just("begin".to_owned()),
        Just("commit".to_owned()),
        Just("-- godwit\n select \"x;y\"".to_owned()),
        Just("/* a /* ; */ */ insert into t values (1, 'it''s; ')".to_owned()),
        "[a-z ();$'\"\\-/*é]{0,12}",
    ]
}

proptest! {
    /// Whatever stands in a script: no panic, ranges in order and inside, nothing but blanks and `;` between them,
    /// and a transaction's text leaves out control statements only.
    #[test]
    fn any_text_is_split_without_loss(pieces in proptest::collection::vec(piece(), 0..8), mark: bool) {
        let text = pieces.join(";\n");
        for engine in [Engine::Postgresql, Engine::Sqlite] {
            if let Ok(found) = statements(engine, &text) {
                let mut end = 0;
                for s in &found {
                    prop_assert!(s.range.start >= end && s.range.end <= text.len() && !s.range.is_empty());
                    prop_assert!(split(engine, &text[end..s.range.start]).is_ok_and(|x| x.is_empty()), "{:?}", &text[end..s.range.start]);
                    prop_assert_eq!(text[..s.range.start].matches('\n').count() as u32 + 1, s.line);
                    end = s.range.end;
                }
                prop_assert!(split(engine, &text[end..]).is_ok_and(|x| x.is_empty()));
            }
            match execution(engine, &text, mark) {
                Ok(Execution::Statements(s)) => {
                    prop_assert!(s.windows(2).all(|w| w[0].range.end <= w[1].range.start), "order is kept");
                    if !mark {
                        let mixed = s.iter().any(|s| s.nature == Nature::Transactional)
                            && s.iter().any(|s| s.outside_transaction.is_some());
                        prop_assert!(!mixed);
                    }
                }
                Ok(Execution::Transaction { body, .. }) => {
                    let inner = statements(engine, &text[body]).expect("part of what was split");
                    prop_assert!(inner.iter().all(|s| s.outside_transaction.is_none()));
                    prop_assert!(!mark);
                }
                Err(e) => prop_assert!(e.line >= 1 && !e.help.is_empty()),
            }
        }
    }
}

#[test]
fn a_leading_set_transaction_becomes_the_modes_of_our_own_begin() {
    for text in [
        "-- c\nset transaction isolation level serializable;\nselect 1;",
        "begin;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nselect 1;\ncommit;",
    ] {
        let Ok(Execution::Transaction { body, modes: Some(modes) }) = execution(Engine::Postgresql, text, false) else {
            panic!("{text}")
        };
        assert!(text[modes].eq_ignore_ascii_case("isolation level serializable"), "{text}");
        assert!(text[body].trim_start().starts_with("select 1"), "{text}");
    }
    for text in ["set transaction snapshot 'x'; select 1;", "select 1; set transaction read write;"] {
        let found = execution(Engine::Postgresql, text, false);
        assert!(matches!(found, Ok(Execution::Transaction { modes: None, .. })), "{text}");
    }
}
