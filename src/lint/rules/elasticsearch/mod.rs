//! Rules about operations of Elasticsearch.

mod alias_before_copy;
mod alias_gap;
mod bulk_settings_left;
mod delete_by_query;
mod delete_index;
mod field_left_out;
mod index_blocked;
mod index_exists;
mod index_name;
mod index_without_alias;
mod invalid_field;
mod invalid_mapping;
mod mapping_explosion;
mod mapping_type_change;
mod mapping_types;
mod prelude;
mod query_matches_all;
mod reindex_load;
mod reindex_not_awaited;
mod reindex_onto_itself;
mod reindex_unknown_dest;
mod source_disabled;
mod static_setting;
mod template_catches_all;
mod unknown_setting;
mod update_by_query;
mod writes_during_copy;

use super::operation::OperationRule;

/// In the order in which they look.
pub(super) static RULES: &[&OperationRule] = &[
    &index_exists::RULE,
    &alias_gap::RULE,
    &mapping_types::RULE,
    &mapping_explosion::RULE,
    &source_disabled::RULE,
    &reindex_not_awaited::RULE,
    &alias_before_copy::RULE,
    &writes_during_copy::RULE,
    &field_left_out::RULE,
    &index_name::RULE,
    &reindex_onto_itself::RULE,
    &invalid_mapping::RULE,
    &invalid_field::RULE,
    &mapping_type_change::RULE,
    &reindex_unknown_dest::RULE,
    &reindex_load::RULE,
    &static_setting::RULE,
    &unknown_setting::RULE,
    &template_catches_all::RULE,
    &query_matches_all::RULE,
    &update_by_query::RULE,
    &delete_by_query::RULE,
    &delete_index::RULE,
    &index_without_alias::RULE,
    &bulk_settings_left::RULE,
    &index_blocked::RULE,
];
