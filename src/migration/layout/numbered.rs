//! `0001_name.up.sql` / `0001_name.down.sql`, or `0001_name.sql`: golang-migrate's folders, any number of digits.

use std::collections::BTreeMap;

use super::{Folder, Found, Reader, is_in_capitals};
use crate::migration::{FileContent, Layout, Severity, SourceFile, Version};

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// The parts of a file name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub stem: &'a str,
    pub version: &'a str,
    pub name: &'a str,
    pub direction: Direction,
}

/// `digits _ name [.up|.down] .sql`. The name may be empty: golang-migrate and sqlx take `2_.up.sql` as well.
pub(super) fn parse_name(file: &str) -> Option<Name<'_>> {
    let rest = file.strip_suffix(".sql")?;
    let (stem, direction) = match (rest.strip_suffix(".up"), rest.strip_suffix(".down")) {
        (Some(stem), _) => (stem, Direction::Up),
        (None, Some(stem)) => (stem, Direction::Down),
        (None, None) => (rest, Direction::Up),
    };
    let digits = stem.find(|c: char| !c.is_ascii_digit())?;
    let (version, name) = stem.split_at(digits);
    let name = name.strip_prefix('_')?;
    (!version.is_empty()).then_some(Name { stem, version, name, direction })
}

/// What a folder's names say of each other.
struct Taken {
    /// How many files have each version.
    versions: BTreeMap<Version, usize>,
    /// Whether ways are told by `.up.` and `.down.`.
    pairs: bool,
    /// Whether one of them goes forward by its name.
    ups: bool,
}

impl Taken {
    fn of(folder: &Folder<'_>) -> Self {
        let mut versions = BTreeMap::new();
        for name in folder.files.iter().filter_map(|(name, _)| parse_name(name)) {
            *versions.entry(Version::numeric(name.version)).or_default() += 1;
        }
        let has = |is: &dyn Fn(&str) -> bool| folder.files.iter().any(|(name, _)| is(name));
        Self {
            versions,
            pairs: has(&tells_its_way),
            ups: has(&|name| name.ends_with(".up.sql") && parse_name(name).is_some()),
        }
    }

    /// Whether a file ends with `_up` or `_down` where `.up` or `.down` must be meant: golang-migrate does not know it, and as
    /// a migration of its own it would undo what it stands beside [F202]. `0007_slow_down.sql` alone is a name like others.
    fn looks_half(&self, file_name: &str, name: &Name<'_>) -> bool {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.stem.ends_with(end));
        let has_company = || self.pairs || self.versions.get(&Version::numeric(name.version)).is_some_and(|n| *n > 1);
        !tells_its_way(file_name) && (ends(&ROLLBACKS) || (ends(&["_up", "_down", "-up", "-down"]) && has_company()))
    }
}

/// What a way back's name ends with in other layouts: a file of that name is never a migration [S4-66].
const ROLLBACKS: [&str; 3] = ["_rollback", "-rollback", ".rollback"];

fn tells_its_way(file_name: &str) -> bool {
    file_name.ends_with(".up.sql") || file_name.ends_with(".down.sql")
}

/// Whether golang-migrate leaves out a script because its name tells no way. What another tool's marks are in, or is no script,
/// is told of in other words.
fn is_passed_over(file_name: &str, file: &SourceFile) -> bool {
    let is_plain = match &file.content {
        FileContent::Bytes(bytes) => super::marked::layout_of_bytes(bytes).is_none(),
        FileContent::Long(_) => true,
        _ => false,
    };
    is_plain && !tells_its_way(file_name)
}

