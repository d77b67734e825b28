//! The migrations that the matrix interrupts: what is there before, the one in the middle, the one after it.

use serde_json::{Value, json};

use crate::support::{Database, Kind};

/// How a step is kept whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Everything commits together.
    Atomic,
    /// A look at the target tells how far it came.
    Verifiable,
    /// In batches, or statement by statement, each with a mark of its own.
    Batched,
    /// The same again changes nothing.
    Idempotent,
}

impl Step {
    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Step::Atomic => "atomic",
            Step::Verifiable => "verifiable",
            Step::Batched => "batched",
            Step::Idempotent => "idempotent",
        }
    }
}

/// The steps that a kind of database has.
pub fn steps(kind: Kind) -> &'static [Step] {
    match kind {
        Kind::Postgres => &[Step::Atomic, Step::Verifiable, Step::Batched],
        Kind::Sqlite => &[Step::Atomic, Step::Batched],
        Kind::Mongodb => &[Step::Atomic, Step::Verifiable, Step::Batched],
        // Without transactions nothing is atomic but a single document.
        Kind::MongodbStandalone => &[Step::Verifiable, Step::Batched],
        Kind::Redis | Kind::RedisCluster => &[Step::Atomic, Step::Batched],
        // Nothing commits with its mark.
        Kind::Elasticsearch => &[Step::Verifiable, Step::Batched, Step::Idempotent],
    }
}

/// What the step in the middle is, for the page.
pub fn describe(kind: Kind, step: Step) -> &'static str {
    match (kind, step) {
        (Kind::Postgres, Step::Atomic) => "two updates and an insert in one transaction",
        (Kind::Postgres, Step::Verifiable) => "`CREATE INDEX CONCURRENTLY`",
        (Kind::Postgres, _) => "four statements without a transaction around them, `VACUUM` among them",
        (Kind::Sqlite, Step::Atomic) => "two updates and an insert in one transaction",
        (Kind::Sqlite, _) => "three statements without a transaction around them, `VACUUM` among them",
        (Kind::Mongodb, Step::Atomic) => "`update_documents` with `$inc`, one batch",
        (Kind::Mongodb | Kind::MongodbStandalone, Step::Verifiable) => {
            "`create_index`, `set_validator`, `rename_collection`"
        }
        (Kind::Mongodb, _) => "`update_documents` with `$inc`, batches of three",
        (Kind::MongodbStandalone, _) => "`add_field` and `rename_field`, batches of three",
        (Kind::Redis | Kind::RedisCluster, Step::Atomic) => "a script that adds to two keys of one slot",
        (Kind::Redis | Kind::RedisCluster, _) => "a script that adds to every key of a pattern, batches of five",
        (Kind::Elasticsearch, Step::Verifiable) => "`swap_alias` that builds the new index and fills it",
        (Kind::Elasticsearch, Step::Batched) => {
            "`create_index`, then `reindex` with a script that adds, the source closed to writes"
        }
        (Kind::Elasticsearch, _) => "`update_mapping`, `put_template`, `put_settings`",
    }
}

type Files = Vec<(String, String)>;

/// A typed migration of operations.
fn typed(kind: Kind, number: u32, name: &str, more: Value) -> (String, String) {
    let mut file = json!({
        "version": format!("1.{}.0", number - 1), "name": name, "description": "A step of the kill matrix",
        "database_type": kind.engine().as_str(), "migration_type": "data",
    });
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (format!("{number:03}_{name}.json"), serde_json::to_string_pretty(&file).unwrap())
}

/// A typed migration of Redis: its JSON and its Lua.
fn lua(number: u32, name: &str, keys: Value, script: &str) -> Files {
    vec![
        typed(Kind::Redis, number, name, json!({ "keys": keys })),
        (format!("{number:03}_{name}.lua"), script.to_owned()),
    ]
}

/// The files of the three migrations for a database.
pub fn files(database: &Database, step: Step) -> Files {
    let files = files_of(database.kind, step);
    files.into_iter().map(|(name, text)| (name, text.replace("PREFIX", database.name()))).collect()
}

