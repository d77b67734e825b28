use super::*;
use crate::lint::{Violation, sample};

fn found(sql: &str) -> Vec<Violation> {
    sample(&[("0001_m.up.sql", sql)]).0.violations
}

/// `rule line` of every finding but those about the file itself.
fn told(sql: &str) -> Vec<String> {
    let about = |v: &&Violation| !["missing-down"].contains(&v.rule.as_str());
    found(sql).iter().filter(about).map(|v| format!("{} {}", v.rule, v.line)).collect()
}

#[test]
fn f220_statements_of_a_block_are_judged_where_they_stand() {
    let sql = "select 1;\nDO $$\nDECLARE n int := 0;\nBEGIN\n  IF n = 0 THEN\n    ALTER TABLE t\n      DROP COLUMN c;\n  \
               END IF;\n  FOR n IN 1..3 LOOP\n    UPDATE t SET a = n;\n  END LOOP;\nEXCEPTION WHEN others THEN\n  \
               TRUNCATE t;\nEND $$;\n";
    assert_eq!(
        told(sql),
        ["ban-drop-column 7", "ddl-with-backfill 10", "update-without-where 10", "truncate-table 13"]
    );
}

#[test]
fn p180_texts_that_a_block_executes_are_read() {
    for (body, expected) in [
        ("EXECUTE 'drop table t cascade';", vec!["ban-drop-table 2", "drop-cascade 2"]),
        ("EXECUTE $q$ update t set a = 1 $q$;", vec!["update-without-where 2"]),
        ("EXECUTE 'update t set a = ''x''';", vec!["update-without-where 2"]),
        ("EXECUTE format('truncate %I', r);", vec!["truncate-table 2"]),
        ("EXECUTE format('delete from %I.%I', r, r);", vec!["delete-without-where 2"]),
        ("EXECUTE format('update %I set a = %L where id = 1', r, r);", vec![]),
        ("EXECUTE 'truncate ' || quote_ident(r);", vec!["truncate-table 2"]),
        ("EXECUTE 'drop table part_' || n || ' cascade';", vec!["ban-drop-table 2", "drop-cascade 2"]),
        ("EXECUTE r;", vec!["opaque-block 2"]),
        ("EXECUTE 'update t set a = 1 ' || condition;", vec!["opaque-block 2"]),
        ("EXECUTE 'create index concurrently i on t (a)';", vec!["mixed-transaction 2"]),
        ("EXECUTE 'select count(*) from t' INTO n;", vec![]),
    ] {
        assert_eq!(told(&format!("DO $$ BEGIN\n{body}\nEND $$;")), expected, "{body}");
    }
    let named = found("DO $$ BEGIN EXECUTE format('truncate %I', r); END $$;");
    let truncated = named.iter().find(|v| v.rule == "truncate-table").expect("told");
    assert!(truncated.message.contains("`…`") && !truncated.message.contains(UNKNOWN), "{}", truncated.message);
}

#[test]
fn f220_a_body_that_is_written_as_statements_is_judged_as_one_that_is_a_text() {
    for kind in ["PROCEDURE p()", "FUNCTION p() RETURNS void"] {
        let body = format!("CREATE {kind} LANGUAGE sql BEGIN ATOMIC\n  SELECT 1;\n  DELETE FROM t;\nEND;\n");
        let defined = found(&body);
        let delete = defined.iter().find(|v| v.rule == "delete-without-where").unwrap_or_else(|| panic!("{kind}"));
        assert_eq!((delete.line, delete.severity), (3, Severity::Warning), "{kind}");
        let called = found(&format!("{body}CALL p();"));
        let delete = called.iter().find(|v| v.rule == "delete-without-where").unwrap_or_else(|| panic!("{kind}"));
        assert_eq!((delete.line, delete.severity), (3, Severity::Error), "{kind}");
    }
    assert_eq!(told("CREATE FUNCTION n() RETURNS int LANGUAGE sql RETURN (SELECT count(*) FROM t);"), [""; 0]);
    // The server's own functions, with their schema or without.
    let body = "EXECUTE pg_catalog.format('truncate %I', r);";
    assert_eq!(told(&format!("DO $$ BEGIN\n{body}\nEND $$;")), ["truncate-table 2"]);
}

/// The parser does not know that `INTO`.
#[test]
fn f220_a_statement_that_fills_variables_is_judged_like_any_other() {
    for (body, expected) in [
        ("UPDATE t SET a = 1\n RETURNING id INTO n;", vec!["update-without-where 3"]),
        ("SELECT 1 INTO n; DELETE FROM t RETURNING id INTO STRICT n;", vec!["delete-without-where 3"]),
        ("SELECT setval('s', 1) INTO n;", vec!["setval-constant 3"]),
        ("INSERT INTO t (a) VALUES (1) RETURNING id, a INTO n, r.a;", vec![]),
        ("SELECT count(*) INTO n FROM t WHERE a = 1;", vec![]),
    ] {
        assert_eq!(told(&format!("DO $$ DECLARE n int;\nBEGIN\n{body}\nEND $$;")), expected, "{body}");
    }
    let sql = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN\nDELETE FROM t RETURNING id INTO n; RETURN n; END $$;";
    assert_eq!(told(sql), ["delete-without-where 2"]);
}

