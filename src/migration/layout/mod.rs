//! How a folder names its migrations. Each layout has a reader of its own; detection is per folder (SPEC 2).

mod diesel;
mod numbered;
mod typed;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::ids::{Checksum, Engine, InvalidId, MigrationId};
use crate::migration::checksum::{both, checksum, sha256_hex};
use crate::migration::operations::are_operations;
use crate::migration::{
    Directives, FileContent, Migration, MigrationFile, MigrationRoot, MigrationSet, Problem, Script, Severity,
    SourceFile, Version,
};

/// The layouts that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `0001_name.up.sql` with `0001_name.down.sql`, or `0001_name.sql`: golang-migrate, any number of digits.
    Numbered,
    /// `001_name.json`, with `001_name.sql` for SQL and `001_name.lua` for Redis, and `_rollback` partners (source E).
    Typed,
    /// `2017-09-23-182408_name/up.sql` with `down.sql`.
    Diesel,
}

impl Layout {
    /// Every layout with its name in `godwit.yml`.
    pub const ALL: [(Layout, &'static str); 3] =
        [(Layout::Numbered, "numbered"), (Layout::Typed, "typed"), (Layout::Diesel, "diesel")];

    /// Its name in `godwit.yml`.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(l, _)| *l == self).map_or("", |(_, n)| n)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Layout {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        Self::ALL.iter().find(|(_, n)| *n == s).map(|(l, _)| *l).ok_or(InvalidId {
            what: "layout",
            value: s.to_owned(),
            allowed: "`auto`, `numbered`, `typed` or `diesel`",
        })
    }
}

/// The files of one folder.
#[derive(Debug, Default)]
pub(super) struct Folder<'a> {
    /// Directly in it: name and file.
    pub files: Vec<(&'a str, &'a SourceFile)>,
    /// One level below: name of the sub-folder → its files.
    pub below: BTreeMap<&'a str, Vec<(&'a str, &'a SourceFile)>>,
}

impl Folder<'_> {
    pub fn file_count(&self) -> usize {
        self.files.len() + if self.is_diesel() { self.below.values().map(Vec::len).sum() } else { 0 }
    }

    fn is_diesel(&self) -> bool {
        self.below.iter().any(is_diesel_migration)
    }

    /// Paths of the sub-folders that are one diesel migration each.
    pub fn migration_folders(&self, dir: &str) -> impl Iterator<Item = String> {
        self.below
            .iter()
            .filter(|(name, files)| is_diesel_migration((name, files)))
            .map(move |(name, _)| if dir.is_empty() { (*name).to_owned() } else { format!("{dir}/{name}") })
    }

    /// For a repository without configuration: a folder of numbered `.up.sql` files, of diesel folders, or one whose path
    /// says that it holds migrations. A folder of numbered reports does not count.
    pub fn clearly_holds_migrations(&self, dir: &str) -> bool {
        let named = dir.split('/').any(|p| matches!(p, "migrations" | "migration" | "migrate"));
        let pairs = self.files.iter().any(|(n, _)| n.ends_with(".up.sql") && numbered::parse_name(n).is_some());
        let sql = self.files.iter().any(|(n, _)| n.ends_with(".sql"));
        pairs || self.is_diesel() || self.says_so(dir) || (named && (sql || self.is_typed(engine_of_folder(dir))))
    }

    /// Whether the folder is named after an engine and a numbered JSON file in it says which database it is for.
    fn says_so(&self, dir: &str) -> bool {
        let field = b"\"database_type\"";
        engine_of_folder(dir).is_some()
            && self.files.iter().any(|(name, file)| match &file.content {
                FileContent::Bytes(bytes)
                    if name.ends_with(".json") && name.starts_with(|c: char| c.is_ascii_digit()) =>
                {
                    bytes.windows(field.len()).any(|part| part == field)
                }
                _ => false,
            })
    }

    /// Whether numbered JSON files stand in a folder of `engine`.
    fn is_typed(&self, engine: Option<Engine>) -> bool {
        engine.is_some()
            && self.files.iter().any(|(n, _)| n.ends_with(".json") && n.starts_with(|c: char| c.is_ascii_digit()))
    }
}

