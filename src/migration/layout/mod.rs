//! How a folder names its migrations. Each layout has a reader of its own; detection is per folder (SPEC 2).

mod detect;
mod diesel;
mod flyway;
mod marked;
mod numbered;
mod prisma;
mod scripts;
mod service;
mod sqlx;
mod typed;

use std::fmt;
use std::str::FromStr;

use crate::ids::{Checksum, Engine, EnvironmentName, InvalidId, MigrationId};
use crate::migration::checksum::{both, checksum, sha256_hex};
use crate::migration::destroys;
use crate::migration::sealed::{self, Form};
use crate::migration::text::text;
use crate::migration::verify;
use crate::migration::{
    Directives, FileContent, Migration, MigrationFile, MigrationRoot, MigrationSet, Problem, Script, Severity,
    SourceFile, Spot, Unrunnable, Version,
};
pub use detect::declared_engine;
pub(super) use detect::{Folder, Surroundings, read_folder};
pub use marked::{Marked, split as split_marked};
pub(super) use service::{is_service, of as service_of, undeclaring};
#[cfg(feature = "cli")]
pub use typed::schema as typed_schema;

/// The layouts that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `0001_name.up.sql` with `0001_name.down.sql`, or `0001_name.sql`: golang-migrate, any number of digits.
    Numbered,
    /// `001_name.json`, with `001_name.sql` for SQL and `001_name.lua` for Redis, and `_rollback` partners (source E).
    Typed,
    /// `2017-09-23-182408_name/up.sql` with `down.sql`.
    Diesel,
    /// `services/NAME/migrations/0001_name.up.sql` with `.down.sql`, a schema per service (source B).
    Service,
    /// `scripts/001_20240101_000000_name.sql` with `rollbacks/…_rollback.sql` (source C).
    Scripts,
    /// `20240101000000_name/migration.sql`.
    Prisma,
    /// `V1.2__name.sql`, `U1.2__name.sql`, `R__name.sql`.
    Flyway,
    /// `00001_name.sql` with `-- +goose Up` and `-- +goose Down` in it.
    Goose,
    /// `name.sql` with `-- +migrate Up` and `-- +migrate Down` in it.
    SqlMigrate,
    /// `20240101000000_name.sql`, or a pair of `.up.sql` and `.down.sql`, with sqlx's own history.
    Sqlx,
    /// `20240101000000_name.sql` with `-- migrate:up` and `-- migrate:down` in it.
    Dbmate,
}

impl Layout {
    /// Every layout with its name in `godwit.yml`.
    pub const ALL: [(Layout, &'static str); 11] = [
        (Layout::Numbered, "numbered"),
        (Layout::Typed, "typed"),
        (Layout::Diesel, "diesel"),
        (Layout::Service, "service"),
        (Layout::Scripts, "scripts"),
        (Layout::Prisma, "prisma"),
        (Layout::Flyway, "flyway"),
        (Layout::Goose, "goose"),
        (Layout::SqlMigrate, "sql-migrate"),
        (Layout::Sqlx, "sqlx"),
        (Layout::Dbmate, "dbmate"),
    ];

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
            allowed: "`auto`, `numbered` (as golang-migrate), `typed`, `diesel`, `service`, `scripts`, `prisma`, `flyway`, `goose`, `sql-migrate`, \
                      `sqlx` or `dbmate`",
        })
    }
}

/// What every layout's reader shares: where it is, and where migrations and problems go.
struct Reader<'a> {
    unit: &'a str,
    /// The same with what is known of the folders above.
    stands: &'a str,
    layout: Layout,
    engine: Engine,
    root: &'a MigrationRoot,
    /// The one environment that the files at hand are for.
    only_in: Option<EnvironmentName>,
    set: &'a mut MigrationSet,
}

/// Whether a name would be that of a script if its ending were not written in capitals.
fn is_in_capitals(file_name: &str) -> bool {
    let ending = file_name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ending != "sql" && ending.eq_ignore_ascii_case("sql")
}

/// Whether a script is numbered as few but migrations are: a number that is filled up with zeros, or one of Flyway's names.
pub(super) fn is_numbered_script(file_name: &str) -> bool {
    let is_filled_up = |name: numbered::Name<'_>| name.version.starts_with('0') && name.version.len() > 1;
    numbered::parse_name(file_name).is_some_and(is_filled_up) || flyway::is_titled(file_name)
}

