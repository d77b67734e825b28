//! Paths with `*` in them, where no shell has filled them in: in quotes, in a workflow's input, on Windows [S2-24].

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::exit::Failure;

/// The paths, with those that are no file but a pattern replaced by what fits, in the order of names.
///
/// # Errors
/// A pattern that cannot be read, or that nothing fits.
pub(super) fn filled_in(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        // A name may hold these characters too.
        if path.symlink_metadata().is_ok() || !is_pattern(path) {
            all.push(path.clone());
            continue;
        }
        let parts: Vec<Part> = path.components().map(Part::of).collect::<anyhow::Result<_>>()?;
        let mut found = Vec::new();
        fitting(PathBuf::new(), &parts, &mut found);
        if found.is_empty() {
            return Err(Failure::usage(format!("nothing fits `{}`", path.display())));
        }
        all.append(&mut found);
    }
    // Two patterns may mean one file, and so may two `**` in one.
    let mut seen = HashSet::new();
    all.retain(|path| seen.insert(path.clone()));
    Ok(all)
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|p| p.contains(['*', '?', '[', '{']))
}

/// One part of a path between slashes.
enum Part {
    /// As it stands.
    Plain(PathBuf),
    /// A pattern of one name.
    Names(GlobMatcher),
    /// `**`: any number of folders, or none.
    Depth,
}

impl Part {
    fn of(component: Component<'_>) -> anyhow::Result<Self> {
        let text = component.as_os_str();
        match text.to_str() {
            Some("**") => Ok(Part::Depth),
            Some(name) if is_pattern(Path::new(name)) => {
                let glob = GlobBuilder::new(name)
                    .literal_separator(true)
                    .build()
                    .map_err(|e| Failure::usage(format!("`{name}` is not a pattern: {}", e.kind())))?;
                Ok(Part::Names(glob.compile_matcher()))
            }
            Some(_) | None => Ok(Part::Plain(PathBuf::from(text))),
        }
    }
}

/// Adds what is at `base` and fits the rest.
fn fitting(base: PathBuf, rest: &[Part], found: &mut Vec<PathBuf>) {
    let Some((part, behind)) = rest.split_first() else {
        let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
        if base.symlink_metadata().is_ok() {
            found.push(base);
        }
        return;
    };
    match part {
        Part::Plain(name) => fitting(base.join(name), behind, found),
        Part::Names(glob) => {
            for (name, _) in entries(&base) {
                // Hidden names are meant only where the pattern says so.
                if glob.is_match(&name) && (!name.starts_with('.') || glob.glob().glob().starts_with('.')) {
                    fitting(base.join(name), behind, found);
                }
            }
        }
        // At the end it says what a folder means by itself.
        Part::Depth if behind.is_empty() => fitting(base, behind, found),
        Part::Depth => {
            fitting(base.clone(), behind, found);
            for (name, is_dir) in entries(&base) {
                if is_dir && !name.starts_with('.') {
                    fitting(base.join(&name), rest, found);
                }
            }
        }
    }
}

/// The names in a folder in their order, each with whether it is a folder itself (no link to one, which might lead back).
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut names: Vec<(String, bool)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().into_string().ok()?, entry.file_type().ok()?.is_dir()))
        })
        .collect();
    names.sort();
    names
}
