//! A chain of migrations over four databases of one environment: what one needs on another is waited for, and a run that
//! ends between two of them goes on from there (R-23).

use super::several::{Link, Several, owned, ran};
use crate::support::{Kind, Said};

/// The chain in its order: target and migration.
const CHAIN: [Link; 5] = [
    ("pg", "0001_customers"),
    ("mongo", "001_profiles"),
    ("redis", "001_sessions"),
    ("es", "001_search"),
    ("pg", "0002_searchable"),
];

struct World(Several);

impl World {
    fn new() -> Self {
        let world = Self(Several::new(&[
            ("pg", "pg", Kind::Postgres),
            ("mongo", "mongodb", Kind::Mongodb),
            ("redis", "redis", Kind::Redis),
            ("es", "elasticsearch", Kind::Elasticsearch),
        ]));
        world.0.write("db/pg/0001_customers.up.sql", "create table customers (id bigint primary key);");
        world.0.write(
            "db/pg/0002_searchable.up.sql",
            "-- godwit: depends_on=es/001_search\nalter table customers add column searchable boolean;",
        );
        world.json(
            "mongodb",
            "001_profiles",
            "pg/0001_customers",
            r#"{ "type": "create_collection", "collection": "profiles" }"#,
        );
        let name = world.0.databases["redis"].name().to_owned();
        let ttl = format!(r#"{{ "type": "set_ttl", "keys": {{ "match": "{name}:*" }}, "seconds": 600 }}"#);
        world.json("redis", "001_sessions", "mongo/001_profiles", &ttl);
        let index = format!(
            r#"{{ "type": "create_index", "index": "{}", "mapping": {{}}, "settings": {{ "number_of_replicas": 0 }} }}"#,
            world.0.databases["es"].name()
        );
        world.json("elasticsearch", "001_search", "redis/001_sessions", &index);
        world
    }

    fn json(&self, engine: &str, stem: &str, needs: &str, operation: &str) {
        let text = format!(
            r#"{{ "version": "1.0.0", "name": "{}", "description": "One link of the chain", "database_type": "{engine}",
  "migration_type": "schema", "depends_on": ["{needs}"], "operations": [ {operation} ] }}"#,
            stem.trim_start_matches("001_")
        );
        self.0.write(&format!("db/{engine}/{stem}.json"), &text);
    }

    fn run(&self, args: &[&str], failpoint: Option<&str>) -> Said {
        self.0.run(args, failpoint)
    }

    /// The links that their databases say are applied.
    fn applied(&self) -> Vec<Link> {
        self.0.applied(&CHAIN)
    }
}

#[test]
fn r23_a_run_that_ends_between_two_databases_goes_on_from_there_in_order() {
    for nth in 1..=CHAIN.len() {
        let world = World::new();
        let killed = world.run(&["apply", "development", "--yes"], Some(&format!("record_pre:kill:{nth}")));
        assert_eq!(killed.code, None, "{nth}: {killed:?}");
        assert_eq!(world.applied(), CHAIN[..nth], "each database alone tells what was done on it");
        let said = world.run(&["resume", "development", "--format", "json"], None).expect(0).json();
        assert_eq!(ran(&said), owned(&CHAIN[nth..]), "{nth}");
        assert_eq!(world.applied(), CHAIN);
        let again = world.run(&["apply", "development", "--yes", "--format", "json"], None).expect(0).json();
        assert_eq!(again["outcome"], "nothing");
    }
}

#[test]
fn r23_nothing_is_undone_under_what_another_kind_of_database_holds() {
    let world = World::new();
    let file = world.0.dir.path().join("db/elasticsearch/001_search.json");
    let gone = format!(
        r#""rollback": [ {{ "type": "delete_index", "index": "{}" }} ], "operations""#,
        world.0.databases["es"].name()
    );
    let text = std::fs::read_to_string(&file).unwrap().replace(r#""operations""#, &gone);
    std::fs::write(&file, text).unwrap();
    world.run(&["apply", "development", "--yes"], None).expect(0);
    for only in [&[][..], &["--target", "es"]] {
        let args = [&["rollback", "--env", "development", "001_search", "--yes"][..], only].concat();
        let said = world.run(&args, None).expect(3);
        assert!(
            said.stdout.contains(
                "dependants: `db/pg/0002_searchable` is applied and depends on `db/elasticsearch/001_search`"
            ),
            "{said:?}"
        );
        assert_eq!(world.applied(), CHAIN);
    }
}

#[test]
fn r15_a_plan_over_several_databases_names_each_step_once() {
    let world = World::new();
    let said = world.run(&["plan", "development", "--format", "json"], None).expect(0).json();
    let mut planned: Vec<&str> =
        said["steps"].as_array().unwrap().iter().map(|s| s["migration"].as_str().unwrap()).collect();
    planned.sort_unstable();
    let mut wanted: Vec<&str> = CHAIN.iter().map(|(_, id)| *id).collect();
    wanted.sort_unstable();
    assert_eq!(planned, wanted, "{said}");
    assert_eq!(world.applied(), []);
    // What waits for something that nothing brings ends the plan.
    world
        .0
        .write("db/pg/0001_customers.up.sql", "-- godwit: depends_on=es/001_search\ncreate table customers (id int);");
    let said = world.run(&["plan", "development"], None);
    assert!(matches!(said.code, Some(1..=3)), "{said:?}");
}

#[test]
fn r23_a_failure_on_one_database_stops_what_needs_it_and_nothing_is_taken_for_done() {
    let world = World::new();
    world.json(
        "mongodb",
        "001_profiles",
        "pg/0001_customers",
        r#"{ "type": "rename_collection", "from": "nowhere", "to": "profiles" }"#,
    );
    let said = world.run(&["apply", "development", "--yes"], None).expect(1);
    assert!(said.stdout.contains("nowhere"), "{said:?}");
    assert_eq!(world.applied(), [], "what is known before is told before anything is changed");
    world.json(
        "mongodb",
        "001_profiles",
        "pg/0001_customers",
        r#"{ "type": "create_collection", "collection": "profiles" },
           { "type": "set_validator", "collection": "profiles", "validator": { "$expr": { "$no_such_word": "$n" } } }"#,
    );
    let said = world.run(&["apply", "development", "--yes"], None).expect(1);
    assert!(said.stdout.contains("no_such_word"), "{said:?}");
    assert_eq!(world.applied(), CHAIN[..1]);
    world.json(
        "mongodb",
        "001_profiles",
        "pg/0001_customers",
        r#"{ "type": "create_collection", "collection": "profiles" }"#,
    );
    world.run(&["apply", "development", "--yes"], None).expect(0);
    assert_eq!(world.applied(), CHAIN);
}
