//! Which changes of rows pick a handful of them, by the keys that the earlier migrations gave the table.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Table};
use super::change::{Change, ConstraintKind, What};
use super::judge::Note;
use crate::lint::picked;
use crate::lint::rules::postgres::unbatched_change;
use crate::lint::script::Finding;

/// What the catalog knows better than the names of the columns, with the table.
pub fn told(catalog: &Catalog, change: &Change) -> Option<(String, Note)> {
    let what = match &change.what {
        What::Maybe(what) => what,
        what => what,
    };
    let What::Picks(picked) = what else { return None };
    let name = catalog.resolve(picked.table())?;
    let closed = catalog.table(&name)?.closed;
    let few =
        picked.is_few(|table, columns| is_key(catalog, table, columns).unwrap_or(picked::by_name(table, columns)));
    let by_name = picked.is_few(picked::by_name);
    let info = &unbatched_change::RULE.info;
    let note = match (few, by_name) {
        (true, false) => Note::Harmless { rule: info.id, range: change.range.clone() },
        (false, true) if closed => Note::Add(Finding {
            tables: vec![name.clone()],
            ..Finding::new(info, change.range.clone(), unbatched_change::message(&name))
                .with_help(unbatched_change::RULE.help)
        }),
        (true, true) | (false, true | false) => return None,
    };
    Some((name, note))
}

/// Whether a table has at most one row for any values of these columns; `None` where no key of it is known.
fn is_key(catalog: &Catalog, table: &str, columns: &BTreeSet<String>) -> Option<bool> {
    let name = catalog.resolve(table)?;
    let keys = keys(catalog, &name, catalog.table(&name)?);
    let holds = |key: &BTreeSet<String>| key.is_subset(columns);
    (!keys.is_empty()).then(|| columns.contains("ctid") || keys.iter().any(holds))
}

fn keys(catalog: &Catalog, name: &str, table: &Table) -> Vec<BTreeSet<String>> {
    let constraints = table.constraints.values().filter_map(|c| match &c.kind {
        ConstraintKind::Primary(columns) | ConstraintKind::Unique(columns) => Some(columns.iter().cloned().collect()),
        _ => None,
    });
    let unique = catalog.indexes_of(name).filter(|(_, i)| i.unique && !i.computed);
    let indexes = unique.map(|(_, i)| i.keys.iter().flatten().cloned().collect());
    constraints.chain(indexes).filter(|key: &BTreeSet<String>| !key.is_empty()).collect()
}
