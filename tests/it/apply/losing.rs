//! Rollbacks that would lose what a database holds: nothing is undone before a person accepts that [S4-68].

use crate::support::{BOTH, Project};

/// What is said against undoing the newest migration; nothing when it was undone.
fn undo(project: &Project, more: &[&str]) -> Vec<(String, String)> {
    let args = [&["rollback", "--steps", "1", "--yes", "--format", "json"], more].concat();
    let said = project.run(&args).json();
    let told = said["blocked_by"].as_array().cloned().unwrap_or_default();
    let text = |refusal: &serde_json::Value, key: &str| refusal[key].as_str().unwrap_or_default().to_owned();
    told.iter().map(|refusal| (text(refusal, "reason"), text(refusal, "message"))).collect()
}

fn project(kind: crate::support::Kind, up: &str, down: &str) -> Project {
    let project =
        Project::new(kind, &[("0001_a.up.sql", "create table a (n integer);"), ("0001_a.down.sql", "drop table a;")]);
    project.write("0002_b.up.sql", up);
    project.write("0002_b.down.sql", down);
    project.run(&["apply", "--yes"]).expect(0);
    project
}

#[test]
fn s4_68_a_filled_table_is_not_dropped_by_a_rollback_unasked() {
    for kind in BOTH {
        let project = project(kind, "create table b (n integer);", "-- away\ndrop table if exists b;");
        project.database.query("insert into b values (1), (2)");
        let said = project.run(&["rollback", "0002_b", "--yes"]).expect(3).stdout;
        for part in ["0002_b.down.sql:2: the table `b` holds 2 rows, which would be lost", "--accept-data-loss"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert_eq!(undo(&project, &[])[0].0, "data-loss");
        assert_eq!(project.database.query("select cast(count(*) as text) from b"), [["2"]]);
        assert_eq!(project.database.history(), ["0001_a applied", "0002_b applied"]);
        // A look says it too, and changes nothing.
        let said = project.run(&["rollback", "0002_b", "--dry-run"]).expect(0).stdout;
        assert!(said.contains("the table `b` holds 2 rows"), "{said}");
        project.run(&["rollback", "0002_b", "--yes", "--accept-data-loss"]).expect(0);
        assert!(!project.database.has_table("b"));

        // What is empty loses nothing, and what is many is not counted to its end.
        project.run(&["apply", "--yes"]).expect(0);
        assert_eq!(undo(&project, &[]), []);
        project.run(&["apply", "--yes"]).expect(0);
        project.database.query(
            "insert into b with recursive r (n) as (select 1 union all select n + 1 from r where n < 1500) select n from r",
        );
        assert!(undo(&project, &[])[0].1.contains("more than 1000 rows"));
    }
}

#[test]
fn s4_68_columns_with_values_and_rows_that_match_are_lost_and_others_are_not() {
    for kind in BOTH {
        let project = project(
            kind,
            "alter table a add column c text; insert into a (n) values (1);",
            "delete from a where n = 7; alter table a drop column c;",
        );
        assert_eq!(undo(&project, &[]), [], "the column is empty everywhere, and no row is the seventh");
        assert_eq!(project.database.query("select cast(count(*) as text) from a"), [["1"]]);
        project.run(&["apply", "--yes"]).expect(0);
        project.database.query("insert into a (n, c) values (7, 'x')");
        let told = undo(&project, &[]);
        assert!(told[0].1.contains("what is deleted of `a` holds one row,"), "{told:?}");
        assert!(told[1].1.contains("the column `c` of `a` holds one value,"), "{told:?}");
        assert_eq!(undo(&project, &["--accept-data-loss"]), []);
        assert_eq!(project.database.query("select cast(count(*) as text) from a where n = 7"), [["0"]]);
    }
}
