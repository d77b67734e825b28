//! The everyday commands through the program, on both kinds of database.

mod bad;
mod examples;
mod hard;
mod known;
mod long;
mod losing;
mod odd;
mod own;
mod resolving;
mod scripts;
mod sealed;
mod shared;
mod specification;
mod verified;

use crate::support::{BOTH, Kind, Project, Said};

const PAIR: [(&str, &str); 4] = [
    ("0001_a.up.sql", "create table a (n integer);"),
    ("0001_a.down.sql", "drop table a;"),
    ("0002_b.up.sql", "-- two statements\ncreate table b (n integer);\ninsert into a values (1);"),
    ("0002_b.down.sql", "drop table b;"),
];

/// What a run that is refused says first, and what to do about it.
fn told(project: &Project, args: &[&str], code: i32) -> (String, String) {
    let said = project.run(&[args, &["--yes", "--format", "json"]].concat()).expect(code).json();
    let refusal = &said["blocked_by"][0];
    let text = |key: &str| refusal[key].as_str().unwrap_or_default().to_owned();
    (text("message"), text("what_to_do"))
}

#[test]
fn s2_06_the_first_run_makes_the_tables_and_the_second_finds_nothing_to_do() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(said["outcome"], "applied");
        assert_eq!(said["environment"], serde_json::Value::Null);
        let step = &said["steps"][1];
        assert_eq!(
            (&step["migration"], &step["state"], &step["action"]),
            (&"0002_b".into(), &"applied".into(), &"apply".into())
        );
        assert_eq!(step["recovery"], "atomic");
        assert_eq!(step["statements"].as_array().unwrap().len(), 2);
        assert_eq!(project.run(&["apply", "--format", "json"]).expect(0).json()["outcome"], "nothing");
        let status = project.run(&["status", "--format", "json"]).expect(0).json();
        let rows = status["targets"][0]["migrations"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|r| r["state"] == "applied" && r["by"] == "tester" && r["applied_at"].is_string()));
    }
}

#[test]
fn r15_a_plan_writes_nothing_anywhere() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        for args in [&["plan", "--format", "json"][..], &["apply", "--dry-run", "--format", "json"]] {
            let plan = project.run(args).expect(0).json();
            assert_eq!(plan["outcome"], "planned");
            assert_eq!(plan["steps"][1]["statements"][0], "create table b (n integer)");
            assert_eq!(plan["steps"][1]["state"], "pending");
        }
        project.run(&["status"]).expect(0);
        match kind {
            Kind::Postgres => assert!(!project.database.has_table("godwit_history")),
            _ => assert!(!project.database.file().exists()),
        }
        assert!(!project.store().exists());
    }
}

#[test]
fn a_failure_is_located_undone_and_tried_again_once_mended() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        project.write("0003_c.up.sql", "-- c\ncreate table c (n integer);\n\ninsert into nowhere values (1);\n");
        project.write("0004_d.up.sql", "create table d (n integer);");
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert_eq!(said["outcome"], "failed");
        let error = &said["steps"][2]["error"];
        assert_eq!((&error["line"], &error["undone"]), (&4.into(), &true.into()), "{kind:?} {error}");
        assert!(error["message"].as_str().unwrap().contains("nowhere"));
        assert_eq!(said["steps"][3]["state"], "pending");
        assert!(!project.database.has_table("c") && !project.database.has_table("d"));
        assert_eq!(project.database.history(), ["0001_a applied", "0002_b applied", "0003_c failed"]);
        project.write("0003_c.up.sql", "create table c (n integer);");
        project.run(&["apply", "--yes"]).expect(0);
        assert!(project.database.has_table("c") && project.database.has_table("d"));
    }
}

/// PostgreSQL says so when what failed has ended its transaction already.
#[test]
fn a_failure_is_told_without_what_taking_it_back_made_the_server_say() {
    let project = Project::new(Kind::Postgres, &[("0001_a.up.sql", "create table a (n integer);\nselect nothing();")]);
    for args in [&["apply", "--yes"][..], &["apply", "--yes", "-v"], &["apply", "--yes", "--format", "json"]] {
        let said = project.run(args).expect(1);
        assert!(!format!("{said:?}").contains("transaction in progress"), "{said:?}");
    }
}