pub(super) fn read(folder: &Folder<'_>, reader: &mut Reader<'_>) {
    let mut downs: BTreeMap<Version, (Name<'_>, &SourceFile)> = BTreeMap::new();
    let mut ups = Vec::new();
    let taken = Taken::of(folder);
    for &(file_name, file) in &folder.files {
        match parse_name(file_name) {
            Some(name) if taken.looks_half(file_name, &name) => {
                let (stem, way) = name.stem.rsplit_once(['_', '-', '.']).unwrap_or((name.stem, "down"));
                let way = if way == "rollback" { "down" } else { way };
                let message = format!(
                    "is named as one half of a pair, but without `.{way}.` it is a migration of its own, which would run forward"
                );
                let help = format!("rename it to `{stem}.{way}.sql`");
                reader.problem(&file.path, 1, "file-name", Severity::Error, message, &help);
            }
            Some(name) if !Version::can_be_kept(name.version) => reader.too_high(&file.path, name.version),
            Some(name) if taken.ups && reader.layout == Layout::Numbered && is_passed_over(file_name, file) => {
                let message =
                    "has no `.up` in its name in a folder whose other files have: golang-migrate never runs it";
                let help = format!("rename it to `{}.up.sql` to have it run, or move it out of the folder", name.stem);
                reader.problem(&file.path, 1, "file-name", Severity::Error, message.to_owned(), &help);
            }
            Some(name) if name.direction == Direction::Down => {
                let version = Version::numeric(name.version);
                if let Some((other, _)) = downs.get(&version) {
                    let message =
                        format!("undoes version `{}` as `{}.down.sql` does already", name.version, other.stem);
                    reader.problem(&file.path, 1, "duplicate-version", Severity::Error, message, "keep one of them");
                } else {
                    downs.insert(version, (name, file));
                }
            }
            Some(name) => ups.push((name, file)),
            None => unreadable(file_name, file, reader),
        }
    }
    for (name, up) in ups {
        let version = Version::numeric(name.version);
        let down = downs.remove(&version);
        if let Some((down_name, down)) = &down
            && down_name.stem != name.stem
        {
            reader.problem(
                &down.path,
                1,
                "pair-names-differ",
                Severity::Warning,
                format!("undoes `{}` by its number, but its name differs", name.stem),
                "give both files the same name",
            );
        }
        reader.add(Found {
            id: name.stem,
            version,
            name: name.name,
            up,
            down: down.map(|(_, f)| f),
            metadata: Vec::new(),
        });
    }
    for (name, file) in downs.into_values() {
        let message = format!("undoes version `{}`, which no file of this folder applies", name.version);
        reader.problem(
            &file.path,
            1,
            "orphan-down",
            Severity::Error,
            message,
            "add the `.up.sql` file or delete this one",
        );
    }
}

/// Whether a name is that of a copy that an editor, `patch` or a merge makes.
fn is_leftover(file_name: &str) -> bool {
    [".bak", ".old", ".orig", ".rej", ".swp", ".tmp", "~"].iter().any(|end| file_name.ends_with(end))
}

/// A file that is no migration of this layout: said when it looks as if it should be one.
fn unreadable(file_name: &str, file: &SourceFile, reader: &mut Reader<'_>) {
    let numbered = file_name.starts_with(|c: char| c.is_ascii_digit());
    if matches!(file.content, FileContent::Directory) {
        // `script` knows the words for it.
        let _ = reader.script(file);
    } else if numbered && is_in_capitals(file_name) {
        reader.in_capitals(&file.path);
    } else if is_leftover(file_name) {
        // The reader of services tells of it among all that is not theirs.
        if reader.layout != Layout::Service {
            reader.stray(file, "is what an editor or a merge left behind");
        }
    } else if numbered && !file_name.ends_with(".sql") && (file_name.contains(".up.") || file_name.contains(".down.")) {
        reader.program(&file.path);
    } else if file_name.ends_with(".sql") && numbered {
        reader.problem(
            &file.path,
            1,
            "file-name",
            Severity::Error,
            "looks like a migration, but its name does not fit `VERSION_NAME.up.sql`, so it would never run".to_owned(),
            &proposed(file_name),
        );
    } else if super::flyway::is_named(file_name) {
        reader.problem(
            &file.path,
            1,
            "unsupported-layout",
            Severity::Error,
            format!("is named as Flyway does, but this folder is read as `{}`", reader.layout),
            "rename it to `VERSION_NAME.up.sql`, or take it out of the folder",
        );
    } else if file_name.ends_with(".sql") {
        reader.stray(file, "is no migration: its name has no version in front");
    } else if numbered && [".json", ".lua"].iter().any(|end| file_name.ends_with(end)) {
        let message =
            format!("is no migration: this folder is read as `{}`, and takes files of SQL alone", reader.layout);
        reader.stray(file, &message);
    } else if reader.layout != Layout::Service && has_another_ending(file_name) {
        reader.stray(file, "is named as a migration, but does not end in `.sql`, so it would never run");
    }
}

/// Whether a name would be that of a migration if it ended in `.sql`: with the ending of another dialect's tools, one behind
/// `.sql`, or none.
fn has_another_ending(file_name: &str) -> bool {
    let digits = file_name.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    let Some(rest) = file_name[digits..].strip_prefix('_').filter(|_| digits > 0) else { return false };
    let ending = rest.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        None => true,
        Some("ddl" | "dml" | "psql" | "pgsql" | "plsql" | "plpgsql" | "pls") => true,
        Some(_) => rest.contains(".sql."),
    }
}

