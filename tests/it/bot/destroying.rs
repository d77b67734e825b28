//! Migrations that lose data, agreed to by those who approve them.

use godwit::sandbox::{MergeMethod, PullHandle};

use super::world::{ROLES_YML, SUMMARY, World, comment};
use crate::support::{Database, Kind};

const GODWIT_YML: &str = "version: 1\nenvironments: [development, staging]\nmigrations:\n  - path: migrations\n    engine: \
                          mongodb\n    target: shop\n";

fn file(name: &str, version: &str, operation: &str, back: &str) -> String {
    format!(
        r#"{{ "version": "{version}", "name": "{name}", "description": "BREAKING: carts that nobody fills go", "database_type": "mongodb",
             "migration_type": "schema", "operations": [{operation}],
             "rollback": [{{ "type": "{back}", "collection": "carts" }}] }}"#
    )
}

#[tokio::test]
async fn s4_68_a_merged_and_approved_migration_may_lose_what_it_was_agreed_to_lose() {
    let databases = [(); 2].map(|()| crate::support::apart(|| Database::fresh(Kind::Mongodb)));
    let environments = format!(
        "development:\n  targets: {{ shop: {{ engine: mongodb, url: \"{}\" }} }}\n  migration: {{ auto_approve: true }}\n\
         staging:\n  targets: {{ shop: {{ engine: mongodb, url: \"{}\" }} }}\n  migration: {{ backup_required: false }}\n",
        databases[0].url, databases[1].url
    );
    let files =
        [("godwit.yml", GODWIT_YML), ("policies/environments.yml", &*environments), ("policies/roles.yml", ROLES_YML)];
    let world = World::start_with(&files).await;
    let fill = r#"{ "type": "create_collection", "collection": "carts" }"#;
    let first = file("make_carts", "1.0.0", fill, "drop_collection");
    let pull = world.open("make", &[("migrations/001_make_carts.json", &first)]).await;
    world.approve(&pull, "omar").await;
    pull.merge("bob", MergeMethod::Merge).unwrap();
    world.settle().await;
    let said = comments(&pull);
    assert!(pull.labels().unwrap().contains(&"migrated:staging".to_owned()), "{said}");
    for database in &databases {
        let client = mongodb::Client::with_uri_str(&database.url).await.unwrap();
        let carts = client.default_database().unwrap().collection("carts");
        carts.insert_one(bson::doc! { "_id": 1 }).await.unwrap();
    }

    let second =
        file("drop_carts", "2.0.0", r#"{ "type": "drop_collection", "collection": "carts" }"#, "create_collection");
    let pull = world.open("drop", &[("migrations/002_drop_carts.json", &second)]).await;
    let summary = comment(&pull, SUMMARY).unwrap().body;
    assert!(summary.contains("every document of `carts` is gone for good"), "{summary}");
    world.approve(&pull, "omar").await;
    pull.merge("bob", MergeMethod::Merge).unwrap();
    world.settle().await;
    let said = comments(&pull);
    assert!(pull.labels().unwrap().contains(&"migrated:staging".to_owned()), "{said}");
}

fn comments(pull: &PullHandle) -> String {
    pull.comments().unwrap().into_iter().map(|c| c.body).collect::<Vec<_>>().join("\n\n")
}
