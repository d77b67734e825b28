//! The same company with PostgreSQL, and a server that is stopped, repeated to and pushed at while a run goes on.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};

use godwit::sandbox::{PullHandle, WebhookFault, WebhookFaultKind};
use sqlx::Connection as _;

use super::process::{ENVIRONMENTS, Shop, metric};
use super::world::{commit, run_comment};
use crate::support::{Database, Kind, postgres_server};
use crate::webhook::http::get;

const GODWIT_YML: &str = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: \
                          migrations\n    engine: postgresql\n    target: shop\n";
const ENVIRONMENTS_YML: &str = "development:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_DEVELOPMENT}\" }\n  \
     migration: { auto_approve: true }\nstaging:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_STAGING}\" }\n  \
     migration: { backup_required: false }\nproduction:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_PRODUCTION}\" }\n  \
     migration: { backup_required: false }\n";
const FILES: [(&str, &str); 2] = [("godwit.yml", GODWIT_YML), ("policies/environments.yml", ENVIRONMENTS_YML)];
pub const ORDERS: (&str, &str) =
    ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id bigint PRIMARY KEY, email text);\n");
const INDEX: (&str, &str) =
    ("migrations/0002_email.up.sql", "CREATE UNIQUE INDEX CONCURRENTLY orders_email ON orders (email);\n");
/// Waits as long as a test holds the advisory lock 42 of the database.
pub const GATE: (&str, &str) =
    ("migrations/0002_gate.up.sql", "INSERT INTO orders SELECT 7 FROM pg_advisory_xact_lock(42);\n");

/// Fresh databases and a shop that runs on them.
pub fn shop() -> (Shop, [Database; 3]) {
    let databases = [(); 3].map(|()| Database::fresh(Kind::Postgres));
    let urls = [0, 1, 2].map(|n| databases[n].url.clone());
    (Shop::with(&FILES, urls), databases)
}

/// Holds the gate of a database until dropped.
pub struct Gate {
    runtime: tokio::runtime::Runtime,
    held: Option<sqlx::PgConnection>,
}

impl Gate {
    pub fn shut(database: &Database) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let held = runtime.block_on(async {
            let mut c = sqlx::PgConnection::connect(&database.url).await.unwrap();
            sqlx::query("SELECT pg_advisory_lock(42)").execute(&mut c).await.unwrap();
            c
        });
        Self { runtime, held: Some(held) }
    }

    pub fn open(mut self) {
        let held = self.held.take().unwrap();
        self.runtime.block_on(held.close()).unwrap();
    }
}

/// Whether somebody waits at the gate.
pub fn is_waiting(database: &Database) -> bool {
    database.one(
        "select count(*)::text from pg_locks where locktype = 'advisory' and objid = 42 and not granted \
         and database = (select oid from pg_database where datname = current_database())",
    ) != "0"
}

pub fn until_done(shop: &Shop, pull: &PullHandle) {
    shop.until("production has it", || pull.labels().unwrap().contains(&"migrated:production".to_owned()));
    shop.rest();
}

fn assert_once(shop: &Shop, pull: &PullHandle, databases: &[Database; 3]) {
    for (environment, database) in ENVIRONMENTS.into_iter().zip(databases) {
        assert_eq!(database.history(), ["0001_orders applied", "0002_gate applied"], "{environment}");
        assert_eq!(database.one("select count(*)::text from orders"), "1", "{environment}");
        assert!(run_comment(pull, environment).contains("2 migrations applied"), "{}", run_comment(pull, environment));
        assert_eq!(shop.audited("run-finished", environment), 1);
    }
}

#[test]
fn b8_stopped_in_the_middle_of_a_run_it_finishes_the_environment_and_leaves_the_next_to_its_successor() {
    let (shop, databases) = shop();
    let served = shop.serve(None);
    let pull = shop.approved("orders", &[ORDERS, GATE]);
    let gate = Gate::shut(&databases[1]);
    shop.merge(&pull);
    shop.until("staging runs", || is_waiting(&databases[1]));
    served.terminate();
    shop.until("it has heard", || served.log().contains("stopping"));
    gate.open();
    assert_eq!(served.wait().code(), Some(0));
    assert_eq!(databases[1].history(), ["0001_orders applied", "0002_gate applied"], "what was begun is finished");
    assert!(databases[2].history().is_empty(), "nothing more is begun");
    assert!(run_comment(&pull, "staging").contains("2 migrations applied"), "{}", run_comment(&pull, "staging"));
    let _served = shop.serve(None);
    until_done(&shop, &pull);
    assert_once(&shop, &pull, &databases);
}

