//! Rules about operations of MongoDB.

mod background_index;
mod collection_conflict;
mod destructive_command;
mod drop_collection;
mod drop_index;
mod field_without_batch;
mod filter_matches_all;
mod first_match_only;
mod fixed_option;
mod index_conflict;
mod index_on_data;
mod invalid_collection;
mod invalid_filter;
mod invalid_update;
mod invalid_validator;
mod prelude;
mod remove_field;
mod rename_collection;
mod rename_field;
mod replaced_subdocument;
mod run_command;
mod strict_validator;
mod ttl_index_on_data;
mod ttl_without_date;
mod unique_index_on_data;
mod unknown_option;
mod update_without_filter;

use super::operation::OperationRule;

/// In the order in which they look.
pub(super) static RULES: &[&OperationRule] = &[
    &destructive_command::RULE,
    &fixed_option::RULE,
    &collection_conflict::RULE,
    &invalid_collection::RULE,
    &invalid_validator::RULE,
    &update_without_filter::RULE,
    &filter_matches_all::RULE,
    &invalid_filter::RULE,
    &invalid_update::RULE,
    &index_conflict::RULE,
    &background_index::RULE,
    &unique_index_on_data::RULE,
    &ttl_index_on_data::RULE,
    &ttl_without_date::RULE,
    &first_match_only::RULE,
    &replaced_subdocument::RULE,
    &field_without_batch::RULE,
    &unknown_option::RULE,
    &index_on_data::RULE,
    &strict_validator::RULE,
    &drop_index::RULE,
    &rename_field::RULE,
    &remove_field::RULE,
    &drop_collection::RULE,
    &rename_collection::RULE,
    &run_command::RULE,
];
