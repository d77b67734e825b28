//! Rules about the operations of every engine.

mod irreversible_operation;
mod prelude;
mod used_before_created;
mod version_content;

use super::operation::OperationRule;

/// In the order in which they look.
pub(super) static RULES: &[&OperationRule] =
    &[&used_before_created::RULE, &irreversible_operation::RULE, &version_content::RULE];
