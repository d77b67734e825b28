//! One change in the words of every kind of database.

use serde_json::json;

use super::{Database, Kind};

/// The files of a migration that makes `thing1`, or whatever its number is, on any kind of database.
pub fn change(database: &Database, number: u32) -> Vec<(String, String)> {
    let name = database.name();
    let typed = |of: &str, rest: String| {
        format!(
            "{{\"version\": \"1.{number}.0\", \"name\": \"m{number}\", \"description\": \"a test\", \
             \"database_type\": \"{of}\", \"migration_type\": \"schema\",\n{rest}}}\n"
        )
    };
    let operations = |of: &str, operation: serde_json::Value| {
        vec![(format!("{number:03}_m{number}.json"), typed(of, format!("\"operations\": {}", json!([operation]))))]
    };
    match database.kind {
        Kind::Postgres | Kind::Sqlite => vec![
            (format!("{number:03}_m{number}.up.sql"), format!("create table thing{number} (n integer);\n")),
            (format!("{number:03}_m{number}.down.sql"), format!("drop table thing{number};\n")),
        ],
        Kind::Mongodb | Kind::MongodbStandalone => {
            operations("mongodb", json!({"type": "create_collection", "collection": format!("thing{number}")}))
        }
        Kind::Redis | Kind::RedisCluster => vec![
            (format!("{number:03}_m{number}.json"), typed("redis", format!("\"keys\": [\"{name}:thing{number}\"]"))),
            (format!("{number:03}_m{number}.lua"), "return redis.call('SET', KEYS[1], '1') and 1\n".to_owned()),
            (format!("{number:03}_m{number}_rollback.lua"), "return redis.call('DEL', KEYS[1])\n".to_owned()),
        ],
        Kind::Elasticsearch => operations(
            "elasticsearch",
            json!({"type": "create_index", "index": format!("{name}_thing{number}"), "settings": {"number_of_replicas": 0}}),
        ),
    }
}
