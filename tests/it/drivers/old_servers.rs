//! A server below the floor of versions is refused before anything is changed [S0-15] [S0-16] [S0-17]; Elasticsearch [S0-18]
//! is in `elasticsearch/wire.rs`. The servers are real ones; what they say of their version is changed on the way.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use crate::kill::proxy::through;
use crate::support::mongodb::{Mongo, Server, file};
use crate::support::redis::RedisProject;
use crate::support::{Kind, Project, Said, godwit};

/// A way to `server` on which `says` stands for as many bytes as it has, `after` so many behind each `mark`.
fn lying(server: String, mark: &'static [u8], after: usize, says: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let up = TcpStream::connect(&server).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), up.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            let (mut from, mut to) = (up, client);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    let found: Vec<usize> = (0..n)
                        .filter(|at| buffer[*at..n].starts_with(mark))
                        .map(|at| at + mark.len() + after)
                        .collect();
                    for at in found {
                        buffer[at..at + says.len()].copy_from_slice(says);
                    }
                    if to.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

/// A run at the URL of a database, whose server says of itself that it is older.
fn refused(dir: &Path, folder: &str, url: &str, (mark, after, says): (&'static [u8], usize, &'static [u8])) -> String {
    let port = lying(through(url, None).0, mark, after, says);
    let url = through(url, Some(port)).1;
    let mut told = String::new();
    for command in [&["plan"][..], &["apply", "--yes"]] {
        let said: Said = godwit(dir).args(command).args(["--url", &url, "--path", folder]).output().unwrap().into();
        assert!(said.code != Some(0), "{command:?}: {said:?}");
        told = said.stdout;
    }
    told
}

#[test]
fn s0_15_an_old_postgresql_is_refused_before_any_change() {
    let project = Project::new(Kind::Postgres, &[("1_a.up.sql", "create table a (n int);")]);
    let folder = project.migrations();
    let told =
        refused(project.dir.path(), folder.to_str().unwrap(), &project.database.url, (b"server_version\0", 0, b"12"));
    assert!(told.contains("the server is PostgreSQL 12.") && told.contains("13 or newer"), "{told}");
    assert!(!project.database.has_table("a") && project.database.history().is_empty());
}

#[test]
fn s0_16_an_old_mongodb_is_refused_before_any_change() {
    let files = [file(1, r#"[{ "type": "create_collection", "collection": "people" }]"#, None)];
    let project = Mongo::fresh(Server::ReplicaSet, &files);
    // A text in BSON has its length in front.
    let told = refused(project.dir.path(), "m", &project.url, (b"\x02version\0", 4, b"4.4"));
    assert!(told.contains("the server is MongoDB 4.4.") && told.contains("5.0 or newer"), "{told}");
    assert!(project.collections().is_empty(), "{:?}", project.collections());
}

#[test]
fn s0_17_an_old_redis_is_refused_before_any_change() {
    let text = r#"{ "version": "1.0.0", "name": "a", "description": "for a test", "database_type": "redis",
        "migration_type": "data", "operations": [{ "type": "set_ttl", "keys": ["PREFIXcart"], "seconds": 600 }] }"#;
    let project = RedisProject::new(false, &[("001_a.json", text)]);
    let cart = project.key("cart");
    project.ask::<()>(&["SET", &cart, "1"]);
    let told = refused(project.dir.path(), "redis", &project.url, (b"redis_version:", 0, b"6.0"));
    assert!(told.contains("the server is Redis 6.0.") && told.contains("6.2 or newer"), "{told}");
    assert_eq!(project.ask::<i64>(&["TTL", &cart]), -1);
    assert!(project.history().is_empty() && project.leftovers().is_empty());
}
