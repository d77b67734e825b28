//! A mapping that the server refuses (X401).

use super::prelude::*;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "invalid-mapping",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "A mapping that the server refuses",
    },
    check: Check::Elasticsearch(check),
    ok: &[Example::Operations(
        r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"properties":{"c":{"type":"date"}}}}}}"#,
    )],
    bad: &[
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":1}}}"#),
        Example::Operations(r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"typ":"text"}}}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"keyward"}}}}"#),
    ],
};

/// Types that Elasticsearch 7.15 to 9 and the plugins of its own repository map.
const TYPES: [&str; 53] = [
    "aggregate_metric_double",
    "alias",
    "annotated_text",
    "binary",
    "boolean",
    "byte",
    "completion",
    "constant_keyword",
    "counted_keyword",
    "date",
    "date_nanos",
    "date_range",
    "dense_vector",
    "double",
    "double_range",
    "flattened",
    "float",
    "float_range",
    "geo_point",
    "geo_shape",
    "half_float",
    "histogram",
    "icu_collation_keyword",
    "integer",
    "integer_range",
    "ip",
    "ip_range",
    "join",
    "keyword",
    "long",
    "long_range",
    "match_only_text",
    "murmur3",
    "nested",
    "object",
    "passthrough",
    "pattern_text",
    "percolator",
    "point",
    "rank_feature",
    "rank_features",
    "rank_vectors",
    "scaled_float",
    "search_as_you_type",
    "semantic_text",
    "shape",
    "short",
    "sparse_vector",
    "text",
    "token_count",
    "unsigned_long",
    "version",
    "wildcard",
];

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let mapping = match operation {
        Operation::CreateIndex { mapping, .. }
        | Operation::UpdateMapping { mapping, .. }
        | Operation::SwapAlias { mapping: Some(mapping), .. } => mapping,
        _ => return,
    };
    match fields(mapping) {
        Ok(fields) => unknown_types(&fields, told),
        Err(message) => {
            told.add(message, "`{\"properties\": {\"id\": {\"type\": \"keyword\"}}}`");
        }
    }
}

/// Types that the server knows only where somebody has put a plugin into it; as a rule they are misspelt.
fn unknown_types(fields: &Fields, told: &mut Told<'_>) {
    for (field, how) in fields {
        let Some(kind) = how.get("type").and_then(Value::as_str).filter(|k| !TYPES.contains(k)) else { continue };
        let found = told.add(
            format!("`{field}` has the type `{kind}`, which Elasticsearch has not by itself"),
            "such as `keyword`, `text`, `long`, `date`; where a plugin brings the type, waive this with its name",
        );
        found.severity = Some(Severity::Warning);
    }
}
