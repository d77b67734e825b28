//! `V1.2__name.sql`, `U1.2__name.sql`, `R__name.sql`: Flyway's names, its order of versions, its repeatable scripts last
//! (SPEC 3.9). A `.sql.conf` beside a script may switch its transaction off.

use std::collections::BTreeMap;

use super::{Folder, Found, Reader, Surroundings, is_in_capitals};
use crate::migration::{FileContent, Severity, SourceFile, Version};

/// A file's name. A title may be empty: Flyway takes `V2.sql`, `V2__.sql` and `R__.sql` as well.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Versioned { version: &'a str, title: &'a str },
    Undo { version: &'a str },
    Repeatable { title: &'a str },
}

fn parse(file: &str) -> Option<Name<'_>> {
    let stem = file.strip_suffix(".sql")?;
    let Some((front, title)) = stem.split_once(SEPARATOR) else { return of_version(stem, "") };
    if front == "R" { Some(Name::Repeatable { title }) } else { of_version(front, title) }
}

/// What stands between a version and a title.
const SEPARATOR: &str = "__";

fn of_version<'a>(front: &'a str, title: &'a str) -> Option<Name<'a>> {
    let version = front.strip_prefix(['V', 'U'])?;
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_'))
        && version.ends_with(|c: char| c.is_ascii_digit());
    is_version.then_some(if front.starts_with('V') {
        Name::Versioned { version, title }
    } else {
        Name::Undo { version }
    })
}

/// Whether Flyway would take a file of this name.
pub(super) fn is_named(file: &str) -> bool {
    parse(file).is_some()
}

/// Whether one of the files is Flyway's: a migration of one of its kinds, or a script that stands for all before it.
pub(super) fn is_held_by(files: &[(&str, &SourceFile)]) -> bool {
    files.iter().any(|(name, _)| is_named(name) || is_baseline(name))
}

fn is_baseline(file: &str) -> bool {
    file.starts_with('B') && file.ends_with(".sql") && is_versioned(&format!("V{}", &file[1..]))
}

/// Whether it is one with a title as well, which files that are none seldom have: `V2.sql` may be anything.
pub(super) fn is_titled(file: &str) -> bool {
    is_named(file) && file.split_once(SEPARATOR).is_some_and(|(_, title)| title != ".sql")
}

/// Whether it is one with a version and a title, which no other file is named like.
pub(super) fn is_versioned(file: &str) -> bool {
    is_titled(file) && matches!(parse(file), Some(Name::Versioned { .. }))
}