#[test]
fn r12_a_statement_of_sqlite_ends_with_the_runs_time() {
    let endless =
        "create table n as with recursive c(n) as (select 1 union all select n + 1 from c) select max(n) from c;";
    let batches = "-- godwit: backfill=a key=n batch=1\nupdate a set m = (with recursive c(n) as (select 1 union all select \
                   n + 1 from c) select max(n) from c) where /* godwit:batch */ true;";
    for script in [endless, &format!("-- godwit: no-transaction\n{endless}"), batches] {
        let project = Project::new(
            Kind::Sqlite,
            &[("0001_a.up.sql", "create table a (n integer primary key, m integer);\ninsert into a values (1, 1);")],
        );
        project.run(&["apply", "--yes"]).expect(0);
        project.write("0002_b.up.sql", script);
        let said = project.run(&["apply", "--yes", "--timeout", "1", "--format", "json"]).expect(1).json();
        let error = &said["steps"][0]["error"];
        assert!(error["message"].as_str().unwrap().contains("the run's time is up"), "{script}: {said}");
        assert!(!project.database.has_table("n"), "{script}");
        assert_eq!(project.database.history()[1], "0002_b failed", "{script}");
    }
}

#[test]
fn s1_39_a_migration_of_sqlite_took_some_time() {
    let project = Project::new(Kind::Sqlite, &PAIR);
    project.run(&["apply", "--yes"]).expect(0);
    let status = project.run(&["status", "--format", "json"]).expect(0).json();
    for row in status["targets"][0]["migrations"].as_array().unwrap() {
        assert!(row["duration_ms"].as_i64().unwrap() > 0, "{status}");
    }
}

#[test]
fn s0_78_what_is_wrong_with_a_sqlite_database_is_named() {
    let project = Project::new(Kind::Sqlite, &PAIR);
    for url in ["sqlite:", "sqlite::memory:"] {
        let said: Said = project.command_at(url, &["apply", "--yes"]).output().unwrap().into();
        let said = said.expect(2);
        assert!(said.stderr.contains("`sqlite:FILE`"), "{said:?}");
    }
    let nowhere = format!("sqlite:{}", project.dir.path().join("nosuch/a.db").display());
    for command in ["plan", "apply", "status"] {
        let said: Said = project.command_at(&nowhere, &[command]).output().unwrap().into();
        let said = said.expect(5);
        assert!(said.stderr.contains("there is no folder") && said.stderr.contains("nosuch"), "{command}: {said:?}");
    }
    // Somebody else has the file for itself alone.
    let other = rusqlite::Connection::open(project.database.file()).unwrap();
    other.execute_batch("create table mine (n integer); begin exclusive; insert into mine values (1);").unwrap();
    let said = project.run(&["apply", "--yes", "--lock-timeout", "1"]).expect(5);
    for part in ["another program holds", "target.db", "--lock-timeout"] {
        assert!(said.stderr.contains(part), "{part}: {said:?}");
    }
    // Who only keeps others from writing is in the way of the run's own tables.
    other.execute_batch("rollback; begin immediate; insert into mine values (1);").unwrap();
    let said = project.run(&["apply", "--yes", "--lock-timeout", "1"]).expect(5);
    assert!(said.stderr.contains("another program holds"), "{said:?}");
    other.execute_batch("commit").unwrap();
    project.run(&["apply", "--yes"]).expect(0);
}

#[test]
fn r13_an_edit_is_found_and_line_ends_are_none() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        project.run(&["apply", "--yes"]).expect(0);
        project.write(
            "0002_b.up.sql",
            "\u{feff}-- two statements\r\ncreate table b (n integer);\r\ninsert into a values (1);\r\n\r\n",
        );
        project.run(&["apply", "--yes"]).expect(0);
        project.write("0002_b.up.sql", "create table b (n integer, m integer);");
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(4).json();
        assert_eq!(said["blocked_by"][0]["reason"], "edited");
        assert_eq!(project.run(&["plan"]).code, Some(4));
        project.run(&["resolve", "0002_b", "--as", "applied", "--reason", "the column was added by hand"]).expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        project.remove("0002_b.up.sql");
        project.remove("0002_b.down.sql");
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(4).json();
        assert_eq!(said["blocked_by"][0]["reason"], "missing");
    }
}

#[test]
fn r14_a_latecomer_is_never_silently_skipped() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        project.write("0005_e.up.sql", "create table e (n integer);");
        project.run(&["apply", "--yes"]).expect(0);
        project.write("0003_late.up.sql", "create table late (n integer);");
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(3).json();
        assert_eq!(said["blocked_by"][0]["reason"], "out-of-order");
        assert!(!project.database.has_table("late"));
        let said = project.run(&["apply", "--yes", "--out-of-order", "ignore", "--format", "json"]).expect(0).json();
        let note = said["notes"][0].as_str().unwrap();
        assert!(note.contains("0003_late is left out") && note.contains("`0005_e`"), "{said}");
        assert!(!project.database.has_table("late"));
        let said = project.run(&["plan", "--out-of-order", "ignore"]).expect(0);
        assert!(said.stdout.contains("0003_late is left out"), "{}", said.stdout);
        project.run(&["apply", "--yes", "--out-of-order", "apply"]).expect(0);
        assert!(project.database.has_table("late"));
    }
}

