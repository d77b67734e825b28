//! A mapping that the server refuses (X401).

use super::prelude::*;
use crate::config::yaml::nearest;

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
    ok: &[
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"properties":{"c":{"type":"date"}}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","settings":{"analysis":{"analyzer":{"mine":{"type":"standard"}}},"index.analysis.normalizer.low.type":"custom"},"mapping":{"properties":{"b":{"type":"text","analyzer":"mine","search_analyzer":"english","fields":{"raw":{"type":"keyword","normalizer":"low","ignore_above":256}}},"o":{"type":"nested","include_in_root":true,"properties":{}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"put_template","name":"t","template":{"index_patterns":["a"],"template":{}}},{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text","analyzer":"of_the_template"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"text","analyzer":"of_the_index"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","settings":{"analysis":{"tokenizer":{"part":{"type":"pattern"}},"analyzer":{"mine":{"type":"custom","tokenizer":"part"},"yours":{"tokenizer":"edge_ngram"}}}},"mapping":{"properties":{"b":{"type":"text","analyzer":"mine"}}}}"#,
        ),
    ],
    bad: &[
        Example::Operations(
            r#"{"type":"create_index","index":"a","settings":{"analysis":{"analyzer":{"mine":{"type":"custom","tokenizer":"standrad"}}}},"mapping":{"properties":{"b":{"type":"text","analyzer":"mine"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","settings":{"index.analysis.analyzer.mine.tokenizer":"parts","analysis":{"tokenizer":{"part":{"type":"pattern"}}}},"mapping":{"properties":{"b":{"type":"text","analyzer":"mine"}}}}"#,
        ),
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":1}}}"#),
        Example::Operations(r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"typ":"text"}}}}"#),
        Example::Operations(r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"keyward"}}}}"#),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text","analyser":"standard"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"update_mapping","index":"a","mapping":{"properties":{"b":{"type":"text","fields":{"raw":{"type":"keyword","ignore_abve":9}}}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"keyword","analyzer":"standard"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text","normalizer":"lowercase"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"properties":{},"index":false}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"text","analyzer":"standrad"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"swap_alias","alias":"n","from":"a","to":"b","settings":{"analysis":{"analyzer":{"mine":{"type":"standard"}}}},"mapping":{"properties":{"b":{"type":"text","search_analyzer":"other"}}}}"#,
        ),
        Example::Operations(
            r#"{"type":"create_index","index":"a","mapping":{"properties":{"b":{"type":"keyword","normalizer":"low"}}}}"#,
        ),
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

/// The parameters that they take.
const PARAMETERS: [&str; 83] = [
    "alternate",
    "analyzer",
    "boost",
    "case_first",
    "case_level",
    "chunking_settings",
    "coerce",
    "contexts",
    "copy_to",
    "country",
    "data_compression",
    "decomposition",
    "default_metric",
    "depth_limit",
    "dims",
    "distance_error_pct",
    "doc_values",
    "dynamic",
    "eager_global_ordinals",
    "element_type",
    "enable_position_increments",
    "enabled",
    "fielddata",
    "fielddata_frequency_filter",
    "format",
    "hiragana_quaternary_mode",
    "ignore_above",
    "ignore_malformed",
    "ignore_z_value",
    "include_in_all",
    "include_in_parent",
    "include_in_root",
    "index",
    "index_options",
    "index_phrases",
    "index_prefixes",
    "inference_id",
    "language",
    "locale",
    "max_input_length",
    "max_shingle_size",
    "meta",
    "metrics",
    "model_settings",
    "normalizer",
    "norms",
    "null_value",
    "numeric",
    "on_script_error",
    "orientation",
    "path",
    "points_only",
    "position_increment_gap",
    "positive_score_impact",
    "precision",
    "preserve_position_increments",
    "preserve_separators",
    "priority",
    "relations",
    "rules",
    "scaling_factor",
    "script",
    "search_analyzer",
    "search_inference_id",
    "search_quote_analyzer",
    "similarity",
    "split_queries_on_whitespace",
    "store",
    "store_array_source",
    "strategy",
    "strength",
    "subobjects",
    "synthetic_source_keep",
    "term_vector",
    "time_series_dimension",
    "time_series_dimensions",
    "time_series_metric",
    "tree",
    "tree_levels",
    "type",
    "value",
    "variable_top",
    "variant",
];

/// Those of a field that has others below it.
const OF_OBJECTS: [&str; 11] = [
    "dynamic",
    "enabled",
    "include_in_all",
    "include_in_parent",
    "include_in_root",
    "priority",
    "store_array_source",
    "subobjects",
    "synthetic_source_keep",
    "time_series_dimension",
    "type",
];

/// Types that are not taken apart into words.
const WHOLE: [&str; 13] = [
    "boolean",
    "byte",
    "date",
    "double",
    "float",
    "geo_point",
    "half_float",
    "integer",
    "ip",
    "keyword",
    "long",
    "scaled_float",
    "short",
];

/// Analyzers that Elasticsearch and the plugins of its own repository have.
const ANALYZERS: [&str; 52] = [
    "arabic",
    "armenian",
    "basque",
    "bengali",
    "brazilian",
    "bulgarian",
    "catalan",
    "chinese",
    "cjk",
    "czech",
    "danish",
    "default",
    "dutch",
    "english",
    "estonian",
    "fingerprint",
    "finnish",
    "french",
    "galician",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "icu_analyzer",
    "indonesian",
    "irish",
    "italian",
    "keyword",
    "kuromoji",
    "latvian",
    "lithuanian",
    "nori",
    "norwegian",
    "pattern",
    "persian",
    "polish",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "simple",
    "smartcn",
    "snowball",
    "sorani",
    "spanish",
    "standard",
    "stop",
    "swedish",
    "thai",
    "turkish",
    "ukrainian",
    "whitespace",
];

/// Tokenizers that Elasticsearch and the plugins of its own repository have, by all of their names.
const TOKENIZERS: [&str; 22] = [
    "PathHierarchy",
    "char_group",
    "classic",
    "edgeNGram",
    "edge_ngram",
    "icu_tokenizer",
    "keyword",
    "kuromoji_tokenizer",
    "letter",
    "lowercase",
    "nGram",
    "ngram",
    "nori_tokenizer",
    "path_hierarchy",
    "pattern",
    "simple_pattern",
    "simple_pattern_split",
    "smartcn_tokenizer",
    "standard",
    "thai",
    "uax_url_email",
    "whitespace",
];

/// Parameters that name an analyzer.
const NAMES_ANALYZER: [&str; 3] = ["analyzer", "search_analyzer", "search_quote_analyzer"];

fn check(look: &Look<'_>, operation: &Operation, told: &mut Told<'_>) {
    let (mapping, settings) = match operation {
        Operation::CreateIndex { mapping, settings, .. } => (mapping, Some(settings)),
        Operation::SwapAlias { mapping: Some(mapping), settings, .. } => (mapping, settings.as_ref()),
        Operation::UpdateMapping { mapping, .. } => (mapping, None),
        _ => return,
    };
    let fields = match fields(mapping) {
        Ok(fields) => fields,
        Err(message) => {
            told.add(message, "`{\"properties\": {\"id\": {\"type\": \"keyword\"}}}`");
            return;
        }
    };
    unknown_types(&fields, told);
    for (field, how) in &fields {
        wrong_parameters(field, how, told);
    }
    // What an index has from elsewhere is not seen.
    if !matches!(operation, Operation::UpdateMapping { .. }) && !look.unit.has_templates() {
        undefined(&fields, settings, told);
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

/// Parameters that no type has, or that this one does not take.
fn wrong_parameters(field: &str, how: &Value, told: &mut Told<'_>) {
    let Some(kind) = how.get("type").and_then(Value::as_str).filter(|kind| TYPES.contains(kind)) else { return };
    let has_below = matches!(kind, "object" | "nested" | "passthrough");
    let known: &[&'static str] = if has_below { &OF_OBJECTS } else { &PARAMETERS };
    for name in how.as_object().into_iter().flat_map(Map::keys) {
        let name = name.as_str();
        let is_of_words =
            (WHOLE.contains(&kind) && NAMES_ANALYZER.contains(&name)) || (kind == "text" && name == "normalizer");
        if known.contains(&name) && !is_of_words {
            continue;
        }
        let message = format!("`{field}` is of the type `{kind}`, which has no parameter `{name}`");
        let is_misplaced = is_of_words || PARAMETERS.contains(&name);
        let near = nearest(name, known).filter(|_| !is_misplaced).map(|near| format!("did you mean `{near}`?"));
        let is_certain = is_misplaced || near.is_some();
        let help = near.as_deref().unwrap_or("leave it out, or give the field the type that has it");
        let found = told.add(message, help);
        if !is_certain {
            found.severity = Some(Severity::Warning);
        }
    }
}

/// Analyzers and normalizers that neither the server has by itself nor the settings define.
fn undefined(fields: &Fields, settings: Option<&Map<String, Value>>, told: &mut Told<'_>) {
    let mut flat = Vec::new();
    if let Some(settings) = settings {
        flatten("", settings, &mut flat);
    }
    let defined = |kind: &str, name: &str| {
        let front = format!("analysis.{kind}.{name}.");
        flat.iter().any(|(key, _)| key.starts_with(&front))
    };
    let mut tell = |who: &str, kind: &str, name: &str, known: &[&'static str]| {
        if known.contains(&name) || defined(kind, name) {
            return;
        }
        let message =
            format!("`{who}` names the {kind} `{name}`, which neither the server has by itself nor `settings` defines");
        match nearest(name, known) {
            Some(near) => {
                told.add(message, &format!("did you mean `{near}`?"));
            }
            None => {
                let help = "define it below `analysis` in `settings`; where a plugin or a template brings it, waive this with its name";
                told.add(message, help).severity = Some(Severity::Warning);
            }
        }
    };
    for (key, value) in &flat {
        let custom = key.strip_prefix("analysis.analyzer.").and_then(|rest| rest.strip_suffix(".tokenizer"));
        if let (Some(analyzer), Some(name)) = (custom, value.as_str()) {
            tell(analyzer, "tokenizer", name, &TOKENIZERS);
        }
    }
    for (field, how) in fields {
        for (parameter, name) in how.as_object().into_iter().flatten() {
            let (kind, known): (_, &[&'static str]) = match parameter.as_str() {
                "normalizer" => ("normalizer", &["lowercase"]),
                parameter if NAMES_ANALYZER.contains(&parameter) => ("analyzer", &ANALYZERS),
                _ => continue,
            };
            if let Some(name) = name.as_str() {
                tell(field, kind, name, known);
            }
        }
    }
}
