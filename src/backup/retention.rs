//! Which backups there are, and which may go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Duration, Utc};

use super::meta::{Meta, SUFFIX};
use super::{BackupError, PREFIX, file};
use crate::ids::{EnvironmentName, TargetName};

/// A backup in a folder.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its file.
    pub file: PathBuf,
    /// What it is.
    pub meta: Meta,
    /// Whether the file is there with its size; its checksum is compared only when it is restored.
    pub reachable: bool,
}

/// What stands in a folder of backups.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// Complete ones, newest first.
    pub backups: Vec<Listed>,
    /// What interrupted backups left, and files whose `.meta` is missing or cannot be read.
    pub leftovers: Vec<PathBuf>,
}

/// Reads a folder; one that is not there holds nothing.
///
/// # Errors
/// When it cannot be read.
pub fn list(dir: &Path) -> Result<Shelf, BackupError> {
    let cannot = |e: std::io::Error| BackupError::Failed(format!("cannot read the folder `{}`: {e}", dir.display()));
    let mut shelf = Shelf::default();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(shelf),
        Err(e) => return Err(cannot(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(cannot)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|n| n.starts_with(PREFIX));
    names.sort();
    let with_meta = |name: &str| names.binary_search(&format!("{name}.{SUFFIX}")).is_ok();
    for name in &names {
        let path = dir.join(name);
        if let Some(stem) = name.strip_suffix(&format!(".{SUFFIX}")) {
            let backup = dir.join(stem);
            match Meta::read(&backup) {
                Ok(meta) => {
                    let reachable = std::fs::metadata(&backup).is_ok_and(|m| m.len() == meta.size_bytes);
                    shelf.backups.push(Listed { file: backup, meta, reachable });
                }
                Err(_) => shelf.leftovers.push(path),
            }
        } else if name.ends_with(&format!(".{}", file::PARTIAL)) || !with_meta(name) {
            shelf.leftovers.push(path);
        }
    }
    shelf.backups.sort_by(|a, b| (b.meta.created_at, &b.file).cmp(&(a.meta.created_at, &a.file)));
    Ok(shelf)
}

impl Shelf {
    /// The newest backup of a target that is not later than `at` [S0-86].
    pub fn not_later(
        &self,
        environment: Option<&EnvironmentName>,
        target: &TargetName,
        at: DateTime<Utc>,
    ) -> Option<&Listed> {
        self.backups.iter().find(|b| {
            b.meta.environment.as_ref() == environment
                && &b.meta.target == target
                && b.meta.created_at <= at
                && b.reachable
        })
    }

    /// Backups that may go: beyond the `keep` newest of their target and older than `older_than`, as far as either is
    /// given. The newest verified one of each target always stays.
    pub fn prunable(&self, keep: Option<usize>, older_than: Option<Duration>, now: DateTime<Utc>) -> Vec<&Listed> {
        let mut seen: BTreeMap<(Option<&EnvironmentName>, &TargetName), (usize, bool)> = BTreeMap::new();
        let mut out = Vec::new();
        for backup in &self.backups {
            let (number, safe) = seen.entry((backup.meta.environment.as_ref(), &backup.meta.target)).or_default();
            *number += 1;
            let good = backup.reachable && backup.meta.is_verified();
            if good && !*safe {
                *safe = true;
                continue;
            }
            let beyond = keep.is_none_or(|keep| *number > keep);
            let old = older_than.is_none_or(|age| now - backup.meta.created_at > age);
            if beyond && old && (keep.is_some() || older_than.is_some()) {
                out.push(backup);
            }
        }
        out
    }
}

/// Takes a backup away: its `.meta` last, so that a half-deleted one is still seen.
///
/// # Errors
/// When a file cannot be deleted.
pub fn remove(backup: &Path) -> Result<(), BackupError> {
    let meta = file::with_suffix(backup, SUFFIX);
    for path in [backup, meta.as_path()] {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(BackupError::Failed(format!("cannot delete `{}`: {e}", path.display())));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
