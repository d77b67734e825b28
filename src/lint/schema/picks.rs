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
        (true, false) => {
            Note::Harmless { rules: &["unbatched-change", "ddl-with-backfill"], range: change.range.clone() }
        }
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

#[cfg(test)]
mod tests {
    use crate::lint::sample;

    /// Whether `sql`, behind migrations that make the tables, is told as a change of an unknown number of rows.
    fn is_told(sql: &str) -> bool {
        let tables = "CREATE TABLE t (id bigint PRIMARY KEY, a int, b int, name text, UNIQUE (a, b));\n\
                      CREATE TABLE u (tenant int, id int, code text, PRIMARY KEY (tenant, id));\n\
                      CREATE TABLE v (id int, name text);\n\
                      CREATE UNIQUE INDEX ON v (name) WHERE id > 5;";
        let files = [
            ("0001_t.up.sql", tables),
            ("0002_u.up.sql", "CREATE UNIQUE INDEX u_code ON u (code);"),
            ("0003_m.up.sql", sql),
        ];
        sample(&files).0.violations.iter().any(|v| v.rule == "unbatched-change" && v.file == "0003_m.up.sql")
    }

    #[test]
    fn keys_that_earlier_migrations_made_are_known() {
        for sql in [
            "UPDATE t SET a = 1 WHERE id = 5;",
            "DELETE FROM t WHERE a = 1 AND b = 2;",
            "DELETE FROM t WHERE (a, b) = (1, 2);",
            "DELETE FROM u WHERE tenant = 1 AND id IN (1, 2);",
            "DELETE FROM u WHERE code = 'x';",
            "UPDATE t SET name = 'x' FROM u WHERE u.code = 'y' AND t.id = u.id;",
            "DELETE FROM v WHERE id = 5;",
            "DELETE FROM w WHERE name = 'x';",
            "UPDATE t SET a = 1 WHERE name = 'x' AND /* godwit:batch */ true;",
            "CREATE TABLE n (id int PRIMARY KEY, name text); DELETE FROM n WHERE name = 'x';",
        ] {
            assert!(!is_told(sql), "{sql}");
        }
        for sql in [
            "UPDATE t SET a = 1 WHERE name = 'x';",
            "DELETE FROM t WHERE a = 1;",
            "DELETE FROM t WHERE a = 1 OR b = 2;",
            "DELETE FROM u WHERE id = 1;",
            "UPDATE t SET name = 'x' FROM u WHERE u.id = 5 AND t.id = u.id AND u.tenant > 3 AND t.a = u.id OR t.b = 1;",
            "DELETE FROM w WHERE state='x';",
        ] {
            assert!(is_told(sql), "{sql}");
        }
    }
}
