//! Large folders that a database was found to hold whole: as long as the folder's imprint and the history are those, there
//! is nothing to do, and no file has to be read. See `docs/adr/0099-folders-that-are-known.md`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::settings::data_dir_or;
use super::tree::{Imprint, Tree};
use crate::ids::{Digest, Engine, TargetName};
use crate::migration::MigrationSet;
use crate::migration::native::Book;
use crate::plan::HistoryRow;
use crate::plan::planner::HistorySummary;

/// The file in the state directory.
const FILE: &str = "folders.json";
/// How many folders are known at most; the one that was longest ago goes first.
const MOST: usize = 64;
/// How long ago the last change of a file must be (seconds): one within the same tick of a file system's clock would not show.
const QUIET: i64 = 2;

/// That a folder was applied whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The folder, as the file system names it.
    folder: PathBuf,
    /// The target's name, which says what is for it.
    target: String,
    /// Of this program, which may read the same files differently one day.
    version: String,
    /// What the file system said of the files.
    imprint: String,
    /// Of the history in which each of them is applied.
    history: String,
    /// Of the files.
    pub digest: Digest,
}

impl Known {
    /// Whether a history is the one in which the folder was found applied.
    pub fn fits(&self, history: &HistorySummary) -> bool {
        history.all_applied && history.hash == self.history
    }

    /// Whether the folder is what it was then.
    pub fn is(&self, folder: &Folder) -> bool {
        self.folder == folder.path && self.imprint == folder.imprint.hash
    }
}

/// Whether a history holds each migration of the set as it is now and nothing else, and no table of another tool has a say:
/// what is planned from the two is nothing, whenever it is asked.
fn is_whole(set: &MigrationSet, target: &TargetName, history: &[HistoryRow]) -> bool {
    let mut rows: Vec<_> = history.iter().map(|r| (r.unit.as_str(), &r.id, &r.checksum)).collect();
    let mut files: Vec<_> = set.migrations.iter().map(|m| (m.unit.as_str(), &m.id, &m.checksum)).collect();
    rows.sort_unstable();
    files.sort_unstable();
    let plain =
        |m: &crate::migration::Migration| m.engine == Engine::Postgresql && m.target.is_none() && m.service.is_none();
    rows == files
        && set.migrations.iter().all(plain)
        && Book::of(set, target, Engine::Postgresql).ledgers.iter().all(|ledger| !ledger.is_hidden())
}

/// A folder that may be known.
pub(super) struct Folder {
    path: PathBuf,
    imprint: Imprint,
    /// When the look at it began (seconds since 1970).
    looked: i64,
}

impl Folder {
    /// Looks at a folder; `None` where it is read as soon.
    pub fn of(dir: &Path, tree: &Tree) -> Option<Self> {
        let looked = chrono::Utc::now().timestamp();
        let (imprint, path) = (tree.imprint()?, dir.canonicalize().ok()?);
        Some(Self { path, imprint, looked })
    }

    /// What is to be remembered where `history` holds `set`, which was read after the look, whole.
    pub fn holds(&self, set: &MigrationSet, target: &TargetName, history: &[HistoryRow]) -> Option<Known> {
        let quiet = self.imprint.newest <= self.looked - QUIET;
        let HistorySummary { hash, all_applied } = HistorySummary::of(history);
        (quiet && all_applied && is_whole(set, target, history)).then(|| Known {
            folder: self.path.clone(),
            target: target.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            imprint: self.imprint.hash.clone(),
            history: hash,
            digest: set.digest(),
        })
    }
}

/// What is remembered of a folder, which may have changed since.
pub(super) fn recall(dir: &Path, target: &TargetName) -> Option<Known> {
    let known = |k: &Known, path: &Path| {
        k.folder == path && k.target == target.as_str() && k.version == env!("CARGO_PKG_VERSION")
    };
    let folders = all();
    let path = if folders.is_empty() { return None } else { dir.canonicalize().ok()? };
    folders.into_iter().find(|k| known(k, &path))
}

/// Remembers it for the next time. What cannot be written is found out anew then.
pub(super) fn remember(known: Known) {
    let mut folders = all();
    folders.retain(|k| !(k.folder == known.folder && k.target == known.target));
    folders.push(known);
    folders.drain(..folders.len().saturating_sub(MOST));
    let write = || -> anyhow::Result<()> {
        let dir = data_dir_or(None)?;
        let mut draft = tempfile::NamedTempFile::new_in(&dir)?;
        serde_json::to_writer(&mut draft, &folders)?;
        draft.persist(dir.join(FILE))?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::debug!(%error, "what was found of the folder is not remembered");
    }
}

fn all() -> Vec<Known> {
    let read = || std::fs::read(data_dir_or(None).ok()?.join(FILE)).ok();
    read().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};
    use crate::plan::MigrationState;

    fn set() -> MigrationSet {
        let files = [
            SourceFile::new("0001_a.up.sql", b"create table a (id int);".to_vec()),
            SourceFile::new("0002_b.up.sql", b"create table b (id int);".to_vec()),
        ];
        resolve(&files, &[MigrationRoot { engine: Some(Engine::Postgresql), ..MigrationRoot::folder("") }])
    }

    fn history(set: &MigrationSet) -> Vec<HistoryRow> {
        let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let row = |m: &crate::migration::Migration| HistoryRow {
            unit: m.unit.clone(),
            id: m.id.clone(),
            version: m.version.as_str().to_owned(),
            checksum: m.checksum.clone(),
            state: MigrationState::Applied,
            action: crate::plan::StepAction::Apply,
            epoch: crate::ids::Epoch(1),
            run: crate::ids::RunId::generate(),
            started_at: now,
            finished_at: Some(now),
            duration_ms: 1,
            by: "ada".to_owned(),
            pr: None,
            commit: None,
            statements_done: 0,
            error: None,
        };
        set.migrations.iter().map(row).collect()
    }

    fn folder(newest: i64) -> Folder {
        let imprint = Imprint { hash: "x".to_owned(), newest };
        Folder { path: PathBuf::from("/m"), imprint, looked: 1_700_000_100 }
    }

    #[test]
    fn a_folder_is_known_once_every_file_of_it_is_applied_as_it_is() {
        let (set, target) = (set(), TargetName::new("shop").expect("a name"));
        let rows = history(&set);
        let known = folder(1_700_000_000).holds(&set, &target, &rows).expect("known");
        let fits = |rows: &[HistoryRow]| known.fits(&HistorySummary::of(rows));
        assert!(fits(&rows));
        assert!(folder(1_700_000_099).holds(&set, &target, &rows).is_none(), "changed a moment ago");
        assert!(folder(1_700_000_000).holds(&set, &target, &rows[1..]).is_none(), "one is pending");

        let mut other = rows.clone();
        other.push(HistoryRow { id: crate::ids::MigrationId::new("0003_c").expect("an id"), ..rows[0].clone() });
        assert!(folder(1_700_000_000).holds(&set, &target, &other).is_none(), "one is not here");
        assert!(!fits(&other) && !fits(&rows[1..]));

        let mut edited = rows.clone();
        edited[0].checksum = edited[1].checksum.clone();
        assert!(folder(1_700_000_000).holds(&set, &target, &edited).is_none(), "one was applied as another text");
        assert!(!fits(&edited));

        for state in [MigrationState::Failed, MigrationState::RolledBack, MigrationState::Running] {
            let mut begun = rows.clone();
            begun[1].state = state;
            assert!(folder(1_700_000_000).holds(&set, &target, &begun).is_none(), "{state:?}");
            assert!(!fits(&begun), "{state:?}");
        }
    }
}
