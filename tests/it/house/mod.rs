//! What is written about the code stays true: links, commands, arrows between modules, licences, sizes.

mod arrows;
mod commands;
mod licences;
mod links;
mod names;
mod samples;
mod text;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository below `folder` that people wrote: paths from the root, with `/`.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if matches!(name, ".git" | ".servers" | "target" | "node_modules") {
                continue;
            }
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(relative(&path)),
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Markdown pages that speak about Godwit; the demo's own texts and test data are none.
fn pages() -> Vec<String> {
    files("").into_iter().filter(|path| path.ends_with(".md") && !path.starts_with("tests/")).collect()
}

/// Fails with every finding at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// The folder that a page is in.
fn folder_of(page: &str) -> PathBuf {
    root().join(page).parent().unwrap().to_owned()
}
