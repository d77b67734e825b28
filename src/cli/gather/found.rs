//! The files of a folder as they are found; what cannot be read becomes a problem.

use std::fs::Metadata;
use std::io::Read as _;
use std::path::Path;

use crate::cli::standing::above;
use crate::cli::tree::BESIDE;
use crate::migration::{FileContent, Problem, Severity, SourceFile, has_beside};

/// Files above this many bytes are not read (bytes).
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Endings of files that a layout may want to read; of others only the name counts.
pub(in crate::cli) const READ: [&str; 8] = [".sql", ".json", ".toml", ".lua", ".yml", ".yaml", ".conf", ".prisma"];

/// Files as they were found, with what could not be read.
#[derive(Debug, Default)]
pub(in crate::cli) struct Files {
    pub files: Vec<SourceFile>,
    pub problems: Vec<Problem>,
}

/// Every file below `dir`, paths relative to it with `/`, sorted; hidden folders and those of build tools are left out.
/// Files that no layout reads are named without being read. `wanted` says of a folder's path whether it is looked into.
pub(in crate::cli) fn walk(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Files {
    let mut found = Files::default();
    // What stands below the folder, where that is text.
    let below = |path: &Path| path.strip_prefix(dir).ok().and_then(Path::to_str).map(str::len);
    let mut folders = vec![(dir.to_path_buf(), String::new())];
    if has_beside(&above(dir)) {
        let beside = BESIDE.iter().map(|name| (dir.join(name), (*name).to_owned()));
        folders.extend(beside.filter(|(path, _)| path.is_dir()));
    }
    while let Some((folder, relative)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(e) => {
                found.problems.push(unreadable(&relative, &e));
                continue;
            }
        };
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let shown = if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(e) => {
                    found.problems.push(unreadable(&shown, &e));
                    continue;
                }
            };
            if kind.is_dir() {
                if name.starts_with('.') || name == "target" || name == "node_modules" || !wanted(&shown) {
                    continue;
                }
                if name.ends_with(".sql") {
                    found.files.push(SourceFile { path: shown.clone(), content: FileContent::Directory });
                }
                folders.push((entry.path(), shown));
            } else if kind.is_symlink() {
                found.files.push(SourceFile { path: shown, content: FileContent::Symlink });
            } else if READ.iter().any(|ending| name.ends_with(ending)) && below(&entry.path()).is_none() {
                found.files.push(SourceFile { path: shown, content: FileContent::Misnamed });
            } else if READ.iter().any(|ending| name.ends_with(ending)) {
                match read_file(&entry.path()) {
                    Ok(content) => found.files.push(SourceFile { path: shown, content }),
                    Err(e) => found.problems.push(unreadable(&shown, &e)),
                }
            } else {
                found.files.push(SourceFile::new(shown, Vec::new()));
            }
        }
    }
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

pub(super) fn read_file(path: &Path) -> std::io::Result<FileContent> {
    read_found(path, &std::fs::metadata(path)?)
}

pub(super) fn read_found(path: &Path, found: &Metadata) -> std::io::Result<FileContent> {
    if !found.is_file() {
        // A pipe or a device would block or never end.
        return Ok(FileContent::Special);
    }
    if found.len() > MAX_FILE {
        return Ok(FileContent::TooLarge(found.len()));
    }
    // Room for all of it and for the look that finds its end: the size is known, so nobody has to be asked again.
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 64);
    std::fs::File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(FileContent::Bytes(bytes))
}

pub(super) fn problem(file: &str, line: usize, rule: &'static str, message: &str, help: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: 1,
        end_column: 1,
        rule,
        severity: Severity::Error,
        message: message.to_owned(),
        help: help.to_owned(),
    }
}

pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Problem {
    problem(file, 1, "unreadable-file", &format!("cannot be read: {error}"), "check the file's rights")
}
