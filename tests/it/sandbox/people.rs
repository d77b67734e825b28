//! What GitHub would not let people do.

use super::{Shop, shop};
use godwit::sandbox::{Change, MergeMethod, NewCommit, Permission, ReviewVerdict, SandboxError};

#[test]
fn permissions_hold_for_people_too() {
    let Shop { sandbox, repo, pull } = shop();
    repo.set_permission("reader", Permission::Read).unwrap();
    repo.set_permission("tom", Permission::Triage).unwrap();
    sandbox.add_user("visitor");
    let refused = |result: Result<(), SandboxError>| assert!(matches!(result, Err(SandboxError::NotAllowed(_))));
    refused(pull.review("alice", ReviewVerdict::Approve, "").map(|_| ()));
    refused(pull.add_label("reader", "hold"));
    refused(pull.merge("tom", MergeMethod::Merge).map(|_| ()));
    refused(repo.commit("main", "reader", "x", &[Change::write("x", "x")]).map(|_| ()));
    pull.add_label("tom", "hold").unwrap();
    pull.review("visitor", ReviewVerdict::Approve, "anybody may review a public repository").unwrap();
    assert!(matches!(pull.comment("nobody", "x"), Err(SandboxError::NoSuchUser(_))));
}

#[test]
fn required_checks_of_the_app_stop_a_merge() {
    let Shop { repo, pull, .. } = shop();
    repo.require_checks("main", &["godwit / approval"]).unwrap();
    repo.foreign_check_run("other-app", "godwit / approval", &pull.head_sha().unwrap(), "success").unwrap();
    assert!(pull.merge("bob", MergeMethod::Merge).is_err(), "another App's check does not count");
    repo.foreign_check_run("godwit", "godwit / approval", &pull.head_sha().unwrap(), "success").unwrap();
    pull.merge("bob", MergeMethod::Merge).unwrap();
    assert!(matches!(pull.merge("bob", MergeMethod::Merge), Err(SandboxError::NotOpen(1))));
}

#[test]
fn conflicts_are_not_merged() {
    let Shop { repo, pull, .. } = shop();
    repo.commit("main", "bob", "Other", &[Change::write("migrations/0001_orders.sql", "other\n")]).unwrap();
    assert!(matches!(pull.merge("bob", MergeMethod::Merge), Err(SandboxError::NotMergeable)));
}

#[test]
fn a_rebased_merge_keeps_authors_and_changes_commits() {
    let Shop { repo, pull, .. } = shop();
    pull.push("alice", &[NewCommit::new("carol", "Second", &[Change::write("b.sql", "b\n")])]).unwrap();
    repo.commit("main", "bob", "Meanwhile", &[Change::write("c.txt", "c\n")]).unwrap();
    let head = pull.head_sha().unwrap();
    let merged = pull.merge("bob", MergeMethod::Rebase).unwrap();
    assert_ne!(merged, head);
    for path in ["migrations/0001_orders.sql", "b.sql", "c.txt"] {
        assert!(repo.file(&merged, path).unwrap().is_some(), "{path}");
    }
    assert_eq!(pull.files().unwrap().len(), 2);
}