fn is_diesel_migration((name, files): (&&str, &Vec<(&str, &SourceFile)>)) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit()) && files.iter().any(|(n, _)| matches!(*n, "up.sql" | "down.sql"))
}

/// The engine a folder's own name stands for, `…/postgresql`.
fn engine_of_folder(dir: &str) -> Option<Engine> {
    dir.rsplit('/').next().and_then(|name| name.parse().ok())
}

/// Reads one folder by its layout, given or detected, into the set.
pub(super) fn read_folder(dir: &str, folder: &Folder<'_>, root: &MigrationRoot, set: &mut MigrationSet) {
    let of_folder = engine_of_folder(dir);
    let engine = root.engine.or(of_folder).unwrap_or(Engine::Postgresql);
    let layout = root.layout.unwrap_or_else(|| {
        // Operations are written in one layout only, whatever the folder is called.
        if are_operations(engine) {
            Layout::Typed
        } else if folder.is_diesel() {
            Layout::Diesel
        } else if folder.is_typed(of_folder) {
            Layout::Typed
        } else {
            Layout::Numbered
        }
    });
    let mut reader = Reader { unit: dir, layout, engine, root, set };
    match layout {
        Layout::Numbered => numbered::read(folder, &mut reader),
        Layout::Typed => typed::read(folder, &mut reader),
        Layout::Diesel => diesel::read(folder, &mut reader),
    }
}

/// What every layout's reader shares: where it is, and where migrations and problems go.
struct Reader<'a> {
    unit: &'a str,
    layout: Layout,
    engine: Engine,
    root: &'a MigrationRoot,
    set: &'a mut MigrationSet,
}

/// The parts of a migration that a layout's reader has found.
struct Found<'a> {
    id: &'a str,
    version: Version,
    name: &'a str,
    up: &'a SourceFile,
    down: Option<&'a SourceFile>,
    /// Further files that belong to it, for the digest.
    metadata: Vec<&'a SourceFile>,
}

