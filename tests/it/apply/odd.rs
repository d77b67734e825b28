//! Files that are no migrations although they look like some, and those that do nothing.

use crate::support::{BOTH, Project};

#[test]
fn a_file_without_a_statement_is_recorded_with_a_word_about_it() {
    for kind in BOTH {
        let project = Project::new(
            kind,
            &[("0001_a.up.sql", ""), ("0002_b.up.sql", "-- later\n"), ("0003_c.up.sql", "select 1;")],
        );
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        let notes: Vec<&str> = said["notes"].as_array().unwrap().iter().filter_map(|n| n.as_str()).collect();
        let about = |file: &str| notes.iter().any(|n| n.contains(file) && n.contains("holds no statement"));
        assert!(about("0001_a.up.sql") && about("0002_b.up.sql") && !about("0003_c.up.sql"), "{kind:?}: {notes:?}");
        let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
        assert!(!said["notes"].to_string().contains("holds no statement"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf_8_is_refused_and_never_recorded() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    for kind in BOTH {
        let project = Project::new(kind, &[("0001_a.up.sql", "create table a (n integer);")]);
        let odd = project.migrations().join(OsStr::from_bytes(b"0002_caf\xe9.up.sql"));
        std::fs::write(&odd, "create table cafe (n integer);").unwrap();
        let (message, what_to_do) = super::told(&project, &["apply"], 1);
        assert!(message.contains("0002_caf") && message.contains("not UTF-8"), "{message}");
        assert_eq!(what_to_do, "rename it");
        assert!(!project.database.has_table("cafe") && !project.database.has_table("a"), "{kind:?}");
        for path in [project.migrations(), odd] {
            let said = crate::support::godwit(project.dir.path()).args(["lint", "--format", "json"]).arg(path).output();
            let said = crate::support::Said::from(said.unwrap()).expect(1).json();
            let found = said["violations"].as_array().unwrap();
            assert!(found.iter().any(|v| v["rule"] == "file-name" && v["severity"] == "error"), "{said}");
            assert!(!said["migrations"].to_string().contains("0002_caf"), "{said}");
        }
    }
}
