//! Which migration needs which: the order inside a folder, and what is declared across folders, services and engines.

use std::collections::BTreeSet;

use super::MigrationSet;
use super::set::find_dependency;

/// One migration needs another; both by their place in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The one that comes first.
    pub needed: usize,
    /// The one that needs it.
    pub by: usize,
    /// Written down, rather than following from the order of a folder.
    pub declared: bool,
}

/// Every edge of a set, in the order of those that need.
pub fn edges(set: &MigrationSet) -> Vec<Edge> {
    let mut last_of_unit = std::collections::HashMap::new();
    let mut by_unit: Vec<usize> = (0..set.migrations.len()).collect();
    // A circle may have left a folder out of its order.
    by_unit.sort_by(|&a, &b| {
        let (a, b) = (&set.migrations[a], &set.migrations[b]);
        a.unit.cmp(&b.unit).then_with(|| a.version.cmp(&b.version))
    });
    let mut found = BTreeSet::new();
    for by in by_unit {
        let migration = &set.migrations[by];
        let mut declares = BTreeSet::new();
        for reference in &migration.directives.depends_on {
            if let Some(needed) = find_dependency(&set.migrations, by, reference) {
                declares.insert(needed);
                found.insert((by, needed, true));
            }
        }
        if let Some(needed) = last_of_unit.insert(migration.unit.as_str(), by)
            && !declares.contains(&needed)
        {
            found.insert((by, needed, false));
        }
    }
    found.into_iter().map(|(by, needed, declared)| Edge { needed, by, declared }).collect()
}

/// Everything that a migration needs, directly and through others.
pub fn needs(edges: &[Edge], of: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![of];
    while let Some(at) = open.pop() {
        let first = edges.partition_point(|e| e.by < at);
        for edge in edges[first..].iter().take_while(|e| e.by == at) {
            if found.insert(edge.needed) {
                open.push(edge.needed);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    #[test]
    fn what_is_needed_is_found_through_folders() {
        let files = [
            ("a/1_x.up.sql", "select 1;"),
            ("a/2_y.up.sql", "-- godwit: depends_on=b/1_z,1_x\nselect 1;"),
            ("b/1_z.up.sql", "select 1;"),
            ("b/2_w.up.sql", "-- godwit: depends_on=a/2_y\nselect 1;"),
        ]
        .map(|(p, t)| SourceFile::new(p, t));
        let set = resolve(&files, &[MigrationRoot::folder("*")]);
        let at = |reference: &str| set.migrations.iter().position(|m| m.reference() == reference).unwrap();
        let edges = edges(&set);
        let one = |needed, by, declared| Edge { needed: at(needed), by: at(by), declared };
        let mut expected = [
            one("a/1_x", "a/2_y", true),
            one("b/1_z", "a/2_y", true),
            one("a/2_y", "b/2_w", true),
            one("b/1_z", "b/2_w", false),
        ];
        expected.sort_by_key(|e| (e.by, e.needed));
        assert_eq!(edges, expected);
        assert_eq!(needs(&edges, at("b/2_w")), BTreeSet::from([at("a/1_x"), at("a/2_y"), at("b/1_z")]));
    }
}
