//! Rules about operations of Redis, and about the scripts that it runs.

mod admin_command;
mod big_key_command;
mod cross_slot;
mod delete_keys;
mod endless_loop;
mod flush_command;
mod keys_command;
mod lost_expiry;
mod lua_global;
mod lua_library;
mod lua_syntax;
mod no_return;
mod not_repeatable;
mod pattern_matches_all;
mod prelude;
mod random_before_write;
mod refused_in_script;
mod rename_keys;
mod rename_over_key;
mod scan_in_script;
mod script_deletes_keys;
mod script_removes_members;
mod set_ttl;
mod undeclared_key;
mod unknown_command;
mod unknown_key_type;
mod values_in_script;

use super::operation::OperationRule;

/// In the order in which they look.
pub(super) static RULES: &[&OperationRule] = &[
    &lua_syntax::RULE,
    &keys_command::RULE,
    &flush_command::RULE,
    &scan_in_script::RULE,
    &admin_command::RULE,
    &refused_in_script::RULE,
    &unknown_command::RULE,
    &big_key_command::RULE,
    &script_deletes_keys::RULE,
    &script_removes_members::RULE,
    &rename_over_key::RULE,
    &lost_expiry::RULE,
    &undeclared_key::RULE,
    &random_before_write::RULE,
    &lua_global::RULE,
    &lua_library::RULE,
    &endless_loop::RULE,
    &not_repeatable::RULE,
    &no_return::RULE,
    &values_in_script::RULE,
    &rename_keys::RULE,
    &set_ttl::RULE,
    &delete_keys::RULE,
    &pattern_matches_all::RULE,
    &cross_slot::RULE,
    &unknown_key_type::RULE,
];
