//! Files that do nothing.

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
