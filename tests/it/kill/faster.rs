//! What others did to a target while a run waited for its lock.

use std::process::Child;

use serde_json::json;

use crate::support::mongodb::file;
use crate::support::{Kind, Own, Project, Said, until};

/// A database where `c` was made and dropped again, and one migration more is to come.
fn project() -> Project {
    let (make, drop) = (
        r#"[{ "type": "create_collection", "collection": "c" }]"#,
        r#"[{ "type": "drop_collection", "collection": "c" }]"#,
    );
    let other = r#"[{ "type": "create_collection", "collection": "d" }]"#;
    let files = [file(1, make, Some(drop)), file(2, drop, Some(make)), file(3, other, None)];
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let project = Project::new(Kind::Mongodb, &files);
    project.run(&["apply", "--yes", "--to", "002_m2"]).expect(0);
    project
}

/// A run that has judged everything and is about to ask for the lock.
fn waiting(project: &Project) -> Child {
    let marker = project.dir.path().join("marker");
    let child = project
        .command(&["apply", "--yes", "--format", "json"])
        .env("GODWIT_FAILPOINT", format!("lock_pre:wait:1:{}", marker.display()))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("it is about to ask for the lock", || marker.exists());
    child
}

fn go_on(project: &Project, child: Child) -> Said {
    std::fs::remove_file(project.dir.path().join("marker")).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn what_another_run_changed_meanwhile_is_judged_anew_before_anything_runs() {
    let project = project();
    let child = waiting(&project);
    // Somebody takes the drop back and fills the collection: dropping it again is another thing than what was judged.
    project.run(&["rollback", "--steps", "1", "--yes"]).expect(0);
    project.database.mongo(&json!({ "insert": "c", "documents": [{ "_id": 1 }] })).unwrap();
    let said = go_on(&project, child).expect(3);
    assert_eq!(said.json()["blocked_by"][0]["reason"], "data-loss", "{said:?}");
    assert_eq!(project.database.contents(Own::Not)["c"].len(), 1);
    assert_eq!(project.database.history(), ["001_m1 applied", "002_m2 rolled_back"]);
    assert!(project.database.look().holder.is_none());
    // With a person's word both run.
    project.run(&["apply", "--yes", "--accept-data-loss", "--lock-wait", "0.5"]).expect(0);
}

#[test]
fn r9_a_run_that_ends_right_after_it_got_the_lock_gives_it_back() {
    let project = project();
    let child = waiting(&project);
    let say = |state: &str| {
        let set = json!({ "q": { "state": { "$exists": true } }, "u": { "$set": { "state": state } }, "multi": true });
        project.database.mongo(&json!({ "update": "godwit_history", "updates": [set] })).unwrap();
    };
    say("nonsense");
    let said = go_on(&project, child);
    assert!(matches!(said.code, Some(4)), "{said:?}");
    assert!(said.stdout.contains("nonsense"), "{said:?}");
    let lock = project.database.contents(Own::Too).remove("godwit_lock").unwrap_or_default();
    assert!(!lock.iter().any(|l| l.contains("\"owner\"")), "{lock:?}");
    say("applied");
    assert!(project.database.look().holder.is_none());
    project.run(&["apply", "--yes", "--lock-wait", "0.5"]).expect(0);
}
