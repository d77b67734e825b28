//! What needs what, as a picture: Mermaid (which GitHub draws), Graphviz, JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;

use crate::migration::graph::{Edge, edges};
use crate::migration::{Migration, MigrationSet};

/// Above this many migrations a picture shows only those that somebody declared something about.
const WHOLE: usize = 150;

/// What a picture holds.
struct Picture<'a> {
    set: &'a MigrationSet,
    shown: BTreeSet<usize>,
    edges: Vec<Edge>,
}

impl<'a> Picture<'a> {
    fn new(set: &'a MigrationSet, service: Option<&str>) -> Self {
        let all = edges(set);
        let of_service = |m: &Migration| service.is_none_or(|s| m.service.as_deref() == Some(s));
        let mut shown: BTreeSet<usize> =
            (0..set.migrations.len()).filter(|&i| of_service(&set.migrations[i])).collect();
        // What a service needs of others, and others of it, belongs into its picture.
        let beside: Vec<usize> = all
            .iter()
            .filter(|e| e.declared && (shown.contains(&e.by) || shown.contains(&e.needed)))
            .flat_map(|e| [e.by, e.needed])
            .collect();
        if shown.len() > WHOLE {
            shown.clear();
        }
        shown.extend(beside);
        let edges = all.into_iter().filter(|e| shown.contains(&e.by) && shown.contains(&e.needed)).collect();
        Self { set, shown, edges }
    }

    /// Some migrations and what is declared about them; `None` where nothing is, or too much for a picture.
    fn around(set: &'a MigrationSet, own: &dyn Fn(&Migration) -> bool) -> Option<Self> {
        let is_own = |at: usize| own(&set.migrations[at]);
        let edges: Vec<Edge> =
            edges(set).into_iter().filter(|e| e.declared && (is_own(e.by) || is_own(e.needed))).collect();
        let shown: BTreeSet<usize> = edges.iter().flat_map(|e| [e.by, e.needed]).collect();
        (!edges.is_empty() && shown.len() <= WHOLE).then_some(Self { set, shown, edges })
    }

    /// The migrations that are shown, by their folder.
    fn units(&self) -> BTreeMap<&'a str, Vec<usize>> {
        let mut units: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &at in &self.shown {
            units.entry(&self.set.migrations[at].unit).or_default().push(at);
        }
        units
    }

    fn left_out(&self) -> usize {
        self.set.migrations.len() - self.shown.len()
    }
}

fn title(unit: &str) -> &str {
    if unit.is_empty() { "." } else { unit }
}

/// As Mermaid.
pub fn mermaid(set: &MigrationSet, service: Option<&str>) -> String {
    drawn(&Picture::new(set, service))
}

/// What is declared about some migrations, as Mermaid; `None` where nothing is.
pub fn mermaid_around(set: &MigrationSet, own: &dyn Fn(&Migration) -> bool) -> Option<String> {
    Picture::around(set, own).as_ref().map(drawn)
}

fn drawn(picture: &Picture<'_>) -> String {
    // Mermaid reads `#word;` as a character, and the rest of a label as HTML.
    let character = |c: char| match c {
        '"' => "#quot;".to_owned(),
        '#' => "#35;".to_owned(),
        '&' => "#amp;".to_owned(),
        '<' => "#lt;".to_owned(),
        '>' => "#gt;".to_owned(),
        _ => c.to_string(),
    };
    let quoted = |text: &str| text.chars().map(character).collect::<String>();
    let mut out = String::from("graph LR\n");
    for (n, (unit, members)) in picture.units().into_iter().enumerate() {
        let _ = writeln!(out, "  subgraph u{n}[\"{}\"]", quoted(title(unit)));
        for at in members {
            let _ = writeln!(out, "    m{at}[\"{}\"]", quoted(picture.set.migrations[at].id.as_str()));
        }
        out.push_str("  end\n");
    }
    for edge in &picture.edges {
        let arrow = if edge.declared { "-->|needed by|" } else { "-.->" };
        let _ = writeln!(out, "  m{} {arrow} m{}", edge.needed, edge.by);
    }
    if picture.left_out() > 0 {
        let _ = writeln!(out, "  %% {} migrations that nothing is declared about are left out", picture.left_out());
    }
    out
}