/// The name that Flyway would take for a file that is meant to be a migration, by its stem.
fn proposed(stem: &str) -> Option<String> {
    let (kind, rest) = stem.split_at_checked(1)?;
    let kind = kind.to_ascii_uppercase();
    let is_part = |(at, c): (usize, char)| {
        let goes_on = || rest[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        c.is_ascii_digit() || (matches!(c, '.' | '_') && at > 0 && goes_on())
    };
    let end = rest.char_indices().find(|one| !is_part(*one)).map_or(rest.len(), |(at, _)| at);
    let (version, title) = if kind == "R" { ("", rest) } else { rest.split_at(end) };
    let title = title.trim_matches(|c: char| !c.is_alphanumeric()).replace(SEPARATOR, "_");
    let title = if title.is_empty() { "name" } else { title.as_str() };
    (kind == "R" || !version.is_empty()).then(|| format!("{kind}{version}{SEPARATOR}{title}.sql"))
}

/// Part by part as numbers; `1` and `1.0` are one version.
fn ordered(version: &str) -> Version {
    let parts: Vec<&str> = version.split(['.', '_']).collect();
    let significant = parts.iter().rposition(|p| p.bytes().any(|b| b != b'0')).map_or(1, |at| at + 1);
    Version::with_key_of(&version.replace('_', "."), &Version::numeric(&parts[..significant].join(".")))
}

pub(super) fn read(folder: &Folder<'_>, around: Surroundings<'_, '_>, reader: &mut Reader<'_>) {
    // Flyway looks into sub-folders as well, whatever they are called and however deep they are.
    let below = folder.below.values().filter(|files| is_held_by(files)).flatten();
    let files: Vec<(&str, &SourceFile)> = folder.files.iter().chain(below).chain(around.deeper).copied().collect();
    let mut undo: BTreeMap<String, &SourceFile> = BTreeMap::new();
    let (mut versioned, mut repeatable) = (Vec::new(), Vec::new());
    for &(file_name, file) in &files {
        let stem = file_name.strip_suffix(".sql").unwrap_or(file_name);
        match parse(file_name) {
            Some(Name::Versioned { version, title }) => versioned.push((stem, ordered(version), title, file)),
            Some(Name::Repeatable { title }) => repeatable.push((stem, title, file)),
            Some(Name::Undo { version }) => {
                let key = ordered(version).key().to_owned();
                if let Some(other) = undo.insert(key, file) {
                    let message = format!("undoes version `{version}` as `{}` does already", other.path);
                    reader.problem(&file.path, 1, "duplicate-version", Severity::Error, message, "keep one of them");
                }
            }
            None => unreadable(file_name, file, reader),
        }
    }
    let settings = |file: &SourceFile| {
        let path = format!("{}.conf", file.path);
        files.iter().find(|(_, f)| f.path == path).map(|(_, f)| *f)
    };
    for (stem, version, title, up) in versioned {
        let down = undo.remove(version.key());
        let conf = settings(up);
        let found = Found { id: stem, version, name: title, up, down, metadata: conf.into_iter().collect() };
        add(found, conf, false, reader);
    }
    for (stem, title, up) in repeatable {
        // Behind every version, by name.
        let version = Version::textual(stem, &format!("~{title}"));
        let conf = settings(up);
        let found = Found { id: stem, version, name: title, up, down: None, metadata: conf.into_iter().collect() };
        add(found, conf, true, reader);
    }
    for file in undo.into_values() {
        let message = "undoes a version that no file of this folder applies".to_owned();
        let help = "add the `V` file or delete this one";
        reader.problem(&file.path, 1, "orphan-down", Severity::Error, message, help);
    }
}

fn add(found: Found<'_>, conf: Option<&SourceFile>, repeatable: bool, reader: &mut Reader<'_>) {
    let path = found.up.path.clone();
    let no_transaction = conf.is_some_and(|conf| sets(conf, "executeInTransaction", "false"));
    let is_literal = conf.is_some_and(|conf| sets(conf, "placeholderReplacement", "false"));
    let Some(migration) = reader.add(found) else { return };
    migration.repeatable = repeatable;
    migration.directives.no_transaction |= no_transaction;
    let placeholder = migration.up.text.find("${").filter(|_| !is_literal);
    if let Some(at) = placeholder {
        let line = migration.up.text[..at].matches('\n').count() + 1;
        reader.cannot_run(
            &path,
            u32::try_from(line).unwrap_or(u32::MAX),
            "holds a placeholder `${…}`, which Flyway fills in and nobody does here",
            "if it is applied nowhere yet, write the value itself; else let Flyway run it once more where it is missing, and write \
             new ones without placeholders; where `${` is meant as it stands, say `placeholderReplacement=false` in a \
             `.conf` beside the file",
        );
    }
}

/// Whether a script's own settings say so.
fn sets(file: &SourceFile, key: &str, value: &str) -> bool {
    let Some(bytes) = file.content.bytes() else { return false };
    String::from_utf8_lossy(bytes)
        .lines()
        .any(|line| line.split_once('=').is_some_and(|(k, v)| k.trim() == key && v.trim().eq_ignore_ascii_case(value)))
}

/// A file that is no migration: said when it looks as if it should be one, or does something in Flyway.
fn unreadable(file_name: &str, file: &SourceFile, reader: &mut Reader<'_>) {
    if matches!(file.content, FileContent::Directory) {
        // `script` knows the words for it.
        let _ = reader.script(file);
        return;
    }
    let Some(stem) = file_name.strip_suffix(".sql") else {
        let is_named = file_name.starts_with(['V', 'U', 'R']) && file_name.contains("__");
        if is_named && is_in_capitals(file_name) {
            reader.in_capitals(&file.path);
        }
        let is_program = [".java", ".kt", ".class"].iter().any(|e| file_name.ends_with(e));
        if is_program && is_named {
            reader.program(&file.path);
        }
        return;
    };
    let event = stem.split("__").next().unwrap_or(stem);
    if ["before", "after"].iter().any(|e| event.starts_with(e)) {
        reader.stray(file, "is a callback of Flyway, which is not run: its statements belong into a migration");
    } else if file_name.starts_with('B') && file_name.contains("__") {
        let message = "is a baseline script of Flyway, which stands for all versions up to its own".to_owned();
        let help = "make it a `V` script of its own for new databases, or take it out and use `godwit baseline`";
        reader.problem(&file.path, 1, "unsupported-file", Severity::Error, message, help);
    } else if is_meant(stem) {
        let message =
            "looks like a migration, but its name does not fit `V1.2__name.sql`, so it would never run".to_owned();
        let help = proposed(stem).map_or_else(
            || "rename it: `V`, numbers with dots or underscores, two underscores, a name".to_owned(),
            |name| format!("rename it to `{name}`"),
        );
        reader.problem(&file.path, 1, "file-name", Severity::Error, message, &help);
    } else {
        reader.stray(file, "is no migration: its name has no version in front");
    }
}

/// Whether a stem that fits none of the names was meant to: Flyway passes it over without a word.
fn is_meant(stem: &str) -> bool {
    let kind = ['V', 'U', 'R', 'v', 'u', 'r'];
    stem.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Layout, MigrationRoot, MigrationSet, resolve};

    fn read(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, &[MigrationRoot::folder("db/migration")])
    }

    fn ids(set: &MigrationSet) -> Vec<&str> {
        set.migrations.iter().map(|m| m.id.as_str()).collect()
    }

    #[test]
    fn s0_19_versions_compare_by_parts_and_repeatable_scripts_come_last() {
        let set = read(&[
            ("db/migration/R__order_totals.sql", "select 1;"),
            ("db/migration/R__a_view.sql", "select 1;"),
            ("db/migration/V1.10__late.sql", "select 1;"),
            ("db/migration/U1.2__add_orders.sql", "drop table orders;"),
            ("db/migration/V1.2__add_orders.sql", "create table orders (n int);"),
            ("db/migration/V1__first.sql", "select 1;"),
            ("db/migration/V2_0__two.sql", "select 1;"),
            ("db/migration/V2.0__two.sql.conf", "executeInTransaction=false"),
        ]);
        assert_eq!(
            ids(&set),
            ["V1__first", "V1.2__add_orders", "V1.10__late", "V2_0__two", "R__a_view", "R__order_totals"]
        );
        assert!(set.migrations.iter().all(|m| m.layout == Layout::Flyway));
        assert!(set.migrations[1].is_reversible() && set.migrations[4].repeatable);
        assert_eq!(set.migrations[3].version.as_str(), "2.0");
        let rules: Vec<_> = set.problems.iter().chain(&set.remarks).map(|p| p.rule).collect();
        assert_eq!(rules, ["missing-down"; 3], "{rules:?}");
        assert!(ordered("1.0").same_place(&ordered("1")) && !ordered("10").same_place(&ordered("1")));
    }

    #[test]
    fn versions_without_a_title_are_read_as_flyway_reads_them() {
        let set = read(&[
            ("db/migration/V1__a.sql", "select 1;"),
            ("db/migration/V2.sql", "select 1;"),
            ("db/migration/U2.sql", "select 1;"),
            ("db/migration/V2.1.sql", "select 1;"),
            ("db/migration/V3__.sql", "select 1;"),
            ("db/migration/R__.sql", "select 1;"),
        ]);
        assert_eq!(ids(&set), ["V1__a", "V2", "V2.1", "V3__", "R__"]);
        assert!(set.migrations.iter().all(|m| m.layout == Layout::Flyway));
        assert!(set.migrations[1].name.is_empty() && set.migrations[1].is_reversible());
        // Nothing else in the folder speaks for a layout; among numbered pairs it is a slip.
        assert_eq!(read(&[("db/migration/V2.sql", "select 1;")]).migrations[0].layout, Layout::Flyway);
        let set = read(&[("db/migration/1_a.up.sql", "select 1;"), ("db/migration/V2.sql", "select 1;")]);
        assert_eq!(ids(&set), ["1_a"]);
        assert_eq!(set.problems[0].rule, "unsupported-layout");
    }

    #[test]
    fn a_name_that_flyway_passes_over_comes_with_one_that_it_takes() {
        for (stem, name) in [
            ("V2_b", Some("V2__b.sql")),
            ("V2_", Some("V2__name.sql")),
            ("V2_1_add_b", Some("V2_1__add_b.sql")),
            ("V1.2.__x", Some("V1.2__x.sql")),
            ("V2-b__c", Some("V2__b_c.sql")),
            ("v3__add", Some("V3__add.sql")),
            ("R_view", Some("R__view.sql")),
            ("V__x", None),
        ] {
            assert!(is_meant(stem) && parse(&format!("{stem}.sql")).is_none(), "{stem}");
            let proposed = proposed(stem);
            assert_eq!(proposed.as_deref(), name);
            assert!(proposed.is_none_or(|name| is_titled(&name)));
        }
        assert!(!is_meant("views") && !is_meant("V"));
    }

    #[test]
    fn what_flyway_would_do_otherwise_is_said() {
        let set = read(&[
            ("db/migration/V1__a.sql", "create table ${name} (n int);"),
            ("db/migration/U1__a.sql", "select 1;"),
            ("db/migration/V01.0__same.sql", "select 1;"),
            ("db/migration/U7__lost.sql", "select 1;"),
            ("db/migration/V2_no_name.sql", "select 1;"),
            ("db/migration/V3__Program.java", ""),
            ("db/migration/B4__all.sql", "select 1;"),
            ("db/migration/afterMigrate__grants.sql", "select 1;"),
            ("db/migration/notes.sql", "select 1;"),
            ("db/migration/sub/V9__below.sql", "select 1;"),
        ]);
        let told = set.problems.iter().chain(&set.remarks);
        let found: Vec<_> = told.map(|p| (p.file.strip_prefix("db/migration/").unwrap_or(""), p.rule)).collect();
        for expected in [
            ("V1__a.sql", "unsupported-file"),
            ("V1__a.sql", "duplicate-version"),
            ("U7__lost.sql", "orphan-down"),
            ("V2_no_name.sql", "file-name"),
            ("V3__Program.java", "unsupported-file"),
            ("B4__all.sql", "unsupported-file"),
            ("afterMigrate__grants.sql", "stray-file"),
            ("notes.sql", "stray-file"),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        assert!(ids(&set).contains(&"V9__below"));
    }

    #[test]
    fn a_placeholder_is_the_file_s_own_matter_and_literal_where_its_settings_say_so() {
        let set = read(&[
            ("db/migration/V1__a.sql", "select 1;\nselect ${tb};"),
            ("db/migration/V2__b.sql", "select '${tb}';"),
            ("db/migration/V2__b.sql.conf", "executeInTransaction = false\nplaceholderReplacement = FALSE\n"),
        ]);
        assert_eq!(ids(&set), ["V1__a", "V2__b"]);
        assert!(set.migrations[0].unrunnable.as_ref().is_some_and(|u| u.line == 2));
        assert!(set.migrations[1].unrunnable.is_none() && set.migrations[1].directives.no_transaction);
        assert!(set.problems.iter().all(|p| p.rule != "unsupported-file"));
        let told: Vec<_> = set.remarks.iter().filter(|p| p.rule == "unsupported-file").collect();
        assert!(told.len() == 1 && told[0].line == 2 && told[0].severity == Severity::Error);
    }
}
