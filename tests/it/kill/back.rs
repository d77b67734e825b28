//! The way back over several databases of one environment: nothing is undone under what still needs it, and one that ends
//! between two databases goes on from there (R-23).

use super::several::{Link, Several, owned, ran};
use crate::support::{Kind, Said};

/// What goes above 1.0.0, in the order in which it must be undone: target and migration.
const BACK: [Link; 4] =
    [("mongo", "003_found"), ("search", "002_search"), ("carts", "002_sessions"), ("mongo", "002_profiles")];

struct World(Several);

impl World {
    fn new() -> Self {
        let world = Self(Several::new(&[
            ("mongo", "mongo", Kind::Mongodb),
            ("carts", "carts", Kind::Mongodb),
            ("search", "search", Kind::MongodbStandalone),
        ]));
        for target in ["mongo", "carts", "search"] {
            world.collection(target, "001_base", "1.0.0", "");
        }
        world.collection("mongo", "002_profiles", "1.1.0", "");
        world.collection("carts", "002_sessions", "1.1.0", "mongo/002_profiles");
        world.collection("search", "002_search", "1.1.0", "carts/002_sessions");
        world.collection("mongo", "003_found", "1.2.0", "search/002_search");
        world.run(&["apply", "development", "--yes"], None).expect(0);
        assert_eq!(world.applied(), BACK);
        world
    }

    /// A migration that makes a collection, and takes it away again.
    fn collection(&self, target: &str, stem: &str, version: &str, needs: &str) {
        let needs = if needs.is_empty() { String::new() } else { format!("\"{needs}\"") };
        let name = &stem[4..];
        let text = format!(
            r#"{{ "version": "{version}", "name": "{name}", "description": "One link of the chain", "database_type": "mongodb",
  "migration_type": "schema", "depends_on": [{needs}],
  "operations": [ {{ "type": "create_collection", "collection": "{name}" }} ],
  "rollback": [ {{ "type": "drop_collection", "collection": "{name}" }} ] }}"#
        );
        self.0.write(&format!("db/{target}/{stem}.json"), &text);
    }

    fn run(&self, args: &[&str], failpoint: Option<&str>) -> Said {
        self.0.run(args, failpoint)
    }

    /// What of [`BACK`] the databases say is applied.
    fn applied(&self) -> Vec<Link> {
        self.0.applied(&BACK)
    }
}

#[test]
fn r23_nothing_is_undone_that_another_database_still_needs() {
    let world = World::new();
    // Named with its database alone too, where the others are only looked at.
    for args in [
        &["rollback", "development", "search/002_search", "--yes", "--format", "json"][..],
        &["rollback", "search/002_search", "--env", "development", "--target", "search", "--yes", "--format", "json"][..],
        &["rollback", "development", "mongo/002_profiles", "--yes", "--format", "json"][..],
        &["rollback", "--env", "development", "--to", "1.0.0", "--target", "search", "--yes", "--format", "json"][..],
    ] {
        let said = world.run(args, None);
        let said = said.expect(3).json();
        assert_eq!(said["blocked_by"][0]["reason"], "dependants", "{args:?}: {said}");
        assert_eq!(world.applied(), BACK, "{args:?}");
    }
    // The last link goes by itself, and then the one before it.
    world.run(&["rollback", "development", "mongo/003_found", "--yes"], None).expect(0);
    world.run(&["rollback", "development", "search/002_search", "--yes"], None).expect(0);
    assert_eq!(world.applied(), BACK[2..]);
}

#[test]
fn r23_a_way_back_over_several_databases_goes_in_the_reverse_order() {
    let world = World::new();
    let plan = ["rollback", "--env", "development", "--to", "1.0.0", "--dry-run", "--format", "json"];
    let said = world.run(&plan, None).expect(0).json();
    assert_eq!((said["outcome"].as_str(), ran(&said)), (Some("planned"), owned(&BACK)), "{said}");
    assert_eq!(world.applied(), BACK);
    let said = world.run(&["rollback", "--env", "development", "--to", "1.0.0", "--yes", "--format", "json"], None);
    let said = said.expect(0).json();
    assert_eq!(ran(&said), owned(&BACK), "{said}");
    assert_eq!(world.applied(), []);
    world.run(&["apply", "development", "--yes"], None).expect(0);
    assert_eq!(world.applied(), BACK, "and forward again");
}

#[test]
fn r23_a_way_back_stops_where_one_database_fails() {
    let world = World::new();
    // Somebody has changed that database meanwhile, which is for a person to look at.
    let by_hand = serde_json::json!({ "createIndexes": "base", "indexes": [{ "key": { "n": 1 }, "name": "by_hand" }] });
    world.0.databases["search"].mongo(&by_hand).unwrap();
    let said = world.run(&["rollback", "--env", "development", "--to", "1.0.0", "--yes"], None).expect(4);
    assert!(said.stdout.contains("outside Godwit"), "{said:?}");
    assert_eq!(world.applied(), BACK[1..]);
}

#[test]
fn r23_a_way_back_that_ends_between_two_databases_is_finished_by_resume() {
    for nth in 1..=BACK.len() {
        let world = World::new();
        let args = ["rollback", "--env", "development", "--to", "1.0.0", "--yes"];
        let killed = world.run(&args, Some(&format!("record_pre:kill:{nth}")));
        assert_eq!(killed.code, None, "{nth}: {killed:?}");
        assert_eq!(world.applied(), BACK[nth..], "each database alone tells what was undone on it");
        let said = world.run(&["resume", "development", "--format", "json"], None).expect(0).json();
        assert_eq!(ran(&said), owned(&BACK[nth..]), "{nth}: {said}");
        assert_eq!(world.applied(), []);
        // It is over: what comes next is said anew.
        let said = world.run(&["resume", "development", "--format", "json"], None).expect(0).json();
        assert_eq!(said["steps"].as_array().unwrap().len(), BACK.len(), "{nth}: {said}");
        assert_eq!(world.applied(), BACK);
    }
}
