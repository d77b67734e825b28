//! Doors to MongoDB, Redis and Elasticsearch beside the drivers, to fill a database and to look what is in it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::database::{Database, Kind, Own};
use super::{apart, wait};

/// A value with its fields in the order of their names: two documents are equal whatever the order of their fields.
fn ordered(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, Value> = fields.iter().map(|(k, v)| (k, ordered(v))).collect();
            sorted.into_iter().map(|(k, v)| (k.clone(), v)).collect()
        }
        Value::Array(items) => items.iter().map(ordered).collect(),
        plain => plain.clone(),
    }
}

/// What MongoDB says, as JSON; kinds of value that JSON does not have, as the words for them.
fn plain(value: &bson::Bson) -> Value {
    use mongodb::bson::Bson;
    match value {
        Bson::Document(fields) => fields.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        Bson::Array(items) => items.iter().map(plain).collect(),
        Bson::String(text) => json!(text),
        Bson::Boolean(yes) => json!(yes),
        Bson::Int32(n) => json!(n),
        Bson::Int64(n) => json!(n),
        Bson::Double(n) => json!(n),
        Bson::Null => Value::Null,
        other => json!(other.to_string()),
    }
}

/// An answer of Elasticsearch.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Database {
    /// Has a MongoDB database carry out a command.
    pub fn mongo(&self, command: &Value) -> Result<Value, String> {
        let command = bson::serialize_to_document(command).unwrap();
        let work = async {
            let client = mongodb::Client::with_uri_str(&self.url).await.map_err(|e| e.to_string())?;
            let name = self.name();
            let said = client.database(name).run_command(command).await.map_err(|e| e.to_string())?;
            Ok(plain(&bson::Bson::Document(said)))
        };
        apart(|| wait(work))
    }

    fn mongo_batch(&self, command: &Value) -> Vec<Value> {
        let said = self.mongo(command).unwrap_or_else(|e| panic!("{command}: {e}"));
        said["cursor"]["firstBatch"].as_array().cloned().unwrap_or_default()
    }

    /// Has Redis carry out a command, on the node that has its key.
    pub fn redis<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut packed = redis::cmd(command[0]);
        packed.arg(&command[1..]);
        let said = match self.kind {
            Kind::RedisCluster => {
                let client = redis::cluster::ClusterClient::new(self.redis_nodes()).unwrap();
                packed.query(&mut client.get_connection().unwrap())
            }
            _ => packed.query(&mut connection(&self.redis_nodes()[0])),
        };
        said.unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// The URL of each node.
    pub fn redis_nodes(&self) -> Vec<String> {
        let url = self.url.split("/?").next().unwrap_or_default();
        match url.strip_prefix("redis-cluster://") {
            Some(nodes) => nodes.split(',').map(|n| format!("redis://{n}/")).collect(),
            None => vec![url.to_owned()],
        }
    }

    /// Has each node of Redis carry out a command.
    pub fn redis_everywhere(&self, command: &[&str]) {
        for node in self.redis_nodes() {
            redis::cmd(command[0])
                .arg(&command[1..])
                .query::<redis::Value>(&mut connection(&node))
                .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        }
    }

    /// Asks Elasticsearch.
    pub fn elastic(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.elastic_text(method, path, body.map(Value::to_string).unwrap_or_default())
    }

    /// Asks Elasticsearch with a body that may be several lines of JSON.
    pub fn elastic_text(&self, method: &str, path: &str, body: String) -> Answer {
        let base = self.url.trim_start_matches("elasticsearch+").split("/?").next().unwrap_or_default();
        let kind = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header("Content-Type", kind)
            .body(body)
            .unwrap();
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build().into();
        let mut answer = agent.run(request).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let text = answer.body_mut().read_to_string().unwrap();
        Answer { status: answer.status().as_u16(), body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    fn elastic_indices(&self) -> Vec<String> {
        let listed = self.elastic("GET", "/_cat/indices?format=json&h=index&expand_wildcards=all", None).body;
        let all = listed.as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|i| i["index"].as_str()).filter(|i| !i.starts_with('.')).map(str::to_owned).collect()
    }

    /// Takes away what is this database's, Godwit's own objects included; on a server of its own, everything.
    pub(super) fn wipe(&self) {
        let is_ours = |name: &str| self.alone || name.contains(self.name());
        match self.kind {
            Kind::Redis | Kind::RedisCluster => {
                for node in self.redis_nodes() {
                    let mut connection = connection(&node);
                    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap_or_default();
                    for key in keys.iter().filter(|k| is_ours(k)) {
                        let _ = redis::cmd("DEL").arg(key).query::<()>(&mut connection);
                    }
                }
            }
            Kind::Elasticsearch => {
                for index in self.elastic_indices().iter().filter(|i| is_ours(i)) {
                    self.elastic("DELETE", &format!("/{index}"), None);
                }
                self.elastic("DELETE", &format!("/_index_template/{}*", self.name()), None);
            }
            Kind::Postgres | Kind::Sqlite | Kind::Mongodb | Kind::MongodbStandalone => {}
        }
    }

    pub(super) fn documents(&self, own: Own) -> BTreeMap<String, Vec<String>> {
        let is_seen = |name: &str| own == Own::Too || !name.starts_with("godwit_");
        match self.kind {
            Kind::Mongodb | Kind::MongodbStandalone => self
                .mongo_batch(&json!({ "listCollections": 1, "nameOnly": true }))
                .iter()
                .filter_map(|c| c["name"].as_str().map(str::to_owned))
                .filter(|c| is_seen(c) && !c.starts_with("system."))
                .map(|collection| {
                    let find = json!({ "find": collection, "sort": { "_id": 1 }, "batchSize": 100_000 });
                    let documents = self.mongo_batch(&find).iter().map(|d| ordered(d).to_string()).collect();
                    (collection, documents)
                })
                .collect(),
            Kind::Redis | Kind::RedisCluster => {
                let mut found = BTreeMap::new();
                let is_seen = |key: &str| {
                    (self.alone || key.contains(self.name())) && (own == Own::Too || !key.starts_with("godwit:"))
                };
                for node in self.redis_nodes() {
                    let mut connection = connection(&node);
                    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
                    for key in keys.into_iter().filter(|k| is_seen(k)) {
                        let value = redis_value(&mut connection, &key);
                        found.insert(key, value);
                    }
                }
                found
            }
            Kind::Elasticsearch => {
                self.elastic("POST", "/_all/_refresh?expand_wildcards=all", None);
                self.elastic_indices()
                    .into_iter()
                    .filter(|i| is_seen(i) && (self.alone || i.contains(self.name())))
                    .map(|index| {
                        let said = self.elastic("GET", &format!("/{index}/_search?size=10000"), None).body;
                        let hits = said["hits"]["hits"].as_array().cloned().unwrap_or_default();
                        let mut documents: Vec<String> =
                            hits.iter().map(|h| format!("{} {}", h["_id"], ordered(&h["_source"]))).collect();
                        documents.sort();
                        (index, documents)
                    })
                    .collect()
            }
            Kind::Postgres | Kind::Sqlite => BTreeMap::new(),
        }
    }
}

