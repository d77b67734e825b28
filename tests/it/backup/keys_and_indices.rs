//! Redis and Elasticsearch: a part of a server that others use too is backed up, destroyed and brought back.

use redis::{Commands as _, Connection};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::servers::shared;
use crate::support::{Said, godwit, wait};

fn unique() -> String {
    format!("gwb{}", ulid::Ulid::generate().to_string().to_lowercase())
}

fn run(dir: &TempDir, url: &str, args: &[&str]) -> Said {
    let mut command = godwit(dir.path());
    command.arg(args[0]).args(["--url", url]).args(&args[1..]).stdin(std::process::Stdio::null());
    command.output().unwrap().into()
}

fn backed_up(dir: &TempDir, url: &str, only: &str) -> String {
    let made = run(dir, url, &["backup", "--only", only, "--format", "json"]).expect(0).json();
    let meta = &made["backups"][0];
    assert_eq!(meta["verified"]["ok"], true, "{meta}");
    assert_eq!(meta["scope"]["only"][0], only);
    meta["backup_file"].as_str().unwrap().to_owned()
}

#[test]
fn r24_redis_keys_of_every_type_come_back_with_their_lifetimes() {
    let (server, prefix, dir) = (shared("GODWIT_TEST_REDIS_URL"), unique(), tempfile::tempdir().unwrap());
    // A history of its own, so that tests do not wait for each other.
    let url = format!("{server}?namespace={prefix}");
    let mut c: Connection = redis::Client::open(server.as_str()).unwrap().get_connection().unwrap();
    let key = |name: &str| format!("{prefix}:{name}");
    for n in 0..700 {
        let _: () = c.set(key(&format!("k{n}")), n).unwrap();
    }
    let _: () = c.hset(key("hash"), "field", b"\x00\xff".as_slice()).unwrap();
    let _: () = c.sadd(key("set"), (0..900).collect::<Vec<i32>>()).unwrap();
    let _: () = c.zadd(key("sorted"), "a", 1.5).unwrap();
    let _: () = c.rpush(key("list"), (0..300).collect::<Vec<i32>>()).unwrap();
    let _: String = redis::cmd("XADD").arg(key("stream")).arg("*").arg("a").arg("b").query(&mut c).unwrap();
    let _: () = c.set_ex(key("soon"), "x", 5000).unwrap();
    let expires: i64 = redis::cmd("PEXPIRETIME").arg(key("soon")).query(&mut c).unwrap();
    let name = backed_up(&dir, &url, &format!("{prefix}:*"));

    for gone in ["hash", "set", "stream", "k1"] {
        let _: () = c.del(key(gone)).unwrap();
    }
    let _: () = c.persist(key("soon")).unwrap();
    let _: () = c.set(key("later"), 1).unwrap();
    let _: () = c.set(key("k2"), "changed").unwrap();
    run(&dir, &url, &["restore", &name, "--yes"]).expect(0);

    let values: Vec<i64> = (0..700).map(|n| c.get(key(&format!("k{n}"))).unwrap()).collect();
    assert_eq!(values, (0..700).collect::<Vec<i64>>());
    assert_eq!(c.hget::<_, _, Vec<u8>>(key("hash"), "field").unwrap(), b"\x00\xff");
    assert_eq!(c.scard::<_, i64>(key("set")).unwrap(), 900);
    assert_eq!(c.zscore::<_, _, f64>(key("sorted"), "a").unwrap(), 1.5);
    assert_eq!(c.llen::<_, i64>(key("list")).unwrap(), 300);
    assert_eq!(redis::cmd("XLEN").arg(key("stream")).query::<i64>(&mut c).unwrap(), 1);
    assert_eq!(redis::cmd("PEXPIRETIME").arg(key("soon")).query::<i64>(&mut c).unwrap(), expires);
    assert!(!c.exists::<_, bool>(key("later")).unwrap());
    for n in 0..700 {
        let _: () = c.del(key(&format!("k{n}"))).unwrap();
    }
}

async fn ask(method: &str, url: &str, body: Option<String>) -> Value {
    let (method, url) = (method.to_owned(), url.to_owned());
    tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method.as_str())
            .uri(url)
            .header(
                "content-type",
                if body.as_ref().is_some_and(|b| b.ends_with('\n')) {
                    "application/x-ndjson"
                } else {
                    "application/json"
                },
            )
            .body(body.unwrap_or_default())
            .unwrap();
        serde_json::from_str(&agent.run(request).unwrap().body_mut().read_to_string().unwrap()).unwrap_or_default()
    })
    .await
    .unwrap()
}

fn es(method: &str, url: &str, body: Option<String>) -> Value {
    wait(ask(method, url, body))
}

#[test]
fn r24_elasticsearch_indices_come_back_with_documents_mapping_settings_and_aliases() {
    let (server, prefix, dir) = (shared("GODWIT_TEST_ELASTICSEARCH_URL"), unique(), tempfile::tempdir().unwrap());
    let url = format!("{server}?namespace={prefix}");
    let http = server.strip_prefix("elasticsearch+").unwrap().trim_end_matches('/').to_owned();
    let orders = format!("{http}/{prefix}-orders");
    let body = json!({
        "settings": { "number_of_shards": 2, "number_of_replicas": 0, "max_result_window": 20000 },
        "mappings": { "dynamic": "strict", "properties": { "id": { "type": "keyword" }, "n": { "type": "double" }, "big": { "type": "long" } } },
        "aliases": { format!("{prefix}-alias"): { "filter": { "exists": { "field": "id" } } } },
    });
    assert_eq!(es("PUT", &orders, Some(body.to_string()))["acknowledged"], true);
    let documents: String = (0..1234)
        .map(|n| format!("{{\"index\":{{\"_id\":\"{n}\",\"routing\":\"r{}\"}}}}\n{{ \"id\": \"{n}\", \"n\": 1.0, \"big\": 9007199254740993 }}\n", n % 5))
        .collect();
    assert_eq!(es("POST", &format!("{orders}/_bulk?refresh=true"), Some(documents))["errors"], false);
    let state = || {
        let index = es("GET", &orders, None)[format!("{prefix}-orders")].clone();
        let found = es(
            "POST",
            &format!("{http}/{prefix}-alias/_search?size=2000"),
            Some(json!({ "sort": ["id"] }).to_string()),
        );
        let hits: Vec<String> = found["hits"]["hits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| format!("{} {} {}", h["_id"], h["_routing"], h["_source"]))
            .collect();
        (
            index["mappings"].clone(),
            index["aliases"].clone(),
            index["settings"]["index"]["max_result_window"].clone(),
            hits,
        )
    };
    let before = state();
    assert_eq!(before.3.len(), 1234);
    let name = backed_up(&dir, &url, &format!("{prefix}-*"));
    es(
        "POST",
        &format!("{orders}/_delete_by_query?refresh=true"),
        Some(json!({ "query": { "term": { "id": "7" } } }).to_string()),
    );
    es("PUT", &format!("{http}/{prefix}-later"), None);
    run(&dir, &url, &["restore", &name, "--yes"]).expect(0);
    assert_eq!(state(), before);
    assert_eq!(es("GET", &format!("{http}/{prefix}-later"), None)["status"], 404);
    es("DELETE", &orders, None);
}
