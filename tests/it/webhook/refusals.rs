//! What does not come in, and how the server says so.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use godwit::github::webhook::WebhookSecrets;
use godwit::server::{AppState, MAX_BODY, serve};
use secrecy::SecretString;
use tokio::sync::watch;

use super::http::{SECRET, answer, comment, connect, deliver, get, head, request, sign};
use crate::store::{Fresh, fresh};

/// A server in this process.
struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    done: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(crate::support::PATIENCE, self.done).await.unwrap().unwrap().unwrap();
    }
}

async fn server(fresh: &Fresh, secrets: &str, body_timeout: Duration) -> Server {
    let secrets = WebhookSecrets::parse(&SecretString::from(secrets)).unwrap();
    let mut state = AppState::new(fresh.store.clone(), secrets, None);
    state.body_timeout = body_timeout;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    Server { address, stop, done: tokio::spawn(serve(listener, state, stopping)) }
}

/// Blocking sockets away from the threads that run the server.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

const USUAL: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn b7_only_a_right_sha256_signature_over_the_raw_body_comes_in() {
    let fresh = fresh().await;
    let server = server(&fresh, SECRET, USUAL).await;
    let address = server.address;
    blocking(move || {
        let body = comment(1, "/godwit status");
        let right = sign(SECRET, &body);
        let sha1 = "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6";
        let post = |head: String, body: &[u8]| request(address, &head, body).unwrap().status;
        assert_eq!(post(head("issue_comment", "d-1", &right), &body), 202);

        let without = head("issue_comment", "d-2", "x").rsplit_once("\r\n").unwrap().0.to_owned();
        assert_eq!(post(without.clone(), &body), 401, "no signature");
        assert_eq!(post(format!("{without}\r\nX-Hub-Signature: {sha1}"), &body), 401, "sha1 only");
        assert_eq!(post(head("issue_comment", "d-2", sha1), &body), 401, "sha1 in the other's place");
        assert_eq!(post(head("issue_comment", "d-2", &sign("wrong", &body)), &body), 401, "another secret");
        assert_eq!(post(head("issue_comment", "d-2", &sign("", &body)), &body), 401, "an empty secret");
        assert_eq!(post(head("issue_comment", "d-2", &right[..right.len() - 1]), &body), 401, "cut short");
        let mut changed = body.clone();
        changed.push(b' ');
        assert_eq!(post(head("issue_comment", "d-2", &right), &changed), 401, "a body that was changed");
    })
    .await;
    assert_eq!(fresh.store.queue().await.unwrap().queued, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_secrets_rotate_without_losing_a_delivery() {
    let fresh = fresh().await;
    let server = server(&fresh, "the-old-one,the-new-one", USUAL).await;
    let address = server.address;
    blocking(move || {
        let body = comment(1, "/godwit status");
        for (n, (secret, expected)) in
            [("the-old-one", 202), ("the-new-one", 202), ("the-old-one,the-new-one", 401)].into_iter().enumerate()
        {
            let head = head("issue_comment", &format!("d-{n}"), &sign(secret, &body));
            assert_eq!(request(address, &head, &body).unwrap().status, expected, "{secret}");
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_deliveries_are_the_senders_fault() {
    let fresh = fresh().await;
    let server = server(&fresh, SECRET, USUAL).await;
    let address = server.address;
    blocking(move || {
        let body = comment(1, "/godwit status");
        let cut = &body[..body.len() / 2];
        assert_eq!(deliver(address, "issue_comment", "d-1", cut).status, 400, "truncated JSON");
        assert_eq!(deliver(address, "issue_comment", "d-1", b"").status, 400, "nothing");
        assert_eq!(deliver(address, "issue_comment", "d-1", b"payload=%7B%7D").status, 400, "a form");
        assert_eq!(deliver(address, "issue_comment", "", &body).status, 400, "no delivery id");
        assert_eq!(deliver(address, "issue_comment", "a b;c", &body).status, 400, "no id at all");
        assert_eq!(deliver(address, "", "d-1", &body).status, 400, "no event");
        assert_eq!(deliver(address, &"e".repeat(200), "d-1", &body).status, 400, "an endless event");
        assert_eq!(deliver(address, "never_heard_of", "d-2", b"{\"action\":\"x\"}").status, 202, "an unknown event");
        assert_eq!(deliver(address, "issue_comment", "d-3", b"[]").status, 202, "JSON of another shape");
        assert_eq!(get(address, "/github/webhook").status, 405);
        assert_eq!(get(address, "/elsewhere").status, 404);
        // None of them used the id up.
        assert!(deliver(address, "issue_comment", "d-1", &body).body.contains("stored"));
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_bodies_are_bounded() {
    let fresh = fresh().await;
    let server = server(&fresh, SECRET, USUAL).await;
    let address = server.address;
    blocking(move || {
        // Said in advance: refused before anything of it is taken in.
        let mut stream = connect(address);
        let head_text = head("push", "d-1", &sign(SECRET, b""));
        write!(stream, "{head_text}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", MAX_BODY + 1)
            .unwrap();
        assert_eq!(answer(&mut stream).unwrap().status, 413);

        // Not said in advance: refused when it gets too long.
        let mut stream = connect(address);
        write!(stream, "{head_text}\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let piece = vec![b' '; 1024 * 1024];
        for _ in 0..26 {
            if write!(stream, "{:x}\r\n", piece.len()).is_err() || stream.write_all(&piece).is_err() {
                break;
            }
            let _ = stream.write_all(b"\r\n");
        }
        assert_eq!(answer(&mut stream).unwrap().status, 413);

        // GitHub's largest still comes in.
        let mut body = comment(1, "/godwit status");
        body.resize(MAX_BODY, b' ');
        let answer = deliver(address, "issue_comment", "d-2", &body);
        assert_eq!(answer.status, 202, "{}", answer.body);
    })
    .await;
    server.stop().await;
}

/// Connections that have sent the beginning of a body.
fn slow(address: SocketAddr, head: &str, body: &[u8]) -> Vec<TcpStream> {
    (0..50)
        .map(|_| {
            let mut stream = connect(address);
            write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
            stream.write_all(&body[..10]).unwrap();
            stream
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_hold_nobody_up() {
    let fresh = fresh().await;
    // None of the slow ones is given up while the test runs.
    let server = server(&fresh, SECRET, 2 * crate::support::PATIENCE).await;
    let address = server.address;
    blocking(move || {
        let body = comment(1, "/godwit status");
        let slow = slow(address, &head("issue_comment", "d-1", &sign(SECRET, &body)), &body);
        assert_eq!(deliver(address, "issue_comment", "d-2", &body).status, 202);
        for mut stream in slow {
            stream.set_nonblocking(true).unwrap();
            let waits = stream.read(&mut [0]).unwrap_err();
            assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock, "answered before its body was there");
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_bodies_are_given_up_and_leave_nothing_behind() {
    let fresh = fresh().await;
    let server = server(&fresh, SECRET, Duration::from_millis(300)).await;
    let address = server.address;
    blocking(move || {
        let body = comment(1, "/godwit status");
        let head_text = head("issue_comment", "d-1", &sign(SECRET, &body));
        for mut stream in slow(address, &head_text, &body) {
            assert_eq!(answer(&mut stream).unwrap().status, 408);
        }
        let mut cut = connect(address);
        write!(cut, "{head_text}\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        cut.write_all(&body[..10]).unwrap();
        drop(cut);
        assert!(deliver(address, "issue_comment", "d-1", &body).body.contains("stored"));
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_is_told_and_nothing_is_acknowledged() {
    let fresh = fresh().await;
    let server = server(&fresh, SECRET, USUAL).await;
    let address = server.address;
    assert_eq!(blocking(move || get(address, "/readyz").status).await, 200);
    fresh.raw("DROP TABLE jobs; ALTER TABLE audit RENAME TO elsewhere").await.unwrap();
    blocking(move || {
        assert_eq!(deliver(address, "issue_comment", "d-1", &comment(1, "/godwit status")).status, 503);
        assert_eq!(get(address, "/readyz").status, 503);
        let health = get(address, "/actuator/health");
        assert!(health.status == 503 && health.body.contains("DOWN"), "{health:?}");
        let alive = get(address, "/healthz");
        assert!(alive.status == 200 && alive.body.contains("degraded"), "{alive:?}");
    })
    .await;
    let known = fresh.store.knows_delivery(&godwit::ids::DeliveryId::new("d-1").unwrap()).await.unwrap();
    assert!(!known, "delivery and job are stored both or neither");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b20_health_and_metrics_show_how_much_waits() {
    let fresh = fresh().await;
    let server = server(&fresh, SECRET, USUAL).await;
    let address = server.address;
    blocking(move || {
        deliver(address, "issue_comment", "d-1", &comment(1, "/godwit status"));
        let health: serde_json::Value = serde_json::from_str(&get(address, "/healthz").body).unwrap();
        assert_eq!((&health["status"], &health["queue"]["queued"]), (&"ok".into(), &1.into()));
        assert!(health["delivery_lag_seconds"].is_number());
        let metrics = get(address, "/metrics").body;
        for name in [
            "godwit_queue_jobs{state=\"queued\"}",
            "godwit_queue_oldest_seconds",
            "godwit_queue_lease_age_seconds",
            "godwit_webhook_deliveries_total{event=\"issue_comment\",result=\"stored\"}",
            "godwit_webhook_seconds_bucket",
        ] {
            assert!(metrics.contains(name), "{name} is not in {metrics}");
        }
        let names = get(address, "/actuator/metrics").body;
        assert!(names.contains("godwit_queue_jobs"), "{names}");
        let jobs = get(address, "/actuator/metrics/godwit_queue_jobs");
        assert!(jobs.status == 200 && jobs.body.contains("measurements"), "{jobs:?}");
        assert_eq!(get(address, "/actuator/metrics/nothing").status, 404);
        for page in ["/healthz", "/readyz", "/metrics", "/actuator/health"] {
            let body = get(address, page).body;
            assert!(!body.contains(SECRET) && !body.contains(env!("CARGO_PKG_VERSION")), "{page}: {body}");
        }
    })
    .await;
    server.stop().await;
}
