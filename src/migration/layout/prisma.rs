//! `20240101000000_name/migration.sql`, ordered by the bytes of the folder's name as Prisma does (SPEC 3.8). There is no
//! backward script; a `down.sql` beside it, which people make with Prisma's own diff, is taken for one.

use super::{Folder, Found, Reader};
use crate::ids::Engine;
use crate::migration::{FileContent, Severity, SourceFile, Version};

/// The file in which Prisma notes which database the folder is for.
const LOCK: &str = "migration_lock.toml";

pub(super) fn read(folder: &Folder<'_>, reader: &mut Reader<'_>) {
    for &(name, file) in &folder.files {
        if name.ends_with(".sql") && !matches!(file.content, FileContent::Directory) {
            reader.stray(file, "is no migration: in this folder each one is a folder with `migration.sql` in it");
        }
        if name == LOCK {
            refuse_other_databases(file, reader);
        }
    }
    for (dir, files) in &folder.below {
        let file = |wanted: &str| files.iter().find(|(n, _)| *n == wanted).map(|(_, f)| *f);
        let Some(up) = file("migration.sql") else {
            if let Some((_, first)) = files.first() {
                let message = format!("stands in `{dir}`, which has no `migration.sql`: Prisma stops at such a folder");
                let help = "add `migration.sql` or delete the folder";
                reader.problem(&first.path, 1, "pair-half-missing", Severity::Error, message, help);
            }
            continue;
        };
        for (name, extra) in files.iter().filter(|(n, _)| !matches!(*n, "migration.sql" | "down.sql")) {
            if name.ends_with(".sql") {
                reader.stray(extra, "is no migration: Prisma reads `migration.sql` only");
            }
        }
        let (number, rest) = number_of(dir);
        if !is_stamped(dir) {
            let found = if number.is_empty() { "no digits".to_owned() } else { format!("{} digits", number.len()) };
            let message = format!(
                "the folder's name `{dir}` begins with {found}; names sort by their bytes, so it may run out of order"
            );
            let help = "name new ones `YYYYMMDDHHMMSS_name`; leave one that is applied as it is";
            reader.problem(&up.path, 1, "file-name", Severity::Warning, message, help);
        }
        let version = Version::textual(if number.is_empty() { dir } else { number }, dir);
        let name = rest.trim_start_matches('_');
        let name = if name.is_empty() { dir } else { name };
        reader.add(Found { id: dir, version, name, up, down: file("down.sql"), metadata: Vec::new() });
    }
}

/// The digits that a folder's name begins with, and the rest.
fn number_of(dir: &str) -> (&str, &str) {
    dir.split_at(dir.find(|c: char| !c.is_ascii_digit()).unwrap_or(dir.len()))
}

/// Whether a folder is named as Prisma names one, with year, month, day and time in front.
pub(super) fn is_stamped(dir: &str) -> bool {
    number_of(dir).0.len() == 14
}

/// The database that the lock file names.
fn provider(file: &SourceFile) -> Option<String> {
    let bytes = file.content.bytes()?;
    String::from_utf8_lossy(bytes).lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "provider").then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The engine of a folder by its lock file.
pub(super) fn engine_of(folder: &Folder<'_>) -> Option<Engine> {
    let (_, file) = folder.files.iter().find(|(n, _)| *n == LOCK)?;
    provider(file)?.parse().ok()
}

fn refuse_other_databases(file: &SourceFile, reader: &mut Reader<'_>) {
    let Some(provider) = provider(file) else { return };
    if matches!(provider.as_str(), "postgresql" | "postgres" | "sqlite" | "cockroachdb") {
        return;
    }
    let message = format!("says that these migrations are for `{provider}`, which is not supported");
    let help = "PostgreSQL and SQLite are; leave this folder out of `godwit.yml`";
    reader.problem(&file.path, 1, "unsupported-file", Severity::Error, message, help);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Layout, MigrationRoot, resolve};

    #[test]
    fn s3_17_s3_19_the_seven_folders_stand_in_exactly_this_order() {
        let dirs = [
            "20251117022438_add_password_reset_table",
            "20251118154530_sync_schema_phase30",
            "20251119004754_add_vendor_management_system",
            "20251202_add_owner_relation_and_role_permissions",
            "add_performance_indexes",
            "add_privacy_consent",
            "organization_module",
        ];
        let mut files: Vec<_> = dirs
            .iter()
            .rev()
            .map(|d| SourceFile::new(format!("prisma/migrations/{d}/migration.sql"), b"select 1;".to_vec()))
            .collect();
        files.push(SourceFile::new("prisma/schema.prisma", "datasource db {}"));
        files.push(SourceFile::new("prisma/migrations/migration_lock.toml", "provider = \"postgresql\"\n"));
        let set = resolve(&files, &[MigrationRoot::folder("**")]);
        assert_eq!(set.migrations.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), dirs);
        assert!(set.migrations.iter().all(|m| m.layout == Layout::Prisma && m.unit == "prisma/migrations"));
        // Eight digits and none: warnings, in the words of the folder.
        let warned: Vec<_> = set.problems.iter().map(|p| (p.rule, p.severity)).collect();
        assert_eq!(warned, [("file-name", Severity::Warning); 4], "{:?}", set.problems);
    }

    #[test]
    fn a_lock_file_tells_the_engine_and_other_databases_are_refused() {
        let read = |provider: &str| {
            let files = [
                SourceFile::new("m/20240101000000_a/migration.sql", "select 1;"),
                SourceFile::new("m/20240102000000_b/notes.txt", ""),
                SourceFile::new("m/migration_lock.toml", format!("# kept by Prisma\nprovider = \"{provider}\"\n")),
            ];
            resolve(&files, &[MigrationRoot::folder("m")])
        };
        let set = read("sqlite");
        assert_eq!(set.migrations[0].engine, Engine::Sqlite);
        assert_eq!(set.problems.iter().map(|p| p.rule).collect::<Vec<_>>(), ["pair-half-missing"]);
        let set = read("mysql");
        assert!(set.problems.iter().any(|p| p.rule == "unsupported-file" && p.message.contains("mysql")));
    }
}