/// What to call a file that begins with a number and has no `_` behind it.
fn proposed(file_name: &str) -> String {
    let end = [".up.sql", ".down.sql", ".sql"].into_iter().find(|end| file_name.ends_with(end)).unwrap_or_default();
    let stem = &file_name[..file_name.len() - end.len()];
    let digits = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
    let (number, rest) = stem.split_at(digits);
    let rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
    format!("rename it to `{number}_{}{end}`", if rest.is_empty() { "name" } else { rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Layout, MigrationRoot, MigrationSet, resolve};

    fn read(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        // Some of the traps speak for another layout.
        resolve(&files, &[MigrationRoot { layout: Some(Layout::Numbered), ..MigrationRoot::folder("") }])
    }

    fn rules(set: &MigrationSet) -> Vec<(&str, &str)> {
        set.problems.iter().chain(&set.remarks).map(|p| (p.file.as_str(), p.rule)).collect()
    }

    #[test]
    fn names_with_any_number_of_digits() {
        for (file, version, name, direction) in [
            ("1_a.up.sql", "1", "a", Direction::Up),
            ("0001_a.down.sql", "0001", "a", Direction::Down),
            ("20240101120000_add_b.sql", "20240101120000", "add_b", Direction::Up),
            ("01_a.b.up.sql", "01", "a.b", Direction::Up),
            ("2_.up.sql", "2", "", Direction::Up),
            ("2_.sql", "2", "", Direction::Up),
        ] {
            let parsed = parse_name(file).expect(file);
            assert_eq!((parsed.version, parsed.name, parsed.direction), (version, name, direction));
        }
        for file in ["a.sql", "1.sql", "2.up.sql", "_a.sql", "1a.sql", "1-a.sql", "1_a.txt", "README.md"] {
            assert_eq!(parse_name(file), None, "{file}");
        }
    }

    #[test]
    fn a_number_without_a_name_runs_and_one_without_its_line_is_told_what_to_be_called() {
        let set = read(&[
            ("1_.up.sql", "select 1;"),
            ("1_.down.sql", "select 2;"),
            ("2.up.sql", "select 1;"),
            ("3-add-x.down.sql", "select 1;"),
        ]);
        assert_eq!(set.migrations.len(), 1);
        assert!(set.migrations[0].id.as_str() == "1_" && set.migrations[0].is_reversible());
        let help: Vec<_> = set.problems.iter().map(|p| p.help.as_str()).collect();
        assert_eq!(help, ["rename it to `2_name.up.sql`", "rename it to `3_add-x.down.sql`"]);
    }

    #[test]
    fn versions_sort_as_numbers_and_pairs_meet() {
        let set = read(&[
            ("10_c.up.sql", "select 3;"),
            ("10_c.down.sql", "select -3;"),
            ("9_b.up.sql", "select 2;"),
            ("9_b.down.sql", "select -2;"),
            ("002_a.up.sql", "select 1;"),
        ]);
        let ids: Vec<_> = set.migrations.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["002_a", "9_b", "10_c"]);
        assert!(set.migrations[1].is_reversible());
        assert_eq!(rules(&set), [("002_a.up.sql", "missing-down")]);
    }

    #[test]
    fn among_pairs_a_file_that_does_not_tell_its_way_is_an_error_and_alone_it_is_none() {
        let set = read(&[("1_a.up.sql", "select 1;"), ("1_a.down.sql", "select 2;"), ("2_cleanup.sql", "select 3;")]);
        assert_eq!(set.migrations.len(), 1);
        assert!(rules(&set) == [("2_cleanup.sql", "file-name")] && set.problems[0].help.contains("`2_cleanup.up.sql`"));
        for files in [&["1_a.sql", "2_b.sql"][..], &["1_a.sql", "1_a.down.sql", "2_b.sql"]] {
            let set = read(&files.iter().map(|name| (*name, "select 1;")).collect::<Vec<_>>());
            assert!(set.migrations.len() == 2 && set.problems.is_empty(), "{:?}", set.problems);
        }
    }

    #[test]
    fn a_version_that_no_table_can_hold_is_an_error() {
        for (layout, text) in [
            (Layout::Numbered, "select 1;"),
            (Layout::Service, "select 1;"),
            (Layout::Sqlx, "select 1;"),
            (Layout::Goose, "-- +goose Up\nselect 1;"),
        ] {
            let files = ["9223372036854775807_a.sql", "009223372036854775808_b.sql", "99999999999999999999_c.sql"];
            let files: Vec<_> = files.iter().map(|name| SourceFile::new(*name, text.as_bytes())).collect();
            let set = resolve(&files, &[MigrationRoot { layout: Some(layout), ..MigrationRoot::folder("") }]);
            let told: Vec<_> = set
                .problems
                .iter()
                .filter(|p| p.message.contains("9223372036854775807"))
                .map(|p| (p.file.as_str(), p.rule))
                .collect();
            assert_eq!(
                told,
                [(files[1].path.as_str(), "file-name"), (files[2].path.as_str(), "file-name")],
                "{layout}"
            );
            assert_eq!(set.migrations.len(), 1, "{layout}");
        }
    }

    #[test]
    fn f202_a_way_back_by_name_alone_never_runs_forward() {
        for (files, told) in [
            (&["1_a_up.sql", "1_a_down.sql"][..], &["1_a_down.sql", "1_a_up.sql"][..]),
            (&["1_a.up.sql", "1_a.down.sql", "2_b_down.sql"], &["2_b_down.sql"]),
            (&["1_a.sql", "7_slow_down.sql"], &[]),
            // [S4-66]
            (&["1_a.sql", "2_b_rollback.sql"], &["2_b_rollback.sql"]),
            (&["1_a.up.sql", "1_a.rollback.sql"], &["1_a.rollback.sql"]),
            (&["1_a_rollback.up.sql", "2_rollback_orders.up.sql"], &[]),
        ] {
            let set = read(&files.iter().map(|name| (*name, "select 1;")).collect::<Vec<_>>());
            let mut found: Vec<_> =
                rules(&set).into_iter().filter(|(_, r)| *r == "file-name").map(|(f, _)| f).collect();
            found.sort_unstable();
            assert_eq!(found, told, "{files:?}");
            assert!(set.migrations.iter().all(|m| !told.contains(&m.up.path.as_str())));
        }
    }

    #[test]
    fn traps_of_real_folders_are_named() {
        let set = read(&[
            ("1_a.up.sql", "select 1;"),
            ("1_b.up.sql", "select 1;"),
            ("2_x.up.sql", "select 1;"),
            ("2_y.down.sql", "select 1;"),
            ("3_lost.down.sql", "select 1;"),
            ("4_prog.up.go", "package x"),
            ("5-name.sql", "select 1;"),
            ("6-name.up.sql", "select 1;"),
            ("V6__flyway.sql", "select 1;"),
            ("7_goose.sql", "-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;"),
            ("notes.sql", "select 1;"),
            ("9_broken.json", "{ \"operations\": ["),
            ("package.json", "{}"),
            ("README.md", "# hello"),
            ("1_a.up.sql.bak", "select 1;"),
            ("1_a.up.sql~", "select 1;"),
            ("8_half_down.sql", "drop table t;"),
        ]);
        let found = rules(&set);
        for expected in [
            ("1_b.up.sql", "duplicate-version"),
            ("2_y.down.sql", "pair-names-differ"),
            ("3_lost.down.sql", "orphan-down"),
            ("4_prog.up.go", "unsupported-file"),
            ("5-name.sql", "file-name"),
            ("6-name.up.sql", "file-name"),
            ("8_half_down.sql", "file-name"),
            ("V6__flyway.sql", "unsupported-layout"),
            ("7_goose.sql", "unsupported-layout"),
            ("notes.sql", "stray-file"),
            ("1_a.up.sql.bak", "stray-file"),
            ("1_a.up.sql~", "stray-file"),
            ("9_broken.json", "stray-file"),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        assert!(!found.iter().any(|(f, _)| ["README.md", "package.json"].contains(f)));
    }

    #[test]
    fn versioned_files_with_other_endings_are_told() {
        let mut files = vec![("0001_a.up.sql", "select 1;"), ("0001_a.down.sql", "select 1;")];
        let odd = ["0004_e.sql.gz", "0006_g.ddl", "0015_o", "0017_x.psql"];
        files.extend(odd.map(|name| (name, "create table t ();")));
        files.extend(["0001_a.md", "0001_a.png", "2024.txt", "LICENSE", "15"].map(|name| (name, "")));
        let set = read(&files);
        assert_eq!(rules(&set), odd.map(|name| (name, "stray-file")));
    }

    #[test]
    fn bytes_that_are_no_text_are_located() {
        let files = [
            SourceFile::new("1_a.up.sql", b"select 1;\nselect '\xff';".to_vec()),
            SourceFile { path: "2_b.sql".to_owned(), content: FileContent::Directory },
            SourceFile { path: "3_c.sql".to_owned(), content: FileContent::Symlink },
            SourceFile::new("4_d.up.sql", b"select 1;\n\nselect '\0';".to_vec()),
        ];
        let set = resolve(&files, &[MigrationRoot::folder("")]);
        assert_eq!((set.problems[0].line, set.problems[3].line), (2, 3));
        assert_eq!(
            rules(&set),
            [
                ("1_a.up.sql", "not-utf8"),
                ("2_b.sql", "directory-named-sql"),
                ("3_c.sql", "symlink"),
                ("4_d.up.sql", "nul-byte")
            ]
        );
        assert!(set.migrations.is_empty());
    }
}
