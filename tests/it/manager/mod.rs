//! The library: a folder, the databases it is for, and three calls.

use godwit::MigrationManager;
use godwit::manager::ManagerError;
use godwit::plan::{MigrationState, Outcome};

use crate::support::{Database, Kind, wait};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = dir.path().join("m").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    dir
}

fn typed(engine: &str, version: &str, name: &str, operations: &str) -> String {
    format!(
        r#"{{"version":"{version}","name":"{name}","description":"d","database_type":"{engine}","migration_type":"schema"{operations}}}"#
    )
}

#[test]
fn s4_37_s4_38_s4_39_two_databases_go_forward_to_a_version_and_back_and_a_third_is_left_out() {
    let (pg, mongo) = (Database::fresh(Kind::Postgres), Database::fresh(Kind::Mongodb));
    let meta = |version: &str, name: &str| typed("postgresql", version, name, "");
    let make = |name: &str| format!(r#","operations":[{{"type":"create_collection","collection":"{name}"}}]"#);
    let dir = folder(&[
        ("postgresql/001_a.json", &meta("1.0.0", "a")),
        ("postgresql/001_a.sql", "CREATE TABLE a (id bigint PRIMARY KEY);"),
        ("postgresql/001_a_rollback.sql", "DROP TABLE a;"),
        ("postgresql/002_b.json", &meta("1.1.0", "b")),
        ("postgresql/002_b.sql", "CREATE TABLE b (id bigint PRIMARY KEY);"),
        ("postgresql/002_b_rollback.sql", "DROP TABLE b;"),
        ("mongodb/001_c.json", &typed("mongodb", "1.0.0", "c", &make("c"))),
        (
            "redis/001_ttl.json",
            &typed("redis", "1.0.0", "ttl", r#","operations":[{"type":"delete_keys","keys":["x"]}]"#),
        ),
    ]);
    let (server, name) = mongo.url.split_once('?').map_or((mongo.url.as_str(), None), |(a, b)| (a, Some(b)));
    let (server, database) = server.rsplit_once('/').unwrap();
    let server = name.map_or(server.to_owned(), |options| format!("{server}/?{options}"));
    let manager = MigrationManager::new(dir.path().join("m"))
        .postgresql(&pg.url)
        .mongodb(server, database)
        .store(format!("sqlite:{}", dir.path().join("store.db").display()))
        .by("shop");
    wait(async {
        let report = manager.run_migrations("1.0.0").await.unwrap();
        assert_eq!((report.outcome, report.steps.len()), (Outcome::Applied, 2), "{report:?}");
        assert!(report.notes.iter().any(|n| n.contains("redis: 1 migration left out")), "{:?}", report.notes);
        let report = manager.run_migrations("latest").await.unwrap();
        assert_eq!((report.outcome, report.steps.len()), (Outcome::Applied, 1));
        let status = manager.get_migration_status().await.unwrap();
        let applied = status.iter().flat_map(|t| &t.migrations).filter(|m| m.state == MigrationState::Applied);
        assert_eq!(applied.clone().count(), 3, "{status:?}");
        assert!(applied.into_iter().all(|m| m.by.as_deref() == Some("shop")));
        let report = manager.rollback_migrations("1.0.0").await.unwrap();
        assert_eq!((report.outcome, report.steps.len()), (Outcome::Applied, 1), "{report:?}");
    });
}

#[test]
fn s4_68_a_way_back_that_loses_data_is_for_a_program_that_says_so() {
    let dir = folder(&[
        ("0001_a.up.sql", "create table a (n int);"),
        ("0001_a.down.sql", "drop table a;"),
        ("0002_b.up.sql", "create table b (n int);"),
        ("0002_b.down.sql", "drop table b;"),
    ]);
    let database = Database::fresh(Kind::Sqlite);
    let manager = MigrationManager::new(dir.path().join("m"))
        .sqlite(&database.url)
        .store(format!("sqlite:{}", dir.path().join("store.db").display()));
    wait(async { manager.run_migrations("latest").await.unwrap() });
    database.query("insert into b values (1)");
    let refused = wait(async { manager.rollback_migrations("0001").await.unwrap() });
    assert_eq!(
        (refused.outcome, refused.blocked_by[0].reason.as_str()),
        (Outcome::Blocked, "data-loss"),
        "{refused:?}"
    );
    assert!(refused.blocked_by[0].message.contains("holds one row, which would be lost"), "{refused:?}");
    assert!(database.has_table("b"));
    let manager = manager.accept_data_loss();
    let undone = wait(async { manager.rollback_migrations("0001").await.unwrap() });
    assert_eq!(undone.outcome, Outcome::Applied, "{undone:?}");
    assert!(database.has_table("a") && !database.has_table("b"));
}

#[test]
fn what_cannot_be_read_or_reached_is_an_error_without_secrets() {
    let dir = folder(&[("0001_a.up.sql", "create table a (n int);")]);
    let there =
        || MigrationManager::new(dir.path().join("m")).store(format!("sqlite:{}", dir.path().join("s.db").display()));
    wait(async {
        let error =
            there().postgresql("postgres://u:hunter2secret@h:port/d").run_migrations("latest").await.unwrap_err();
        assert!(matches!(error, ManagerError::Address { .. }) && !error.to_string().contains("hunter2"), "{error}");
        let error = there().postgresql("postgres://u@127.0.0.1:1/d").get_migration_status().await.unwrap_err();
        assert!(matches!(error, ManagerError::Unreachable(_)), "{error}");
        let error = MigrationManager::new(dir.path().join("none")).sqlite("sqlite:x.db").get_migration_status().await;
        assert!(matches!(error, Err(ManagerError::Folder(_))));
        // A folder that does not say what it is for is for the one database.
        let file = format!("sqlite:{}", dir.path().join("a.db").display());
        let report = there().sqlite(file).run_migrations("latest").await.unwrap();
        assert_eq!(report.outcome, Outcome::Applied);
    });
}
