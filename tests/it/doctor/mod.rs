//! `godwit doctor`: one thing told from another, on real servers and on the stand-in for GitHub.

mod app;

use std::net::TcpListener;

use crate::support::{Database, Kind, Said, apart, godwit, wait};
use sqlx::{Connection as _, Executor as _};

fn doctor(url: &str) -> Said {
    let dir = tempfile::tempdir().unwrap();
    godwit(dir.path()).args(["doctor", "--url", url, "--format", "json"]).output().unwrap().into()
}

/// The parts that are not as they should be.
fn wrong(said: &Said) -> Vec<(String, String)> {
    let json = said.json();
    let checks = json["checks"].as_array().unwrap();
    checks
        .iter()
        .filter(|c| c["health"] != "good")
        .map(|c| (c["part"].as_str().unwrap().to_owned(), c["message"].as_str().unwrap().to_owned()))
        .collect()
}

#[track_caller]
fn expect(url: &str, code: i32, part: &str, words: &str) {
    let said = doctor(url).expect(code);
    let found = wrong(&said);
    assert!(found.iter().any(|(p, message)| p == part && message.contains(words)), "{url}: {found:?}");
    assert!(!said.stdout.contains("s3cret"), "{}", said.stdout);
}

/// Host and port of a URL.
fn place(url: &str) -> (String, u16) {
    let url = url::Url::parse(url).unwrap();
    (url.host_str().unwrap().to_owned(), url.port().unwrap())
}

#[test]
fn s0_78_name_port_login_and_database_are_told_apart() {
    let database = Database::fresh(Kind::Postgres);
    let (host, port) = place(&database.url);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    expect("postgres://u:s3cret@no-such-host.invalid/shop", 5, "name", "no-such-host.invalid");
    expect(&format!("postgres://u:s3cret@127.0.0.1:{closed}/shop"), 5, "port", "refuses");
    expect(&format!("postgres://nobody_of_that_name:s3cret@{host}:{port}/postgres"), 1, "login", "nobody_of_that_name");
    let user = url::Url::parse(&database.url).unwrap().username().to_owned();
    expect(
        &format!("postgres://{user}@{host}:{port}/no_database_of_that_name"),
        1,
        "database",
        "no_database_of_that_name",
    );
    expect(&format!("postgres://{user}@{host}:{port}/postgres?sslmode=require"), 1, "tls", "");
    let good = doctor(&database.url).expect(0);
    assert_eq!(wrong(&good), []);
    let parts: Vec<String> =
        good.json()["checks"].as_array().unwrap().iter().map(|c| c["part"].as_str().unwrap().to_owned()).collect();
    assert_eq!(parts, ["name", "port", "login", "version", "history", "permissions", "pooler"]);
}

#[test]
fn s0_79_a_missing_right_is_named_with_what_grants_it() {
    let database = Database::fresh(Kind::Postgres);
    let (host, port) = place(&database.url);
    let name = url::Url::parse(&database.url).unwrap().path().trim_start_matches('/').to_owned();
    let role = format!("reader_of_{name}");
    apart(|| {
        wait(async {
            let mut c = sqlx::PgConnection::connect(&database.url).await.unwrap();
            c.execute(sqlx::AssertSqlSafe(format!("CREATE ROLE {role} LOGIN"))).await.unwrap();
            c.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await.unwrap();
        });
    });
    let said = doctor(&format!("postgres://{role}@{host}:{port}/{name}"));
    apart(|| {
        wait(async {
            let mut c = sqlx::PgConnection::connect(&database.url).await.unwrap();
            c.execute(sqlx::AssertSqlSafe(format!("DROP ROLE {role}"))).await.unwrap();
        });
    });
    let said = said.expect(1);
    let found = wrong(&said);
    assert!(found.iter().any(|(part, m)| part == "permissions" && m.contains(&role)), "{found:?}");
    assert!(said.stdout.contains("GRANT CREATE ON SCHEMA public"), "{}", said.stdout);
}

#[test]
fn every_engine_is_looked_at() {
    for kind in [Kind::Sqlite, Kind::Mongodb, Kind::Redis, Kind::RedisCluster, Kind::Elasticsearch] {
        let database = Database::fresh(kind);
        let said = doctor(&database.url).expect(0);
        assert!(said.stdout.contains("\"version\""), "{kind:?}: {}", said.stdout);
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in ["mongodb://127.0.0.1:PORT/shop", "redis://127.0.0.1:PORT/0", "elasticsearch+http://127.0.0.1:PORT"] {
        expect(&url.replace("PORT", &closed.to_string()), 5, "port", "refuses");
    }
}

#[test]
fn s0_78_variables_are_told_by_name_and_never_by_value() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("godwit.yml"), "version: 1\nenvironments: [staging]\n").unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    let environments = "staging:\n  targets:\n    shop: { engine: postgresql, host: \"${SHOP_HOST}\", database: shop, user: \
                        \"${SHOP_USER}\", password: \"${SHOP_PASSWORD}\" }\n";
    std::fs::write(dir.path().join("policies/environments.yml"), environments).unwrap();
    let run = |args: &[&str]| -> Said {
        let mut command = godwit(dir.path());
        command.arg("doctor").args(args).env("SHOP_PASSWORD", "s3cret-of-the-shop").env_remove("GODWIT_GITHUB_APP_ID");
        command.output().unwrap().into()
    };
    let said = run(&["staging"]).expect(1);
    for part in ["staging/shop", "`SHOP_HOST`", "`SHOP_USER`", " not set; `SHOP_PASSWORD` set"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    assert!(!said.stdout.contains("s3cret-of-the-shop"));
    run(&["moon"]).expect(2);
    // Without an environment the policy is looked at as well.
    let all = run(&[]).expect(1);
    assert!(all.stdout.contains("policy") && all.stdout.contains("GitHub App"), "{}", all.stdout);
}
