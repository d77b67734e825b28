//! Migrations written as operations: the samples of the specification, and what is said about bad ones.

use super::{folder, found, godwit, json, run};

const MONGO_1: &str = r#"{
  "version": "1.0.0", "name": "initial_schema",
  "description": "Customers collection with an e-mail validator and a unique e-mail index",
  "database_type": "mongodb", "migration_type": "schema",
  "operations": [
    { "type": "create_collection", "collection": "customers",
      "options": { "validator": { "$jsonSchema": { "bsonType": "object", "required": ["email"], "properties": { "email": { "bsonType": "string" } } } } } },
    { "type": "create_index", "collection": "customers",
      "index": [["email", 1]],
      "options": { "name": "customers_email_unique", "unique": true } }
  ]
}"#;
const MONGO_2: &str = r#"{
  "version": "1.1.0", "name": "add_user_profiles",
  "description": "Profile defaults and a status for every customer",
  "database_type": "mongodb", "migration_type": "data",
  "depends_on": ["001_initial_schema", "postgresql/001_initial_schema"],
  "operations": [
    { "type": "add_field", "collection": "customers", "field": "profile", "value": { "locale": "en" }, "batch_size": 1000 },
    { "type": "update_documents", "collection": "customers", "filter": { "status": null }, "update": { "$set": { "status": "active", "status_from": "1.1.0" } }, "batch_size": 1000 }
  ],
  "rollback": [
    { "type": "update_documents", "collection": "customers", "filter": { "status_from": "1.1.0" }, "update": { "$unset": { "status": "", "status_from": "" } } },
    { "type": "remove_field", "collection": "customers", "field": "profile", "filter": { "profile": { "locale": "en" } } }
  ]
}"#;
const MONGO_3: &str = r#"{
  "version": "2.0.0", "name": "retire_fax",
  "description": "BREAKING: tel becomes phone, fax is removed with its index",
  "database_type": "mongodb", "migration_type": "schema",
  "depends_on": ["002_add_user_profiles"],
  "operations": [
    { "type": "drop_index", "collection": "customers", "name": "customers_fax" },
    { "type": "rename_field", "collection": "customers", "from": "tel", "to": "phone" },
    { "type": "remove_field", "collection": "customers", "field": "fax" }
  ]
}"#;
const MONGO_3_ROLLBACK: &str = r#"{
  "version": "2.0.0", "name": "retire_fax_rollback",
  "description": "Undo of retire_fax; the fax values themselves come back only from the backup",
  "database_type": "mongodb", "migration_type": "schema",
  "operations": [
    { "type": "rename_field", "collection": "customers", "from": "phone", "to": "tel" },
    { "type": "create_index", "collection": "customers", "index": [["fax", 1]], "options": { "name": "customers_fax" } }
  ]
}"#;
const ELASTIC_1: &str = r#"{
  "version": "1.0.0", "name": "orders_index",
  "description": "New orders index, filled from the old one and published by alias",
  "database_type": "elasticsearch", "migration_type": "schema",
  "operations": [
    { "type": "create_index", "index": "orders_v2",
      "mapping": { "properties": { "id": { "type": "keyword" }, "placed_at": { "type": "date" } } },
      "settings": { "number_of_shards": 1, "number_of_replicas": 0 } },
    { "type": "update_mapping", "index": "orders_v2", "mapping": { "properties": { "note": { "type": "text" } } } },
    { "type": "reindex", "source": "orders_v1", "dest": "orders_v2", "wait": true },
    { "type": "create_alias", "index": "orders_v2", "alias": "orders" }
  ],
  "rollback": [ { "type": "delete_index", "index": "orders_v2" } ]
}"#;
const ELASTIC_2: &str = r#"{
  "version": "2.0.0", "name": "retire_orders_v1", "description": "BREAKING: the old orders index goes; restore it from the backup",
  "database_type": "elasticsearch", "migration_type": "schema", "depends_on": ["001_orders_index"],
  "operations": [ { "type": "delete_index", "index": "orders_v1" } ],
  "rollback": [ { "type": "create_index", "index": "orders_v1", "mapping": { "properties": { "id": { "type": "keyword" } } }, "settings": {} } ]
}"#;
const REDIS_1: &str = r#"{
  "version": "1.0.0", "name": "cart_ttl",
  "description": "Give every cart key without expiry a one-day lifetime",
  "database_type": "redis", "migration_type": "data",
  "keys": { "match": "cart:*", "count": 500 },
  "args": ["86400"]
}"#;
const REDIS_1_LUA: &str = "local changed = 0\nfor _, key in ipairs(KEYS) do\n  if redis.call('TTL', key) == -1 then\n    \
     redis.call('EXPIRE', key, tonumber(ARGV[1]))\n    changed = changed + 1\n  end\nend\nreturn changed\n";

