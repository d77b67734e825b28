//! sqlx's own migrator, which this program has in it, on the same folder and database.

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use super::{lay, project, states};
use crate::support::{BOTH, Kind, Project, apart, wait};

fn pair(n: u32) -> Vec<(String, String)> {
    vec![
        (format!("2024010{n}000000_t_{n}.up.sql"), format!("-- é\r\ncreate table t{n} (n integer);\r\n")),
        (format!("2024010{n}000000_t_{n}.down.sql"), format!("drop table t{n};")),
    ]
}

/// Has sqlx do `what` with the folder.
fn sqlx(project: &Project, undo_to: Option<i64>) -> Result<(), String> {
    let (kind, url, dir) = (project.database.kind, project.database.url.clone(), project.migrations());
    apart(|| {
        wait(async {
            let migrator = Migrator::new(dir).await.map_err(|e| e.to_string())?;
            let done = match kind {
                Kind::Sqlite => {
                    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
                    let options = options.create_if_missing(true);
                    let mut c = SqliteConnection::connect_with(&options).await.unwrap();
                    match undo_to {
                        None => migrator.run(&mut c).await,
                        Some(to) => migrator.undo(&mut c, to).await,
                    }
                }
                _ => {
                    let mut c = PgConnection::connect(&url).await.unwrap();
                    match undo_to {
                        None => migrator.run(&mut c).await,
                        Some(to) => migrator.undo(&mut c, to).await,
                    }
                }
            };
            done.map_err(|e| e.to_string())
        })
    })
}

fn all_applied(project: &Project) -> bool {
    states(project).iter().all(|s| s.ends_with(" applied"))
}

#[test]
fn sqlx_and_godwit_go_on_where_the_other_stopped() {
    for kind in BOTH {
        let project = project(kind, &pair(1));
        lay(&project, &pair(2));
        sqlx(&project, None).unwrap();
        lay(&project, &pair(3));
        assert_eq!(
            states(&project),
            ["20240101000000_t_1 applied", "20240102000000_t_2 applied", "20240103000000_t_3 pending"]
        );
        // Its table is there, so the folder is its own; its sums are of the bytes.
        project.run(&["apply", "--yes"]).expect(0);
        sqlx(&project, None).unwrap();
        lay(&project, &pair(4));
        sqlx(&project, None).unwrap();
        assert!(all_applied(&project), "{:?}", states(&project));
        project.run(&["baseline"]).expect(0);
        project.run(&["rollback", "--steps", "2", "--yes"]).expect(0);
        assert!(!project.database.has_table("t3"));
        sqlx(&project, None).unwrap();
        assert!(all_applied(&project) && project.database.has_table("t4"));
        // What sqlx takes back is drift until somebody says so.
        project.run(&["baseline"]).expect(0);
        sqlx(&project, Some(20_240_103_000_000)).unwrap();
        project.run(&["apply", "--yes"]).expect(4);
        project.run(&["resolve", "20240104000000_t_4", "--as", "rolled-back", "--reason", "by sqlx"]).expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        sqlx(&project, None).unwrap();
        assert!(project.database.has_table("t4"));
    }
}

#[test]
fn a_folder_said_to_be_sqlxs_is_begun_by_godwit_and_finished_by_sqlx() {
    let project = project(Kind::Postgres, &pair(1));
    lay(&project, &pair(2));
    let write = |path: &str, text: &str| {
        let path = project.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("godwit.yml", "version: 1\nmigrations:\n  - { path: m, layout: sqlx, target: shop }\n");
    write(
        "policies/environments.yml",
        "development:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP}\" }\n",
    );
    let run = |args: &[&str]| {
        let mut command = crate::support::godwit(project.dir.path());
        crate::support::Said::from(command.args(args).env("SHOP", &project.database.url).output().unwrap())
    };
    run(&["apply", "development", "--yes"]).expect(0);
    lay(&project, &pair(3));
    sqlx(&project, None).unwrap();
    assert!(project.database.has_table("t3"));
    let status = run(&["status", "development", "--format", "json"]).expect(0).json();
    let rows = status["targets"][0]["migrations"].as_array().unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|r| r["state"] == "applied"), "{status}");
    // An edit of what sqlx applied is found by its own sum.
    lay(&project, &[("20240103000000_t_3.up.sql".to_owned(), "create table t3 (n bigint);".to_owned())]);
    let said = run(&["apply", "development", "--yes", "--format", "json"]).expect(4).json();
    assert_eq!(super::reasons(&said), ["edited"]);
}