/// What is said of a place, or of a whole line.
fn told(
    file: &str,
    at: impl Into<Spot>,
    rule: &'static str,
    severity: Severity,
    message: String,
    help: &str,
) -> Problem {
    let Spot { line, column, end_column } = at.into();
    Problem { file: file.to_owned(), line, column, end_column, rule, severity, message, help: help.to_owned() }
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
    fn problem(
        &mut self,
        file: &str,
        at: impl Into<Spot>,
        rule: &'static str,
        severity: Severity,
        message: String,
        help: &str,
    ) {
        self.set.problems.push(told(file, at, rule, severity, message, help));
    }

    /// Says of the migration that was added last that it cannot be run as it stands. Where it is applied that hinders nobody.
    fn cannot_run(&mut self, file: &str, line: u32, why: &str, what_to_do: &str) {
        if let Some(migration) = self.set.migrations.last_mut() {
            migration.unrunnable = Some(Unrunnable { line, why: why.to_owned(), what_to_do: what_to_do.to_owned() });
        }
        self.remark(file, line, "unsupported-file", Severity::Error, why.to_owned(), what_to_do);
    }

    /// A program that stands where a script would.
    fn program(&mut self, file: &str) {
        self.problem(
            file,
            1,
            "unsupported-file",
            Severity::Error,
            "is a program, which cannot be run or looked at".to_owned(),
            "write what it does in SQL under the same version: where its tool has run it, it is not run again; what only a \
             program can do is a job of its own, outside this folder",
        );
    }

    /// A number that no table of a tool, nor any tool, can hold.
    fn too_high(&mut self, file: &str, digits: &str) {
        self.problem(
            file,
            1,
            "file-name",
            Severity::Error,
            format!("has the version `{digits}`, which is more than {}, the highest that can be kept", i64::MAX),
            "give it a lower one: the next free number, or the moment as `YYYYMMDDhhmmss`",
        );
    }

    /// A script whose ending is written in capitals, which no layout reads.
    fn in_capitals(&mut self, file: &str) {
        let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
        self.problem(
            file,
            1,
            "unsupported-file",
            Severity::Error,
            format!("ends with `.{ending}`, which is not read, so it would never run"),
            "rename it: write the ending `.sql`",
        );
    }

    /// Something worth a word that keeps no run from starting.
    fn remark(
        &mut self,
        file: &str,
        at: impl Into<Spot>,
        rule: &'static str,
        severity: Severity,
        message: String,
        help: &str,
    ) {
        self.set.remarks.push(told(file, at, rule, severity, message, help));
    }

    /// Bytes that other tools may read, or check out, as others.
    fn odd_bytes(&mut self, up: &Script, bytes: &[u8]) {
        const LARGE: usize = 1024 * 1024;
        let what = if bytes.starts_with(b"\xef\xbb\xbf") {
            (
                "begins with a byte order mark, which psql and some tools take for a part of the first word",
                "save it without",
            )
        } else if up.text.contains("\r\n") {
            (
                "has lines that end in CRLF: a checkout that changes them changes the checksum that other tools keep",
                "save it with LF, and say `*.sql text eol=lf` in `.gitattributes`",
            )
        } else if bytes.len() > LARGE {
            ("has more than a megabyte, which nobody reviews", "load the data from elsewhere, or in a backfill")
        } else {
            return;
        };
        self.remark(&up.path, up.first_line, "odd-bytes", Severity::Info, what.0.to_owned(), what.1);
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
            FileContent::Bytes(bytes) => match text(bytes) {
                Ok(text) => return Some(Script::whole(&file.path, text)),
                Err(wrong) => {
                    self.problem(&file.path, wrong.line, wrong.rule, Severity::Error, wrong.message, wrong.help);
                    return None;
                }
            },
            FileContent::Long(long) => {
                let head = Script::whole(&file.path, &long.head);
                return Some(Script { long: Some(long.clone()), ..head });
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
            FileContent::Special => (
                "symlink",
                Severity::Error,
                "is a pipe, a socket or a device, not a regular file; it is never opened".to_owned(),
                "put the file itself there",
            ),
            FileContent::Misnamed => (
                "file-name",
                Severity::Error,
                "has a name, or is in a folder with one, that is not UTF-8: nothing can be recorded under it"
                    .to_owned(),
                "rename it",
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

    /// Puts a migration of SQL scripts together, each in a file of its own, and checks what holds for every layout.
    fn add(&mut self, found: Found<'_>) -> Option<&mut Migration> {
        let up = self.script(found.up)?;
        if let Some(layout) = marked::layout_of(&up.text) {
            let help = if layout == self.layout {
                ""
            } else {
                "take the file out of the folder, or write each direction into a file of its own"
            };
            self.problem(
                &up.path,
                1,
                "unsupported-layout",
                Severity::Error,
                format!(
                    "holds both directions in one file, as `{layout}` does, but this folder is read as `{}`",
                    self.layout
                ),
                help,
            );
            return None;
        }
        let down = found.down.and_then(|f| self.script(f));
        let (up_sha256, checksum) = match &found.up.content {
            FileContent::Bytes(bytes) => {
                self.odd_bytes(&up, bytes);
                both(bytes, &up.text)
            }
            FileContent::Long(long) => (long.sha256.clone(), long.checksum.clone()),
            FileContent::Directory
            | FileContent::Symlink
            | FileContent::Special
            | FileContent::Misnamed
            | FileContent::TooLarge(_) => return None,
        };
        let mut files = Vec::with_capacity(2);
        files.push(MigrationFile { path: found.up.path.clone(), sha256: up_sha256 });
        files.extend(found.down.into_iter().chain(found.metadata).filter_map(file_of));
        let directives = Directives::parse(&up.path, &up.text, up.first_line, &mut self.set.problems);
        let has_down = found.down.is_some();
        self.add_scripts(found.id, found.version, found.name, Read { up, down, checksum, directives, files }, has_down)
    }

    /// The same for scripts that were read already; `has_down`: a place for the backward one is there, readable or not.
    fn add_scripts(
        &mut self,
        id: &str,
        version: Version,
        name: &str,
        read: Read,
        has_down: bool,
    ) -> Option<&mut Migration> {
        let (up, down) = (&read.up, &read.down);
        if up.is_blank(Engine::Postgresql) {
            self.problem(
                &up.path,
                up.first_line,
                "empty-migration",
                Severity::Warning,
                "holds no statement".to_owned(),
                "delete it if it was never merged, else leave a comment that says why",
            );
        }
        let severity = self.about_rollbacks(up);
        if let Some(down) = down
            && down.is_blank(Engine::Postgresql)
        {
            self.remark(
                &down.path,
                down.first_line,
                "empty-down",
                severity,
                "holds no statement, so the migration cannot be rolled back".to_owned(),
                "write the statements that undo it, or delete the file and say in the forward script why there is none",
            );
        }
        if let Some(down) = down
            && down.undoes_nothing_of(up, Engine::Postgresql)
        {
            self.remark(
                &down.path,
                down.first_line,
                "empty-down",
                severity,
                "changes nothing, so the migration, which changes the schema, cannot be rolled back".to_owned(),
                "write the statements that undo it, or delete the file and say in the forward script why there is none",
            );
        }
        // Prisma knows no way back, and a repeatable script is undone by its next version.
        if !has_down && self.layout != Layout::Prisma && !(self.layout == Layout::Flyway && id.starts_with('R')) {
            self.remark(
                &up.path,
                1,
                "missing-down",
                severity,
                "has no script that undoes it".to_owned(),
                "add one, so that a rollback is possible",
            );
        }
        self.put(id, version, name, read)
    }

    /// How bad it is that nothing undoes a migration: some layouts ask for it [S1-74] [S2-84] [S4-51]. It is a remark, as a
    /// later change can put it right: the linter says by the environment's profile whether a run waits for that.
    fn about_rollbacks(&self, up: &Script) -> Severity {
        match self.layout {
            Layout::Service | Layout::Scripts => Severity::Error,
            Layout::Typed if up.long.is_some() || !destroys::only_creates(self.engine, &up.text) => Severity::Error,
            // Its free edition has no way back, so few projects have written one.
            Layout::Flyway => Severity::Info,
            _ => Severity::Warning,
        }
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

    /// Tells the comments of a script that look as if they checked something, and do not [S2-89].
    fn misunderstood_checks(&mut self, script: &Script) {
        const HELP: &str =
            "write `-- Should return VALUE`, or `-- Should return N rows`, right behind the SELECT that it is about";
        for one in verify::misunderstood(self.engine, &script.text) {
            let line = script.first_line + one.line - 1;
            self.problem(&script.path, line, "invalid-directive", Severity::Warning, one.message, HELP);
        }
    }

    /// Tells the sealed values of a script that no run could open.
    fn sealed_values(&mut self, script: &Script) {
        if !sealed::holds(&script.text) {
            return;
        }
        for one in sealed::each(Form::of_migrations(self.engine), &script.text) {
            let Err(wrong) = one else { continue };
            let line = script.first_line + wrong.line - 1;
            self.problem(&script.path, line, wrong.rule, Severity::Error, wrong.message, &wrong.help);
        }
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
        for script in [Some(&up), down.as_ref()].into_iter().flatten() {
            self.sealed_values(script);
            self.misunderstood_checks(script);
        }
        files.sort();
        self.set.migrations.push(Migration {
            id,
            version,
            step: None,
            name: name.to_owned(),
            description: None,
            layout: self.layout,
            unit: self.unit.to_owned(),
            engine: self.engine,
            target: self.root.target.clone(),
            service: service::of(self.layout, self.stands).map(str::to_owned),
            only_in: self.only_in.clone(),
            repeatable: false,
            native: self.root.native.settled(self.root.layout),
            native_table: self.root.native_table.clone(),
            checks: verify::checks(self.engine, &up.text),
            checksum,
            up,
            down,
            directives,
            files,
            unrunnable: None,
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
        FileContent::Long(long) => Some(MigrationFile { path: file.path.clone(), sha256: long.sha256.clone() }),
        FileContent::Directory
        | FileContent::Symlink
        | FileContent::Special
        | FileContent::Misnamed
        | FileContent::TooLarge(_) => None,
    }
}
