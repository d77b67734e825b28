//! What no file may hold.

use super::{files, none, root};

/// Longer files are two rooms.
const LONGEST: usize = 1000;

#[test]
fn no_file_is_too_long() {
    let findings: Vec<String> = texts()
        .filter(|(path, _)| [".rs", ".md", ".mjs", ".html", ".css", ".js", ".sh"].iter().any(|end| path.ends_with(end)))
        .filter_map(|(path, text)| Some((path, text.lines().count())).filter(|(_, lines)| *lines > LONGEST))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    none(&findings);
}

/// What is committed works on every machine, and from whatever registry a machine uses.
#[test]
fn nothing_names_a_machine() {
    // In two pieces each, so that this file is clean.
    let words = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["/tmp/", "bash_jobs"].concat(),
        ["arti", "factory"].concat(),
        ["registry.", "npmjs"].concat(),
        ["index.", "crates.io"].concat(),
    ];
    let mut findings = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(*word)) {
                findings.push(format!("{path}:{}: `{word}`", number + 1));
            }
        }
    }
    none(&findings);
}

/// Every file that is text.
fn texts() -> impl Iterator<Item = (String, String)> {
    files("").into_iter().filter_map(|path| {
        let bytes = std::fs::read(root().join(&path)).unwrap();
        Some((path, String::from_utf8(bytes).ok()?))
    })
}
