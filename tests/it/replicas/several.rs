//! Webs and workers of one company, ended and frozen in the middle of their work.

use godwit::sandbox::PullHandle;
use sqlx::{Connection as _, Executor as _};

use crate::bot::process::{ENVIRONMENTS, Shop, history, metric};
use crate::bot::world::{comment, run_comment};
use crate::support::{until, wait};
use crate::webhook::http::{Served, get};

const WEB: [&str; 2] = ["--role", "web"];
const WORKER: [&str; 2] = ["--role", "worker"];

fn migration(number: usize, table: &str) -> Vec<(String, String)> {
    let sql = format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY);\nINSERT INTO {table} VALUES (1);\n");
    vec![(format!("migrations/{number:04}_{table}.up.sql"), sql)]
}

fn changes(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

/// Every environment has these migrations once, and everything that is told and kept says so once.
fn assert_done(shop: &Shop, pulls: &[&PullHandle], migrations: &[&str], what: &str) {
    shop.rest();
    let expected: Vec<String> = migrations.iter().map(|m| format!("{m} applied")).collect();
    for environment in ENVIRONMENTS {
        let file = shop.dir.path().join(format!("{environment}.db"));
        assert_eq!(history(&file), expected, "{what} {environment}");
        for pull in pulls {
            // `comment` fails when there are two.
            let told = comment(pull, &format!("<!-- godwit:run:{environment} -->")).unwrap().body;
            assert!(told.contains("1 migration applied") && !told.contains('❌'), "{what}: {told}");
            assert!(pull.labels().unwrap().contains(&format!("migrated:{environment}")), "{what}");
        }
        assert_eq!(shop.audited("run-finished", environment), pulls.len(), "{what} {environment}");
    }
    assert_eq!(shop.open_runs(), 0, "{what}: a run never ended");
}

fn production_has_it(pull: &PullHandle) -> bool {
    pull.labels().unwrap().contains(&"migrated:production".to_owned())
}

/// A worker that comes to `point` and stays there, with the file that holds it up.
fn held_up(shop: &Shop, arguments: &[&str], point: &str) -> (Served, std::path::PathBuf) {
    let file = shop.dir.path().join("held-up");
    let wait = format!("{point}:wait:1:{}", file.display());
    (shop.serve_as(arguments, &[("GODWIT_FAILPOINT", &wait)]), file)
}

/// Two webs, a worker that is killed at `point` of the merge's run, and another that was there all the time.
fn killed_at(point: &str) {
    let shop = Shop::sqlite().on_postgres();
    let (web, other_web) = (shop.serve_as(&WEB, &[]), shop.serve_as(&WEB, &[]));
    let (worker, held) = held_up(&shop, &WORKER, point);
    shop.webhooks_to(&web);
    let files = migration(1, "orders");
    let pull = shop.approved("orders", &changes(&files));
    // One that took deliveries goes; the other takes the merge.
    web.kill();
    shop.webhooks_to(&other_web);
    shop.merge(&pull);
    until(point, || held.exists());
    let other = shop.serve_as(&WORKER, &[]);
    worker.kill();
    shop.until("production has it", || production_has_it(&pull));
    assert_done(&shop, &[&pull], &["0001_orders"], point);
    assert!(metric(&other, "godwit_unknown_runs").iter().all(|l| l.ends_with(" 0")), "{point}");
}

#[test]
fn b8_b11_a_worker_killed_before_the_commit_is_taken_over_by_another() {
    for point in ["run_pre", "intent_post", "stmt_sent"] {
        killed_at(point);
    }
}

#[test]
fn b8_b11_a_worker_killed_after_the_commit_is_taken_over_and_nothing_runs_twice() {
    for point in ["commit_acked", "record_post", "run_post", "end_recorded"] {
        killed_at(point);
    }
}

#[test]
fn b8_b11_the_same_on_one_file_with_one_process_after_the_other() {
    let shop = Shop::sqlite();
    let (served, held) = held_up(&shop, &[], "commit_acked");
    shop.webhooks_to(&served);
    let files = migration(1, "orders");
    let pull = shop.approved("orders", &changes(&files));
    shop.merge(&pull);
    until("it ran", || held.exists());
    served.kill();
    let _served = shop.serve(None);
    shop.until("production has it", || production_has_it(&pull));
    assert_done(&shop, &[&pull], &["0001_orders"], "one file");
}

/// The frozen one holds no lock of a target yet: it finds out when it goes on.
#[test]
fn b11_a_worker_that_lost_its_lease_while_it_was_frozen_cannot_write() {
    let shop = Shop::sqlite().on_postgres();
    let web = shop.serve_as(&WEB, &[]);
    let (frozen, held) = held_up(&shop, &WORKER, "run_pre");
    shop.webhooks_to(&web);
    let files = migration(1, "orders");
    let pull = shop.approved("orders", &changes(&files));
    shop.merge(&pull);
    until("it is about to run", || held.exists());
    frozen.signal("STOP");
    std::fs::remove_file(&held).unwrap();
    let _other = shop.serve_as(&WORKER, &[]);
    shop.until("production has it", || production_has_it(&pull));
    shop.rest();
    let before = shop.audit().len();
    frozen.signal("CONT");
    shop.until("it notices", || shop.log().contains("the claim was lost"));
    assert_eq!(shop.audit().len(), before, "it wrote after another had taken over");
    assert_done(&shop, &[&pull], &["0001_orders"], "frozen");
}

#[test]
fn b11_two_workers_bring_several_merges_in_order_and_each_once() {
    let shop = Shop::sqlite().on_postgres();
    let (web, other_web) = (shop.serve_as(&WEB, &[]), shop.serve_as(&WEB, &[]));
    let _workers = [shop.serve_as(&WORKER, &[]), shop.serve_as(&WORKER, &[])];
    shop.webhooks_to(&web);
    let tables = ["orders", "items", "carts"];
    let pulls: Vec<PullHandle> =
        tables.iter().enumerate().map(|(n, table)| shop.approved(table, &changes(&migration(n + 1, table)))).collect();
    for (n, pull) in pulls.iter().enumerate() {
        shop.webhooks_to(if n % 2 == 0 { &other_web } else { &web });
        shop.merge(pull);
    }
    shop.until("production has all", || pulls.iter().all(production_has_it));
    assert_done(&shop, &pulls.iter().collect::<Vec<_>>(), &["0001_orders", "0002_items", "0003_carts"], "several");
    assert!(run_comment(&pulls[2], "production").contains("0003_carts"));
}

/// The lock is held for longer than anybody waits for a connection.
#[test]
fn b11_a_store_that_stands_still_for_a_moment_does_not_keep_a_worker_from_starting() {
    let shop = Shop::sqlite().on_postgres();
    let web = shop.serve_as(&WEB, &[]);
    let url = shop.store_url();
    let (say, locked) = std::sync::mpsc::channel();
    let held = std::thread::spawn(move || {
        wait(async {
            let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
            session.execute(sqlx::raw_sql("BEGIN; SELECT pg_advisory_xact_lock(113728124578164)")).await.unwrap();
            say.send(()).unwrap();
            session.execute(sqlx::raw_sql("SELECT pg_sleep(25); COMMIT")).await.unwrap();
        });
    });
    locked.recv().unwrap();
    let worker = shop.serve_as(&WORKER, &[]);
    held.join().unwrap();
    assert!(shop.log().contains("the store is held up; trying again"), "{}", shop.log());
    assert_eq!((get(web.address, "/readyz").status, get(worker.address, "/readyz").status), (200, 200));
}

#[test]
fn b20_each_process_tells_what_it_is_and_who_else_is_there() {
    let shop = Shop::sqlite().on_postgres();
    let web = shop.serve_as(&WEB, &[]);
    let worker = shop.serve_as(&WORKER, &[]);
    let region = shop.serve_as(&["--role", "worker", "--region", "eu-west"], &[]);
    let health =
        |served: &Served| -> serde_json::Value { serde_json::from_str(&get(served.address, "/healthz").body).unwrap() };
    let roles = |served: &Served| {
        let mut roles: Vec<String> = health(served)["replicas"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| format!("{} {}", r["role"].as_str().unwrap(), r["region"].as_str().unwrap_or("-")))
            .collect();
        roles.sort();
        roles
    };
    assert_eq!(roles(&web), ["web -", "worker -", "worker eu-west"]);
    assert_eq!((health(&web)["role"].as_str(), health(&worker)["role"].as_str()), (Some("web"), Some("worker")));
    assert_eq!(health(&region)["region"], "eu-west");
    assert_eq!(health(&region)["queue"]["queued"], 0);
    assert_ne!(health(&web)["replica"], health(&worker)["replica"]);
    for served in [&web, &worker, &region] {
        assert_eq!(get(served.address, "/readyz").status, 200);
        assert!(metric(served, "godwit_replicas{").contains(&"godwit_replicas{role=\"web\",region=\"\"} 1".to_owned()));
    }
    let info = metric(&region, "godwit_replica_info{");
    assert!(info.len() == 1 && info[0].contains("region=\"eu-west\""), "{info:?}");
    // Who only works takes nothing, and says so.
    let post = |served: &Served| crate::webhook::http::deliver(served.address, "ping", "d-1", b"{}").status;
    assert_eq!((post(&worker), post(&web)), (404, 401));
    web.terminate();
    web.wait();
    shop.until("the one that was stopped is gone", || roles(&worker) == ["worker -", "worker eu-west"]);
}

#[test]
fn a_worker_without_an_app_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let output = crate::webhook::http::command(dir.path(), &[])
        .args(["--listen", "127.0.0.1:0", "--role", "worker"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("GODWIT_GITHUB_APP_ID"), "{said}");
}
