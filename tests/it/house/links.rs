//! Every link between pages leads somewhere, headings included.

use super::{folder_of, none, pages, read, root};

#[test]
fn every_local_link_resolves() {
    let mut findings = Vec::new();
    for page in pages() {
        for (line, target) in links(&read(&page)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { root().join(&page) } else { folder_of(&page).join(path) };
            if !file.exists() {
                findings.push(format!("{page}:{line}: no file `{path}`"));
            } else if !heading.is_empty() && !headings(&std::fs::read_to_string(&file).unwrap()).any(|h| h == heading) {
                findings.push(format!("{page}:{line}: no heading `#{heading}` in `{}`", file.display()));
            }
        }
    }
    none(&findings);
}

/// `(line, target)` of every `[text](target)` outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        // Every second piece is inline code.
        let prose: String =
            line.split('`').enumerate().map(|(i, piece)| if i % 2 == 0 { piece } else { "code" }).collect();
        for piece in prose.split("](").skip(1) {
            if let Some((target, _)) = piece.split_once(')') {
                found.push((number + 1, target.to_owned()));
            }
        }
    }
    found
}

/// Headings as GitHub names them in links.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .collect::<String>()
            .replace(' ', "-")
    })
}

#[test]
fn the_parsers_see_what_is_meant() {
    let text = "# One, two: `three`\n[a](b.md#c) and `[no](link)` and [d](e.md)\n```\n[f](g.md)\n```\n";
    assert_eq!(links(text), [(2, "b.md#c".to_owned()), (2, "e.md".to_owned())]);
    assert_eq!(headings(text).collect::<Vec<_>>(), ["one-two-three"]);
}