#[test]
fn s1_40_s4_35_rollback_undoes_newest_first_and_refuses_what_is_needed_or_has_no_way_back() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        project.write("0003_c.up.sql", "-- godwit: depends_on=0002_b\ncreate table c (n integer);");
        project.write("0003_c.down.sql", "drop table c;");
        project.run(&["apply", "--yes"]).expect(0);
        let said = project.run(&["rollback", "0002_b", "--yes", "--format", "json"]).expect(3).json();
        assert_eq!(said["blocked_by"][0]["reason"], "dependants");
        let said = project.run(&["rollback", "--to", "1", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(said["steps"][0]["migration"], "0003_c");
        assert_eq!(said["steps"][1]["state"], "rolled_back");
        assert_eq!(project.database.history(), ["0001_a applied", "0002_b rolled_back", "0003_c rolled_back"]);
        project.run(&["apply", "--yes"]).expect(0);
        project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        assert!(!project.database.has_table("c") && project.database.has_table("b"));
        project.remove("0002_b.down.sql");
        let said = project.run(&["rollback", "0002_b", "--yes", "--format", "json"]).json();
        assert_eq!(said["blocked_by"][0]["reason"], "no-down");
    }
}

#[test]
fn a_rollback_that_stops_says_how_far_it_came() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        project.write("0001_a.down.sql", "drop table nowhere;");
        project.run(&["apply", "--yes"]).expect(0);
        let said = project.run(&["rollback", "--steps", "2", "--yes"]).expect(1).stdout;
        assert!(said.contains("failed after 1 migration undone"), "{said}");
    }
}

#[test]
fn an_existing_database_is_adopted_without_running_anything() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        project.database.query("create table a (n integer)");
        project.run(&["baseline", "--to", "0001"]).expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.history(), ["0001_a applied", "0002_b applied"]);
    }
}

#[test]
fn decisions_20_a_target_older_than_its_ledger_is_drift() {
    for kind in BOTH {
        let project = Project::new(kind, &PAIR);
        project.run(&["apply", "--yes"]).expect(0);
        // As after a restore of an older state.
        project.database.query("delete from godwit_history where id = '0002_b'");
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(4).json();
        assert_eq!(said["blocked_by"][0]["reason"], "drift");
        project.database.query("drop table b");
        project
            .run(&["resolve", "0002_b", "--as", "rolled-back", "--reason", "restored last night's backup"])
            .expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        assert!(project.database.has_table("b"));
    }
}

#[test]
fn r11_a_mix_is_refused_with_its_line_and_run_in_order_when_marked() {
    for (kind, outsider) in [(Kind::Postgres, "create index concurrently a_n on a (n);"), (Kind::Sqlite, "vacuum;")] {
        let mix = format!("create table a (n integer);\n{outsider}\ninsert into a values (7);");
        let project = Project::new(kind, &[("1_mix.up.sql", &mix)]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert_eq!(said["blocked_by"][0]["reason"], "mixed-transaction");
        assert!(said["blocked_by"][0]["message"].as_str().unwrap().contains("1_mix.up.sql:2:"));
        assert!(!project.database.has_table("a"));
        project.write("1_mix.up.sql", &format!("-- godwit: no-transaction\n{mix}"));
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one("select cast(n as text) from a"), "7");
    }
}

#[test]
fn a_failure_between_single_statements_goes_on_from_there() {
    for kind in BOTH {
        let text = "-- godwit: no-transaction\ncreate table a (n integer);\ninsert into a values (1);\ninsert into b values (1);\ninsert into a values (2);";
        let project = Project::new(kind, &[("1_a.up.sql", text)]);
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert_eq!(
            (&said["steps"][0]["error"]["line"], &said["steps"][0]["error"]["undone"]),
            (&4.into(), &false.into())
        );
        project.database.query("create table b (n integer)");
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one("select cast(sum(n) as text) from a"), "3");
        assert_eq!(project.database.one("select cast(count(*) as text) from b"), "1");
    }
}

#[test]
fn decisions_13_a_files_own_transaction_becomes_ours() {
    for kind in BOTH {
        let project = Project::new(
            kind,
            &[("1_a.up.sql", "BEGIN;\ncreate table a (n integer);\ninsert into nope values (1);\nCOMMIT;")],
        );
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        assert_eq!(said["steps"][0]["error"]["line"], 3, "{kind:?}");
        assert!(!project.database.has_table("a"));
    }
}

