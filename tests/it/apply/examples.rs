//! The worked examples in `migrations/` run as they stand: forward, all the way back, and forward again.

use std::path::Path;

use crate::support::{BOTH, Kind, Project};

#[test]
fn the_worked_examples_go_forward_back_and_forward_again() {
    for kind in BOTH {
        let folder = match kind {
            Kind::Postgres => "migrations/postgresql",
            _ => "migrations/sqlite",
        };
        let project = Project::new(kind, &[]);
        let mut count = 0;
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            count += usize::from(name.ends_with(".up.sql"));
            project.write(&name, &std::fs::read_to_string(entry.path()).unwrap());
        }
        assert!(count >= 5, "{folder}");
        let forward = || {
            let said = project.run(&["apply", "--yes", "--format", "json"]).expect(0).json();
            assert_eq!(said["outcome"], "applied", "{folder}");
            assert_eq!(said["steps"].as_array().unwrap().len(), count, "{folder}");
        };
        forward();
        let steps = count.to_string();
        project.run(&["rollback", "--steps", &steps, "--yes", "--accept-data-loss"]).expect(0);
        assert!(!project.database.has_table("customers"), "{folder}");
        forward();
    }
}