/// 3.2, 3.3 and 3.5, with what they depend on.
#[test]
fn s4_13_s4_25_s4_46_the_samples_have_no_errors() {
    let dir = folder(&[
        (
            "migrations/postgresql/001_initial_schema.json",
            r#"{"version":"1.0.0","name":"initial_schema","description":"First","database_type":"postgresql","migration_type":"schema"}"#,
        ),
        ("migrations/postgresql/001_initial_schema.sql", "CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY);\n"),
        ("migrations/mongodb/001_initial_schema.json", MONGO_1),
        ("migrations/mongodb/002_add_user_profiles.json", MONGO_2),
        ("migrations/mongodb/003_retire_fax.json", MONGO_3),
        ("migrations/mongodb/003_retire_fax_rollback.json", MONGO_3_ROLLBACK),
        ("migrations/elasticsearch/001_orders_index.json", ELASTIC_1),
        ("migrations/elasticsearch/002_retire_orders_v1.json", ELASTIC_2),
        ("migrations/redis/001_cart_ttl.json", REDIS_1),
        ("migrations/redis/001_cart_ttl.lua", REDIS_1_LUA),
        ("migrations/redis/001_cart_ttl_rollback.lua", "return 0\n"),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(0), "{report}");
    let said: Vec<_> = report["migrations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["engine"] != "postgresql")
        .map(|m| {
            (
                m["engine"].as_str().unwrap(),
                m["id"].as_str().unwrap(),
                m["risk"].as_str().unwrap(),
                m["reversible"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("elasticsearch", "001_orders_index", "MEDIUM", true),
            ("elasticsearch", "002_retire_orders_v1", "HIGH", true),
            ("mongodb", "001_initial_schema", "LOW", true),
            ("mongodb", "002_add_user_profiles", "LOW", true),
            ("mongodb", "003_retire_fax", "HIGH", true),
            ("redis", "001_cart_ttl", "LOW", true),
        ]
    );
}

#[test]
fn bad_input_is_named_with_file_line_and_rule_before_anything_runs() {
    let about = |engine: &str, rest: &str| {
        format!(
            "{{\n\"version\": \"1.0.0\", \"name\": \"a\", \"description\": \"A\",\n\"database_type\": \"{engine}\", \"migration_type\": \"data\",\n{rest}\n}}"
        )
    };
    for (engine, rest, lua, expected) in [
        ("mongodb", "\"operations\": [", "", ("invalid-metadata", 5)),
        ("mongodb", "\"operations\": [{ \"type\": \"make_index\" }]", "", ("invalid-operation", 4)),
        (
            "mongodb",
            "\"operations\": [\n{ \"type\": \"create_index\", \"collection\": \"c\", \"index\": [[\"a\", 1]] },\n{ \"type\": \"create_collection\", \"collection\": \"c\" }]",
            "",
            ("used-before-created", 5),
        ),
        (
            "mongodb",
            "\"operations\": [\n{ \"type\": \"create_collection\", \"collection\": \"c\", \"options\": { \"validator\": { \"$jsonSchema\": [] } } }]",
            "",
            ("invalid-validator", 5),
        ),
        (
            "elasticsearch",
            "\"rollback\": [], \"operations\": [\n{ \"type\": \"delete_index\", \"index\": \"orders-*\" }]",
            "",
            ("index-name", 5),
        ),
        (
            "elasticsearch",
            "\"rollback\": [], \"operations\": [\n{ \"type\": \"create_index\", \"index\": \"o\", \"mapping\": { \"properties\": { \"a\": { \"type\": \"text\" } } } },\n{ \"type\": \"update_mapping\", \"index\": \"o\", \"mapping\": { \"properties\": { \"a\": { \"type\": \"long\" } } } }]",
            "",
            ("mapping-type-change", 6),
        ),
        ("redis", "\"keys\": [\"a\"]", "\nreturn redis.call('KEYS', '*')", ("keys-command", 2)),
        ("redis", "\"keys\": [\"a\"]", "\n\nreturn redis.call('FLUSHALL')", ("flush-command", 3)),
        ("redis", "\"keys\": [\"a\"]", "return redis.call('GET', 'b')", ("undeclared-key", 1)),
        ("redis", "\"keys\": [\"a\", \"b\"]", "return 1", ("cross-slot", 1)),
        ("redis", "\"keys\": [\"a\"]", "if true", ("lua-syntax", 1)),
    ] {
        let path = format!("migrations/{engine}/001_a");
        let (json_path, lua_path) = (format!("{path}.json"), format!("{path}.lua"));
        let text = about(engine, rest);
        let mut files = vec![(json_path.as_str(), text.as_str())];
        if !lua.is_empty() {
            files.push((lua_path.as_str(), lua));
        }
        let dir = folder(&files);
        let (code, report) = json(dir.path(), &[]);
        let (rule, line) = expected;
        assert_eq!(code, Some(1), "{rule}: {report}");
        assert!(found(&report).contains(&(rule.to_owned(), line)), "{rule} {line}: {report}");
    }
}

#[test]
fn s4_81_a_secret_is_told_and_never_printed() {
    let text = MONGO_1.replace(
        "{ \"type\": \"create_index\"",
        "{ \"type\": \"run_command\", \"command\": { \"updateUser\": \"app\", \"pwd\": \"hunter2-in-json\" } },\n    { \"type\": \"create_index\"",
    );
    let dir = folder(&[("migrations/mongodb/001_initial_schema.json", &text)]);
    for format in ["text", "json", "sarif", "github", "markdown"] {
        let (code, out, err) = run(dir.path(), &["lint", "--format", format]);
        assert_eq!(code, Some(1), "{format}: {out}{err}");
        assert!(out.contains("secret-literal"), "{format}: {out}");
        assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{format}: {out}{err}");
    }
}

#[test]
fn a_finding_shows_the_line_of_the_lua_file_it_stands_in() {
    let dir = folder(&[
        ("migrations/redis/001_cart_ttl.json", REDIS_1),
        ("migrations/redis/001_cart_ttl.lua", "local n = 0\nredis.call('FLUSHDB')\nreturn n\n"),
    ]);
    let (_, out, err) = run(dir.path(), &["lint"]);
    assert!(out.contains(" --> migrations/redis/001_cart_ttl.lua:2:1\n  |\n2 | redis.call('FLUSHDB')\n"), "{out}{err}");
}

#[test]
fn s4_67_a_job_summary_tells_operations_in_words_and_what_cannot_be_taken_back() {
    let dir = folder(&[
        ("migrations/mongodb/001_initial_schema.json", MONGO_1),
        (
            "migrations/mongodb/003_retire_fax.json",
            MONGO_3.replace(",\n  \"depends_on\": [\"002_add_user_profiles\"]", "").as_str(),
        ),
    ]);
    let summary = dir.path().join("summary.md");
    let done = godwit(dir.path(), &["ci"]).env("GITHUB_STEP_SUMMARY", &summary).output().unwrap();
    let (out, err) = (std::fs::read_to_string(summary).unwrap(), String::from_utf8(done.stderr).unwrap());
    for part in [
        "create_index customers {email: 1} unique, name customers_email_unique",
        "undo create_collection customers",
        "remove_field customers fax\n  irreversible: the removed values are gone",
        "irreversible-operation",
    ] {
        assert!(out.contains(part), "{part}: {out}{err}");
    }
}

#[test]
fn a_waiver_in_json_lets_a_finding_through_and_keeps_its_risk() {
    let text = MONGO_3.replace(
        "\"depends_on\": [\"002_add_user_profiles\"]",
        "\"waive\": [{ \"rule\": \"remove-field\", \"reason\": \"no release reads it\", \"expires\": \"2099-01-31\" }]",
    );
    let dir = folder(&[
        ("migrations/mongodb/003_retire_fax.json", text.as_str()),
        ("migrations/mongodb/003_retire_fax_rollback.json", MONGO_3_ROLLBACK),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(0), "{report}");
    let waived = report["violations"].as_array().unwrap().iter().find(|v| v["rule"] == "remove-field").unwrap();
    assert_eq!((waived["waived"].as_str(), report["risk"].as_str()), (Some("no release reads it"), Some("HIGH")));
}
