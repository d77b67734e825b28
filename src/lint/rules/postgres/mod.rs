//! Rules on squawk's syntax tree. Those marked [`Applies::Sql`](crate::lint::table::Applies) hold for SQLite too.

mod delete_without_where;
mod update_without_where;

use super::OwnRule;

/// In the order in which they look.
pub(super) static RULES: &[&OwnRule] = &[&update_without_where::RULE, &delete_without_where::RULE];
