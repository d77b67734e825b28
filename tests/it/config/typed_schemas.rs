//! The JSON Schemas of typed migrations: what they let pass is what the reader reads.

use godwit::ids::Engine;
use godwit::migration::layout::typed_schema;
use godwit::migration::{MigrationRoot, SourceFile, resolve};
use serde_json::{Value, json};

const ENGINES: [Engine; 5] =
    [Engine::Postgresql, Engine::Mongodb, Engine::Redis, Engine::Elasticsearch, Engine::Sqlite];

fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_valid(engine: Engine, value: &Value) -> bool {
    jsonschema::validator_for(&typed_schema(engine)).unwrap().is_valid(value)
}

#[test]
fn the_schemas_of_the_repository_are_those_of_the_program() {
    for engine in ENGINES {
        let file = format!("docs/schemas/{engine}.schema.json");
        let kept = std::fs::read_to_string(root().join(&file)).unwrap_or_default();
        let printed = serde_json::to_string_pretty(&typed_schema(engine)).unwrap() + "\n";
        assert_eq!(kept, printed, "write it anew: `godwit schema {engine} > {file}`");
    }
}

#[test]
fn every_example_and_every_sample_of_the_pages_is_valid() {
    let mut seen = 0;
    for folder in ["migrations", "tests/it/apply/specification"] {
        for engine in ENGINES {
            let Ok(entries) = std::fs::read_dir(root().join(folder).join(engine.as_str())) else { continue };
            for path in entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "json")) {
                let value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                let validator = jsonschema::validator_for(&typed_schema(engine)).unwrap();
                if let Err(error) = validator.validate(&value) {
                    panic!("{}: {}: {error}", path.display(), error.instance_path());
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 12, "only {seen}");
    let page = std::fs::read_to_string(root().join("docs/operations-json.md")).unwrap();
    for engine in [Engine::Mongodb, Engine::Elasticsearch, Engine::Redis] {
        for block in page.split(&format!("```json {engine}\n")).skip(1).filter_map(|rest| rest.split("```").next()) {
            let operation: Value = serde_json::from_str(block).unwrap();
            let whole = json!({ "version": "1.0.0", "name": "a", "description": "d", "database_type": engine,
                "migration_type": "data", "operations": [operation] });
            assert!(is_valid(engine, &whole), "{engine}: {block}");
        }
    }
}

/// The same files, good and bad, to the reader and to the schema.
#[test]
fn schema_and_reader_say_the_same() {
    let good = json!({ "version": "1.0.0", "name": "a", "description": "d", "database_type": "mongodb",
        "migration_type": "schema", "operations": [{ "type": "drop_index", "collection": "c", "name": "i" }],
        "rollback": [{ "type": "create_index", "collection": "c", "index": [["a", 1]] }] });
    let mut cases = vec![(good.clone(), true)];
    for field in ["version", "name", "description", "database_type", "migration_type", "operations"] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(field);
        cases.push((without, false));
    }
    for (field, value, valid) in [
        ("colour", json!(1), false),
        ("version", json!("1.0"), false),
        ("database_type", json!("redis"), false),
        ("migration_type", json!("magic"), false),
        ("operations", json!([{ "type": "fly" }]), false),
        ("operations", json!([{ "type": "drop_index", "collection": "c" }]), false),
        ("operations", json!([{ "type": "drop_index", "collection": "c", "name": "i", "more": 1 }]), false),
        ("operations", json!([{ "type": "undo", "operation": 0, "line": 1, "of": {} }]), false),
        ("keys", json!(["a"]), false),
        ("depends_on", json!(["x"]), true),
        ("phase", json!("expand"), true),
        ("waive", json!([{ "rule": "drop-index", "reason": "r", "expires": "2030-01-01" }]), true),
    ] {
        let mut with = good.clone();
        with[field] = value;
        cases.push((with, valid));
    }
    for (value, valid) in cases {
        assert_eq!(is_valid(Engine::Mongodb, &value), valid, "schema: {value}");
        let file = SourceFile::new("migrations/mongodb/001_a.json", value.to_string().into_bytes());
        let set = resolve(&[file], &[MigrationRoot::folder("**")]);
        let told = |p: &&godwit::migration::Problem| !matches!(p.rule, "unknown-dependency");
        let wrong: Vec<_> = set.problems.iter().filter(told).collect();
        assert_eq!(wrong.is_empty(), valid, "reader: {value}: {wrong:?}");
    }
}
