//! The real process: started, killed, stopped, read.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use godwit::github::Event;
use godwit::store::Store;

use super::http::{
    SECRET, Served, answer, command, comment, connect, deliver, get, head, sign, store_url, try_deliver,
};

/// A private key that is no secret to anybody.
const APP_KEY: &str = include_str!("../../../src/sandbox/app-key.pem");
const WITH_SECRET: [(&str, &str); 1] = [("GODWIT_WEBHOOK_SECRET", SECRET)];

#[test]
fn b7_without_a_secret_it_refuses_to_start() {
    let dir = tempfile::tempdir().unwrap();
    for variables in [&[][..], &[("GODWIT_WEBHOOK_SECRET", "")], &[("GODWIT_WEBHOOK_SECRET", "one,two,three")]] {
        let output = command(dir.path(), variables).args(["--listen", "127.0.0.1:0"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("GODWIT_WEBHOOK_SECRET"), "{text}");
        assert!(output.stdout.is_empty(), "it listened");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_b8_killed_between_the_answer_and_the_work_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--role", "web"], &WITH_SECRET);
    let address = served.address;
    let stop = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let (stop, accepted) = (Arc::clone(&stop), Arc::clone(&accepted));
            std::thread::spawn(move || {
                let mut answered = Vec::new();
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = format!("d-{sender}-{n}");
                    match try_deliver(address, "issue_comment", &id, &comment(n, "/godwit status")) {
                        Some(answer) if answer.status == 202 => {
                            accepted.fetch_add(1, Ordering::Relaxed);
                            answered.push(id);
                        }
                        Some(answer) => panic!("{answer:?}"),
                        None => break,
                    }
                }
                answered
            })
        })
        .collect();
    let until = Instant::now() + crate::support::PATIENCE;
    while accepted.load(Ordering::Relaxed) < 200 {
        assert!(Instant::now() < until, "{}", served.log());
        tokio::task::yield_now().await;
    }
    // In the middle of deliveries, with answers under way.
    served.kill();
    stop.store(true, Ordering::Relaxed);
    let answered: HashSet<String> = senders.into_iter().flat_map(|s| s.join().unwrap()).collect();

    let store = Store::open(&store_url(dir.path())).await.unwrap();
    let mut worked = Vec::new();
    while let Some(claim) = store.claim("after the crash", Duration::from_secs(60)).await.unwrap() {
        for job in &claim.jobs {
            assert!(matches!(job.event, Event::Comment { .. }));
            worked.push(job.delivery.clone().unwrap().to_string());
        }
        store.complete(&claim).await.unwrap();
    }
    let once: HashSet<String> = worked.iter().cloned().collect();
    assert_eq!(once.len(), worked.len(), "a delivery became two jobs");
    let lost: Vec<_> = answered.difference(&once).collect();
    assert!(lost.is_empty(), "acknowledged but lost: {lost:?}");
    store.close().await;

    // And the redelivery of what was done is no new work.
    let served = Served::start(dir.path(), &["--role", "web"], &WITH_SECRET);
    let id = answered.iter().next().unwrap();
    let again = deliver(served.address, "issue_comment", id, &comment(1, "/godwit status"));
    assert!(again.status == 202 && again.body.contains("duplicate"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_the_same_delivery_many_times_at_once_is_one_job() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--role", "web"], &WITH_SECRET);
    let address = served.address;
    let body = Arc::new(comment(1, "/godwit apply staging"));
    let posts: Vec<_> = (0..32)
        .map(|_| {
            let body = Arc::clone(&body);
            std::thread::spawn(move || deliver(address, "issue_comment", "the-same", &body))
        })
        .collect();
    let answers: Vec<_> = posts.into_iter().map(|p| p.join().unwrap()).collect();
    assert!(answers.iter().all(|a| a.status == 202), "{answers:?}");
    assert_eq!(answers.iter().filter(|a| a.body.contains("stored")).count(), 1);
    assert_eq!(answers.iter().filter(|a| a.body.contains("duplicate")).count(), 31);
    let store = Store::open(&store_url(dir.path())).await.unwrap();
    assert_eq!(store.queue().await.unwrap().queued, 1);
}

#[test]
fn it_stops_in_order_and_answers_who_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[], &WITH_SECRET);
    assert_eq!(get(served.address, "/readyz").status, 200);
    let body = comment(1, "/godwit status");
    let mut stream = connect(served.address);
    let head = head("issue_comment", "d-1", &sign(SECRET, &body));
    write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body[..10]).unwrap();
    // The request is being read once another one, begun later, has been answered.
    assert_eq!(get(served.address, "/healthz").status, 200);
    served.terminate();
    let until = Instant::now() + crate::support::PATIENCE;
    while !served.log().contains("stopping") {
        assert!(Instant::now() < until, "{}", served.log());
        std::thread::yield_now();
    }
    stream.write_all(&body[10..]).unwrap();
    assert_eq!(answer(&mut stream).unwrap().status, 202);
    let log = served.dir.join("log");
    assert_eq!(served.wait().code(), Some(0));
    assert!(std::fs::read_to_string(log).unwrap().contains("\"stopped\""));
}

