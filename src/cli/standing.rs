//! Where a folder stands: what the folders above it say of its migrations, up to the root of the repository around it.

use std::path::Path;

use crate::config::RepoConfig;
use crate::migration::told_by;

/// What marks the root of a repository. The root's own name, and what stands above it, says nothing.
const MARKS: [&str; 3] = [".git", RepoConfig::FILE, "policies/environments.yml"];
/// How much of a path counts where no root is found: `services/NAME/migrations`.
const WITHOUT_ROOT: usize = 3;

/// The path of a folder below the root of its repository, with `/`; the end of its real path where none is found. The folder
/// need not be there.
pub(super) fn below_root(dir: &Path) -> String {
    let Ok(real) = dir.canonicalize().or_else(|_| std::path::absolute(dir)) else { return String::new() };
    let is_root = |folder: &Path| MARKS.iter().any(|mark| folder.join(mark).exists());
    let above: Vec<&Path> = real.ancestors().take_while(|folder| folder.file_name().is_some()).collect();
    let deep = above.iter().position(|folder| is_root(folder)).unwrap_or(above.len().min(WITHOUT_ROOT));
    let names = above[..deep].iter().rev().filter_map(|folder| folder.file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
}

/// What that path says of a folder: whose service it is, and whether its rollbacks stand beside it.
pub(crate) fn above(dir: &Path) -> String {
    told_by(&below_root(dir)).to_owned()
}
