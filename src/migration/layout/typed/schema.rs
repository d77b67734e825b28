//! The JSON Schema of a typed migration, per engine: from the types that the reader itself fills, so that it cannot say
//! something else than what is read.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::metadata::{Fields, REQUIRED};
use crate::ids::Engine;
use crate::migration::operations::{are_operations, elasticsearch, mongodb, redis};

fn of<T: JsonSchema>() -> Value {
    // Nothing is referred to: an editor that follows no references shows all of it.
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let mut value = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(object) = value.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
        object.remove("$defs");
    }
    value
}

/// The operations of an engine, one form for each.
fn operations(engine: Engine) -> Option<Value> {
    Some(match engine {
        Engine::Mongodb => of::<mongodb::Operation>(),
        Engine::Elasticsearch => of::<elasticsearch::Operation>(),
        Engine::Redis => of::<redis::Operation>(),
        Engine::Postgresql | Engine::Sqlite => return None,
    })
}

/// The schema (draft 2020-12) of `001_name.json` for an engine.
pub fn schema(engine: Engine) -> Value {
    let mut schema = of::<Fields<'_>>();
    let mut required: Vec<&str> = REQUIRED.to_vec();
    if let Some(properties) = schema["properties"].as_object_mut() {
        let misplaced: &[&str] = match (are_operations(engine), engine) {
            (true, Engine::Redis) => &["no-transaction", "backfill"],
            (true, _) => &["no-transaction", "backfill", "keys", "args"],
            (false, _) => &["operations", "rollback", "keys", "args"],
        };
        for name in misplaced {
            properties.shift_remove(*name);
        }
        properties.insert("database_type".to_owned(), json!({ "const": engine.as_str() }));
        properties.insert("version".to_owned(), json!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$" }));
        if let Some(one) = operations(engine) {
            let list = json!({ "type": "array", "items": one });
            properties.insert("operations".to_owned(), list.clone());
            properties.insert("rollback".to_owned(), list);
            if engine == Engine::Redis {
                properties.insert("keys".to_owned(), of::<redis::Keys>());
            } else {
                required.push("operations");
            }
        }
    }
    schema["required"] = json!(required);
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("a migration for {engine} (001_name.json)"),
    });
    if let (Some(whole), Some(schema)) = (whole.as_object_mut(), schema.as_object()) {
        whole.extend(schema.clone());
    }
    whole
}
