//! What differs between the kinds of database when all are asked the same: the words of a change.

use serde_json::{Value, json};

use crate::support::{Database, Kind, Own};

/// A database with seven things in it, and changes in its own words. `PREFIX` in a text is what makes a name this
/// database's own.
pub struct Fixture {
    pub database: Database,
}

/// Whether it speaks SQL.
fn is_sql(kind: Kind) -> bool {
    matches!(kind, Kind::Postgres | Kind::Sqlite)
}

impl Fixture {
    pub fn of(kind: Kind) -> Self {
        let fixture = Self { database: Database::fresh(kind) };
        fixture.fill();
        fixture
    }

    fn kind(&self) -> Kind {
        self.database.kind
    }

    fn fill(&self) {
        let (database, name) = (&self.database, self.database.name());
        match self.kind() {
            Kind::Postgres | Kind::Sqlite => {
                let rows: Vec<String> = (0..7).map(|n| format!("({n}, {n})")).collect();
                database.query("create table things (id integer primary key, n integer)");
                database.query(&format!("insert into things values {}", rows.join(",")));
            }
            Kind::Mongodb | Kind::MongodbStandalone => {
                let documents: Vec<Value> = (0..7).map(|n| json!({ "_id": n, "n": n })).collect();
                database.mongo(&json!({ "insert": "things", "documents": documents })).unwrap();
            }
            Kind::Redis | Kind::RedisCluster => {
                for n in 0..7 {
                    database.redis::<()>(&["SET", &format!("{name}:thing:{n}"), &n.to_string()]);
                }
                database.redis::<()>(&["SET", &format!("{name}:text"), "no number"]);
            }
            Kind::Elasticsearch => {
                let lines: String =
                    (0..7).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
                let settings = json!({ "settings": { "number_of_replicas": 0 } });
                for index in ["things", "copy"] {
                    let answer = database.elastic("PUT", &format!("/{name}_{index}"), Some(&settings));
                    assert_eq!(answer.status, 200, "{}", answer.body);
                }
                database.elastic_text("POST", &format!("/{name}_things/_bulk?refresh=true"), lines);
            }
        }
    }

    /// A script as the engine takes it.
    fn script(&self, sql: &str, operation: &Value) -> String {
        if is_sql(self.kind()) {
            return sql.to_owned();
        }
        format!("[{operation}]").replace("PREFIX", self.database.name())
    }

    /// Makes something that `is_made` finds.
    pub fn make(&self, what: &str) -> String {
        let sql = format!("create table {what} (n integer)");
        let operation = match self.kind() {
            Kind::Redis | Kind::RedisCluster => {
                json!({ "type": "script", "lua": "redis.call('INCR', KEYS[1])", "keys": [format!("PREFIX:{what}")] })
            }
            Kind::Elasticsearch => {
                json!({ "type": "create_index", "index": format!("PREFIX_{what}"), "settings": { "number_of_replicas": 0 } })
            }
            _ => json!({ "type": "create_collection", "collection": what }),
        };
        self.script(&sql, &operation)
    }

    /// Whether something was made, and made once.
    pub fn is_made(&self, what: &str) -> bool {
        let found: Vec<(String, Vec<String>)> =
            self.database.contents(Own::Not).into_iter().filter(|(name, _)| name.ends_with(what)).collect();
        match &found[..] {
            [] => false,
            [(_, rows)] => {
                let once = rows.is_empty() || rows == &["string".to_owned(), "1".to_owned()];
                assert!(once, "{what} was made more than once: {rows:?}");
                true
            }
            many => panic!("{many:?}"),
        }
    }

    /// Fails on the server, in these words.
    pub fn fail(&self) -> (String, &'static str) {
        let (operation, words) = match self.kind() {
            Kind::Redis | Kind::RedisCluster => (
                json!({ "type": "script", "lua": "redis.call('INCR', KEYS[1])", "keys": ["PREFIX:text"] }),
                "not an integer",
            ),
            Kind::Elasticsearch => (
                json!({ "type": "create_index", "index": "PREFIX_bad", "mapping": { "properties": { "n": { "type": "nonsense" } } } }),
                "nonsense",
            ),
            _ => (
                json!({ "type": "create_index", "collection": "things", "index": [["n", "nonsense"]], "options": { "name": "bad" } }),
                "nonsense",
            ),
        };
        let words = if is_sql(self.kind()) { "nope" } else { words };
        (self.script("insert into nope values (1)", &operation), words)
    }