#[test]
fn b7_pushes_and_repeated_merges_while_a_run_goes_on_run_nothing_twice() {
    let (shop, databases) = shop();
    let _served = shop.serve(None);
    let pull = shop.approved("orders", &[ORDERS, GATE]);
    let gate = Gate::shut(&databases[1]);
    // The same event under one id three times, and later once more.
    shop.sandbox.webhook_fault(WebhookFault::new(1, WebhookFaultKind::Repeat(3)).on("pull_request.closed"));
    shop.merge(&pull);
    shop.until("staging runs", || is_waiting(&databases[1]));
    let webhooks = shop.sandbox.recorder().webhooks;
    let closed = webhooks.iter().rev().find(|f| f.action.as_deref() == Some("closed")).unwrap();
    shop.sandbox.redeliver(&closed.guid).unwrap();
    // What is pushed after the merge was neither judged nor merged.
    let main = shop.repo.branch_sha("main").unwrap();
    let sneaked = commit("alice", &[("migrations/0003_sneaked.up.sql", "CREATE TABLE sneaked (id int);\n")]);
    shop.repo.force_push("orders", "alice", &main, &[sneaked]).unwrap();
    gate.open();
    until_done(&shop, &pull);
    assert_once(&shop, &pull, &databases);
    assert!(databases.iter().all(|d| !d.has_table("sneaked")));
    assert_eq!(shop.open_runs(), 0);
}

#[test]
fn b7_a_base_branch_that_is_set_back_while_a_run_goes_on_changes_nothing_of_what_was_merged() {
    let (shop, databases) = shop();
    let _served = shop.serve(None);
    let before = shop.repo.branch_sha("main").unwrap();
    let pull = shop.approved("orders", &[ORDERS, GATE]);
    let gate = Gate::shut(&databases[1]);
    shop.merge(&pull);
    shop.until("staging runs", || is_waiting(&databases[1]));
    // As if the merge had never been, and with something that nobody agreed to in its place.
    let sneaked = commit("alice", &[("migrations/0002_sneaked.up.sql", "CREATE TABLE sneaked (id int);\n")]);
    shop.repo.force_push("main", "alice", &before, &[sneaked]).unwrap();
    gate.open();
    // What was pushed straight to it is looked at a minute later; nobody waits for that here.
    shop.until("production has it", || pull.labels().unwrap().contains(&"migrated:production".to_owned()));
    assert_once(&shop, &pull, &databases);
    assert!(databases.iter().all(|d| !d.has_table("sneaked")));
    assert_eq!(shop.open_runs(), 0);
}

#[test]
fn b8_killed_while_an_index_is_built_concurrently_it_is_finished_once() {
    for point in ["stmt_sent:kill:2", "stmt_acked:kill:2", "commit_acked:kill:2"] {
        let (shop, databases) = shop();
        let served = shop.serve(Some(point));
        let pull = shop.approved("orders", &[ORDERS, INDEX]);
        shop.merge(&pull);
        assert_eq!(served.wait().code(), None, "{point} was not come to");
        let _served = shop.serve(None);
        until_done(&shop, &pull);
        for database in &databases {
            assert_eq!(database.history(), ["0001_orders applied", "0002_email applied"], "{point}");
            let valid = "select indisvalid::text from pg_index where indexrelid = 'orders_email'::regclass";
            assert_eq!(database.query(valid), [["true"]], "{point}");
        }
        assert_eq!(shop.open_runs(), 0, "{point}");
    }
}

