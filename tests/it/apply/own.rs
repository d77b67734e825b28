//! Migrations that reach for the tables in which Godwit keeps what was applied.

use super::told;
use crate::support::{BOTH, Project};

#[test]
fn godwits_own_tables_are_no_migrations_to_change() {
    for kind in BOTH {
        for sql in [
            "drop table godwit_fence;",
            "delete from godwit_history;",
            "create table b (n integer);\nupdate godwit_history set state = 'x' where id = '0001_a';",
        ] {
            let project = Project::new(kind, &[("0001_a.up.sql", "create table a (n integer);")]);
            project.run(&["apply", "--yes"]).expect(0);
            project.write("0002_own.up.sql", sql);
            let (message, what_to_do) = told(&project, &["apply"], 1);
            assert!(message.contains("0002_own.up.sql:") && message.contains("changes `godwit_"), "{message}");
            assert!(what_to_do.contains("godwit resolve"), "{what_to_do}");
            assert_eq!(project.database.history(), ["0001_a applied"]);
            assert!(project.database.has_table("godwit_fence") && !project.database.has_table("b"), "{kind:?}: {sql}");
        }
    }
}
