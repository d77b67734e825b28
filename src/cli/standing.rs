//! Where a folder stands: what the folders above it say of its migrations, up to the root of the repository around it.

use std::path::{Component, Path, PathBuf};

use crate::config::RepoConfig;
use crate::migration::told_by;

/// What marks the root of a repository. The root's own name, and what stands above it, says nothing.
const MARKS: [&str; 3] = [".git", RepoConfig::FILE, "policies/environments.yml"];
/// How much of a path counts where no root is found: `services/NAME/migrations`.
const WITHOUT_ROOT: usize = 3;

/// The symbolic link on the way from the root of the repository down to a folder, as the path is written. Where no root is
/// found, whoever names the folder knows what is behind it.
pub(super) fn linked(dir: &Path) -> Option<PathBuf> {
    let mut written = PathBuf::new();
    if !dir.is_absolute() {
        written = std::env::current_dir().ok()?.canonicalize().ok()?;
    }
    for part in dir.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(written.pop()),
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => written.push(part),
        }
    }
    let root = written.ancestors().find(|folder| is_root(folder))?.to_path_buf();
    let below = written.strip_prefix(&root).ok()?;
    let mut at = root.clone();
    let link = below.components().find_map(|part| {
        at.push(part);
        at.is_symlink().then(|| at.clone())
    })?;
    Some(link.strip_prefix(&root).map(Path::to_path_buf).unwrap_or(link))
}

/// Whether a folder is the root of a repository.
fn is_root(folder: &Path) -> bool {
    MARKS.iter().any(|mark| folder.join(mark).exists())
}

/// The path of a folder below the root of its repository, with `/`; the end of its real path where none is found. The folder
/// need not be there.
pub(super) fn below_root(dir: &Path) -> String {
    let Ok(real) = dir.canonicalize().or_else(|_| std::path::absolute(dir)) else { return String::new() };
    let above: Vec<&Path> = real.ancestors().take_while(|folder| folder.file_name().is_some()).collect();
    let deep = above.iter().position(|folder| is_root(folder)).unwrap_or(above.len().min(WITHOUT_ROOT));
    let names = above[..deep].iter().rev().filter_map(|folder| folder.file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
}

/// What that path says of a folder: whose service it is, and whether its rollbacks stand beside it.
pub(crate) fn above(dir: &Path) -> String {
    told_by(&below_root(dir)).to_owned()
}
