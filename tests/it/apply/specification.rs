//! The worked examples of the typed layout (SPEC 3.2 to 3.5) run as they stand, one repository over four servers: up, all the
//! way back, and up again. What they presume is put there first.

use std::path::Path;

use serde_json::json;

use crate::support::servers::OwnServer;
use crate::support::{Database, Kind, Said, godwit};

/// The databases: target, kind, folder.
const TARGETS: [(&str, Kind, &str); 4] = [
    ("es", Kind::Elasticsearch, "elasticsearch"),
    ("redis", Kind::Redis, "redis"),
    ("mongo", Kind::Mongodb, "mongodb"),
    ("pg", Kind::Postgres, "postgresql"),
];

struct World {
    dir: tempfile::TempDir,
    databases: Vec<Database>,
    /// Names of keys and indices are the examples' own, so nobody else may use these servers.
    _servers: [OwnServer; 2],
}

impl World {
    fn new() -> Self {
        let servers = [OwnServer::up("elasticsearch"), OwnServer::up("redis")];
        let databases: Vec<Database> = TARGETS
            .iter()
            .map(|(_, kind, _)| match kind {
                Kind::Elasticsearch => Database::alone_on(*kind, &servers[0].url),
                Kind::Redis => Database::alone_on(*kind, &servers[1].url),
                _ => Database::fresh(*kind),
            })
            .collect();
        let world = Self { dir: tempfile::tempdir().unwrap(), databases, _servers: servers };
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/apply/specification");
        let (mut roots, mut targets) = (String::new(), String::new());
        for (target, kind, folder) in TARGETS {
            for entry in std::fs::read_dir(examples.join(folder)).unwrap() {
                let entry = entry.unwrap();
                let to = format!("migrations/{folder}/{}", entry.file_name().to_str().unwrap());
                world.write(&to, &std::fs::read_to_string(entry.path()).unwrap());
            }
            roots += &format!("  - {{ path: migrations/{folder}, target: {target} }}\n");
            let engine = kind.engine();
            targets += &format!("    {target}: {{ engine: {engine}, url: \"${{{}_URL}}\" }}\n", target.to_uppercase());
        }
        world.write("godwit.yml", &format!("version: 1\nenvironments: [development]\nmigrations:\n{roots}"));
        world.write("policies/environments.yml", &format!("development:\n  targets:\n{targets}"));
        world
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn on(&self, target: &str) -> &Database {
        &self.databases[TARGETS.iter().position(|(name, _, _)| *name == target).unwrap()]
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = godwit(self.dir.path());
        command.args(args);
        for ((target, _, _), database) in TARGETS.iter().zip(&self.databases) {
            command.env(format!("{}_URL", target.to_uppercase()), &database.url);
        }
        command.output().unwrap().into()
    }

    /// The one customer.
    fn customer(&self) -> serde_json::Value {
        let find = json!({ "find": "customers", "filter": { "_id": 1 }, "limit": 1 });
        self.on("mongo").mongo(&find).unwrap()["cursor"]["firstBatch"][0].clone()
    }

    fn lifetime(&self, key: &str) -> i64 {
        self.on("redis").redis(&["TTL", key])
    }
}

#[test]
fn s4_12_the_examples_of_the_specification_run_as_they_stand_on_four_servers() {
    let world = World::new();
    let (es, mongo) = (world.on("es"), world.on("mongo"));
    // What the examples presume: an old index with documents, a fax with its index, carts.
    let old = json!({ "settings": { "number_of_replicas": 0 }, "mappings": { "properties": { "id": { "type": "keyword" } } } });
    assert_eq!(es.elastic("PUT", "/orders_v1", Some(&old)).status, 200);
    let lines: String = (0..50).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"id\":\"{n}\"}}\n")).collect();
    assert_eq!(es.elastic_text("POST", "/orders_v1/_bulk?refresh=true", lines).body["errors"], false);
    world.on("redis").redis::<()>(&["SET", "cart:1", "x"]);
    world.on("redis").redis::<()>(&["SET", "cart:2", "x", "EX", "50"]);

    // An equal collection is left as it is, with the fax that the third migration retires.
    let email =
        json!({ "bsonType": "object", "required": ["email"], "properties": { "email": { "bsonType": "string" } } });
    mongo.mongo(&json!({ "create": "customers", "validator": { "$jsonSchema": email } })).unwrap();
    mongo
        .mongo(&json!({ "insert": "customers", "documents": [{ "_id": 1, "email": "a@b.c", "tel": "1", "fax": "2" }] }))
        .unwrap();
    let fax = json!({ "createIndexes": "customers", "indexes": [{ "key": { "fax": 1 }, "name": "customers_fax" }] });
    mongo.mongo(&fax).unwrap();

    for round in 0..2 {
        let said =
            world.run(&["apply", "development", "--accept-data-loss", "--yes", "--format", "json"]).expect(0).json();
        assert_eq!(said["outcome"], "applied", "{said}");
        let customer = world.customer();
        assert_eq!(customer["phone"], "1", "{customer}");
        assert_eq!(customer["status"], "active", "{customer}");
        assert_eq!(customer["profile"]["locale"], "en", "{customer}");
        assert!(customer.get("fax").is_none() && customer.get("tel").is_none(), "{customer}");
        assert!(world.on("pg").has_table("user_roles"));
        assert!(world.lifetime("cart:1") > 86_000);
        assert!(round == 1 || world.lifetime("cart:2") <= 50, "a key with a lifetime keeps it");
        assert_eq!(es.elastic("GET", "/orders/_count", None).body["count"], if round == 0 { 50 } else { 0 });
        assert_eq!(es.elastic("GET", "/orders_v1", None).status, 404);
        if round == 1 {
            break;
        }
        // The collection itself holds documents and stays.
        for (target, steps) in [("es", "2"), ("redis", "1"), ("mongo", "2"), ("pg", "2")] {
            let undo = [
                "rollback",
                "--env",
                "development",
                "--target",
                target,
                "--steps",
                steps,
                "--accept-data-loss",
                "--yes",
            ];
            world.run(&undo).expect(0);
        }
        let customer = world.customer();
        assert_eq!(customer["tel"], "1", "{customer}");
        assert!(["phone", "status", "status_from", "profile"].iter().all(|f| customer.get(*f).is_none()), "{customer}");
        assert!(!world.on("pg").has_table("user_roles") && !world.on("pg").has_table("users"));
        assert_eq!(world.lifetime("cart:1"), -1);
        assert_eq!(es.elastic("GET", "/orders_v2", None).status, 404);
        assert_eq!(
            es.elastic("GET", "/orders_v1", None).status,
            200,
            "made again, empty: its documents are in the backup"
        );
    }
    let nothing = world.run(&["apply", "development", "--yes", "--format", "json"]).expect(0).json();
    assert_eq!(nothing["outcome"], "nothing", "{nothing}");
}
