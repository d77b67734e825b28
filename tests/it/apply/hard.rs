//! Machines that are full, closed, unencrypted or wrong about the time: each is told, and nothing is half done.

use std::process::Command;

use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Project, Said, godwit, postgres_server};

#[test]
fn a_full_disk_takes_the_migration_back_and_says_so() {
    let fill = "CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                SELECT i, hex(randomblob(500)) AS t FROM n;";
    let project =
        Project::new(Kind::Sqlite, &[("0001_a.up.sql", "create table a (n int);"), ("0002_big.up.sql", fill)]);
    // No file of this process may grow above eight megabytes, and it is told so instead of being ended.
    let mut command = Command::new("bash");
    command.current_dir(project.dir.path()).args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$@\"", "limited"]);
    command.arg(env!("CARGO_BIN_EXE_godwit")).args(["apply", "--yes", "--format", "json"]);
    command.args(["--url", &project.database.url, "--path"]).arg(project.migrations());
    command
        .env("GODWIT_DATA_DIR", project.dir.path().join("state"))
        .env("USER", "tester")
        .env_remove("GODWIT_STORE_URL");
    let said: Said = command.output().unwrap().into();
    let json = said.expect(1).json();
    let error = &json["steps"][1]["error"];
    assert_eq!((&json["steps"][1]["state"], &error["undone"]), (&"failed".into(), &true.into()), "{json:#}");
    let words = error["message"].as_str().unwrap();
    assert!(words.contains("full") || words.contains("disk I/O error"), "{words}");
    assert!(!project.database.has_table("big"));
    assert_eq!(project.database.history()[0], "0001_a applied");
    // With room again it goes on.
    project.run(&["apply", "--yes"]).expect(0);
    assert!(project.database.has_table("big"));
}

#[test]
fn a_full_disk_of_a_server_takes_the_migration_back_and_says_so() {
    let server = OwnServer::up("postgres_small");
    let fill =
        |rows: u32| format!("create table big as select n, repeat('x', 1000) as t from generate_series(1, {rows}) n;");
    let project = Project::of(
        Database::alone_on(Kind::Postgres, &server.url),
        &[("0001_a.up.sql", "create table a (n int);"), ("0002_big.up.sql", &fill(100_000))],
    );
    project.database.query(&format!("alter database {} set default_tablespace = small", project.database.name()));
    let json = project.run(&["apply", "--yes", "--format", "json"]).expect(1).json();
    let error = &json["steps"][1]["error"];
    assert_eq!((&error["code"], &error["undone"]), (&"53100".into(), &true.into()), "{json:#}");
    assert!(error["message"].as_str().unwrap().contains("No space left on device"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("disk space"), "{error}");
    assert!(project.database.has_table("a") && !project.database.has_table("big"));
    assert_eq!(project.database.history()[0], "0001_a applied");
    // What fits goes on from there.
    project.write("0002_big.up.sql", &fill(1_000));
    project.run(&["apply", "--yes"]).expect(0);
    assert_eq!(project.database.one("select count(*) from big"), "1000");
}

#[test]
fn what_a_user_may_not_do_is_told_with_file_and_line_and_undone() {
    let project = Project::new(
        Kind::Postgres,
        &[("0001_a.up.sql", "create table mine (n int);\nalter table theirs add column m int;")],
    );
    let role = format!("{}_clerk", project.database.name());
    project.database.query("create table theirs (n int)");
    project.database.query(&format!("create role {role} login password 'planted-secret'"));
    project.database.query(&format!("grant create, usage on schema public to {role}"));
    let (_, host) = project.database.url.split_once('@').unwrap();
    let url = format!("postgres://{role}:planted-secret@{host}");
    let said: Said = project.command_at(&url, &["apply", "--yes", "--format", "json"]).output().unwrap().into();
    assert!(!format!("{said:?}").contains("planted-secret"));
    let json = said.expect(1).json();
    let error = &json["steps"][0]["error"];
    assert_eq!((&error["code"], &error["line"]), (&"42501".into(), &2.into()), "{json:#}");
    assert!(error["message"].as_str().unwrap().contains("must be owner"), "{error}");
    assert!(!project.database.has_table("mine"));
    project.database.query(&format!("drop owned by {role} cascade"));
    project.database.query(&format!("drop role {role}"));
}

#[test]
fn a_server_that_refuses_tls_is_unreachable_and_nothing_is_sent_in_the_clear() {
    let project = Project::new(Kind::Postgres, &[("0001_a.up.sql", "create table a (n int);")]);
    assert!(!postgres_server().contains("sslmode=require"));
    let url = format!("{}?sslmode=require", project.database.url.split('?').next().unwrap());
    let said: Said = project.command_at(&url, &["apply", "--yes"]).output().unwrap().into();
    let said = said.expect(5);
    assert!(said.stderr.contains("cannot connect") && said.stderr.to_lowercase().contains("tls"), "{said:?}");
    assert_eq!(project.database.history(), Vec::<String>::new());
}

#[test]
fn a_clock_that_was_wrong_changes_no_order() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let files = [("0001_a.up.sql", "create table a (n int);"), ("0001_a.down.sql", "drop table a;")];
        let project = Project::new(kind, &files);
        project.run(&["apply", "--yes"]).expect(0);
        // The server's clock was a hundred years ahead, and was set right.
        project.database.query(match kind {
            Kind::Postgres => {
                "update godwit_history set started_at = started_at + interval '100 years', finished_at = finished_at + interval '100 years'"
            }
            _ => "update godwit_history set started_at = started_at + 3155760000000, finished_at = finished_at + 3155760000000",
        });
        project.write("0002_b.up.sql", "create table b (n int);");
        project.write("0002_b.down.sql", "drop table b;");
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.history(), ["0001_a applied", "0002_b applied"]);
        // The newest one is the highest, not the one that a clock says was last.
        project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
        assert_eq!(project.database.history(), ["0001_a applied", "0002_b rolled_back"], "{kind:?}");
        let mut status = godwit(project.dir.path());
        let _: &mut Command =
            status.args(["status", "--url", &project.database.url, "--path"]).arg(project.migrations());
        let said: Said = status.output().unwrap().into();
        said.expect(0);
    }
}
