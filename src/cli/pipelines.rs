//! The workflows, scripts and package files of a repository, for what they do to production beside Godwit.

use std::path::Path;

use crate::lint::pipelines::may_run;

/// Files above this many bytes are no scripts.
const MAX_FILE: u64 = 1024 * 1024;
/// Folders below the repository's top that are looked into.
const DEEPEST: usize = 4;
/// Files that are read at most.
const MOST: usize = 2_000;

/// Path and text of every file that may run something. What cannot be read is left out: it is no migration.
pub(super) fn files(repo: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![(repo.to_path_buf(), String::new(), 0)];
    while let Some((folder, shown, depth)) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{shown}{name}");
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                let passed = name.starts_with('.') && !matches!(path.as_str(), ".github" | ".github/workflows");
                if depth < DEEPEST && !passed && !matches!(name.as_str(), "node_modules" | "target" | "vendor") {
                    folders.push((entry.path(), format!("{path}/"), depth + 1));
                }
            } else if kind.is_file()
                && found.len() < MOST
                && may_run(&path)
                && entry.metadata().is_ok_and(|m| m.len() <= MAX_FILE)
                && let Ok(text) = std::fs::read_to_string(entry.path())
            {
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}
