//! Connections that break at the worst moment.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Kind, Project, until};

/// Forwards to the server. The first message that holds `marker` is forwarded, and then the answer never comes: once
/// `cut` says so, both ends are closed.
fn proxy(server: String, marker: &'static [u8], cut: impl Fn() + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (armed, cut) = (Arc::new(AtomicBool::new(true)), Arc::new(cut));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let up = TcpStream::connect(&server).unwrap();
            let held = Arc::new(AtomicBool::new(false));
            let (mut from, mut to) = (client.try_clone().unwrap(), up.try_clone().unwrap());
            let (armed, cut, holds) = (Arc::clone(&armed), Arc::clone(&cut), Arc::clone(&held));
            std::thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    let hit =
                        buffer[..n].windows(marker.len()).any(|w| w == marker) && armed.swap(false, Ordering::SeqCst);
                    holds.fetch_or(hit, Ordering::SeqCst);
                    if to.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                    if hit {
                        cut();
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
            let (mut from, mut to) = (up, client);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    if !held.load(Ordering::SeqCst) && to.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

fn through(project: &Project, port: u16) -> (String, String) {
    let url = url::Url::parse(&project.database.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let mut proxied = url;
    proxied.set_host(Some("127.0.0.1")).unwrap();
    proxied.set_port(Some(port)).unwrap();
    (server, format!("{proxied}?sslmode=disable"))
}

#[test]
fn r12_an_answer_lost_after_commit_is_resolved_by_reading_the_history() {
    let project = Project::new(
        Kind::Postgres,
        &[
            ("1_a.up.sql", "create table a (n int);"),
            ("2_b.up.sql", "insert into a values (2); -- cut here"),
            ("3_c.up.sql", "insert into a values (3);"),
        ],
    );
    let url = project.database.url.clone();
    let committed = move || {
        until("the server has committed", || {
            crate::support::wait(async {
                use sqlx::{Connection as _, Executor as _, Row as _};
                let mut c = sqlx::PgConnection::connect(&url).await.unwrap();
                let row = c.fetch_one("select count(*)::text from a").await.unwrap();
                row.get::<String, _>(0) == "1"
            })
        });
    };
    let (server, _) = through(&project, 1);
    let port = proxy(server, b"cut here", committed);
    let (_, url) = through(&project, port);
    let said = project.command_at(&url, &["apply", "--yes", "--format", "json"]).output().unwrap();
    let said = crate::support::Said::from(said).expect(0);
    assert_eq!(said.json()["outcome"], "applied");
    assert_eq!(project.database.one("select string_agg(n::text, ',' order by n) from a"), "2,3");
    assert_eq!(project.database.history(), ["1_a applied", "2_b applied", "3_c applied"]);
}

#[test]
fn r12_a_connection_lost_before_commit_is_begun_again_and_applied_once() {
    let project = Project::new(
        Kind::Postgres,
        &[("1_a.up.sql", "create table a (n int);"), ("2_b.up.sql", "insert into a values (2);\nselect pg_sleep(1);")],
    );
    let child = project.spawn(&["apply", "--yes"]);
    until("the second one runs", || {
        project.database.one(
            "select count(*)::text from pg_stat_activity where query like '%pg_sleep(1)%' and state = 'active' \
             and application_name like 'godwit:%' and datname = current_database()",
        ) == "1"
    });
    project.database.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'godwit:%' and datname = current_database()",
    );
    let said = crate::support::Said::from(child.wait_with_output().unwrap()).expect(0);
    assert!(said.stdout.contains("2 migrations applied"), "{said:?}");
    assert_eq!(project.database.one("select count(*)::text from a"), "1");
    assert_eq!(project.database.history(), ["1_a applied", "2_b applied"]);
}

#[test]
fn what_cannot_be_reached_is_exit_five_and_names_no_password() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("m")).unwrap();
    std::fs::write(dir.path().join("m/1_a.up.sql"), "select 1;").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://shop:s3cr3t-w0rd@127.0.0.1:{free}/shop");
    for command in ["apply", "plan", "status", "resume"] {
        let said: crate::support::Said = crate::support::godwit(dir.path())
            .args([command, "--url", &url, "--path", "m", "-v"])
            .output()
            .unwrap()
            .into();
        let said = said.expect(5);
        assert!(said.stderr.contains("127.0.0.1") && said.stderr.contains("shop"), "{said:?}");
        assert!(!format!("{said:?}").contains("s3cr3t"), "{said:?}");
    }
}
