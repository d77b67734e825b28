//! Repositories that are not as one would wish.

use super::world::{APPROVAL, LINT, SUMMARY, World, check, comment, conclusion};

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

#[tokio::test]
async fn a_repository_without_configuration_is_linted_and_told_that_no_target_takes_it() {
    let without = [
        ("godwit.yml", ""),
        ("policies/environments.yml", ""),
        ("policies/roles.yml", ""),
        ("policies/approval_matrix.yml", ""),
    ];
    let world = World::start_with(&without).await;
    let path = "migrations/sqlite/0001_orders.up.sql";
    let pull = world.open("orders", &[(path, ORDERS[0].1)]).await;
    assert_eq!(conclusion(&pull, LINT), "success", "{:?}", check(&pull, LINT));
    let approval = check(&pull, APPROVAL);
    assert_eq!(approval.conclusion.as_deref(), Some("failure"));
    assert!(approval.title.unwrap().contains("no target"));
}

#[tokio::test]
async fn b3_a_matrix_without_the_cell_and_a_role_nobody_holds_block() {
    let matrix = "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 1, \
                  required_roles: [data_ops] }\nproduction:\n  HIGH: { required_approvals: 2, required_roles: [dba] }\n";
    let world = World::start_with(&[("policies/approval_matrix.yml", matrix)]).await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    let approval = check(&pull, APPROVAL);
    assert_eq!(approval.conclusion.as_deref(), Some("failure"), "{approval:?}");
    let said = format!("{approval:?}");
    assert!(said.contains("has no cell for `production` at risk") && said.contains("add one"), "{said}");
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(summary.contains("has no cell for `production` at risk"), "{summary}");
    let roles = "data_ops: { users: [omar] }\n";
    let world = World::start_with(&[("policies/roles.yml", roles)]).await;
    let pull = world.open("orders", &ORDERS).await;
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    let approval = check(&pull, APPROVAL);
    assert_ne!(approval.conclusion.as_deref(), Some("success"));
    assert!(format!("{approval:?}").contains("dba"));
}

#[tokio::test]
async fn b2_a_pull_request_of_more_than_three_thousand_files_is_judged_whole() {
    let world = World::start().await;
    let many: Vec<(String, String)> = (0..3005).map(|n| (format!("docs/{n}.txt"), format!("{n}\n"))).collect();
    let mut files: Vec<(&str, &str)> = many.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    // GitHub's list is sorted, so this one is not in it.
    files.push(("migrations/0001_orders.up.sql", ORDERS[0].1));
    let pull = world.open("many", &files).await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(summary.contains("0001_orders") && summary.contains("CREATE TABLE orders"), "{summary}");
    let approval = format!("{:?}", check(&pull, APPROVAL));
    assert!(approval.contains("data_ops") && approval.contains("dba"), "{approval}");
    assert_eq!(conclusion(&pull, LINT), "success", "{:?}", check(&pull, LINT));
}

#[tokio::test]
async fn b19_a_merge_group_has_its_own_checks() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let docs = world.open("docs", &[("README.md", "# x\n")]).await;
    let group = world.repo.merge_group("rosa", &[docs.number()]).unwrap();
    world.settle().await;
    let of = |sha: &str, name: &str| {
        let all = world.repo.check_runs(Some(sha)).unwrap();
        all.into_iter().filter(|c| c.name == name).max_by_key(|c| c.id).and_then(|c| c.conclusion).unwrap_or_default()
    };
    assert_eq!(of(&group.head_sha, APPROVAL), "success");
    let group = world.repo.merge_group("rosa", &[pull.number()]).unwrap();
    world.settle().await;
    assert_eq!(of(&group.head_sha, APPROVAL), "failure");
    world.approve(&pull, "omar").await;
    world.approve(&pull, "dora").await;
    let group = world.repo.merge_group("rosa", &[pull.number()]).unwrap();
    world.settle().await;
    assert_eq!((of(&group.head_sha, LINT).as_str(), of(&group.head_sha, APPROVAL).as_str()), ("success", "success"));
}
