//! Answers that get lost on their way, and a server that is too busy: a relay between the program and the real server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::elasticsearch::Project;
use crate::support::{Said, godwit};

/// What the relay does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is passed on, and its answer back.
    Passed,
    /// It is passed on; the answer is lost with the connection.
    AnswerLost,
    /// It is lost itself.
    Lost,
    /// It gets this status instead.
    Refused(u16),
    /// It is answered with this instead.
    Answered(&'static str),
}

type Judge = Arc<dyn Fn(&str, &str) -> Fate + Send + Sync>;

/// Head and body of a message.
fn message(stream: &mut BufReader<TcpStream>, answers_head: bool) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        // So that answers have a length.
        if !lower.starts_with("accept-encoding:") {
            head.push_str(&line);
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; if answers_head { 0 } else { length }];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn serve(client: TcpStream, server: &str, judge: &Judge) -> Option<()> {
    let upstream = TcpStream::connect(server).ok()?;
    let (mut to_client, mut to_server) = (client.try_clone().ok()?, upstream.try_clone().ok()?);
    let (mut from_client, mut from_server) = (BufReader::new(client), BufReader::new(upstream));
    loop {
        let (head, body) = message(&mut from_client, false)?;
        let fate = judge(head.lines().next().unwrap_or_default(), &String::from_utf8_lossy(&body));
        match fate {
            Fate::Lost => return None,
            Fate::Refused(status) => {
                let text = r#"{"error":{"type":"es_rejected_execution_exception","reason":"busy"}}"#;
                let head = format!(
                    "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                );
                to_client.write_all(head.as_bytes()).ok()?;
                continue;
            }
            Fate::Answered(text) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                );
                to_client.write_all(head.as_bytes()).ok()?;
                continue;
            }
            Fate::Passed | Fate::AnswerLost => {}
        }
        to_server.write_all(head.as_bytes()).ok()?;
        to_server.write_all(&body).ok()?;
        let (answer, content) = message(&mut from_server, head.starts_with("HEAD"))?;
        if fate == Fate::AnswerLost {
            return None;
        }
        to_client.write_all(answer.as_bytes()).ok()?;
        to_client.write_all(&content).ok()?;
    }
}

/// A relay in front of the project's server; gives the URL that leads through it.
fn relay(project: &Project, judge: Judge) -> String {
    let (scheme, rest) = project.cluster.url.split_once("://").unwrap();
    let (server, query) = rest.split_once('?').unwrap();
    let server = server.trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("{scheme}://{}?{query}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (server, judge) = (server.clone(), Arc::clone(&judge));
            std::thread::spawn(move || serve(client, &server, &judge));
        }
    });
    url
}

const SWAP: &str = r#"[{"type": "create_index", "index": "~made"},
    {"type": "swap_alias", "alias": "~orders", "from": "~v1", "to": "~v3",
     "mapping": {"properties": {"id": {"type": "keyword"}, "n": {"type": "long"}}}, "settings": {"number_of_replicas": 0}}]"#;

/// Applies through a relay that gives the first `times` requests whose text holds all of `parts` that fate.
fn applied_with(parts: &'static [&'static str], fate: Fate, times: usize) -> (Project, Said) {
    let project = Project::new(&[("001_it", SWAP)]);
    project.cluster.fill("~v1", 40);
    project.cluster.ok("PUT", "~v1/_alias/~orders", None);
    let seen = Arc::new(AtomicUsize::new(0));
    let met = Arc::clone(&seen);
    let url = relay(
        &project,
        Arc::new(move |line, body| {
            let text = format!("{line}\n{body}");
            let is_meant = parts.iter().all(|p| text.contains(p));
            if is_meant && met.fetch_add(1, Ordering::Relaxed) < times { fate } else { Fate::Passed }
        }),
    );
    let mut command = godwit(project.dir.path());
    command.args(["apply", "--yes", "--url", &url, "--path"]).arg(project.migrations());
    let said = Said::from(command.output().unwrap());
    assert!(seen.load(Ordering::Relaxed) > 0, "no request was like {parts:?}: {said:?}");
    (project, said)
}

#[test]
fn r12_an_answer_that_is_lost_is_found_by_looking_and_nothing_runs_twice() {
    let requests: [&[&str]; 5] = [
        // The swap itself, an index made, a block, a copy, a document of the fence.
        &["POST /_aliases", "orders", "v3"],
        &["PUT /", "mappings", "v3"],
        &["PUT /", "_block/write"],
        &["POST /_reindex"],
        &["PUT /godwit_", "\"statements_done\":1"],
    ];
    for parts in requests {
        for fate in [Fate::AnswerLost, Fate::Lost, Fate::Refused(429), Fate::Refused(503)] {
            let (project, said) = applied_with(parts, fate, 1);
            said.expect(0);
            let on = project.cluster.on("~orders");
            assert!(on.len() == 1 && on[0].starts_with("v3_e"), "{parts:?}: {on:?}");
            assert_eq!(project.cluster.indices().len(), 3, "{parts:?}: {:?}", project.cluster.indices());
            assert_eq!(project.cluster.count("~orders"), 40, "{parts:?}");
            assert!(project.cluster.blocked().is_empty(), "{parts:?}");
            assert_eq!(project.cluster.history(), ["001_it applied"], "{parts:?}");
        }
    }
}

#[test]
fn s0_18_a_server_below_the_floor_is_refused_before_any_change() {
    let project = Project::new(&[("001_it", SWAP)]);
    let changes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&changes);
    let url = relay(
        &project,
        Arc::new(move |line, _| {
            if line.starts_with("GET / ") {
                return Fate::Answered(r#"{"name":"n","version":{"number":"7.9.3"},"tagline":"You Know, for Search"}"#);
            }
            if !line.starts_with("GET ") && !line.starts_with("HEAD ") {
                seen.fetch_add(1, Ordering::Relaxed);
            }
            Fate::Passed
        }),
    );
    let mut command = godwit(project.dir.path());
    command.args(["apply", "--yes", "--url", &url, "--path"]).arg(project.migrations());
    let said = Said::from(command.output().unwrap());
    assert!(said.code != Some(0) && said.stdout.contains("Elasticsearch 7.9.3"), "{said:?}");
    assert!(said.stdout.contains("7.15 or newer"), "{said:?}");
    assert_eq!(changes.load(Ordering::Relaxed), 0, "nothing was changed: {said:?}");
    assert!(project.cluster.indices().is_empty() && project.cluster.history().is_empty());
}