#[test]
fn x01_a_password_in_a_call_that_a_block_performs_is_told() {
    for (body, expected) in [
        ("PERFORM dblink_connect('host=db user=app password=hunter2');", vec!["secret-literal 2"]),
        ("PERFORM x.dblink_exec('password=hunter2', 'select 1');", vec!["secret-literal 2"]),
        ("perform\n dblink('password=hunter2', 'select 1');", vec!["secret-literal 3"]),
        ("PERFORM dblink_connect('host=db user=app');", vec![]),
        ("PERFORM note('password=hunter2');", vec![]),
    ] {
        assert_eq!(told(&format!("DO $$ BEGIN\n{body}\nEND $$;")), expected, "{body}");
        let function = format!("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n{body}\nEND $$;");
        assert_eq!(told(&function), expected, "{body}");
        assert_eq!(told(&format!("{function}\nSELECT f();")), expected, "{body}");
    }
    let all =
        found("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT dblink_connect('password=hunter2') $$;");
    let told = all.iter().find(|v| v.rule == SECRET).expect("told");
    assert!(told.severity == Severity::Error && told.message.starts_with("the literal holds"), "{told:?}");
}

#[test]
fn what_a_block_creates_itself_is_new_to_it() {
    assert_eq!(
        told("CREATE TABLE n (id bigint PRIMARY KEY, a bigint);\nDO $$ BEGIN CREATE INDEX i ON n (a); END $$;"),
        [""; 0]
    );
    assert_eq!(told("DO $$ BEGIN CREATE TABLE n (id int); ALTER TABLE n ALTER id SET NOT NULL; END $$;"), [""; 0]);
}

#[test]
fn a_function_is_judged_by_what_it_destroys_and_in_full_when_it_is_called() {
    let body = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  DELETE FROM t;\n  \
                CREATE INDEX i ON t (a);\nEND $$;\n";
    let defined = found(body);
    let delete = defined.iter().find(|v| v.rule == "delete-without-where").expect("told");
    assert_eq!((delete.line, delete.severity, delete.risk), (3, Severity::Warning, Risk::Medium));
    assert!(delete.message.starts_with("whenever the function is called: "));
    assert_eq!(told(body), ["delete-without-where 3"]);
    for call in ["SELECT f();", "DO $$ BEGIN PERFORM f(); END $$;"] {
        let called = found(&format!("{body}{call}"));
        let of = |rule: &str| called.iter().find(|v| v.rule == rule).map(|v| (v.line, v.severity, v.risk));
        assert_eq!(of("delete-without-where"), Some((3, Severity::Error, Risk::High)), "{call}");
        assert_eq!(of("require-concurrent-index-creation"), Some((4, Severity::Warning, Risk::High)), "{call}");
    }
    let sql = "CREATE FUNCTION g() RETURNS void LANGUAGE sql AS $$\n  DELETE FROM t\n$$;";
    assert_eq!(told(sql), ["delete-without-where 2"]);
}

#[test]
fn words_hide_no_harm() {
    // Most secrets show in the text of the definition.
    let own = rules::OWN.iter().map(|r| (&r.info, r.bad));
    let own = own.filter(|(i, _)| is_harm(i) && i.id != SECRET && i.applies.to(Engine::Postgresql));
    for sql in own.flat_map(|(_, bad)| bad) {
        // Rules about functions and roles name the rest in front of the quote.
        assert!(may_harm(&format!("create function f() returns void language sql as $${sql}$$")), "{sql}");
    }
    for (_, info) in table::SQUAWK.iter().filter(|(_, i)| is_harm(i)) {
        let word = info.id.split('-').find(|w| HARMFUL.contains(w));
        assert!(word.is_some() || info.id == "ban-disable-trigger", "{}", info.id);
    }
    assert!(!may_harm("create function update_time() returns trigger as $$begin new.at := now(); end$$"));
}

#[test]
fn a_body_that_commits_its_batches_is_no_bulk_change() {
    let block = |commit: &str| {
        format!(
            "DO $$ BEGIN LOOP UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 9); EXIT WHEN NOT FOUND; {commit} END LOOP; END $$;"
        )
    };
    assert_eq!(told(&block("")), ["unbatched-change 1"]);
    // It can do so only where it is not in the file's transaction.
    assert_eq!(told(&format!("-- godwit: no-transaction\n{}", block("COMMIT;"))), ["unprovable-step 2"]);
    assert_eq!(told(&block("COMMIT;")), ["mixed-transaction 1"]);
}