fn connection(node: &str) -> redis::Connection {
    redis::Client::open(node).unwrap().get_connection().unwrap()
}

/// A key's type, whether it ends by itself, and what it holds.
fn redis_value(connection: &mut redis::Connection, key: &str) -> Vec<String> {
    let kind: String = redis::cmd("TYPE").arg(key).query(connection).unwrap();
    let ends: i64 = redis::cmd("PTTL").arg(key).query(connection).unwrap();
    let mut read = |command: &str, arguments: &[&str]| -> Vec<String> {
        let said: Vec<Vec<u8>> = redis::cmd(command).arg(key).arg(arguments).query(connection).unwrap();
        said.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    };
    let mut held = match kind.as_str() {
        "hash" => read("HGETALL", &[]).chunks(2).map(|pair| pair.join("=")).collect(),
        "set" => read("SMEMBERS", &[]),
        "zset" => read("ZRANGE", &["0", "-1", "WITHSCORES"]),
        "list" => read("LRANGE", &["0", "-1"]),
        "string" => {
            // Godwit keeps bit strings too.
            let bytes: Vec<u8> = redis::cmd("GET").arg(key).query(connection).unwrap();
            vec![String::from_utf8_lossy(&bytes).into_owned()]
        }
        other => vec![format!("a {other}")],
    };
    if matches!(kind.as_str(), "hash" | "set") {
        held.sort();
    }
    held.insert(0, if ends < 0 { kind } else { format!("{kind} that ends") });
    held
}
