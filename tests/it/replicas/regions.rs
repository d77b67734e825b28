//! Workers of a region: they alone run its targets, and alone hold their credentials.

use crate::bot::process::{ENVIRONMENTS, Shop, history};
use crate::bot::world::ENVIRONMENTS_YML;

const ORDERS: (&str, &str) = ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");
const REGIONAL: [&str; 4] = ["--role", "worker", "--region", "eu-west"];

/// The company with these lines of staging and production instead.
fn shop(replace: &[(&str, &str)]) -> Shop {
    let text = replace.iter().fold(ENVIRONMENTS_YML.to_owned(), |text, (from, to)| text.replace(from, to));
    let shop = Shop::sqlite_with(&[("policies/environments.yml", &text)]);
    shop.on_postgres()
}

#[test]
fn a_regions_worker_alone_runs_its_targets_and_the_rest_is_left_to_others() {
    let staging = ("url: \"sqlite:${SHOP_STAGING}\"", "url: \"sqlite:${SHOP_STAGING}\", region: eu-west");
    let shop = shop(&[staging]);
    let central = [("GODWIT_SECRET_VARS", "acme/shop:*=SHOP_DEVELOPMENT,SHOP_PRODUCTION"), ("SHOP_STAGING", "")];
    let regional =
        [("GODWIT_SECRET_VARS", "acme/shop:*=SHOP_STAGING"), ("SHOP_DEVELOPMENT", ""), ("SHOP_PRODUCTION", "")];
    // It was there once; its work waits for it.
    shop.serve_as(&REGIONAL, &regional).kill();
    let web = shop.serve_as(&["--role", "web"], &[]);
    let _central = shop.serve_as(&["--role", "worker"], &central);
    shop.webhooks_to(&web);
    let pull = shop.approved("orders", &[ORDERS]);
    shop.merge(&pull);
    shop.until_told(&pull, "development", "1 migration applied");
    shop.until_told(&pull, "staging", "the worker of region `eu-west` runs `staging`");
    assert!(!shop.dir.path().join("staging.db").exists());
    let _regional = shop.serve_as(&REGIONAL, &regional);
    shop.until_told(&pull, "staging", "1 migration applied");
    // Back for what comes behind.
    shop.until_told(&pull, "production", "1 migration applied");
    shop.rest();
    for environment in ENVIRONMENTS {
        assert_eq!(history(&shop.dir.path().join(format!("{environment}.db"))), ["0001_orders applied"]);
        assert_eq!(shop.audited("run-finished", environment), 1, "{environment}");
    }
    assert_eq!(shop.open_runs(), 0);
}
