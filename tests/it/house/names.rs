//! Every variable, metric and table that a page names is one that the code knows.

use std::collections::BTreeSet;

use super::{files, none, pages, read};

#[test]
fn every_name_in_the_pages_is_in_the_code() {
    let known: BTreeSet<String> = files("src")
        .into_iter()
        .chain(files("scripts"))
        .chain(files("bench"))
        .filter(|path| !path.ends_with(".pem") && !path.ends_with(".md"))
        .flat_map(|path| names(&read(&path)).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut findings = Vec::new();
    for page in pages() {
        for name in names(&read(&page)) {
            if !known.contains(name) {
                findings.push(format!("{page}: `{name}`"));
            }
        }
    }
    none(&findings);
}

/// The fail points of the page are those of the code.
#[test]
fn every_fail_point_is_in_the_map() {
    let page = read("docs/ARCHITECTURE.md");
    let missing: Vec<String> = godwit::drivers::failpoint::NAMES
        .iter()
        .filter(|name| !page.contains(&format!("`{name}`")))
        .map(|name| (*name).to_owned())
        .collect();
    none(&missing);
}

/// Words that begin with `GODWIT_` or `godwit_`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| ["GODWIT_", "godwit_"].iter().any(|start| word.len() > start.len() && word.starts_with(start)))
        .map(|word| word.trim_end_matches('_'))
}