fn files_of(kind: Kind, step: Step) -> Files {
    let sql = |middle: &str| -> Files {
        [
            ("0001_first.up.sql", "create table hits (id integer primary key, n integer not null);"),
            ("0002_middle.up.sql", middle),
            ("0003_last.up.sql", "create table last (n integer);\ninsert into last values (4);"),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
    };
    let operations = |first: Value, middle: Value, last: Value| -> Files {
        [("first", first), ("middle", middle), ("last", last)]
            .into_iter()
            .enumerate()
            .map(|(n, (name, list))| typed(kind, u32::try_from(n).unwrap() + 1, name, json!({ "operations": list })))
            .collect()
    };
    match (kind, step) {
        (Kind::Postgres | Kind::Sqlite, Step::Atomic) => {
            sql("update hits set n = n + 100;\nupdate hits set n = n * 2;\ninsert into hits values (100, 1);")
        }
        (Kind::Postgres, Step::Verifiable) => sql("create index concurrently hits_n on hits (n);"),
        (Kind::Postgres, _) => {
            sql("-- godwit: no-transaction\nupdate hits set n = n + 100;\nvacuum hits;\nupdate hits set n = n * 2;\n\
             insert into hits values (100, 1);")
        }
        (Kind::Sqlite, _) => {
            sql("-- godwit: no-transaction\nupdate hits set n = n + 100;\nvacuum;\nupdate hits set n = n * 2;")
        }
        (Kind::Mongodb | Kind::MongodbStandalone, step) => {
            let add = json!({ "type": "update_documents", "collection": "shop", "filter": {}, "update": { "$inc": { "n": 100 } } });
            let middle = match (kind, step) {
                (_, Step::Verifiable) => json!([
                    { "type": "create_index", "collection": "shop", "index": [["n", 1]], "options": { "name": "by_n" } },
                    { "type": "set_validator", "collection": "shop", "validator": { "n": { "$gte": 0 } } },
                    { "type": "rename_collection", "from": "shop", "to": "store" },
                ]),
                (_, Step::Atomic) => json!([add]),
                (Kind::Mongodb, _) => {
                    let mut add = add;
                    add["batch_size"] = json!(3);
                    json!([add])
                }
                _ => json!([
                    { "type": "add_field", "collection": "shop", "field": "state", "value": "new", "batch_size": 3 },
                    { "type": "rename_field", "collection": "shop", "from": "n", "to": "count", "batch_size": 3 },
                ]),
            };
            operations(
                json!([{ "type": "create_collection", "collection": "shop" }]),
                middle,
                json!([{ "type": "create_collection", "collection": "last" }]),
            )
        }
        (Kind::Redis | Kind::RedisCluster, step) => {
            let add = "for _, key in ipairs(KEYS) do redis.call('INCRBY', key, 100) end\nreturn #KEYS";
            let keys = match step {
                Step::Atomic => json!(["{PREFIX}:1", "{PREFIX}:2"]),
                _ => json!({ "match": "PREFIX:n:*", "count": 5 }),
            };
            [
                lua(1, "first", json!(["PREFIX:first"]), "redis.call('SET', KEYS[1], '1')"),
                lua(2, "middle", keys, add),
                lua(3, "last", json!(["PREFIX:last"]), "redis.call('INCRBY', KEYS[1], 4)"),
            ]
            .concat()
        }
        (Kind::Elasticsearch, step) => {
            let mapping = json!({ "properties": { "n": { "type": "integer" } } });
            let wider = json!({ "properties": { "n": { "type": "long" } } });
            let settings = json!({ "number_of_shards": 1, "number_of_replicas": 0 });
            let middle = match step {
                Step::Verifiable => json!([
                    { "type": "swap_alias", "alias": "PREFIX_shop", "from": "PREFIX_shop_v1", "to": "PREFIX_shop_v2", "mapping": wider, "settings": settings },
                ]),
                Step::Batched => json!([
                    { "type": "create_index", "index": "PREFIX_shop_v2", "mapping": wider, "settings": settings },
                    { "type": "reindex", "source": "PREFIX_shop_v1", "dest": "PREFIX_shop_v2", "batch_size": 10, "block_writes": true,
                      "script": { "source": "ctx._source.n += 100" } },
                ]),
                _ => json!([
                    { "type": "update_mapping", "index": "PREFIX_shop_v1", "mapping": { "properties": { "note": { "type": "keyword" } } } },
                    { "type": "put_template", "name": "PREFIX_shop",
                      "template": { "index_patterns": ["PREFIX_shop_*"], "template": { "settings": { "number_of_replicas": 0 } } } },
                    { "type": "put_settings", "index": "PREFIX_shop_v1", "settings": { "index": { "refresh_interval": "5s" } } },
                ]),
            };
            operations(
                json!([
                    { "type": "create_index", "index": "PREFIX_shop_v1", "mapping": mapping, "settings": settings },
                    { "type": "create_alias", "index": "PREFIX_shop_v1", "alias": "PREFIX_shop" },
                ]),
                middle,
                json!([{ "type": "create_index", "index": "PREFIX_last", "mapping": mapping, "settings": settings }]),
            )
        }
    }
}

/// How many things are there before the middle.
const MANY: u32 = 23;

/// Fills what the first migration made.
pub fn fill(database: &Database) {
    let name = database.name();
    match database.kind {
        Kind::Postgres | Kind::Sqlite => {
            let rows: Vec<String> = (0..MANY).map(|n| format!("({n}, {n})")).collect();
            database.query(&format!("insert into hits values {}", rows.join(",")));
        }
        Kind::Mongodb | Kind::MongodbStandalone => {
            let documents: Vec<Value> = (0..MANY).map(|n| json!({ "_id": n, "n": n })).collect();
            database.mongo(&json!({ "insert": "shop", "documents": documents })).unwrap();
        }
        Kind::Redis | Kind::RedisCluster => {
            for n in 0..MANY {
                database.redis::<()>(&["SET", &format!("{name}:n:{n}"), &n.to_string()]);
            }
            database.redis::<()>(&["SET", &format!("{{{name}}}:1"), "1", "EX", "10000"]);
            database.redis::<()>(&["SET", &format!("{name}:other"), "left alone"]);
        }
        Kind::Elasticsearch => {
            let lines: String =
                (0..MANY).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
            let answer = database.elastic_text("POST", &format!("/{name}_shop_v1/_bulk?refresh=true"), lines);
            assert_eq!((answer.status, answer.body["errors"].as_bool()), (200, Some(false)), "{}", answer.body);
        }
    }
}
