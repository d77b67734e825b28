//! What a person may say of a migration that stopped or is done.

use crate::support::{BOTH, Project};

#[test]
fn r18_what_is_applied_is_not_tried_again_on_a_word() {
    for kind in BOTH {
        let project =
            Project::new(kind, &[("0001_a.up.sql", "create table a (n integer);\ninsert into a values (1);")]);
        project.run(&["apply", "--yes"]).expect(0);
        let said = project.run(&["resolve", "0001_a", "--as", "retry", "--reason", "again"]).expect(2);
        for part in ["`0001_a` is applied", "godwit rollback 0001_a", "--as rolled-back"] {
            assert!(said.stderr.contains(part), "{part}: {said:?}");
        }
        assert_eq!(project.database.history(), ["0001_a applied"], "{kind:?}");
        assert_eq!(project.run(&["apply", "--format", "json"]).expect(0).json()["outcome"], "nothing");
        // Whoever says that nothing of it is there says more than that it be tried.
        project.database.query("drop table a");
        project.run(&["resolve", "0001_a", "--as", "rolled-back", "--reason", "dropped"]).expect(0);
        project.run(&["apply", "--yes"]).expect(0);
        assert!(project.database.has_table("a"));
    }
}
