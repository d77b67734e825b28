//! Scripts that are too long to be held: sent as they are read, and never otherwise than as they were planned.

use std::process::Stdio;

use crate::support::{Kind, Project, Said, until};

/// A script of about `megabytes`, a line for each row behind the first three lines.
fn long(megabytes: usize, last: &str) -> String {
    let mut text = String::from("-- Rows that are written out.\nBEGIN;\ncreate table big (n int, t text);\n");
    let filling = "é; ' -- ".replace('\'', "''").repeat(90);
    let mut n = 0;
    while text.len() < megabytes << 20 {
        text.push_str(&format!("insert into big values ({n}, '{filling}');\n"));
        n += 1;
    }
    text.push_str(last);
    text.push_str("COMMIT;\n");
    text
}

fn rows(text: &str) -> String {
    text.matches("insert into").count().to_string()
}

#[test]
fn a_long_script_is_sent_as_it_is_read_and_recorded_as_any_other() {
    let text = long(7, "set role pg_monitor;\nset search_path = pg_catalog;\n");
    let project = Project::new(
        Kind::Postgres,
        &[
            ("0001_big.up.sql", text.as_str()),
            (
                "0002_next.up.sql",
                "create table public.next_one as select current_user::text as who, count(*) from big;",
            ),
        ],
    );
    let plan = project.run(&["plan", "--format", "json"]).expect(0).json();
    let told = plan["steps"][0]["statements"][0].as_str().unwrap();
    assert!(told.contains("0001_big.up.sql") && told.contains(" statements, "), "{told}");
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.one("select count(*) from big"), rows(&text));
    assert_eq!(project.database.one("select count from next_one"), rows(&text));
    assert_ne!(project.database.one("select who from next_one"), "pg_monitor");
    // What reads the whole text knows it again.
    let status = project.run(&["status", "--format", "json"]).expect(0).json();
    let all = status["targets"][0]["migrations"].as_array().unwrap();
    assert!(all.iter().all(|m| m["state"] == "applied" && m["note"].is_null()), "{status:#}");
    assert_eq!(project.run(&["apply", "--format", "json"]).expect(0).json()["outcome"], "nothing");
    // And an edit is seen in either way.
    project.write("0001_big.up.sql", &text.replacen("Rows", "Lines", 1));
    let said = project.run(&["apply", "--yes", "--format", "json"]).expect(4).json();
    assert_eq!(said["blocked_by"][0]["reason"], "edited");
}

#[test]
fn an_error_in_a_long_script_has_its_line_and_leaves_nothing() {
    let text = long(6, "insert into big values (1, nope);\n");
    let line = text.lines().position(|l| l.contains("nope")).unwrap() + 1;
    let project = Project::new(Kind::Postgres, &[("0001_big.up.sql", text.as_str())]);
    let json = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let error = &json["steps"][0]["error"];
    assert_eq!((&error["code"], &error["line"], &error["undone"]), (&"42703".into(), &line.into(), &true.into()));
    assert!(!project.database.has_table("big"));
    assert_eq!(project.database.history(), ["0001_big failed"]);
}

#[test]
fn a_long_script_that_changes_before_it_is_sent_is_taken_back() {
    let text = long(5, "");
    let project = Project::new(Kind::Postgres, &[("0001_big.up.sql", text.as_str())]);
    for changed in
        [text.replacen("values (7,", "values (8,", 1), "select 1;".to_owned(), text.replace("COMMIT", "COMMI")]
    {
        project.write("0001_big.up.sql", &text);
        let marker = project.dir.path().join("marker");
        let run = project
            .command(&["apply", "--yes", "--format", "json"])
            .env("GODWIT_FAILPOINT", format!("intent_post:wait:1:{}", marker.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until("the intent is durable", || marker.exists());
        project.write("0001_big.up.sql", &changed);
        std::fs::remove_file(&marker).unwrap();
        let said: Said = run.wait_with_output().unwrap().into();
        let json = said.expect(1).json();
        let message = json["steps"][0]["error"]["message"].as_str().unwrap();
        assert!(message.contains("not what was planned"), "{message}");
        assert!(!project.database.has_table("big"));
        assert_eq!(project.database.history(), ["0001_big failed"]);
    }
    project.write("0001_big.up.sql", &text);
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.one("select count(*) from big"), rows(&text));
}

#[test]
fn r2_a_long_script_is_there_as_a_whole_or_not_at_all() {
    let text = long(5, "");
    for point in ["stmt_sent:kill", "commit_sent:kill", "commit_acked:kill"] {
        let project = Project::new(Kind::Postgres, &[("0001_big.up.sql", text.as_str())]);
        project.run_killed_at(point, &["apply", "--yes"]);
        project.run(&["resume"]).expect(0);
        assert_eq!(project.database.one("select count(*) from big"), rows(&text), "{point}");
        assert_eq!(project.database.history(), ["0001_big applied"], "{point}");
    }
}

#[test]
fn what_does_not_run_as_one_plain_transaction_is_read_as_a_whole() {
    for (kind, head) in
        [(Kind::Postgres, "-- godwit: no-transaction\n"), (Kind::Postgres, "-- +goose Up\n"), (Kind::Sqlite, "")]
    {
        let rows = format!("insert into big values ('{}');\n", "x".repeat(1 << 20)).repeat(5);
        let text = format!("{head}create table big (t text);\n{rows}");
        let project = Project::new(kind, &[("0001_big.sql", text.as_str())]);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.one("select count(*) from big"), "5", "{head}");
    }
}