impl Reader<'_> {
    fn problem(&mut self, file: &str, line: u32, rule: &'static str, severity: Severity, message: String, help: &str) {
        self.set.problems.push(Problem { file: file.to_owned(), line, rule, severity, message, help: help.to_owned() });
    }

    fn stray(&mut self, file: &SourceFile, message: &str) {
        self.problem(
            &file.path,
            1,
            "stray-file",
            Severity::Warning,
            message.to_owned(),
            "move it out of the folder, or name it as the layout asks",
        );
    }

    /// The text of a script, or a problem in its place.
    fn script(&mut self, file: &SourceFile) -> Option<Script> {
        let (rule, severity, message, help) = match &file.content {
            FileContent::Bytes(bytes) => {
                let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
                match std::str::from_utf8(bytes) {
                    Ok(text) => return Some(Script { path: file.path.clone(), text: text.to_owned(), first_line: 1 }),
                    Err(e) => {
                        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
                        let message = format!("is not UTF-8: byte {} of the file cannot be read", e.valid_up_to() + 1);
                        let line = u32::try_from(line).unwrap_or(u32::MAX);
                        self.problem(&file.path, line, "not-utf8", Severity::Error, message, "save the file as UTF-8");
                        return None;
                    }
                }
            }
            FileContent::Directory => (
                "directory-named-sql",
                Severity::Warning,
                "is a directory whose name looks like a migration's; it is not read as one".to_owned(),
                "rename the directory",
            ),
            FileContent::Symlink => (
                "symlink",
                Severity::Error,
                "is a symbolic link; links are never followed, since they can point anywhere".to_owned(),
                "commit the file itself",
            ),
            FileContent::TooLarge(size) => (
                "file-too-large",
                Severity::Error,
                format!("has {size} bytes, more than can be read"),
                "split the data into several migrations",
            ),
        };
        self.problem(&file.path, 1, rule, severity, message, help);
        None
    }

    /// Puts a migration of SQL scripts together and checks what holds for every layout.
    fn add(&mut self, found: Found<'_>) -> Option<&mut Migration> {
        let up = self.script(found.up)?;
        if let Some(marker) = foreign_marker(&up.text) {
            self.problem(
                &up.path,
                1,
                "unsupported-layout",
                Severity::Error,
                format!("holds both directions in one file (`{marker}`), a layout that this version does not read"),
                "split it into NAME.up.sql and NAME.down.sql",
            );
            return None;
        }
        if super::execution::is_blank_sql(&up.text) {
            self.problem(
                &up.path,
                1,
                "empty-migration",
                Severity::Warning,
                "holds no statement".to_owned(),
                "delete it if it was never merged, else leave a comment that says why",
            );
        }
        let down = found.down.and_then(|f| self.script(f));
        if let Some(down) = &down
            && super::execution::is_blank_sql(&down.text)
        {
            self.problem(
                &down.path,
                1,
                "empty-down",
                Severity::Warning,
                "holds no statement, so the migration cannot be rolled back".to_owned(),
                "write the statements that undo it, or delete the file and say in the forward script why there is none",
            );
        }
        if found.down.is_none() {
            self.problem(
                &up.path,
                1,
                "missing-down",
                Severity::Warning,
                "has no script that undoes it".to_owned(),
                "add one, so that a rollback is possible",
            );
        }
        let directives = Directives::parse(&up.path, &up.text, up.first_line, &mut self.set.problems);
        let (up_sha256, checksum) = match &found.up.content {
            FileContent::Bytes(bytes) => both(bytes, &up.text),
            FileContent::Directory | FileContent::Symlink | FileContent::TooLarge(_) => return None,
        };
        let mut files = Vec::with_capacity(2);
        files.push(MigrationFile { path: found.up.path.clone(), sha256: up_sha256 });
        files.extend(found.down.into_iter().chain(found.metadata).filter_map(file_of));
        self.put(found.id, found.version, found.name, Read { up, down, checksum, directives, files })
    }

    /// Adds a migration whose scripts are operations.
    fn add_operations(
        &mut self,
        (id, version, name): (&str, Version, &str),
        up: Script,
        down: Option<Script>,
        directives: Directives,
        files: &[&SourceFile],
    ) -> Option<&mut Migration> {
        let checksum = checksum(&up.text);
        let files = files.iter().copied().filter_map(file_of).collect();
        self.put(id, version, name, Read { up, down, checksum, directives, files })
    }

    fn put(&mut self, id: &str, version: Version, name: &str, read: Read) -> Option<&mut Migration> {
        let Read { up, down, checksum, directives, mut files } = read;
        let id = match MigrationId::new(id) {
            Ok(id) => id,
            Err(e) => {
                self.problem(&up.path, 1, "file-name", Severity::Error, e.to_string(), "rename it");
                return None;
            }
        };
        files.sort();
        self.set.migrations.push(Migration {
            id,
            version,
            name: name.to_owned(),
            description: None,
            layout: self.layout,
            unit: self.unit.to_owned(),
            engine: self.engine,
            target: self.root.target.clone(),
            service: service_of(self.unit).map(str::to_owned),
            checksum,
            up,
            down,
            directives,
            files,
        });
        self.set.migrations.last_mut()
    }
}

/// A migration's scripts as they were read, with the files they are made of.
struct Read {
    up: Script,
    down: Option<Script>,
    checksum: Checksum,
    directives: Directives,
    files: Vec<MigrationFile>,
}

fn file_of(file: &SourceFile) -> Option<MigrationFile> {
    match &file.content {
        FileContent::Bytes(bytes) => Some(MigrationFile { path: file.path.clone(), sha256: sha256_hex(bytes) }),
        FileContent::Directory | FileContent::Symlink | FileContent::TooLarge(_) => None,
    }
}

/// The service that a folder such as `services/user-service/migrations` belongs to.
fn service_of(unit: &str) -> Option<&str> {
    let mut parts = unit.split('/').skip_while(|part| *part != "services").skip(1);
    let service = parts.next()?;
    parts.next().map(|_| service)
}

/// The marker of a tool that keeps both directions in one file: running such a file whole would undo it at once.
fn foreign_marker(text: &str) -> Option<&'static str> {
    const MARKERS: [(&str, &str); 3] =
        [("+goose", "-- +goose"), ("migrate:up", "-- migrate:up"), ("+migrate", "-- +migrate")];
    text.lines().find_map(|line| {
        let comment = line.trim_start().strip_prefix("--")?.trim_start();
        MARKERS.iter().find(|(start, _)| comment.starts_with(start)).map(|(_, shown)| *shown)
    })
}
