//! The JSON Schemas of typed migrations.

use godwit::ids::Engine;
use godwit::migration::layout::typed_schema;
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