/// For Graphviz.
pub fn dot(set: &MigrationSet, service: Option<&str>) -> String {
    let picture = Picture::new(set, service);
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = String::from("digraph migrations {\n  rankdir=LR;\n  node [shape=box];\n");
    for (n, (unit, members)) in picture.units().into_iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{n} {{\n    label=\"{}\";", quoted(title(unit)));
        for at in members {
            let _ = writeln!(out, "    m{at} [label=\"{}\"];", quoted(set.migrations[at].id.as_str()));
        }
        out.push_str("  }\n");
    }
    for edge in &picture.edges {
        let style = if edge.declared { "" } else { " [style=dotted]" };
        let _ = writeln!(out, "  m{} -> m{}{style};", edge.needed, edge.by);
    }
    out.push_str("}\n");
    out
}

/// As JSON, nothing left out: `migrations` in run order, `edges` between their references, `cycles` in words.
pub fn json(set: &MigrationSet, service: Option<&str>) -> serde_json::Value {
    let of_service = |m: &Migration| service.is_none_or(|s| m.service.as_deref() == Some(s));
    let reference = |at: usize| set.migrations[at].reference();
    let migrations: Vec<_> = set
        .migrations
        .iter()
        .filter(|m| of_service(m))
        .map(|m| {
            json!({ "reference": m.reference(), "id": m.id, "unit": m.unit, "version": m.version.as_str(),
                "layout": m.layout, "engine": m.engine, "target": m.target, "service": m.service,
                "reversible": m.is_reversible(), "files": m.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>() })
        })
        .collect();
    let edges: Vec<_> = edges(set)
        .into_iter()
        .filter(|e| of_service(&set.migrations[e.by]) || of_service(&set.migrations[e.needed]))
        .map(|e| json!({ "from": reference(e.by), "needs": reference(e.needed), "declared": e.declared }))
        .collect();
    let cycles: Vec<&str> =
        set.problems.iter().filter(|p| p.rule == "dependency-cycle").map(|p| p.message.as_str()).collect();
    json!({ "migrations": migrations, "edges": edges, "cycles": cycles })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn set() -> MigrationSet {
        let files = [
            ("services/a/migrations/0001_x.up.sql", "select 1;"),
            ("services/a/migrations/0002_y.up.sql", "-- godwit: depends_on=b/0001_z\nselect 1;"),
            ("services/b/migrations/0001_z.up.sql", "select 1;"),
            ("services/c/migrations/0001_w.up.sql", "select 1;"),
        ]
        .map(|(p, t)| SourceFile::new(p, t));
        resolve(&files, &[MigrationRoot::folder("**")])
    }

    #[test]
    fn s1_36_s2_135_a_picture_holds_folders_order_and_declared_needs() {
        let set = set();
        let text = mermaid(&set, None);
        for part in ["graph LR\n", "[\"services/a/migrations\"]", "[\"0002_y\"]", "-->|needed by|", "-.->"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        // A service's picture has what it needs of others, and no more.
        let text = mermaid(&set, Some("a"));
        assert!(text.contains("0001_z") && !text.contains("0001_w"), "{text}");
        let text = dot(&set, None);
        assert!(text.starts_with("digraph migrations {") && text.contains("[style=dotted]"), "{text}");
        let value = json(&set, Some("a"));
        let needs: Vec<_> = value["edges"].as_array().unwrap().iter().map(|e| e["needs"].as_str().unwrap()).collect();
        assert_eq!(needs, ["services/a/migrations/0001_x", "services/b/migrations/0001_z"]);
    }
    #[test]
    fn s2_135_no_name_says_more_to_mermaid_than_it_is() {
        let set = resolve(&[SourceFile::new("m/0001_a<b>&;#x.up.sql", "select 1;")], &[MigrationRoot::folder("**")]);
        let text = mermaid(&set, None);
        assert!(text.contains("[\"0001_a#lt;b#gt;#amp;;#35;x\"]"), "{text}");
    }
}
