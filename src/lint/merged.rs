//! Migrations that were merged stand still [S4-58]: a database that holds one refuses it as soon as it reads otherwise.

use std::collections::BTreeMap;

use crate::migration::{Migration, MigrationSet, Problem, Severity};

/// Merged migrations (`before`) that a change edits, renames or deletes.
pub fn changed_after_merge(before: &MigrationSet, now: &MigrationSet) -> Vec<Problem> {
    let key = |m: &Migration| (m.unit.clone(), m.id.to_string());
    let at_hand: BTreeMap<_, &Migration> = now.migrations.iter().map(|m| (key(m), m)).collect();
    let known: BTreeMap<_, &Migration> = before.migrations.iter().map(|m| (key(m), m)).collect();
    // A script that runs again whenever it changes is there to be changed.
    before
        .migrations
        .iter()
        .filter(|m| !m.repeatable)
        .filter_map(|old| match at_hand.get(&key(old)) {
            Some(new) if new.checksum == old.checksum => None,
            Some(new) => Some(problem(
                &new.up.path,
                new.up.first_line,
                "was merged before, and is edited here: every database that holds it refuses the next run".to_owned(),
            )),
            None => {
                let moved =
                    now.migrations.iter().find(|new| new.checksum == old.checksum && !known.contains_key(&key(new)));
                Some(match moved {
                    Some(new) => problem(
                        &new.up.path,
                        new.up.first_line,
                        format!("was merged as `{}`, and is renamed here: it would run a second time", old.up.path),
                    ),
                    None => problem(
                        &old.up.path,
                        1,
                        "was merged before, and is deleted here: databases that hold it know more than the files"
                            .to_owned(),
                    ),
                })
            }
        })
        .collect()
}

fn problem(file: &str, line: u32, message: String) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        column: 1,
        end_column: 1,
        rule: "merged-file-changed",
        severity: Severity::Error,
        message,
        help:
            "leave it as it was merged and write a new migration [S4-59]; one that no database holds yet may be waived \
               with that reason"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn set(files: &[(&str, &str)]) -> MigrationSet {
        let files: Vec<_> = files.iter().map(|(p, t)| SourceFile::new(*p, t.as_bytes())).collect();
        resolve(&files, &[MigrationRoot::folder("")])
    }

    #[test]
    fn n05_f206_s4_58_what_is_merged_is_not_edited_renamed_or_deleted() {
        let before =
            set(&[("0001_a.up.sql", "select 1;"), ("0001_a.down.sql", "select 2;"), ("0002_b.up.sql", "select 3;")]);
        let told = |files: &[(&str, &str)]| -> Vec<(String, String)> {
            changed_after_merge(&before, &set(files)).into_iter().map(|p| (p.file, p.message)).collect()
        };
        let same = [("0001_a.up.sql", "select 1;"), ("0002_b.up.sql", "select 3;")];
        assert_eq!(told(&same), []);
        // A way back may be mended, and more may come.
        assert_eq!(told(&[same[0], ("0001_a.down.sql", "select 9;"), same[1], ("0003_c.up.sql", "select 4;")]), []);
        for (files, file, part) in [
            (vec![("0001_a.up.sql", "select 7;"), same[1]], "0001_a.up.sql", "is edited here"),
            (vec![same[1]], "0001_a.up.sql", "is deleted here"),
            (vec![("0009_a.up.sql", "select 1;"), same[1]], "0009_a.up.sql", "is renamed here"),
        ] {
            let found = told(&files);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0 == file && found[0].1.contains(part), "{found:?}");
        }
    }
}
