//! `put_settings` with what is set when an index is made.

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "static-setting",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "A setting that an open index does not take",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(r#"{"type":"put_settings","index":"a","settings":{"index.number_of_replicas":1}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","settings":{"number_of_shards":2}}"#),
    ],
    bad: &[
        Example::Operations(r#"{"type":"put_settings","index":"a","settings":{"index":{"number_of_shards":2}}}"#),
        Example::Operations(
            r#"{"type":"put_settings","index":"a","settings":{"index.analysis.analyzer.a.type":"standard"}}"#,
        ),
    ],
};

const STATIC: [&str; 8] = [
    "number_of_shards",
    "number_of_routing_shards",
    "codec",
    "routing_partition_size",
    "soft_deletes",
    "analysis",
    "sort",
    "similarity",
];

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    if let Operation::PutSettings { settings, .. } = operation
        && let Some(setting) = first_static("", settings)
    {
        told.add(
            format!("`{setting}` is set when an index is made; an open one refuses it"),
            "make a new index with it, reindex, and swap the alias",
        );
    }
}

fn first_static(prefix: &str, map: &Map<String, Value>) -> Option<String> {
    map.iter().find_map(|(key, value)| {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let plain = path.strip_prefix("index.").unwrap_or(&path);
        let head = plain.split('.').next().unwrap_or(plain);
        if STATIC.contains(&head) {
            return Some(path);
        }
        (path == "index").then(|| value.as_object().and_then(|inner| first_static("index", inner))).flatten()
    })
}
