//! Every way a command that changes a database may refuse or fail, and the exit code it ends with (INTERFACE 2).

use crate::support::{Kind, Project};

/// What is done to a project with two migrations that are applied.
struct Case {
    /// The reason in the report; empty where there is none.
    reason: &'static str,
    code: i32,
    kind: Kind,
    files: &'static [(&'static str, &'static str)],
    gone: &'static [&'static str],
    sql: &'static str,
    args: &'static [&'static str],
}

const APPLY: &[&str] = &["apply", "--yes"];

fn case(reason: &'static str, code: i32, args: &'static [&'static str]) -> Case {
    Case { reason, code, kind: Kind::Sqlite, files: &[], gone: &[], sql: "", args }
}

fn cases() -> Vec<Case> {
    vec![
        // 0: done, or nothing to do.
        case("", 0, APPLY),
        case("", 0, &["rollback", "--steps", "1", "--yes"]),
        // 1: findings at error level, or the work failed and was undone.
        Case { files: &[("0003_c.up.sql", "insert into nowhere values (1);")], ..case("", 1, APPLY) },
        Case { files: &[("0002_again.up.sql", "select 1;")], ..case("invalid-set", 1, APPLY) },
        Case { files: &[("0003_c.up.sql", "create table c (n int);\nvacuum;")], ..case("mixed-transaction", 1, APPLY) },
        Case {
            kind: Kind::Postgres,
            files: &[("0003_c.up.sql", "\\connect other\ncreate table c (n int);")],
            ..case("psql-command", 1, APPLY)
        },
        Case {
            kind: Kind::Postgres,
            files: &[("0003_c.up.sql", "copy a from stdin;\n1\n\\.\n")],
            ..case("psql-command", 1, APPLY)
        },
        Case { files: &[("0003_c.up.sql", "insert into a values ('open);")], ..case("syntax-error", 1, APPLY) },
        Case { gone: &["0002_b.down.sql"], ..case("no-down", 1, &["rollback", "0002_b", "--yes"]) },
        // 2: a name that is nowhere, or nobody to ask.
        case("unknown", 2, &["apply", "--yes", "--to", "0009"]),
        case("unknown", 2, &["rollback", "0009", "--yes"]),
        case("unknown", 2, &["baseline", "--to", "0009"]),
        Case {
            files: &[("0003_c.up.sql", "create table c (n int);")],
            ..case("not-applied", 2, &["rollback", "0003_c", "--yes"])
        },
        case("", 2, &["rollback", "--steps", "1"]),
        case("", 2, &["resolve", "0009", "--as", "applied", "--reason", "r"]),
        // 3: what may open by itself or by people's word.
        Case {
            files: &[("0003_c.up.sql", "-- godwit: depends_on=0001_a\ncreate table c (n int);")],
            ..case("dependants", 3, &["rollback", "0001_a", "--yes"])
        },
        Case { sql: "insert into b values (1)", ..case("data-loss", 3, &["rollback", "0002_b", "--yes"]) },
        // 4: a person is needed.
        Case { files: &[("0002_b.up.sql", "create table b (n int, m int);")], ..case("edited", 4, APPLY) },
        Case { gone: &["0002_b.up.sql", "0002_b.down.sql"], ..case("missing", 4, APPLY) },
        Case { sql: "delete from godwit_history where id = '0002_b'", ..case("drift", 4, APPLY) },
        Case { sql: "update godwit_history set state = 'needs_human' where id = '0002_b'", ..case("dirty", 4, APPLY) },
    ]
}

#[test]
fn every_refusal_has_its_exit_code() {
    for case in cases() {
        let project = Project::new(
            case.kind,
            &[
                ("0001_a.up.sql", "create table a (n int);"),
                ("0001_a.down.sql", "drop table a;"),
                ("0002_b.up.sql", "create table b (n int);"),
                ("0002_b.down.sql", "drop table b;"),
            ],
        );
        project.run(APPLY).expect(0);
        case.files.iter().for_each(|(name, text)| project.write(name, text));
        case.gone.iter().for_each(|name| project.remove(name));
        if !case.sql.is_empty() {
            project.database.query(case.sql);
        }
        let said = project.run(&[case.args, &["--format", "json"]].concat());
        assert_eq!(said.code, Some(case.code), "{} {:?}: {said:?}", case.reason, case.args);
        if !case.reason.is_empty() {
            assert_eq!(said.json()["blocked_by"][0]["reason"], case.reason, "{said:?}");
        }
    }
}

#[test]
fn dec20_a_target_that_is_older_than_its_ledger_is_told_by_whatever_looks_at_it() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let project = Project::new(
            kind,
            &[
                ("0001_a.up.sql", "create table a (n int);"),
                ("0001_a.down.sql", "drop table a;"),
                ("0002_b.up.sql", "create table b (n int);"),
            ],
        );
        project.run(APPLY).expect(0);
        project.run(&["status"]).expect(0);
        project.database.query("drop table b");
        project.database.query("delete from godwit_history where id = '0002_b'");
        let told = |args: &[&str]| {
            let said = project.run(&[args, &["--format", "json"]].concat());
            assert_eq!(said.code, Some(4), "{kind:?} {args:?}: {said:?}");
            said.json()["blocked_by"].clone()
        };
        let refused = told(APPLY);
        assert!(refused[0]["message"].as_str().unwrap().contains("older than what was recorded"), "{refused}");
        assert_eq!(told(&["plan"]), refused);
        assert_eq!(told(&["apply", "--dry-run"]), refused);
        assert_eq!(told(&["rollback", "0001_a", "--dry-run"]), refused);
        let status = project.run(&["status", "--format", "json"]).expect(4).json();
        assert_eq!(status["targets"][0]["older"], refused, "{status}");
        let status = project.run(&["status"]).expect(4);
        assert!(status.stdout.contains("older than what was recorded"), "{status:?}");
        // A person's word ends it.
        project.run(&["resolve", "0002_b", "--as", "rolled-back", "--reason", "an older copy"]).expect(0);
        project.run(&["plan"]).expect(0);
        project.run(&["status"]).expect(0);
    }
}

