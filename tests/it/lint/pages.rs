//! One rule, one page, and for our own rules one file.

use std::collections::BTreeSet;
use std::path::Path;

use godwit::lint::effect::effect_of;
use godwit::lint::{rules, table};

fn stems(dir: &str, ending: &str) -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .filter_map(|e| e.unwrap().file_name().to_str().and_then(|n| n.strip_suffix(ending)).map(str::to_owned))
        .collect()
}

#[test]
fn table_and_pages_agree() {
    let mut pages = stems("docs/rules", ".md");
    pages.remove("README");
    let rules: BTreeSet<String> = table::all().keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(pages.difference(&rules).collect::<Vec<_>>(), Vec::<&String>::new(), "pages without a rule");
    assert_eq!(rules.difference(&pages).collect::<Vec<_>>(), Vec::<&String>::new(), "rules without a page");
}

#[test]
fn our_rules_have_a_file_each() {
    let sql: Vec<&str> = rules::OWN.iter().map(|r| r.info.id).collect();
    let about = |(folder, rules): &(&'static str, &[&rules::OperationRule])| {
        (*folder, rules.iter().map(|r| r.info.id).collect::<Vec<_>>())
    };
    for (folder, rules) in rules::OPERATIONS.iter().map(about).chain([("postgres", sql)]) {
        let mut files = stems(&format!("src/lint/rules/{folder}"), ".rs");
        files.remove("mod");
        files.remove("prelude");
        let rules: BTreeSet<String> = rules.iter().map(|id| id.replace('-', "_")).collect();
        assert_eq!(files, rules, "{folder}");
    }
}

#[test]
fn pages_say_what_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for info in table::all().values() {
        let page = std::fs::read_to_string(root.join(info.page())).unwrap_or_default();
        let level = info.severity.map_or("off", |s| s.as_str());
        let category = serde_json::to_value(info.category).unwrap();
        let head = format!("{} · {level} · {}", category.as_str().unwrap(), info.risk);
        assert!(
            page.starts_with(&format!("# {}\n\n{head}\n", info.id)),
            "{} begins otherwise than with\n{head}",
            info.id
        );
        for heading in ["\n## What breaks\n", "\n## When it is safe\n", "\n## Instead\n"] {
            assert!(page.contains(heading), "{}: no {heading:?}", info.id);
        }
    }
}

#[test]
fn pages_say_what_was_measured() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for hazard in super::hazards::hazards() {
        let Some(sentence) = effect_of(hazard.rule).sentence() else { continue };
        let page = std::fs::read_to_string(root.join(format!("docs/rules/{}.md", hazard.rule))).unwrap();
        let line = format!("\n\nMeasured on PostgreSQL: {sentence}.\n");
        assert!(page.contains(&line), "{}: no line {line:?}", hazard.rule);
    }
}

#[test]
fn the_list_of_rules_is_the_tables() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules/README.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|l| l.starts_with("| [")).collect();
    let expected: Vec<String> = table::all()
        .values()
        .map(|info| {
            let category = serde_json::to_value(info.category).unwrap();
            let level = info.severity.map_or("off", |s| s.as_str());
            let (id, category) = (info.id, category.as_str().unwrap().to_owned());
            format!("| [{id}]({id}.md) | {category} | {level} | {} | {} |", info.risk, info.title)
        })
        .collect();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
}