#[test]
fn b10_a_failure_in_the_second_environment_stops_the_chain_and_the_way_out_works() {
    let (shop, databases) = shop();
    let served = shop.serve(None);
    let first = shop.approved("orders", &[ORDERS]);
    shop.merge(&first);
    until_done(&shop, &first);
    databases[1].query("insert into orders values (1, 'a'), (2, 'a')");
    let pull = shop.approved("email", &[INDEX]);
    shop.merge(&pull);
    shop.until_told(&pull, "staging", "failed");
    shop.rest();
    let told = run_comment(&pull, "staging");
    assert!(told.contains("could not create unique index") && told.contains("23505"), "{told}");
    assert!(told.contains("undone") && told.contains("/godwit retry staging") && told.contains("stops here"), "{told}");
    assert_eq!(databases[0].history(), ["0001_orders applied", "0002_email applied"]);
    assert_eq!(databases[2].history(), ["0001_orders applied"]);
    let left = "select count(*)::text from pg_class where relname = 'orders_email'";
    assert_eq!(databases[1].one(left), "0", "no invalid index stays behind");
    let runs = metric(&served, "godwit_migration_runs_total");
    let line = |environment: &str, result: &str| {
        let runs = runs.iter().find(|l| {
            l.contains(&format!("environment=\"{environment}\"")) && l.contains(&format!("result=\"{result}\""))
        });
        runs.and_then(|l| l.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(line("development", "applied").as_deref(), Some("2"), "{runs:?}");
    assert_eq!(line("staging", "applied").as_deref(), Some("1"), "{runs:?}");
    assert_eq!(line("staging", "failed").as_deref(), Some("1"), "{runs:?}");
    let seconds = metric(&served, "godwit_migration_duration_seconds_count");
    assert!(
        seconds.iter().any(|l| l.contains("engine=\"postgresql\"") && l.contains("development") && l.ends_with(" 2")),
        "{seconds:?}"
    );
    let pending = metric(&served, "godwit_migration_pending");
    assert!(pending.iter().any(|l| l.contains("staging") && l.ends_with(" 1")), "{pending:?}");
    assert!(pending.iter().any(|l| l.contains("development") && l.ends_with(" 0")), "{pending:?}");
    assert!(get(served.address, "/healthz").body.contains("\"unknown_runs\":0"));

    databases[1].query("delete from orders where id = 2");
    pull.comment("omar", "/godwit retry staging").unwrap();
    until_done(&shop, &pull);
    for database in &databases {
        assert_eq!(database.history(), ["0001_orders applied", "0002_email applied"]);
    }
}

/// Lets everything that comes to `listener` through to the PostgreSQL server, for as long as the tests run.
fn let_through(listener: TcpListener) {
    let url = url::Url::parse(&postgres_server()).unwrap();
    let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (mut near, mut far) = (near.unwrap(), TcpStream::connect(&server).unwrap());
            let (mut near_in, mut far_in) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = copy(&mut near_in, &mut far);
                let _ = far.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = copy(&mut far_in, &mut near);
                let _ = near.shutdown(Shutdown::Write);
            });
        }
    });
}

#[test]
fn a_database_that_is_down_at_the_merge_is_told_and_the_run_goes_on_once_it_is_back() {
    for asked in [false, true] {
        let databases = [(); 3].map(|()| Database::fresh(Kind::Postgres));
        let mut urls = [0, 1, 2].map(|n| databases[n].url.clone());
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let mut elsewhere = url::Url::parse(&urls[1]).unwrap();
        elsewhere.set_host(Some("127.0.0.1")).unwrap();
        elsewhere.set_port(Some(address.port())).unwrap();
        urls[1] = elsewhere.to_string();
        let shop = Shop::with(&FILES, urls);
        let served = shop.serve(None);
        let pull = shop.approved("orders", &[ORDERS]);
        shop.merge(&pull);
        shop.until_told(&pull, "staging", "cannot be reached");
        let told = run_comment(&pull, "staging");
        assert!(told.contains("/godwit retry staging") && told.contains("by itself"), "{told}");
        assert!(databases[2].history().is_empty());
        assert!(!metric(&served, "godwit_migration_runs_total").is_empty());
        let_through(TcpListener::bind(address).unwrap());
        if asked {
            pull.comment("omar", "/godwit retry staging").unwrap();
        }
        until_done(&shop, &pull);
        for (environment, database) in ENVIRONMENTS.into_iter().zip(&databases) {
            assert_eq!(database.history(), ["0001_orders applied"], "{environment}");
            assert!(run_comment(&pull, environment).contains("1 migration applied"));
        }
    }
}
