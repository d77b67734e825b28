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

/// A cluster's part with an index of documents, for a test of its own.
struct Part {
    prefix: String,
    http: String,
    url: String,
    dir: TempDir,
}

impl Part {
    fn new(repository: Option<&str>) -> Self {
        let (server, prefix) = (shared("GODWIT_TEST_ELASTICSEARCH_URL"), unique());
        let http = server.strip_prefix("elasticsearch+").unwrap().trim_end_matches('/').to_owned();
        let repository = repository.map_or(String::new(), |name| format!("&repository={prefix}{name}"));
        Self {
            url: format!("{server}?namespace={prefix}{repository}"),
            prefix,
            http,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        es(method, &format!("{}/{path}", self.http), body.map(|b| b.to_string()))
    }

    fn register(&self, name: &str) {
        let body = json!({ "type": "fs", "settings": { "location": format!("{}{name}", self.prefix) } });
        assert_eq!(self.ask("PUT", &format!("_snapshot/{}{name}", self.prefix), Some(body))["acknowledged"], true);
    }

    fn snapshots(&self, name: &str) -> Vec<String> {
        let found = self.ask("GET", &format!("_snapshot/{}{name}/_all", self.prefix), None);
        found["snapshots"].as_array().unwrap().iter().map(|s| s["snapshot"].as_str().unwrap().to_owned()).collect()
    }

    fn run(&self, args: &[&str]) -> Said {
        run(&self.dir, &self.url, args)
    }

    fn fill(&self) {
        let prefix = &self.prefix;
        let body = json!({
            "settings": { "number_of_shards": 2, "auto_expand_replicas": "0-1", "max_result_window": 20000 },
            "mappings": { "dynamic": "strict", "properties": { "id": { "type": "keyword" }, "n": { "type": "double" }, "big": { "type": "long" } } },
            "aliases": { format!("{prefix}-alias"): { "filter": { "exists": { "field": "id" } } } },
        });
        assert_eq!(self.ask("PUT", &format!("{prefix}-orders"), Some(body))["acknowledged"], true);
        let documents: String = (0..1234)
            .map(|n| format!("{{\"index\":{{\"_id\":\"{n}\",\"routing\":\"r{}\"}}}}\n{{ \"id\": \"{n}\", \"n\": 1.0, \"big\": 9007199254740993 }}\n", n % 5))
            .collect();
        let bulk = format!("{}/{prefix}-orders/_bulk?refresh=true", self.http);
        assert_eq!(es("POST", &bulk, Some(documents))["errors"], false);
    }

    /// What is worth comparing.
    fn state(&self) -> (Value, Value, Value, Vec<String>) {
        let index =
            self.ask("GET", &format!("{}-orders", self.prefix), None)[format!("{}-orders", self.prefix)].clone();
        let query = json!({ "sort": ["id"] });
        let found = self.ask("POST", &format!("{}-alias/_search?size=2000", self.prefix), Some(query));
        let hits = found["hits"]["hits"].as_array().unwrap().iter();
        (
            index["mappings"].clone(),
            index["aliases"].clone(),
            json!([
                index["settings"]["index"]["max_result_window"],
                index["settings"]["index"]["auto_expand_replicas"]
            ]),
            hits.map(|h| format!("{} {} {}", h["_id"], h["_routing"], h["_source"])).collect(),
        )
    }

    /// Everything of its prefix.
    fn indices(&self) -> Vec<String> {
        let found = self.ask("GET", &format!("_cat/indices/{}*?format=json&h=index", self.prefix), None);
        let mut names: Vec<String> =
            found.as_array().unwrap().iter().map(|i| i["index"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Changes, and takes back by a restore.
    fn comes_back(&self, name: &str) {
        let before = self.state();
        assert_eq!(before.3.len(), 1234);
        let query = json!({ "query": { "term": { "id": "7" } } });
        self.ask("POST", &format!("{}-orders/_delete_by_query?refresh=true", self.prefix), Some(query));
        self.ask("PUT", &format!("{}-later", self.prefix), None);
        self.run(&["restore", name, "--yes"]).expect(0);
        assert_eq!(self.state(), before);
        assert_eq!(self.ask("GET", &format!("{}-later", self.prefix), None)["status"], 404);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // A second panic would hide the first.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.ask("DELETE", &format!("{}*", self.prefix), None);
            self.ask("DELETE", &format!("godwit_{}_*?expand_wildcards=all", self.prefix), None);
            for name in self.ask("GET", "_snapshot", None).as_object().into_iter().flat_map(|o| o.keys()) {
                if name.starts_with(&self.prefix) {
                    self.ask("DELETE", &format!("_snapshot/{name}"), None);
                }
            }
        }));
    }
}

#[test]
fn r24_elasticsearch_indices_come_back_with_documents_mapping_settings_and_aliases() {
    let part = Part::new(None);
    part.fill();
    let name = backed_up(&part.dir, &part.url, &format!("{}-*", part.prefix));
    part.comes_back(&name);
}

#[test]
fn r24_a_snapshot_repository_keeps_the_documents_of_a_backup() {
    let part = Part::new(Some("repo"));
    part.fill();
    // Only a snapshot can hold what keeps no `_source`.
    let bare = format!("{}-bare", part.prefix);
    part.ask(
        "PUT",
        &bare,
        Some(json!({ "mappings": { "_source": { "enabled": false } }, "settings": { "number_of_replicas": 0 } })),
    );
    part.ask("PUT", &format!("{bare}/_doc/1?refresh=true"), Some(json!({ "a": 1 })));
    let only = format!("{}-*", part.prefix);

    // A repository that nobody has registered.
    let said = part.run(&["backup", "--only", &only]).expect(2);
    assert!(said.stderr.contains("no snapshot repository") && said.stderr.contains("repo"), "{said:?}");
    let plain = |args: &[&str]| -> Said { godwit(part.dir.path()).args(args).output().unwrap().into() };
    assert!(plain(&["backups"]).expect(0).stdout.contains("no backups"));

    part.register("repo");
    let name = backed_up(&part.dir, &part.url, &only);
    let shelf = part.dir.path().join("state/backups");
    let meta: Value = serde_json::from_slice(&std::fs::read(shelf.join(format!("{name}.meta"))).unwrap()).unwrap();
    let kept = part.snapshots("repo");
    assert_eq!(meta["snapshot"], json!({ "repository": format!("{}repo", part.prefix), "name": kept[0] }), "{meta}");
    assert_eq!((&meta["contents"][format!("index {}-orders", part.prefix)]["count"], kept.len()), (&json!(1234), 1));
    assert!(kept[0].starts_with(name.trim_end_matches(".ndjson")), "{name} {kept:?}: called after the file");
    assert!(std::fs::metadata(shelf.join(&name)).unwrap().len() < 10_000, "the documents are elsewhere");
    let indices = part.indices();
    part.comes_back(&name);
    assert_eq!(part.indices(), indices, "nothing is left over");
    let count = part.ask("GET", &format!("{bare}/_count"), None);
    assert_eq!(count["count"], 1, "{count}");

    // What is deleted takes its snapshot along.
    let second = backed_up(&part.dir, &part.url, &only);
    let said = plain(&["backups", "prune", "--keep", "1"]).expect(2);
    assert!(said.stderr.contains("--url") && said.stderr.contains(&kept[0]), "{said:?}");
    assert_eq!(part.snapshots("repo").len(), 2);
    plain(&["backups", "prune", "--keep", "1", "--url", &part.url]).expect(0);
    assert!(!shelf.join(&name).exists() && shelf.join(&second).exists());
    let left = part.snapshots("repo");
    assert!(left.len() == 1 && left != kept, "{left:?}");

    // A snapshot that somebody has deleted is told, and nothing is changed.
    part.ask("DELETE", &format!("_snapshot/{}repo/{}", part.prefix, left[0]), None);
    let before = part.state();
    let said = part.run(&["restore", &second, "--yes"]).expect(1);
    assert!(said.stderr.contains("snapshot does not exist"), "{said:?}");
    assert_eq!(part.state(), before);
}