#[test]
fn b20_planted_secrets_are_in_no_log_line_and_on_no_page() {
    let planted = [
        "planted-webhook-secret",
        "planted-second-secret",
        APP_KEY.lines().nth(3).unwrap(),
        "planted-token-of-the-api",
        "planted-client-secret",
        "planted \"quoted\" audit key",
        "planted-password-in-a-comment",
    ];
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("app.pem");
    std::fs::write(&key, APP_KEY).unwrap();
    let served = Served::start(
        dir.path(),
        &[],
        &[
            ("RUST_LOG", "trace"),
            ("GODWIT_WEBHOOK_SECRET", "planted-webhook-secret,planted-second-secret"),
            ("GODWIT_GITHUB_APP_ID", "1"),
            ("GODWIT_GITHUB_API_URL", "http://127.0.0.1:9"),
            ("GODWIT_GITHUB_PRIVATE_KEY_FILE", key.to_str().unwrap()),
            ("GODWIT_TOKEN", planted[3]),
            ("GODWIT_GITHUB_CLIENT_SECRET", planted[4]),
            ("GODWIT_AUDIT_KEY", planted[5]),
        ],
    );
    let body = comment(1, "/godwit status postgres://godwit:planted-password-in-a-comment@db/shop");
    for (n, secret) in [planted[0], planted[1], "wrong"].into_iter().enumerate() {
        let head = head("issue_comment", &format!("d-{n}"), &sign(secret, &body));
        super::http::request(served.address, &head, &body).unwrap();
    }
    // A secret where it does not belong: as an event, an id, a path.
    deliver(served.address, planted[0], planted[3], b"{}");
    get(served.address, &format!("/{}", planted[1]));
    let mut seen: Vec<(String, String)> = ["/healthz", "/readyz", "/metrics", "/actuator/health", "/actuator/metrics"]
        .into_iter()
        .map(|page| (page.to_owned(), get(served.address, page).body))
        .collect();

    let log = served.dir.join("log");
    served.terminate();
    assert_eq!(served.wait().code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.lines().count() > 5, "it logged");
    assert!(
        log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "JSON when not on a terminal"
    );
    assert!(log.contains("\"delivery\":\"d-0\""), "lines carry the delivery as correlation id");
    seen.push(("log".to_owned(), log));
    for (place, text) in seen {
        for secret in planted {
            assert!(!text.contains(secret), "`{secret}` is in {place}");
            assert!(!text.contains(&secret.replace('"', "\\\"")), "`{secret}` is in {place}, quoted");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b20_runs_that_a_person_must_settle_are_on_the_pages() {
    use godwit::ids::{Digest, Engine, Epoch, RunId, TargetName};
    use godwit::plan::StepAction;
    use godwit::store::runs::{NewRun, StepIntent, StepRecord, TargetIntent};

    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--role", "web"], &WITH_SECRET);
    let store = Store::open(&store_url(dir.path())).await.unwrap();
    let target = TargetName::new("shop").unwrap();
    // What nobody knows is settled by a later run.
    for (state, count) in [("needs_human", 1), ("rolled_back", 0)] {
        let run = NewRun {
            id: RunId::generate(),
            action: StepAction::Apply,
            environment: None,
            repo: None,
            pr: None,
            commit: None,
            by: "alice".into(),
            correlation: None,
            digest: Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap(),
            at: chrono::Utc::now(),
            goal: Vec::new(),
        };
        let step = StepIntent {
            position: 0,
            unit: "shop".into(),
            migration: "0001_orders".into(),
            checksum: "c".into(),
            action: "apply",
            recovery: "unprovable",
            recovery_reason: "nothing to look for".into(),
        };
        let intent = TargetIntent {
            target: target.clone(),
            engine: Engine::Postgresql,
            fingerprint: "f".into(),
            epoch: Epoch(1),
            plan_hash: "p".into(),
            history_hash: "h".into(),
            steps: vec![step],
        };
        store.record_intents(&run, &intent).await.unwrap();
        let record = StepRecord { position: 0, state, duration_ms: 1, error: None };
        store.record_steps(&run.id, &target, &[record], None).await.unwrap();
        let health = get(served.address, "/healthz").body;
        assert!(health.contains(&format!("\"unknown_runs\":{count}")), "{health}");
        let metrics = get(served.address, "/metrics").body;
        assert!(metrics.contains(&format!("\ngodwit_unknown_runs {count}\n")), "{metrics}");
    }
}
