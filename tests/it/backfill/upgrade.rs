//! A history that an earlier version wrote.

use crate::support::{BOTH, Project};

#[test]
fn the_history_of_an_earlier_version_gets_the_new_column_and_keeps_its_rows() {
    for kind in BOTH {
        let project = Project::new(kind, &[("1_items.up.sql", &super::table(kind))]);
        project.run(&["apply", "--yes"]).expect(0);
        project.database.query("alter table godwit_history drop column progress");
        // Reading needs no column, and changes nothing.
        project.run(&["status"]).expect(0);
        project.write("2_fill.up.sql", super::FILL);
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(project.database.history(), ["1_items applied", "2_fill applied"], "{kind:?}");
        assert_eq!(super::touched(&project), super::once(), "{kind:?}");
    }
}
