//! Rules on squawk's syntax tree. Those marked [`Applies::Sql`](crate::lint::table::Applies) hold for SQLite too.

mod add_column_with_check;
mod add_serial_column;
mod alter_system;
mod attach_partition;
mod change_owner;
mod cluster_table;
mod concurrent_index_if_not_exists;
mod copy_program;
mod create_enum;
mod create_extension;
mod create_rule;
mod create_trigger;
mod ddl_with_backfill;
mod delete_without_where;
mod disable_autovacuum;
mod drop_cascade;
mod drop_owned;
mod ends_sessions;
mod enum_value_used;
mod event_trigger;
mod foreign_key_cascade;
mod grant_all;
mod grant_to_public;
mod index_before_load;
mod json_column;
mod limit_without_order;
mod lock_table;
mod money_column;
mod newer_than_server;
mod not_in_subquery;
mod opaque_block;
mod own_tables;
mod password_literal;
mod prelude;
mod primary_key_using_index;
mod refresh_materialized_view;
mod secret_literal;
mod security_definer_search_path;
mod server_files;
mod session_replication_role;
mod set_access_method;
mod set_tablespace;
mod set_unlogged;
mod setval_constant;
mod several_concerns;
mod several_tables_locked;
mod superuser_rights;
mod table_inheritance;
mod table_without_primary_key;
mod timeout_off;
mod timetz_column;
mod truncate_table;
pub(in crate::lint) mod unbatched_change;
mod unbatched_copy;
mod unique_index_concurrently;
mod untagged_personal_data;
mod update_without_where;
mod vacuum_full;
mod validate_in_same_transaction;
mod where_always_true;
mod wide_index;

use super::OwnRule;
pub(in crate::lint) use newer_than_server::RULE as NEWER_THAN_SERVER;
pub(in crate::lint) use secret_literal::RULE as SECRET_LITERAL;
pub(in crate::lint) use untagged_personal_data::RULE as UNTAGGED_PERSONAL_DATA;

pub(in crate::lint) use own_tables::{HELP as OWN_TABLES_HELP, RULE as OWN_TABLES};

/// In the order in which they look.
pub(super) static RULES: &[&OwnRule] = &[
    &update_without_where::RULE,
    &delete_without_where::RULE,
    &where_always_true::RULE,
    &unbatched_change::RULE,
    &unbatched_copy::RULE,
    &truncate_table::RULE,
    &drop_cascade::RULE,
    &drop_owned::RULE,
    &add_serial_column::RULE,
    &add_column_with_check::RULE,
    &vacuum_full::RULE,
    &cluster_table::RULE,
    &lock_table::RULE,
    &refresh_materialized_view::RULE,
    &unique_index_concurrently::RULE,
    &concurrent_index_if_not_exists::RULE,
    &ddl_with_backfill::RULE,
    &several_tables_locked::RULE,
    &newer_than_server::RULE,
    &opaque_block::RULE,
    &own_tables::RULE,
    &set_unlogged::RULE,
    &set_tablespace::RULE,
    &set_access_method::RULE,
    &attach_partition::RULE,
    &create_extension::RULE,
    &copy_program::RULE,
    &server_files::RULE,
    &event_trigger::RULE,
    &ends_sessions::RULE,
    &alter_system::RULE,
    &session_replication_role::RULE,
    &grant_to_public::RULE,
    &grant_all::RULE,
    &superuser_rights::RULE,
    &password_literal::RULE,
    &secret_literal::RULE,
    &security_definer_search_path::RULE,
    &create_trigger::RULE,
    &disable_autovacuum::RULE,
    &foreign_key_cascade::RULE,
    &json_column::RULE,
    &table_without_primary_key::RULE,
    &primary_key_using_index::RULE,
    &wide_index::RULE,
    &change_owner::RULE,
    &create_enum::RULE,
    &untagged_personal_data::RULE,
    &enum_value_used::RULE,
    &validate_in_same_transaction::RULE,
    &limit_without_order::RULE,
    &index_before_load::RULE,
    &timeout_off::RULE,
    &money_column::RULE,
    &timetz_column::RULE,
    &create_rule::RULE,
    &table_inheritance::RULE,
    &not_in_subquery::RULE,
    &several_concerns::RULE,
    &setval_constant::RULE,
];
