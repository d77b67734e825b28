//! Restore points before rollbacks that lose what a database holds (R-24).

use godwit::ids::Engine;

use crate::support::elasticsearch::Cluster;
use crate::support::{BOTH, Kind};

use super::world::World;

/// The same world with an environment that requires no backup, and is not development.
fn staging(world: &World, engine: Engine) {
    world.write(
        "godwit.yml",
        &format!(
            "version: 1\nenvironments: [staging]\nmigrations:\n  - {{ path: db, target: shop, engine: {engine} }}\n"
        ),
    );
    world.write(
        "policies/environments.yml",
        &format!(
            "staging:\n  targets:\n    shop: {{ engine: {engine}, url: \"${{SHOP_URL}}\" }}\n  migration: {{ backup_required: false }}\n"
        ),
    );
}

#[test]
fn r24_deleting_rows_by_a_rollback_is_backed_up_first() {
    for kind in BOTH {
        let world = World::new(kind);
        staging(&world, kind.engine());
        world.write("db/0001_item.up.sql", "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);\n");
        world.write("db/0001_item.down.sql", "DROP TABLE item;\n");
        world.write("db/0002_more.up.sql", "CREATE INDEX item_name ON item (name);\n");
        world.write("db/0002_more.down.sql", "DELETE FROM item WHERE id > 1;\nDROP INDEX item_name;\n");
        world.run(&["apply", "staging", "--yes"]).expect(0);
        let back = ["rollback", "staging", "0002_more", "--yes", "--format", "json"];
        // Nothing matches: nothing is lost.
        let said = world.run(&[&back[..], &["--dry-run"]].concat()).expect(0).json();
        assert!(said["backup"].is_null(), "{said}");
        world.database.query("INSERT INTO item VALUES (1, 'a'), (2, 'b')");
        let said = world.run(&[&back[..], &["--dry-run"]].concat()).expect(0).json();
        assert!(said["backup"].as_str().unwrap().contains("data is lost by `0002_more`"), "{said}");
        assert_eq!(world.files(), Vec::<String>::new(), "a look makes none");
        let said = world.run(&[&back[..], &["--accept-data-loss"]].concat()).expect(0).json();
        let name = said["backup"].as_str().unwrap().to_owned();
        assert_eq!(world.database.query("SELECT CAST(id AS TEXT) FROM item"), [["1"]]);
        world.run(&["restore", "staging", &name, "--yes"]).expect(0);
        assert_eq!(world.database.query("SELECT CAST(id AS TEXT) FROM item ORDER BY id"), [["1"], ["2"]]);
    }
}

#[test]
fn r24_a_computed_way_back_that_deletes_documents_is_backed_up_first() {
    let cluster = Cluster::fresh();
    let mut world = World::new(Kind::Sqlite);
    world.database.url.clone_from(&cluster.url);
    staging(&world, Engine::Elasticsearch);
    let json = r#"{ "version": "1.0.0", "name": "orders", "description": "Orders for the search", "database_type": "elasticsearch",
        "migration_type": "schema", "operations": [ { "type": "create_index", "index": "~orders",
        "mapping": { "properties": { "id": { "type": "keyword" }, "n": { "type": "long" } } }, "settings": { "number_of_replicas": 0 } } ] }"#;
    world.write("db/001_orders.json", &cluster.text(json));
    world.run(&["apply", "staging", "--yes"]).expect(0);
    let back = ["rollback", "staging", "001_orders", "--yes", "--format", "json"];
    let said = world.run(&[&back[..], &["--dry-run"]].concat()).expect(0).json();
    assert!(said["backup"].is_null(), "an empty index loses nothing: {said}");
    cluster.fill("~orders", 3);
    let said = world.run(&[&back[..], &["--dry-run"]].concat()).expect(0).json();
    let told = said["backup"].as_str().unwrap();
    assert!(told.contains("data is lost by `001_orders`") && told.contains(&cluster.name("orders")), "{told}");
    let said = world.run(&[&back[..], &["--accept-data-loss"]].concat()).expect(0).json();
    assert!(!cluster.exists("~orders"));
    let name = said["backup"].as_str().unwrap().to_owned();
    world.run(&["restore", "staging", &name, "--yes"]).expect(0);
    assert_eq!(cluster.count("~orders"), 3);
}
