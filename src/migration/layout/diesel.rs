//! `2017-09-23-182408_name/up.sql` with `down.sql`, ordered as diesel does: the part before the first `_`, dashes taken
//! out, compared as text.

use super::{Folder, Found, Reader};
use crate::migration::{FileContent, Severity, SourceFile, Version};

pub(super) fn read(folder: &Folder<'_>, reader: &mut Reader<'_>) {
    for &(name, file) in &folder.files {
        if name.ends_with(".sql") && !matches!(file.content, FileContent::Directory) {
            reader.stray(file, "is no migration: in this folder each one is a folder with `up.sql` in it");
        }
    }
    for (dir, files) in &folder.below {
        let file = |wanted: &str| files.iter().find(|(n, _)| *n == wanted).map(|(_, f)| *f);
        let (up, down) = (file("up.sql"), file("down.sql"));
        let Some(up) = up else {
            if let Some(down) = down {
                reader.problem(
                    &down.path,
                    1,
                    "orphan-down",
                    Severity::Error,
                    "undoes a migration whose `up.sql` is missing".to_owned(),
                    "add `up.sql` or delete the folder",
                );
            }
            continue;
        };
        let Some((version, name)) = parse_name(dir) else {
            reader.problem(
                &up.path,
                1,
                "file-name",
                Severity::Error,
                format!("the folder's name `{dir}` does not begin with a version"),
                "name it `YYYY-MM-DD-HHMMSS_name`",
            );
            continue;
        };
        let metadata: Vec<&SourceFile> = file("metadata.toml").into_iter().collect();
        let no_transaction = metadata.first().is_some_and(|f| switches_transaction_off(f));
        let found = Found { id: dir, version, name, up, down, metadata };
        if let Some(migration) = reader.add(found) {
            migration.directives.no_transaction |= no_transaction;
        }
    }
}

/// The version and the name, which diesel does without: `3` and `3_` are folders of migrations as well.
fn parse_name(dir: &str) -> Option<(Version, &str)> {
    let (text, name) = dir.split_once('_').unwrap_or((dir, ""));
    let key: String = text.chars().filter(|c| *c != '-').collect();
    (!key.is_empty() && key.bytes().all(|b| b.is_ascii_digit())).then(|| (Version::textual(text, &key), name))
}

/// diesel's `metadata.toml` knows one key, `run_in_transaction`.
fn switches_transaction_off(file: &SourceFile) -> bool {
    let Some(bytes) = file.content.bytes() else { return false };
    String::from_utf8_lossy(bytes).lines().any(|line| {
        let line = line.split('#').next().unwrap_or("");
        line.split_once('=').is_some_and(|(k, v)| k.trim() == "run_in_transaction" && v.trim() == "false")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, resolve};

    #[test]
    fn order_is_diesels_and_names_may_have_spaces() {
        let dirs = [
            "2017-09-23-182408_b",
            "20170309122510_a",
            "2019-11-15-182353_Add email notifications to crate owners",
            "2026-05-27-120000-0000_d",
            "2026-05-27-120000_c",
            "2026-06-05-120000-0000_e",
            "2026-06-06-120000_",
            "2026-06-07-120000",
        ];
        let mut files: Vec<_> =
            dirs.iter().map(|d| SourceFile::new(format!("{d}/up.sql"), b"select 1;".to_vec())).collect();
        files.push(SourceFile::new("2017-09-23-182408_b/down.sql", b"select 2;".to_vec()));
        files.push(SourceFile::new("20170309122510_a/metadata.toml", b"run_in_transaction = false\n".to_vec()));
        files.push(SourceFile::new("loose.sql", b"select 1;".to_vec()));
        let set = resolve(&files, &[MigrationRoot::folder("")]);
        let names: Vec<_> = set.migrations.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "Add email notifications to crate owners", "c", "d", "e", "", ""]);
        assert!(set.migrations[0].directives.no_transaction);
        assert!(set.migrations[1].is_reversible());
        assert!(set.problems.iter().any(|p| p.file == "loose.sql" && p.rule == "stray-file"));
        assert!(set.problems.iter().all(|p| p.severity == Severity::Warning), "{:?}", set.problems);
    }
}
