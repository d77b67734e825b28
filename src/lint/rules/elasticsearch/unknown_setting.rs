//! Settings that no index has: the server refuses them by name.

use super::prelude::*;
use crate::config::yaml::nearest;

pub(super) static RULE: OperationRule = OperationRule {
    info: RuleInfo {
        id: "unknown-setting",
        category: Category::Fails,
        severity: Some(Severity::Error),
        risk: Risk::High,
        applies: Applies::Elasticsearch,
        title: "A setting that no index has",
    },
    check: Check::Elasticsearch(check),
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"a","settings":{"number_of_shards":1,"index":{"refresh_interval":"30s","sort":{"field":"n","order":"asc"}},"index.lifecycle.name":"p","analysis":{"analyzer":{"x":{"type":"standard"}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"put_settings","index":"a","settings":{"index.routing.allocation.require.box":"hot","index.blocks.*":null,"search.slowlog.threshold.query.warn":"5s"}}"#,
        ),
    ],
    bad: &[
        Example::Operations(r#"{"type":"create_index","index":"a","settings":{"number_of_replicass":1}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","settings":{"index":{"number_of_shard":1}}}"#),
        Example::Operations(r#"{"type":"put_settings","index":"a","settings":{"index.refresh_intervl":"1s"}}"#),
        Example::Operations(
            r#"{"type":"put_template","name":"t","template":{"index_patterns":["t-*"],"template":{"settings":{"refresh_intervall":"1s"}}}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","index":"a","settings":{"colour":"blue"}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","settings":{"number_of_shards":0}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","settings":{"index":{"number_of_replicas":"-1"}}}"#),
    ],
};

/// The settings of an index, as Elasticsearch 7.17 lists them (`GET index/_settings?include_defaults`), and what came up
/// to 9 by its manual.
const SETTINGS: [&str; 124] = [
    "allocation.existing_shards_allocator",
    "allocation.max_retries",
    "analyze.max_token_count",
    "auto_expand_replicas",
    "blocks.metadata",
    "blocks.read",
    "blocks.read_only",
    "blocks.read_only_allow_delete",
    "blocks.write",
    "bloom_filter_for_id_field.enabled",
    "codec",
    "compound_format",
    "creation_date",
    "data_path",
    "default_pipeline",
    "fast_refresh",
    "fielddata.cache",
    "final_pipeline",
    "flush_after_merge",
    "force_memory_term_dictionary",
    "format",
    "frozen",
    "gc_deletes",
    "hidden",
    "highlight.max_analyzed_offset",
    "highlight.weight_matches_mode.enabled",
    "history.uuid",
    "knn",
    "load_fixed_bitset_filters_eagerly",
    "look_ahead_time",
    "look_back_time",
    "mapper.dynamic",
    "mapping.coerce",
    "mapping.depth.limit",
    "mapping.dimension_fields.limit",
    "mapping.exclude_source_vectors",
    "mapping.field_name_length.limit",
    "mapping.ignore_above",
    "mapping.ignore_malformed",
    "mapping.nested_fields.limit",
    "mapping.nested_objects.limit",
    "mapping.patterned_text.disable_templating",
    "mapping.semantic_text.use_legacy_format",
    "mapping.source.mode",
    "mapping.synthetic_source_keep",
    "mapping.total_fields.ignore_dynamic_beyond_limit",
    "mapping.total_fields.limit",
    "mapping.use_doc_values_skipper",
    "max_adjacency_matrix_filters",
    "max_docvalue_fields_search",
    "max_inner_result_window",
    "max_ngram_diff",
    "max_refresh_listeners",
    "max_regex_length",
    "max_rescore_window",
    "max_result_window",
    "max_script_fields",
    "max_shingle_diff",
    "max_slices_per_pit",
    "max_slices_per_scroll",
    "max_terms_count",
    "merge.policy.deletes_pct_allowed",
    "merge.policy.expunge_deletes_allowed",
    "merge.policy.floor_segment",
    "merge.policy.max_merge_at_once",
    "merge.policy.max_merge_at_once_explicit",
    "merge.policy.max_merged_segment",
    "merge.policy.merge_factor",
    "merge.policy.segments_per_tier",
    "merge.policy.type",
    "merge.scheduler.auto_throttle",
    "merge.scheduler.max_merge_count",
    "merge.scheduler.max_thread_count",
    "mode",
    "number_of_replicas",
    "number_of_routing_shards",
    "number_of_search_only_replicas",
    "number_of_shards",
    "optimize_auto_generated_id",
    "priority",
    "provided_name",
    "queries.cache.enabled",
    "query.default_field",
    "query.parse.allow_unmapped_fields",
    "query_string.lenient",
    "recovery.type",
    "recovery.use_synthetic_source",
    "refresh_interval",
    "requests.cache.enable",
    "routing.allocation.disk.watermark.ignore",
    "routing.allocation.enable",
    "routing.allocation.total_shards_per_node",
    "routing.rebalance.enable",
    "routing_partition_size",
    "routing_path",
    "search.idle.after",
    "search.throttled",
    "shard.check_on_startup",
    "shard_limit.group",
    "soft_deletes.enabled",
    "soft_deletes.retention.operations",
    "soft_deletes.retention_lease.period",
    "sort.field",
    "sort.missing",
    "sort.mode",
    "sort.order",
    "source_only",
    "store.fs.fs_lock",
    "store.preload",
    "store.stats_refresh_interval",
    "store.type",
    "translog.durability",
    "translog.flush_threshold_age",
    "translog.flush_threshold_size",
    "translog.generation_threshold_size",
    "translog.retention.age",
    "translog.retention.size",
    "translog.sync_interval",
    "unassigned.node_left.delayed_timeout",
    "use_time_series_doc_values_format",
    "uuid",
    "verified_before_close",
    "warmer.enabled",
    "write.wait_for_active_shards",
];

/// What names below these are is open, or another product's.
const FAMILIES: [&str; 21] = [
    "analysis.",
    "dense_vector.",
    "downsample.",
    "esql.",
    "indexing.slowlog.",
    "knn.",
    "lifecycle.",
    "logsdb.",
    "opendistro.",
    "plugins.",
    "resize.",
    "rollup.",
    "routing.allocation.exclude.",
    "routing.allocation.include.",
    "routing.allocation.initial_recovery.",
    "routing.allocation.require.",
    "search.slowlog.",
    "similarity.",
    "time_series.",
    "version.",
    "xpack.",
];

fn check(_: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let settings = match operation {
        Operation::CreateIndex { settings, .. }
        | Operation::PutSettings { settings, .. }
        | Operation::SwapAlias { settings: Some(settings), .. } => settings,
        Operation::PutTemplate { template, .. } => {
            let inner = template.get("template").and_then(Value::as_object).unwrap_or(template);
            let Some(settings) = inner.get("settings").and_then(Value::as_object) else { return };
            settings
        }
        _ => return,
    };
    let mut flat = Vec::new();
    flatten("", settings, &mut flat);
    for (name, value) in flat {
        let least = match name.as_str() {
            "number_of_shards" => 1.0,
            "number_of_replicas" => 0.0,
            _ => f64::NEG_INFINITY,
        };
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        if number.is_some_and(|number: f64| number < least) {
            told.add(format!("`{name}` is {value}: the server takes {least} and more"), "give a number that it takes");
            continue;
        }
        let is_known = SETTINGS.contains(&name.as_str()) || FAMILIES.iter().any(|family| name.starts_with(family));
        // A pattern takes back what is set.
        if is_known || name.contains('*') || name.starts_with("archived.") {
            continue;
        }
        let message = format!("`{name}` is no setting of an index: the server refuses the operation as a whole");
        match nearest(&name, &SETTINGS) {
            Some(near) => {
                told.add(message, &format!("did you mean `{near}`?"));
            }
            None => {
                let help = "see the manual of the server's version; where a plugin brings the setting, waive this with its name";
                told.add(message, help).severity = Some(Severity::Warning);
            }
        }
    }
}
