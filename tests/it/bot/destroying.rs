//! Migrations that lose data, agreed to by those who approve them.

use godwit::sandbox::MergeMethod;

use super::world::{ROLES_YML, SUMMARY, World, comment, run_comment};
use crate::support::{Database, Kind};

const GODWIT_YML: &str = "version: 1\nenvironments: [development, staging]\nmigrations:\n  - path: migrations\n    engine: \
                          mongodb\n    target: shop\n";

fn file(name: &str, version: &str, operation: &str) -> String {
    format!(
        r#"{{ "version": "{version}", "name": "{name}", "description": "Carts that nobody fills", "database_type": "mongodb",
             "migration_type": "schema", "operations": [{operation}] }}"#
    )
}

#[tokio::test]
async fn s4_68_a_merged_and_approved_migration_may_lose_what_it_was_agreed_to_lose() {
    let databases = [(); 2].map(|()| crate::support::apart(|| Database::fresh(Kind::Mongodb)));
    let environments = format!(
        "development:\n  targets: {{ shop: {{ engine: mongodb, url: \"{}\" }} }}\n  migration: {{ auto_approve: true }}\n\
         staging:\n  targets: {{ shop: {{ engine: mongodb, url: \"{}\" }} }}\n",
        databases[0].url, databases[1].url
    );
    let files =
        [("godwit.yml", GODWIT_YML), ("policies/environments.yml", &*environments), ("policies/roles.yml", ROLES_YML)];
    let world = World::start_with(&files).await;
    let fill = r#"{ "type": "create_collection", "collection": "carts" },
                  { "type": "insert_documents", "collection": "carts", "documents": [{ "_id": 1 }] }"#;
    let first = file("make_carts", "1.0.0", fill);
    let pull = world.open("make", &[("migrations/001_make_carts.json", &first)]).await;
    world.approve(&pull, "omar").await;
    pull.merge("bob", MergeMethod::Merge).unwrap();
    world.settle().await;
    assert!(pull.labels().unwrap().contains(&"migrated:staging".to_owned()), "{}", run_comment(&pull, "staging"));

    let second = file("drop_carts", "2.0.0", r#"{ "type": "drop_collection", "collection": "carts" }"#);
    let pull = world.open("drop", &[("migrations/002_drop_carts.json", &second)]).await;
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(
        summary.contains("holds 1 documents") && summary.contains("whoever approves this accepts the loss"),
        "{summary}"
    );
    world.approve(&pull, "omar").await;
    pull.merge("bob", MergeMethod::Merge).unwrap();
    world.settle().await;
    assert!(pull.labels().unwrap().contains(&"migrated:staging".to_owned()), "{}", run_comment(&pull, "staging"));
}
