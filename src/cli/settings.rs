//! What every command needs from the command line's surroundings: the repository's files, its configuration, the store's URL.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Global;
use super::exit::Failure;
use crate::config::RepoConfig;
use crate::migration::{FileContent, SourceFile};

/// Files above this many bytes are not read into memory as migrations (bytes).
const MAX_FILE: u64 = 512 * 1024 * 1024;

impl Global {
    /// The repository's `godwit.yml`, or the defaults where there is none.
    ///
    /// # Errors
    /// A located message when the file is wrong, or cannot be read.
    pub fn repo_config(&self) -> anyhow::Result<RepoConfig> {
        let path = self.config.clone().unwrap_or_else(|| self.repo.join(RepoConfig::FILE));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(RepoConfig::parse(&text)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && self.config.is_none() => Ok(RepoConfig::default()),
            Err(e) => Err(Failure::usage(format!("cannot read `{}`: {e}", path.display()))),
        }
    }

    /// The store's URL: `--store`, else `godwit.db` in the data directory, which is made when missing.
    ///
    /// # Errors
    /// When the data directory cannot be made.
    pub fn store_url(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.store {
            return Ok(url.clone());
        }
        Ok(format!("sqlite:{}", data_dir()?.join("godwit.db").display()))
    }
}

/// `GODWIT_DATA_DIR`, else the platform's state directory; made when missing.
///
/// # Errors
/// When it cannot be found or made.
pub fn data_dir() -> anyhow::Result<PathBuf> {
    use etcetera::BaseStrategy as _;
    let dir = match std::env::var_os("GODWIT_DATA_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let base = etcetera::choose_base_strategy().context("no home directory; set `GODWIT_DATA_DIR`")?;
            base.state_dir().unwrap_or_else(|| base.data_dir()).join("godwit")
        }
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the data directory `{}`", dir.display()))?;
    Ok(dir)
}

/// Every file below `dir`, paths relative to `root` with `/`, sorted; hidden folders and `target`, `node_modules` are left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn read_tree(root: &Path, dir: &Path) -> anyhow::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let kind = entry.file_type().with_context(|| format!("cannot look at `{}`", path.display()))?;
            if kind.is_dir() {
                if name.starts_with('.') || name == "target" || name == "node_modules" {
                    continue;
                }
                if name.ends_with(".sql") {
                    files.push(SourceFile { path: relative, content: FileContent::Directory });
                }
                folders.push(path);
            } else if kind.is_symlink() {
                files.push(SourceFile { path: relative, content: FileContent::Symlink });
            } else {
                let size = entry.metadata().with_context(|| format!("cannot look at `{}`", path.display()))?.len();
                let content = if size > MAX_FILE {
                    FileContent::TooLarge(size)
                } else {
                    FileContent::Bytes(
                        std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?,
                    )
                };
                files.push(SourceFile { path: relative, content });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
