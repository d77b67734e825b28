//! Expand and contract: what takes something away waits for a person.

use crate::support::{BOTH, Project};

const CONTRACT: &str = "-- godwit: phase=contract\ndrop table old_items;";

fn project(kind: crate::support::Kind) -> Project {
    Project::new(
        kind,
        &[
            ("1_items.up.sql", "create table old_items (n int);"),
            ("2_new.up.sql", "-- godwit: phase=expand\ncreate table items (n int);"),
            ("3_drop.up.sql", CONTRACT),
            ("4_more.up.sql", "create table more (n int);"),
        ],
    )
}

#[test]
fn a_contract_waits_for_its_release_while_later_ones_go_on() {
    for kind in BOTH {
        let project = project(kind);
        let plan = project.run(&["plan", "--format", "json"]).expect(0).json();
        assert!(plan["notes"][0].as_str().unwrap().contains("held: contract, release with"), "{plan}");
        let said = project.run(&["apply", "--yes"]).expect(0);
        assert!(said.stdout.contains("3_drop is held: contract"), "{said:?}");
        assert_eq!(project.database.history(), ["1_items applied", "2_new applied", "4_more applied"], "{kind:?}");
        let status = project.run(&["status"]).expect(0);
        assert!(status.stdout.contains("held: contract"), "{status:?}");
        assert_eq!(project.run(&["apply", "--yes", "--format", "json"]).expect(0).json()["outcome"], "nothing");

        project.run(&["release", "4_more", "--reason", "why not"]).expect(2);
        project.run(&["release", "3_drop", "--reason", " "]).expect(2);
        project.run(&["release", "3_drop", "--reason", "version 4 is everywhere"]).expect(0);
        let status = project.run(&["status"]).expect(0);
        assert!(!status.stdout.contains("held"), "{status:?}");
        // Higher versions are applied: for a released contract that is in order.
        project.run(&["apply", "--yes"]).expect(0);
        assert!(!project.database.has_table("old_items"), "{kind:?}");
    }
}

#[test]
fn a_release_holds_for_the_script_as_it_was_read() {
    for kind in BOTH {
        let project = project(kind);
        project.run(&["release", "3_drop", "--reason", "looked at it"]).expect(0);
        project.write("3_drop.up.sql", &format!("{CONTRACT}\ndrop table items;"));
        let said = project.run(&["apply", "--yes"]).expect(0);
        assert!(said.stdout.contains("3_drop is held"), "{said:?}");
        assert!(project.database.has_table("old_items") && project.database.has_table("items"), "{kind:?}");
    }
}

#[test]
fn a_release_is_in_the_audit_log() {
    let project = project(crate::support::Kind::Sqlite);
    project.run(&["release", "3_drop", "--reason", "looked at it"]).expect(0);
    let mut audit = crate::support::godwit(project.dir.path());
    let said: crate::support::Said = audit.args(["audit", "list", "--format", "json"]).output().unwrap().into();
    assert!(said.stdout.contains("release") && said.stdout.contains("looked at it"), "{said:?}");
}
