//! What a path is called in reports.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Paths as reports show them: relative to the repository where they lie inside, with `/`.
pub(super) struct Names {
    repo: Option<PathBuf>,
    /// Folders that were looked up: many files of one folder are named at once.
    folders: HashMap<PathBuf, Option<PathBuf>>,
    /// What is known of the folders above them.
    real: HashMap<PathBuf, Option<PathBuf>>,
}

impl Names {
    pub fn new(repo: &Path) -> Self {
        Self { repo: repo.canonicalize().ok(), folders: HashMap::new(), real: HashMap::new() }
    }

    pub fn of(&mut self, path: &Path) -> String {
        let inside = match path.file_name() {
            // A link that is named keeps its name; only its folder is looked up.
            Some(name) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                self.inside(folder).map(|f| f.join(name))
            }
            None => self.inside(path),
        };
        let text = inside.as_deref().unwrap_or(path).to_string_lossy().replace('\\', "/");
        text.trim_start_matches("./").trim_end_matches('/').to_owned()
    }

    /// Where a folder lies in the repository.
    fn inside(&mut self, folder: &Path) -> Option<PathBuf> {
        let repo = self.repo.as_ref()?;
        if let Some(known) = self.folders.get(folder) {
            return known.clone();
        }
        let repo = repo.clone();
        let inside = self.real(folder).and_then(|f| f.strip_prefix(repo).map(Path::to_path_buf).ok());
        self.folders.insert(folder.to_path_buf(), inside.clone());
        inside
    }

    /// Where a folder really is. One look for each part of a path, however many folders lie below it.
    fn real(&mut self, folder: &Path) -> Option<PathBuf> {
        let (Some(parent), Some(name)) = (folder.parent().filter(|p| !p.as_os_str().is_empty()), folder.file_name())
        else {
            return folder.canonicalize().ok();
        };
        if let Some(known) = self.real.get(folder) {
            return known.clone();
        }
        let real = self.real(parent).map(|p| p.join(name)).and_then(|path| match path.symlink_metadata() {
            Ok(found) if found.is_dir() => Some(path),
            Ok(_) | Err(_) => folder.canonicalize().ok(),
        });
        self.real.insert(folder.to_path_buf(), real.clone());
        real
    }
}