#[test]
fn r1_a_file_with_several_transactions_commits_them_one_by_one_and_goes_on_from_there() {
    for kind in BOTH {
        let text = "BEGIN;\ncreate table a (n integer);\ninsert into a values (1);\nCOMMIT;\n\n\
                    insert into a values (2);\n\nBEGIN;\ninsert into b values (3);\ninsert into a values (3);\nCOMMIT;\n";
        let project = Project::new(kind, &[("1_a.up.sql", text)]);
        let rows = || project.database.one("select cast(count(*) as text) || ' ' || cast(sum(n) as text) from a");
        // The last part fails whole; those before it are there, as the file has them.
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
        let error = &said["steps"][0]["error"];
        assert_eq!((&error["line"], &error["undone"]), (&9.into(), &false.into()), "{kind:?} {said}");
        assert_eq!((rows(), project.database.history()), ("2 3".to_owned(), vec!["1_a failed".to_owned()]));
        project.database.query("create table b (n integer)");
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!((rows(), project.database.one("select cast(count(*) as text) from b")), ("3 6".into(), "1".into()));
        // Killed at any border of a part, each of them is done once.
        for point in ["stmt_acked", "commit_sent", "commit_acked"] {
            for nth in 1..=3 {
                let project = Project::new(kind, &[("1_a.up.sql", text)]);
                project.database.query("create table b (n integer)");
                let killed = project.run_killed_at(&format!("{point}:kill:{nth}"), &["apply", "--yes"]);
                assert_eq!(killed.code, None, "{kind:?} {point} {nth}: {killed:?}");
                project.run(&["resume"]).expect(0);
                let rows = project.database.one("select cast(count(*) as text) || ' ' || cast(sum(n) as text) from a");
                assert_eq!(
                    (rows.as_str(), project.database.history()),
                    ("3 6", vec!["1_a applied".to_owned()]),
                    "{kind:?} {point} {nth}"
                );
            }
        }
    }
}

#[test]
fn decisions_17_destruction_is_not_done_unasked() {
    let project = Project::new(Kind::Sqlite, &[("1_a.up.sql", "create table a (n integer);")]);
    project.run(&["apply"]).expect(0);
    project.write("2_b.up.sql", "drop table a;");
    let said = project.run(&["apply"]).expect(2);
    assert!(said.stderr.contains("--yes"), "{said:?}");
    assert!(project.database.has_table("a"));
    project.run(&["apply", "--yes"]).expect(0);
    assert!(!project.database.has_table("a"));
}

#[test]
fn what_a_script_does_to_its_session_stays_with_it() {
    let project = Project::new(
        Kind::Postgres,
        &[
            (
                "1_a.up.sql",
                "create schema other;\nselect pg_catalog.set_config('search_path', '', false);\ncreate table public.a (n int);",
            ),
            ("2_b.up.sql", "create table b (n int);\nset lock_timeout = 0;\ncreate temp table t (n int);"),
            (
                "3_c.up.sql",
                "create temp table t (n int);\ncreate table c as select current_setting('lock_timeout') as l;",
            ),
            (
                "4_d.up.sql",
                "create role godwit_it_nobody;\nset local role godwit_it_nobody;\nset role godwit_it_nobody;",
            ),
            ("5_e.up.sql", "drop role godwit_it_nobody;"),
        ],
    );
    let _ = project.database.try_query("drop role if exists godwit_it_nobody");
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.one("select l from c"), "3s");
    assert_eq!(
        project
            .database
            .one("select count(*)::text from pg_class where relname = 'b' and relnamespace = 'public'::regnamespace"),
        "1"
    );
}

#[test]
fn a_schema_named_like_the_user_does_not_hide_the_history() {
    let project = Project::new(Kind::Postgres, &[("1_a.up.sql", "create table a (n int);")]);
    project.run(&["apply", "--yes"]).expect(0);
    project.database.query("do $$ begin execute format('create schema %I', current_user); end $$");
    assert_eq!(project.run(&["apply", "--yes", "--format", "json"]).expect(0).json()["outcome"], "nothing");
}

#[test]
fn dec19_a_script_of_many_megabytes_is_one_transaction_in_pieces() {
    let line = format!("insert into big values ('{}; it''s long');\n", "x".repeat(10_000));
    let text = format!("create table big (t text);\n{}insert into nowhere values (1);\n", line.repeat(600));
    let project = Project::new(Kind::Postgres, &[("0001_big.up.sql", &text)]);
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let error = &said["steps"][0]["error"];
    assert_eq!((&error["line"], &error["undone"]), (&602.into(), &true.into()), "{}", error["message"]);
    assert!(!project.database.has_table("big"));
    project.write("0001_big.up.sql", &text.replace("nowhere", "big"));
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.one("select count(*)::text from big"), "601");
    assert_eq!(project.database.history(), ["0001_big applied"]);
}