    /// Takes effect outside of a transaction and can be looked for.
    pub fn build(&self) -> Option<String> {
        let operation = match self.kind() {
            Kind::Sqlite | Kind::Redis | Kind::RedisCluster => return None,
            Kind::Elasticsearch => {
                json!({ "type": "create_index", "index": "PREFIX_built", "settings": { "number_of_replicas": 0 } })
            }
            _ => {
                json!({ "type": "create_index", "collection": "things", "index": [["n", 1]], "options": { "name": "built" } })
            }
        };
        Some(self.script("create index concurrently built on things (n)", &operation))
    }

    /// Changes each of the seven things once, in batches; said twice without a memory it would change them twice.
    pub fn batches(&self) -> Option<String> {
        let operation = match self.kind() {
            Kind::Postgres | Kind::Sqlite => return None,
            Kind::Mongodb => {
                json!({ "type": "update_documents", "collection": "things", "filter": {}, "update": { "$inc": { "n": 100 } }, "batch_size": 2 })
            }
            // Without transactions an update cannot be done in batches that are safe.
            Kind::MongodbStandalone => {
                json!({ "type": "rename_field", "collection": "things", "from": "n", "to": "m", "batch_size": 2 })
            }
            Kind::Redis | Kind::RedisCluster => {
                json!({ "type": "script", "lua": "for _, k in ipairs(KEYS) do redis.call('INCRBY', k, 100) end return #KEYS",
                        "keys": { "match": "PREFIX:thing:*", "count": 2 } })
            }
            Kind::Elasticsearch => {
                json!({ "type": "reindex", "source": "PREFIX_things", "dest": "PREFIX_copy", "batch_size": 1,
                        "requests_per_second": 4, "script": { "source": "ctx._source.n += 100" } })
            }
        };
        Some(self.script("", &operation))
    }

    /// Something that can be taken back without being told how, as an operation.
    pub fn reversible(&self) -> Option<String> {
        match self.kind() {
            Kind::Postgres | Kind::Sqlite => None,
            Kind::Redis | Kind::RedisCluster => {
                let operation = json!({ "type": "rename_keys", "keys": ["PREFIX:thing:0"], "from": "PREFIX:", "to": "{PREFIX:thing:0}:" });
                Some(self.script("", &operation))
            }
            _ => Some(self.make("made")),
        }
    }

    /// Raises the target's fence, as a newer run does.
    pub fn raise(&self) {
        let (database, name) = (&self.database, self.database.name());
        match self.kind() {
            Kind::Postgres | Kind::Sqlite => {
                database.query("update godwit_fence set epoch = epoch + 1");
            }
            Kind::Mongodb | Kind::MongodbStandalone => {
                let update = json!([{ "q": { "_id": "target" }, "u": { "$inc": { "epoch": 1 } } }]);
                database.mongo(&json!({ "update": "godwit_fence", "updates": update })).unwrap();
            }
            Kind::Redis | Kind::RedisCluster => {
                database.redis::<i64>(&["HINCRBY", &format!("godwit:{{{name}}}:fence"), "epoch", "1"]);
            }
            Kind::Elasticsearch => {
                // As `fence` does: the document, and with it the alias that only the newest runner knows.
                let path = format!("/godwit_{name}_fence");
                let fence = database.elastic("GET", &format!("{path}/_doc/target"), None).body["_source"].clone();
                let epoch = fence["epoch"].as_i64().unwrap();
                let mut newer = fence;
                newer["epoch"] = json!(epoch + 1);
                let index = format!("godwit_{name}_fence");
                let (old, new) = (format!("{index}_e{epoch}"), format!("{index}_e{}", epoch + 1));
                let actions = json!({ "actions": [
                    { "remove": { "index": index, "alias": old } },
                    { "add": { "index": index, "alias": new, "is_hidden": true } },
                ] });
                assert_eq!(database.elastic("PUT", &format!("{path}/_doc/target"), Some(&newer)).status, 200);
                assert_eq!(database.elastic("POST", "/_aliases", Some(&actions)).status, 200);
            }
        }
    }
}
