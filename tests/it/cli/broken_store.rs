//! A store that cannot be opened: the database's own words are told, and no secret is.

use std::net::TcpListener;

use crate::support::{Kind, Project, Said, godwit};

/// A store on a server where nobody listens.
fn nobody() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("postgres://godwit:planted-password@127.0.0.1:{free}/store")
}

/// A store in a file that holds something else.
fn no_database(project: &Project) -> String {
    let file = project.dir.path().join("notes.txt");
    std::fs::write(&file, "bread, milk, eggs\n".repeat(100)).unwrap();
    format!("sqlite:{}", file.display())
}

#[test]
fn the_cause_is_told_and_no_secret() {
    let project = Project::new(Kind::Sqlite, &[("0001_a.up.sql", "create table a (n int);")]);
    for (store, cause) in [(nobody(), "refused"), (no_database(&project), "file is not a database")] {
        let list: Said = godwit(project.dir.path()).args(["audit", "list", "--store", &store]).output().unwrap().into();
        let apply = project.run(&["apply", "--yes", "--store", &store]);
        let serve = godwit(project.dir.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
            .env("GODWIT_WEBHOOK_SECRET", "planted-password")
            .output();
        for said in [list, apply, serve.unwrap().into()] {
            assert_eq!(said.code, Some(5), "{said:?}");
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains(cause) && !text.contains("timed out"), "{cause}: {said:?}");
            assert!(!text.contains("planted-password"), "{said:?}");
        }
        assert!(!project.database.has_table("a"));
        // What only looks goes on, and says what it did not see.
        for look in ["status", "plan"] {
            let said = project.run(&[look, "--store", &store]).expect(0);
            assert!(said.stdout.contains("0001_a") && said.stderr.contains("warning:"), "{said:?}");
            assert!(said.stderr.contains(cause) && !said.stderr.contains("planted-password"), "{said:?}");
        }
    }
}