#[test]
fn out_of_order_is_a_gate_and_a_database_that_is_away_is_unreachable() {
    let project = Project::new(Kind::Sqlite, &[("0001_a.up.sql", "create table a (n int);")]);
    project.write("0003_c.up.sql", "create table c (n int);");
    project.run(APPLY).expect(0);
    project.write("0002_b.up.sql", "create table b (n int);");
    assert_eq!(
        project.run(&["apply", "--yes", "--format", "json"]).expect(3).json()["blocked_by"][0]["reason"],
        "out-of-order"
    );
    for (url, code) in [
        ("postgres://nobody@127.0.0.1:1/none", 5),
        ("sqlite:/nowhere/at/all.db", 5),
        ("mysql://h/d", 2),
        ("postgres://h:port/d", 2),
    ] {
        let output = project.command_at(url, APPLY).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{url}: {said}");
        // [S2-133]
        assert_eq!(said.contains("MySQL is none of them"), url.starts_with("mysql"), "{url}: {said}");
    }
}

#[test]
fn what_was_already_there_is_recorded_and_not_called_applied() {
    let project = Project::new(Kind::Sqlite, &[("0001_a.up.sql", "create table a (n int);")]);
    project.database.query("create table a (n int)");
    let look = project.run(&["baseline", "--to", "0001", "--dry-run"]).expect(0).stdout;
    assert!(look.contains("1 migration to record"), "{look}");
    let said = project.run(&["baseline", "--to", "0001"]).expect(0).stdout;
    assert!(said.contains("recorded") && said.contains("nothing was run") && !said.contains("applied"), "{said}");
}

#[test]
fn what_runs_statement_by_statement_is_not_called_atomic() {
    let text = "-- godwit: no-transaction\ncreate table a (n int);\ninsert into nowhere values (1);";
    let project = Project::new(Kind::Sqlite, &[("0001_a.up.sql", text)]);
    let plan = project.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("statement by statement") && !plan.contains("(atomic)"), "{plan}");
    let said = project.run(APPLY).expect(1).stdout;
    assert!(said.contains("statement by statement") && !said.contains("(atomic)"), "{said}");
    assert_eq!(project.run(&["plan", "--format", "json"]).json()["steps"][0]["in_transaction"], false);
}
