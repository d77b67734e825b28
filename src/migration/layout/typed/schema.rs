//! The JSON Schema of a typed migration, per engine: from the types that the reader itself fills, so that it cannot say
//! something else than what is read.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::metadata::{Fields, REQUIRED};
use crate::ids::Engine;
use crate::migration::operations::{are_operations, elasticsearch, mongodb, redis};

/// Text with a word in it.
pub(super) const WORDS: &str = r"\S";
/// A day.
pub(super) const DAY: &str = "^[0-9]{1,4}-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])$";
/// A table, with its schema where it needs one.
pub(super) const TABLE: &str = "^([A-Za-z_\u{80}-\u{ffff}][A-Za-z0-9_$\u{80}-\u{ffff}]*|\"[^\"]+\")(\\.([A-Za-z_\u{80}-\u{ffff}][A-Za-z0-9_$\u{80}-\u{ffff}]*|\"[^\"]+\"))*$";
/// Columns, with `,` between them.
pub(super) const COLUMNS: &str = "^\\s*([A-Za-z_\u{80}-\u{ffff}][A-Za-z0-9_$\u{80}-\u{ffff}]*|\"[^\",]+\")(\\s*[.,]\\s*([A-Za-z_\u{80}-\u{ffff}][A-Za-z0-9_$\u{80}-\u{ffff}]*|\"[^\",]+\"))*\\s*$";
/// A rest between two batches.
pub(super) const PAUSE: &str = r"^\+?[0-9]+m?s$";
/// A risk, in capitals or not.
const RISK: &str = "^([Ll][Oo][Ww]|[Mm][Ee][Dd][Ii][Uu][Mm]|[Hh][Ii][Gg][Hh]|[Cc][Rr][Ii][Tt][Ii][Cc][Aa][Ll])$";

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

/// What depends on other fields.
fn conditions(engine: Engine) -> Vec<Value> {
    let given = |field: &str| json!({ "properties": { field: { "not": { "type": "null" } } }, "required": [field] });
    let one_rule = json!({ "properties": { "waive": { "type": "string" } }, "required": ["waive"] });
    let reason = json!({ "properties": { "reason": { "type": "string", "pattern": WORDS } }, "required": ["reason"] });
    let mut all = vec![json!({ "if": one_rule, "then": reason })];
    if are_operations(engine) {
        let way_back = json!({ "properties": { "name": { "pattern": "_rollback$" } } });
        let alone = json!({ "properties": { "depends_on": { "maxItems": 0 }, "rollback": { "type": "null" } } });
        let migration = match engine {
            // The keys of the script beside it, or what it does itself.
            Engine::Redis => json!({ "oneOf": [given("keys"), given("operations")] }),
            _ => json!(true),
        };
        all.push(json!({ "if": way_back, "then": alone, "else": migration }));
    }
    all
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
        // Nothing is what a field without a place may say.
        for name in misplaced {
            properties.insert((*name).to_owned(), json!({ "type": "null" }));
        }
        properties["risk"] = json!({ "anyOf": [{ "enum": ["LOW", "MEDIUM", "HIGH", "CRITICAL", null] },
            { "type": "string", "pattern": RISK }], "description": properties["risk"]["description"] });
        properties["phase"] = json!({ "enum": ["expand", "backfill", "contract", null],
            "description": properties["phase"]["description"] });
        properties.insert("database_type".to_owned(), json!({ "const": engine.as_str() }));
        properties.insert("version".to_owned(), json!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$" }));
        if let Some(one) = operations(engine) {
            let list = |kinds: Value| json!({ "type": kinds, "items": one.clone() });
            properties.insert("rollback".to_owned(), list(json!(["array", "null"])));
            if engine == Engine::Redis {
                properties.insert("operations".to_owned(), list(json!(["array", "null"])));
                properties.insert("keys".to_owned(), of::<Option<redis::Keys>>());
            } else {
                properties.insert("operations".to_owned(), list(json!("array")));
                required.push("operations");
            }
        }
    }
    schema["allOf"] = json!(conditions(engine));
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
