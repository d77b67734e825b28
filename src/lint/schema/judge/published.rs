//! Tables in a publication whose rows no replica could tell apart.

use super::super::PUBLISHED_WITHOUT_KEY;
use super::super::catalog::Catalog;
use super::super::change::{Action, Change, What};
use super::{Note, add};

/// Tables that are published without a key; `rest` is what the script does behind it.
pub fn without_key(catalog: &Catalog, change: &Change, rest: &[Change]) -> Vec<Note> {
    let What::Publication { name, changes, tables } = &change.what else { return Vec::new() };
    if !changes.unwrap_or_else(|| catalog.publishes_changes(name)) {
        return Vec::new();
    }
    let identified_later = |table: &str| rest.iter().any(|later| gives_identity(catalog, later, table));
    let unkeyed = tables.iter().filter_map(|table| catalog.resolve(table)).filter(|table| {
        // The partitions have keys of their own.
        !catalog.is_partitioned(table)
            && catalog.table(table).is_some_and(|known| known.closed && !known.has_identity())
            && !identified_later(table)
    });
    let told = |table: String| {
        let message = format!(
            "`{table}` has no primary key and no `REPLICA IDENTITY`: as soon as `{name}` publishes it, PostgreSQL refuses \
             each UPDATE and DELETE of it"
        );
        let help = "give the table a primary key before, or publish with `WITH (publish = 'insert')` what only grows";
        add(&PUBLISHED_WITHOUT_KEY, &change.range, message, help)
    };
    unkeyed.map(told).collect()
}

/// Whether a change gives a table what its rows are told apart by, or may do so.
fn gives_identity(catalog: &Catalog, change: &Change, table: &str) -> bool {
    match &change.what {
        What::Alter { table: other, action, .. } if catalog.resolve(other).as_deref() == Some(table) => {
            action.parts().iter().any(|part| match part {
                Action::ReplicaIdentity { on } => *on,
                Action::AddConstraint(def) => def.kind.is_primary(),
                _ => false,
            })
        }
        What::Anything | What::Call { .. } => true,
        what => matches!(what, What::Maybe(_) | What::Opaque(_)) && what.names().contains(table),
    }
}
