//! What a collection keeps for its life: its shard key, `capped`, `timeseries`, … (N315).

use super::prelude::*;
use crate::lint::operations::without_database;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "fixed-option",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Mongodb,
        title: "Shard key, capped or time-series options stay as they are",
    },
    check: Check::Mongodb(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_collection","collection":"c"}"#,
        ),
        Example::Operations(
            r#"{"type":"run_command","command":{"shardCollection":"shop.c","key":{"k":1}}},{"type":"add_field","collection":"c","field":"a","value":1}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_collection","collection":"c"},{"type":"create_collection","collection":"c","options":{"capped":true,"size":512}}"#,
        ),
        Example::Operations(
            r#"{"type":"run_command","command":{"shardCollection":"shop.c","key":{"k":1}}},{"type":"rename_field","collection":"c","from":"k","to":"l"}"#,
        ),
        Example::Operations(
            r#"{"type":"run_command","command":{"shardCollection":"shop.c","key":{"k":1}}},{"type":"update_documents","collection":"c","filter":{"a":1},"update":{"$set":{"k":2}}}"#,
        ),
        Example::Operations(r#"{"type":"run_command","command":{"convertToCapped":"c","size":9}}"#),
    ],
};

/// Options that a collection keeps.
const KEPT: [&str; 4] = ["capped", "timeseries", "clusteredIndex", "collation"];

/// The first option that a collection keeps and that these would change.
pub(super) fn changed(before: &Map<String, Value>, options: &Map<String, Value>) -> Option<&'static str> {
    KEPT.into_iter().find(|key| before.get(*key) != options.get(*key))
}

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    match operation {
        Operation::CreateCollection { collection, options } => {
            if let Some(key) = look.unit.other_options(collection, options).and_then(|before| changed(before, options))
            {
                told.add(
                    format!("`{collection}` is there with another `{key}`, which a collection keeps for its life"),
                    "make another collection with it, copy the documents and move the readers",
                );
            }
        }
        Operation::AddField { collection, field, .. } | Operation::RemoveField { collection, field, .. } => {
            on_shard_key(look, collection, field, told);
        }
        Operation::RenameField { collection, from, to, .. } => {
            on_shard_key(look, collection, from, told);
            on_shard_key(look, collection, to, told);
        }
        Operation::UpdateDocuments { collection, update, .. } => {
            for (_, fields) in operators(update) {
                for field in fields.as_object().into_iter().flat_map(Map::keys) {
                    on_shard_key(look, collection, field, told);
                }
            }
        }
        Operation::RunCommand { command } => commanded(look, command, told),
        _ => {}
    }
}

fn on_shard_key(look: &Look<'_>, collection: &str, field: &str, told: &mut Told<'_>) {
    if look.unit.shard_key(collection).is_some_and(|keys| keys.iter().any(|key| key == field)) {
        told.add(
            format!("`{field}` is part of the shard key of `{collection}`; each change of it moves the document"),
            "make another collection with the key that is wanted, copy the documents and move the readers",
        );
    }
}

fn commanded(look: &Look<'_>, command: &Map<String, Value>, told: &mut Told<'_>) {
    let Some((name, on)) = command.iter().next() else { return };
    let on = on.as_str().unwrap_or_default();
    let fixed = match name.as_str() {
        "convertToCapped" => Some(format!("`{on}` is copied under an exclusive lock, and its oldest documents go")),
        "reshardCollection" | "refineCollectionShardKey" => Some(format!("the shard key of `{on}` changes")),
        "shardCollection" if look.unit.shard_key(without_database(on)).is_some() => {
            Some(format!("`{on}` has a shard key already"))
        }
        "collMod" => ["capped", "timeseries"]
            .iter()
            .find(|k| command.contains_key(**k))
            .map(|k| format!("`{k}` of `{on}` changes")),
        _ => None,
    };
    if let Some(message) = fixed {
        told.add(message, "make another collection, copy the documents and move the readers");
    }
}