#[test]
fn f215_a_body_that_ends_the_transaction_of_its_file_is_told() {
    let mark = "-- godwit: no-transaction\n";
    for end in ["COMMIT;", "ROLLBACK;", "COMMIT AND CHAIN;"] {
        let block = format!("SELECT 1;\nDO $$ BEGIN\nUPDATE t SET a = 1 WHERE id = 2;\n{end}\nEND $$;\n");
        let all = found(&block);
        let told = all.iter().find(|v| v.rule == "mixed-transaction").unwrap_or_else(|| panic!("{end}: {all:?}"));
        assert_eq!((told.line, told.severity), (4, Severity::Error), "{end}");
        assert!(told.message.starts_with(&format!("`{}` in a `DO`", &end[..end.find([' ', ';']).expect("an end")])));
        assert!(!found(&format!("{mark}{block}")).iter().any(|v| v.rule == "mixed-transaction"), "{end}");
        let define = format!("CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN\n{end}\nEND $$;\n");
        let refused = |files: &[(&str, &str)]| -> Vec<String> {
            let all = sample(files).0.violations;
            let of = all.iter().filter(|v| v.rule == "mixed-transaction");
            of.map(|v| format!("{}:{}", v.file, v.line)).collect()
        };
        assert_eq!(refused(&[("0001_p.up.sql", &define)]), [""; 0], "{end}");
        assert_eq!(refused(&[("0001_p.up.sql", &format!("{define}CALL p();"))]), ["0001_p.up.sql:2"], "{end}");
        let later = |call: &str| refused(&[("0001_p.up.sql", &define), ("0002_c.up.sql", call)]);
        assert_eq!(later("SELECT 1;\nCALL p();"), ["0002_c.up.sql:2"], "{end}");
        assert_eq!(later("DO $$ BEGIN CALL p(); END $$;"), ["0002_c.up.sql:1"], "{end}");
        assert_eq!(later(&format!("{mark}CALL p();")), [""; 0], "{end}");
        // A function can end no transaction, whoever calls it.
        let function = define.replace("PROCEDURE p()", "FUNCTION p() RETURNS void");
        assert_eq!(
            refused(&[("0001_p.up.sql", &function), ("0002_c.up.sql", &format!("{mark}SELECT p();"))]),
            ["0002_c.up.sql:2"],
            "{end}"
        );
    }
}

#[test]
fn deep_and_broken_bodies_end_nothing() {
    for body in ["BEGIN ".repeat(50_000), "IF ".repeat(50_000), format!("BEGIN EXECUTE '{}'; END", "(".repeat(50_000))]
    {
        let rules: Vec<String> = found(&format!("DO $$ {body} $$;")).into_iter().map(|v| v.rule).collect();
        assert!(rules.iter().any(|r| r == "opaque-block" || r == "not-analysed"), "{rules:?}");
    }
    for sql in ["DO 'begin execute ''x; end';", "DO $$ this is nothing $$;", "DO LANGUAGE plpgsql $$ $$;", "DO;"] {
        found(sql);
    }
}

#[test]
fn f220_what_does_not_parse_within_a_body_is_told_where_it_stands() {
    for body in [
        "UPDATE t SET;",
        "ALTER TABLE t DROP COLUM c d;",
        "UPDAET t SET a = 1 WHERE id = 2;",
        "IF n = 1 THEN\nDELETE FORM t WHERE id = 1;\nEND IF;",
        "INSERT INTO t VALUES (1;",
        "SELECT a INTO n FORM t WHERE id = 1;",
        "UPDATE t SET RETURNING a INTO n;",
        "RAISE NOTICE 'a'\nUPDATE t SET a = 1 WHERE id = 2;",
    ] {
        for (block, risk) in [
            (format!("SELECT 1;\nDO $$ BEGIN\n{body}\nEND $$;"), Risk::High),
            (format!("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n{body}\nEND $$;"), Risk::Low),
        ] {
            let all = found(&block);
            let told = all.iter().find(|v| v.rule == "opaque-block").unwrap_or_else(|| panic!("{block}: {all:?}"));
            assert_eq!((told.severity, told.risk), (Severity::Warning, risk), "{block}");
            assert!(told.line > 1, "{block}: {told:?}");
        }
    }
    // What is written in SQL is told like a statement of the script.
    let sql = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELEC 1 $$;";
    assert!(told(sql).iter().all(|told| told == "syntax-error 1"), "{:?}", told(sql));
}

