//! Everyone who counted stands in the records and in the comments.

use godwit::sandbox::MergeMethod;
use godwit::store::AuditBody;

use super::world::{ROLES_YML, SUMMARY, World, comment, run_comment};

const ORDERS: [(&str, &str); 2] = [
    ("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];
/// Two people of one role for staging, and the owners of the files.
const MATRIX_YML: &str = "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 2, \
     required_roles: [data_ops] }\nproduction:\n  ANY: { required_approvals: 2, required_roles: [data_ops, dba] }\n";

async fn records(world: &World, action: &str, environment: Option<&str>) -> Vec<AuditBody> {
    let all = world.store.audit(&Default::default()).await.unwrap();
    let wanted = |b: &AuditBody| b.action == action && b.environment.as_deref() == environment;
    all.into_iter().map(|r| r.body).filter(wanted).collect()
}

#[tokio::test]
async fn b17_everyone_who_counted_stands_in_the_records_and_in_the_comment() {
    let roles = ROLES_YML.replace("data_ops: { users: [omar] }", "data_ops: { users: [omar, dana, tess] }");
    let world = World::start_with(&[
        ("policies/roles.yml", &roles),
        ("policies/approval_matrix.yml", MATRIX_YML),
        (".github/CODEOWNERS", "/migrations/ @carl\n"),
    ])
    .await;
    let pull = world.open("orders", &ORDERS).await;
    for person in ["omar", "dana", "dora", "carl"] {
        world.approve(&pull, person).await;
    }
    let judged = records(&world, "judged", None).await;
    let last = judged.last().unwrap();
    assert_eq!(last.result, "approved");
    let approved_by = &last.details["approved_by"];
    for part in ["staging data_ops: dana (review)", "staging: omar (review)", "production dba: dora (review)"] {
        assert!(approved_by.contains(part), "{part} in {approved_by}");
    }
    assert_eq!(last.details["gates"], "code owners: carl");
    let signed = comment(&pull, SUMMARY).unwrap().body;
    assert!(signed.contains("| `@dana` | data\\_ops |") && signed.contains("| `@omar` | data\\_ops |"), "{signed}");
    // Another person counts, and nothing else changes: that is a record of its own.
    world.approve(&pull, "tess").await;
    let anew = records(&world, "judged", None).await;
    assert_eq!((anew.len(), anew.last().unwrap().result.as_str()), (judged.len() + 1, "approved"));
    assert!(anew.last().unwrap().details["approved_by"].contains("staging: tess (review)"), "{anew:?}");

    pull.merge("rosa", MergeMethod::Squash).unwrap();
    world.settle().await;
    let basis = "data_ops: dana, also omar, also tess; code owners: carl";
    let started = records(&world, "run-started", Some("staging")).await;
    assert_eq!(started[0].basis.as_deref(), Some(basis));
    let finished = records(&world, "run-finished", Some("staging")).await;
    assert_eq!(finished[0].basis.as_deref(), Some(basis));
    let details = &finished[0].details;
    assert_eq!(details["approved_by"], r#"[["data_ops","dana"]]"#);
    assert_eq!(details["approvers"], r#"["dana","omar","tess"]"#);
    assert_eq!(details["gates"], r#"[["code owners",["carl"]]]"#);
    let told = run_comment(&pull, "staging");
    assert!(told.contains("| Approved by | `@dana` data\\_ops, `@omar`, `@tess` |"), "{told}");
    assert!(told.contains("| Besides the matrix | code owners: `@carl` |"), "{told}");
}
