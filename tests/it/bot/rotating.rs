//! Secrets that are replaced while the server runs: the webhook's, the App's key, and what a database takes.

use godwit::sandbox::{MergeMethod, ReviewVerdict, keys};
use secrecy::SecretString;

use super::process::{ENVIRONMENTS, Shop};
use super::world::{SECRET, answer, run_comment};
use crate::webhook::http::{Served, comment, head, request, sign};

/// A second key of the App; it is no secret to anybody.
const SECOND_KEY: &str = include_str!("second-key.pem");
const SECOND_PUBLIC_KEY: &str = include_str!("second-key.pub.pem");
const NEW_SECRET: &str = "what the webhooks are signed with from now on";
const ORDERS: (&str, &str) = ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n");

#[test]
fn dec27_the_webhooks_secret_the_apps_key_and_a_databases_address_are_replaced_without_a_restart() {
    let shop = Shop::sqlite();
    let file = |name: &str| shop.dir.path().join(name);
    let write = |name: &str, text: &str| {
        // As a secret's mount is replaced: all of it at once.
        std::fs::write(file("next"), text).unwrap();
        std::fs::rename(file("next"), file(name)).unwrap();
    };
    let database = |environment: &str| file(&format!("{environment}.db")).display().to_string();
    write("webhook", SECRET);
    write("app.pem", keys::PRIVATE_KEY_PEM);
    write("staging-url", &file("elsewhere.db").display().to_string());
    let files = ["webhook", "app.pem", "staging-url"].map(|name| file(name).display().to_string());
    let (app, development, production) =
        (shop.sandbox.app_id().to_string(), database("development"), database("production"));
    let variables = [
        ("GODWIT_WEBHOOK_SECRET_FILE", files[0].as_str()),
        ("GODWIT_GITHUB_API_URL", shop.sandbox.base_url()),
        ("GODWIT_GITHUB_APP_ID", app.as_str()),
        ("GODWIT_GITHUB_PRIVATE_KEY_FILE", files[1].as_str()),
        ("GODWIT_SECRET_VARS", "acme/shop:*=SHOP_DEVELOPMENT,SHOP_STAGING,SHOP_PRODUCTION"),
        ("SHOP_DEVELOPMENT", development.as_str()),
        ("SHOP_STAGING_FILE", files[2].as_str()),
        ("SHOP_PRODUCTION", production.as_str()),
    ];
    let served = Served::start(shop.dir.path(), &[], &variables);
    shop.webhooks_to(&served);
    let pull = shop.approved("orders", &[ORDERS]);
    let answered = |text: &str| {
        let id = pull.comment("omar", text).unwrap();
        shop.until("omar is answered", || answer(&pull, id).contains("production"));
    };
    answered("/godwit status");

    // The new one beside the old one, then GitHub's side, then the old one goes.
    write("webhook", &format!("{NEW_SECRET},{SECRET}"));
    shop.sandbox.set_webhook_secret(&SecretString::from(NEW_SECRET));
    answered("/godwit status");
    write("webhook", NEW_SECRET);
    let signed_with = |secret: &str, delivery: &str| {
        let body = comment(1, "nothing to do with anybody");
        request(served.address, &head("issue_comment", delivery, &sign(secret, &body)), &body).unwrap().status
    };
    let mut n = 0;
    shop.until("the old secret counts no more", || {
        n += 1;
        signed_with(SECRET, &format!("old-{n}")) == 401
    });
    assert_eq!(signed_with(NEW_SECRET, "new"), 202);

    // The same with the App's key; GitHub forgets the first one with everything that it was asked for by it.
    shop.sandbox.set_app_keys(&[keys::PUBLIC_KEY_PEM, SECOND_PUBLIC_KEY]);
    write("app.pem", SECOND_KEY);
    shop.sandbox.set_app_keys(&[SECOND_PUBLIC_KEY]);
    shop.sandbox.revoke_tokens();
    answered("/godwit status");

    // What a variable stands for is read when a run begins. Another database is not what people agreed to, so somebody
    // who could have agreed says that it is meant.
    write("staging-url", &database("staging"));
    pull.review("dana", ReviewVerdict::Comment, "now").unwrap();
    pull.merge("rosa", MergeMethod::Squash).unwrap();
    shop.until_told(&pull, "staging", "another database now");
    pull.comment("omar", "/godwit retry staging").unwrap();
    shop.until_told(&pull, "production", "1 migration applied");
    for environment in ENVIRONMENTS {
        assert!(run_comment(&pull, environment).contains("1 migration applied"), "{environment}");
        assert_eq!(super::process::history(&file(&format!("{environment}.db"))), ["0001_orders applied"]);
    }
    let log = shop.log();
    for secret in
        [SECRET, NEW_SECRET, keys::PRIVATE_KEY_PEM.lines().nth(3).unwrap(), SECOND_KEY.lines().nth(3).unwrap()]
    {
        assert!(!log.contains(secret), "a secret stands in the log");
    }
}