#[test]
fn f220_what_is_plpgsql_alone_is_no_mistake() {
    let body = "\n#variable_conflict use_column\n<<whole>>\nDECLARE\n  n CONSTANT int := 3; v t.a%TYPE; r t%ROWTYPE; c CURSOR (x int) FOR SELECT a FROM t; x ALIAS FOR $1;\n\
        BEGIN\n  n := n + 1; r.a = 2; list[2] := 3; SELECT a, b INTO STRICT n, v FROM t WHERE id = 1; SELECT INTO v a FROM t;\n  \
        INSERT INTO t (a) VALUES (1) RETURNING id INTO n; WITH x AS (SELECT 1 AS a) SELECT a INTO n FROM x;\n  \
        UPDATE t SET a = 1 WHERE id = 2 RETURNING a INTO v; DELETE FROM t WHERE id = 9 RETURNING * INTO r;\n  \
        IF n > 1 THEN RAISE NOTICE 'a % b', n; ELSIF FOUND THEN NULL; ELSE RAISE EXCEPTION USING ERRCODE = '22012'; END IF;\n  \
        <<inner>> FOR r IN SELECT * FROM t LOOP CONTINUE inner WHEN r.a = 1; EXIT; END LOOP;\n  \
        FOR i IN REVERSE 10..1 BY 2 LOOP PERFORM f(i); END LOOP; FOREACH v SLICE 1 IN ARRAY list LOOP RETURN NEXT v; END LOOP;\n  \
        WHILE n < 3 LOOP n := n + 1; END LOOP; CASE n WHEN 1 THEN NULL; ELSE NULL; END CASE;\n  \
        OPEN c(3); FETCH NEXT FROM c INTO n; MOVE FORWARD 2 IN c; CLOSE c; ASSERT n > 0, 'none';\n  \
        GET DIAGNOSTICS n = ROW_COUNT; EXECUTE 'select 1' INTO n USING v; CALL p(n); RETURN QUERY SELECT 1;\n\
        EXCEPTION WHEN unique_violation OR SQLSTATE '22012' THEN GET STACKED DIAGNOSTICS v = MESSAGE_TEXT; RAISE;\n\
        END";
    for sql in [
        format!("CREATE FUNCTION f(int) RETURNS SETOF int LANGUAGE plpgsql AS $$ {body} $$;"),
        format!("DO $$ {body} $$;"),
    ] {
        let all = found(&sql);
        let opaque: Vec<_> = all.iter().filter(|v| v.rule == "opaque-block").collect();
        assert!(opaque.is_empty(), "{opaque:?}");
    }
}

#[test]
fn a_key_that_a_variable_holds_picks_a_handful_of_rows() {
    let of = |query: &str| {
        let sql = format!(
            "CREATE TABLE t (id int PRIMARY KEY, note text);\nCREATE FUNCTION f(p_id int) RETURNS void LANGUAGE plpgsql AS $$\n\
             DECLARE r record; v_note text;\nBEGIN\n{query}\nEND $$;"
        );
        let calls = sample(&[("0001_m.up.sql", sql.as_str()), ("0002_m.up.sql", "SELECT f(1);")]).0.violations;
        calls.iter().any(|v| v.rule == "unbatched-change" && v.file == "0002_m.up.sql")
    };
    for query in [
        "UPDATE t SET note = v_note WHERE id = p_id;",
        "DELETE FROM t WHERE id = r.id;",
        "DELETE FROM t WHERE t.id = f.p_id;",
    ] {
        assert!(!of(query), "{query}");
    }
    for query in [
        "DELETE FROM t WHERE note = v_note;",
        "DELETE FROM t WHERE id = other;",
        "DELETE FROM t WHERE id > p_id;",
        // A loop does it once and again.
        "FOR r IN SELECT * FROM u LOOP DELETE FROM t WHERE id = r.id; END LOOP;",
    ] {
        assert!(of(query), "{query}");
    }
    let quoted = found("DO $$ DECLARE v_id int; BEGIN DELETE FROM t WHERE v_id = v_id; END $$;");
    assert!(quoted.iter().all(|v| !v.message.contains(VALUE)), "{quoted:?}");
}

#[test]
fn what_a_block_calls_on_the_server_is_told_where_it_runs() {
    for (sql, rule) in [
        ("DO $$ BEGIN COPY t FROM '/tmp/x'; END $$;", "server-files"),
        ("DO $$ BEGIN PERFORM lo_import('/tmp/x'); END $$;", "server-files"),
        ("DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity; END $$;", "ends-sessions"),
    ] {
        let told = found(sql);
        assert!(told.iter().any(|v| v.rule == rule), "{sql}: {told:?}");
    }
    let quiet = found("DO $$ BEGIN RAISE NOTICE 'pg_read_file, pg_terminate_backend'; END $$;");
    assert!(!quiet.iter().any(|v| v.rule == "server-files" || v.rule == "ends-sessions"), "{quiet:?}");
}
