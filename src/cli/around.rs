//! The folder around a script that was named: its migration is judged by those beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::gather::{Files, covering, shown_below, walk};
use super::instead::Instead;
use super::standing::below_root;
use crate::config::RepoConfig;
use crate::ids::Engine;
use crate::migration::{Migration, MigrationRoot, MigrationSet, resolve_below, service_at};

/// The folders around files that were named, each read once.
#[derive(Default)]
pub(super) struct Around {
    homes: HashMap<PathBuf, Home>,
    /// By the folder of a file as it was named.
    parents: HashMap<PathBuf, Option<Parent>>,
    /// Whether a folder, by its real name, is a service's.
    services: HashMap<PathBuf, bool>,
}

/// The folder that a file is in.
struct Parent {
    /// Where it really is.
    real: PathBuf,
    /// Whether the folder around it is a service's.
    of_service: bool,
}

impl Parent {
    fn of(folder: &Path, services: &mut HashMap<PathBuf, bool>) -> Option<Self> {
        let real = folder.canonicalize().ok()?;
        let is_service = |above: &Path| service_at(&below_root(above)).is_some();
        let of_service = real.parent().is_some_and(|above| match services.get(above) {
            Some(known) => *known,
            None => *services.entry(above.to_path_buf()).or_insert_with_key(|above| is_service(above)),
        });
        Some(Self { real, of_service })
    }
}

/// Such a folder.
struct Home {
    /// What is in it, until it is given out.
    set: Option<MigrationSet>,
    /// The files of each migration, by each of them.
    files: HashMap<String, Vec<String>>,
}

impl Around {
    /// What the folder around a script holds, unless it was given out before, and the files of the migration that the script
    /// belongs to; `None` where the folder does not say that it holds migrations, or reads the file as none.
    pub fn of(
        &mut self,
        path: &Path,
        shown: &str,
        config: &RepoConfig,
        engine: Option<Engine>,
        instead: &Instead,
    ) -> Option<(MigrationSet, Vec<String>)> {
        let name = path.file_name()?.to_str()?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_symlink() {
            return None;
        }
        let engine = engine.or_else(|| shown.split('/').rev().find_map(|part| part.parse().ok()));
        let parent = match self.parents.get(parent) {
            Some(known) => known,
            None => self
                .parents
                .entry(parent.to_path_buf())
                .or_insert_with_key(|folder| Parent::of(folder, &mut self.services)),
        };
        let (dir, place) = home_of(parent.as_ref()?, name);
        let shown_dir = place.shown(shown)?;
        let home = self
            .homes
            .entry(dir)
            .or_insert_with_key(|dir| Home::read(dir, (&shown_dir, place), config, engine, instead));
        let files = home.files.get(shown)?.clone();
        Some((home.set.take().unwrap_or_default(), files))
    }
}

impl Home {
    fn read(
        dir: &Path,
        (shown, place): (&str, Standing),
        config: &RepoConfig,
        engine: Option<Engine>,
        instead: &Instead,
    ) -> Self {
        // No more than may belong to it: a script may lie anywhere.
        let belongs = |below: &str| match place {
            Standing::Around => matches!(below, "docs" | "development" | "testing" | "staging" | "production"),
            Standing::Above | Standing::Beside => !below.trim_start_matches("../").contains('/'),
        };
        let Files { mut files, problems } = walk(dir, &belongs);
        instead.lay_where(shown, &mut files, &belongs);
        let root = match covering(shown, config) {
            Some(root) => MigrationRoot { engine: engine.or(root.engine), path: String::new(), ..root },
            None => MigrationRoot { engine: engine.or(engine_named(dir)), ..MigrationRoot::folder("**") },
        };
        let mut set = resolve_below(&below_root(dir), &files, &[root]);
        set.migrations.retain(|m| m.unit.is_empty());
        set.problems.extend(problems);
        // One file was named, however many stand around it.
        set.files_seen = 0;
        shown_below(shown, &mut set);
        let paths = |m: &Migration| m.files.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
        let each = |m: &Migration| paths(m).into_iter().map(|path| (path, paths(m))).collect::<Vec<_>>();
        Self { files: set.migrations.iter().flat_map(each).collect(), set: Some(set) }
    }
}

/// Where the folder is whose migration a script may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is the script's own.
    Around,
    /// It is the one around that: a migration, or an environment, is a folder.
    Above,
    /// It is the folder of scripts beside that of rollbacks.
    Beside,
}

impl Standing {
    /// How the folder is shown, the script being shown as `script`; `None` where it is above all that is shown.
    fn shown(self, script: &str) -> Option<String> {
        let Some((own, _)) = script.rsplit_once('/') else {
            return (self == Self::Around).then(String::new);
        };
        let above = own.rsplit_once('/').map(|(above, _)| above);
        Some(match self {
            Self::Around => own.to_owned(),
            Self::Above => above.unwrap_or_default().to_owned(),
            Self::Beside => above.map_or_else(|| "scripts".to_owned(), |above| format!("{above}/scripts")),
        })
    }
}

/// The folder whose migration the script `name` in `dir` may be.
fn home_of(Parent { real: dir, of_service }: &Parent, name: &str) -> (PathBuf, Standing) {
    let is_rollback = dir.file_name().is_some_and(|own| own == "rollbacks");
    match dir.parent() {
        Some(above) if is_rollback && above.join("scripts").is_dir() => (above.join("scripts"), Standing::Beside),
        Some(above) if matches!(name, "up.sql" | "down.sql" | "migration.sql") || *of_service => {
            (above.to_path_buf(), Standing::Above)
        }
        _ => (dir.clone(), Standing::Around),
    }
}

/// The engine that a folder is named after, by its real name.
fn engine_named(dir: &Path) -> Option<Engine> {
    dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok())
}
