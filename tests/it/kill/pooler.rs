//! A pooler in transaction mode: every client's messages go through connections to the server
//! that others use as well.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Kind, Project};

/// One message of the protocol, its type and length in front.
fn message(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = [0u8; 5];
    from.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut whole = head.to_vec();
    whole.resize(1 + length, 0);
    from.read_exact(&mut whole[5..]).ok()?;
    Some(whole)
}

/// Everything up to the server's "ready for query".
fn answer(server: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(part) = message(server) {
        let ready = part[0] == b'Z';
        all.extend(part);
        if ready {
            break;
        }
    }
    all
}

/// The first message of a connection has no type.
fn greeting(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0u8; 4];
    from.read_exact(&mut length).ok()?;
    let mut rest = vec![0u8; u32::from_be_bytes(length) as usize - 4];
    from.read_exact(&mut rest).ok()?;
    Some(rest)
}

/// A connection to the server, and what the server said to begin with.
fn connected(server: &str, user: &str, database: &str) -> (TcpStream, Vec<u8>) {
    let mut up = TcpStream::connect(server).unwrap();
    let mut start = 196_608u32.to_be_bytes().to_vec();
    start.extend(format!("user\0{user}\0database\0{database}\0\0").bytes());
    let length = u32::try_from(start.len() + 4).unwrap().to_be_bytes();
    up.write_all(&[&length[..], &start].concat()).unwrap();
    let hello = answer(&mut up);
    (up, hello)
}

/// A pooler with so many connections to the server, which it gives out by turns; each stays with its client until its
/// transaction ends. Its port, and how many transactions it has passed on.
fn pooler(server: &str, user: &str, database: &str, connections: usize) -> (u16, Arc<AtomicUsize>) {
    let (ups, hellos): (Vec<_>, Vec<_>) = (0..connections).map(|_| connected(server, user, database)).unzip();
    let ups: Arc<Vec<Mutex<TcpStream>>> = Arc::new(ups.into_iter().map(Mutex::new).collect());
    let hello = hellos[0].clone();
    let turn = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let passed_on = Arc::clone(&turn);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let (ups, hello, turn) = (Arc::clone(&ups), hello.clone(), Arc::clone(&turn));
            std::thread::spawn(move || {
                let mut first = greeting(&mut client)?;
                if first == 80_877_103u32.to_be_bytes() {
                    client.write_all(b"N").ok()?;
                    first = greeting(&mut client)?;
                }
                drop(first);
                client.write_all(&hello).ok()?;
                while let Some(mut said) = message(&mut client).filter(|m| m[0] != b'X') {
                    let mut server = ups[turn.fetch_add(1, Ordering::SeqCst) % ups.len()].lock().unwrap();
                    loop {
                        server.write_all(&said).ok()?;
                        let answer = answer(&mut server);
                        client.write_all(&answer).ok()?;
                        // The last byte says whether a transaction is open.
                        if answer.last() == Some(&b'I') {
                            break;
                        }
                        said = message(&mut client)?;
                    }
                }
                Some(())
            });
        }
    });
    (port, passed_on)
}

/// So many round trips take a second where each takes 50 ms, which no network of one place needs.
const WITHIN_A_SECOND: usize = 20;

#[test]
fn r8_a_pooler_in_transaction_mode_is_found_and_refused_and_no_lock_stays_behind() {
    for connections in [1, 2, 3, 5] {
        refused(connections);
    }
}

fn refused(connections: usize) {
    let project = Project::new(Kind::Postgres, &[("1_a.up.sql", "create table a (n int);")]);
    let url = url::Url::parse(&project.database.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let database = url.path().trim_start_matches('/').to_owned();
    let (port, passed_on) = pooler(&server, url.username(), &database, connections);
    let through = format!("postgres://{}@127.0.0.1:{port}/{database}", url.username());
    let said: crate::support::Said =
        project.command_at(&through, &["apply", "--yes", "--format", "json"]).output().unwrap().into();
    let said = said.expect(3);
    assert_eq!(said.json()["blocked_by"][0]["reason"], "pooled", "{connections}");
    let asked = passed_on.load(Ordering::SeqCst);
    assert!(asked <= WITHIN_A_SECOND, "{connections}: {asked} transactions until it was found");
    assert_eq!(project.database.one("select count(*)::text from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"), "0");
    assert!(!project.database.has_table("a") && !project.database.has_table("godwit_history"));
    // Reading is fine through it.
    let status: crate::support::Said = project.command_at(&through, &["status"]).output().unwrap().into();
    status.expect(0);
}
