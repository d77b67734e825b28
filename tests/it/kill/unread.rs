//! What a killed run had sent and the server had not read yet when the next run came (R-5).

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::proxy::through;
use crate::support::mongodb::{Mongo, Server, file};
use crate::support::{Said, until, wait};

/// A way to a server on which one message stays, as in the buffer of a server that has no time to read: the first one
/// that holds all of `marks` arrives when `released` is set, however long its sender is gone by then.
struct Buffer {
    port: u16,
    holds: Arc<AtomicBool>,
    released: Arc<AtomicBool>,
}

impl Buffer {
    fn to(server: String, marks: &'static [&'static [u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (holds, released) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (held, free) = (Arc::clone(&holds), Arc::clone(&released));
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let mut up = TcpStream::connect(&server).unwrap();
                let (mut answers, mut back) = (up.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
                let (held, free) = (Arc::clone(&held), Arc::clone(&free));
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 65536];
                    while let Ok(n @ 1..) = client.read(&mut buffer) {
                        let has = |mark: &&[u8]| buffer[..n].windows(mark.len()).any(|w| w == *mark);
                        if marks.iter().all(has) && !held.swap(true, Ordering::SeqCst) {
                            until("the message may arrive", || free.load(Ordering::SeqCst));
                        }
                        if up.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                    }
                    let _ = up.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { port, holds, released }
    }
}

/// How many connections of this name the server holds open.
fn connections(url: &str, name: &str) -> usize {
    let all = doc! { "$currentOp": { "allUsers": true, "idleConnections": true } };
    let asked = doc! { "aggregate": 1, "pipeline": [all, { "$match": { "appName": name } }], "cursor": {} };
    let reply = wait(async {
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        client.database("admin").run_command(asked).await.unwrap()
    });
    reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len()
}

#[test]
fn r5_what_a_killed_run_sent_and_the_server_reads_later_changes_nothing_that_comes_after() {
    let mut mongo = Mongo::fresh(
        Server::Standalone,
        &[
            file(1, r#"[{ "type": "add_field", "collection": "people", "field": "late", "value": 1 }]"#, None),
            file(2, r#"[{ "type": "remove_field", "collection": "people", "field": "late" }]"#, Some("[]")),
        ],
    );
    mongo.insert("people", (0..5).map(|n| doc! { "_id": n }).collect());
    let direct = mongo.url.clone();
    let (server, _) = through(&direct, None);
    let buffer = Buffer::to(server, &[b"\x02update\0", b"people\0", b"late\0"]);
    mongo.url = direct.replacen(&through(&direct, None).0, &format!("127.0.0.1:{}", buffer.port), 1);
    let mut first = mongo.command_line(&["apply", "--yes", "--lease", "1"]).spawn().unwrap();
    until("a batch is on its way", || buffer.holds.load(Ordering::SeqCst));
    first.kill().unwrap();
    first.wait().unwrap();
    mongo.url = direct;
    let dead = mongo.find("godwit_fence", doc! {})[0].get_str("client").unwrap().to_owned();
    let lock = |mongo: &Mongo| mongo.find("godwit_lock", Document::new())[0].get_document("owner").ok().cloned();
    let before = lock(&mongo);
    let second = mongo.command_line(&["apply", "--yes", "--lease", "1"]).stdout(std::process::Stdio::piped()).spawn();
    until("the next run has the lock", || lock(&mongo) != before);
    // Time enough to be done, for a run that does not look.
    sleep(Duration::from_secs(1));
    buffer.released.store(true, Ordering::SeqCst);
    let said = Said::from(second.unwrap().wait_with_output().unwrap()).expect(0);
    assert!(said.stdout.contains("2 migrations"), "{said:?}");
    until("the server has read all of it", || connections(&mongo.url, &dead) == 0);
    assert_eq!(mongo.count("people", doc! { "late": { "$exists": true } }), 0);
    assert_eq!(mongo.history(), ["001_m1 applied", "002_m2 applied"]);
}
