//! A run that a merge started waits for a replica that is behind, as one of the command line does [S4-90].

use std::sync::atomic::{AtomicBool, Ordering};

use super::postgres::{ORDERS, until_done};
use super::process::Shop;
use super::world::run_comment;
use crate::backfill::lag::on;
use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, until};

const GODWIT_YML: &str = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: \
                          migrations\n    engine: postgresql\n    target: shop\n";
const ENVIRONMENTS_YML: &str = "development:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_DEVELOPMENT}\" }\n  \
     migration: { auto_approve: true }\nstaging:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_STAGING}\" }\n  \
     migration: { max_lag: 1, backup_required: false }\nproduction:\n  targets:\n    shop: { engine: postgresql, url: \"${SHOP_PRODUCTION}\" }\n  \
     migration: { backup_required: false }\n";

/// Ends the writer, also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn s4_90_a_run_on_merge_waits_while_a_replica_is_too_far_behind_and_its_comment_says_so() {
    let server = OwnServer::up("postgres");
    let replica = server.also("postgres_replica");
    let staging = Database::alone_on(Kind::Postgres, &server.url);
    let databases = [Database::fresh(Kind::Postgres), staging, Database::fresh(Kind::Postgres)];
    let urls = [0, 1, 2].map(|n| databases[n].url.clone());
    let shop = Shop::with(&[("godwit.yml", GODWIT_YML), ("policies/environments.yml", ENVIRONMENTS_YML)], urls);
    let _served = shop.serve(None);
    let pull = shop.approved("orders", &[ORDERS]);
    let staging = &databases[1];
    staging.query("create table noise (n integer)");
    let replica = on(staging, &replica);
    until("the replica has the table", || replica("select count(*)::text from noise") == "0");
    replica("select pg_wal_replay_pause()::text");
    until("its replay is paused", || replica("select pg_get_wal_replay_pause_state()") == "paused");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = Stop(&over);
        // Somebody writes all the time, so that the replica is seen to fall behind.
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                staging.query("insert into noise values (1)");
            }
        });
        until("the server sees that it is behind", || {
            staging.one("select (max(replay_lag) > interval '2 seconds')::text from pg_stat_replication") == "true"
        });
        shop.merge(&pull);
        shop.until_told(&pull, "staging", "waiting: a replica is");
        assert_eq!(databases[0].history(), ["0001_orders applied"]);
        assert!(staging.history().is_empty(), "nothing was begun: {:?}", staging.history());
        assert!(run_comment(&pull, "staging").contains("0001"), "{}", run_comment(&pull, "staging"));
        drop(stop);
    });
    replica("select pg_wal_replay_resume()::text");
    until_done(&shop, &pull);
    assert!(databases.iter().all(|d| d.history() == ["0001_orders applied"]));
}
