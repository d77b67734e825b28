//! Seed data and emptying where no SQL is spoken: the same rules, in the form of each kind of database.

use crate::support::{Kind, Own, Project, Said, godwit};

const KINDS: [Kind; 5] = [Kind::Mongodb, Kind::MongodbStandalone, Kind::Redis, Kind::RedisCluster, Kind::Elasticsearch];

/// A repository whose environments share one database; `NAME` in a text is the name of the test's part of it.
struct Ground {
    project: Project,
    kind: Kind,
}

impl Ground {
    fn new(kind: Kind) -> Self {
        let ground = Self { project: Project::new(kind, &[]), kind };
        let engine = kind.engine();
        ground.write(
            "godwit.yml",
            "version: 1\nenvironments: [development, production]\nmigrations:\n  - { path: m, target: shop }\n",
        );
        let place = format!("targets:\n    shop: {{ engine: {engine}, url: \"${{SHOP_URL}}\" }}\n");
        ground.write(
            "policies/environments.yml",
            &format!("development:\n  {place}  migration: {{ reset_data: true }}\nproduction:\n  {place}"),
        );
        let head = format!(
            r#""version":"1.0.0","name":"a","description":"d","database_type":"{engine}","migration_type":"schema""#
        );
        match kind {
            Kind::Redis | Kind::RedisCluster => {
                ground.write("m/001_a.json", &format!("{{{head},\"keys\":[\"NAME:made\"]}}"));
                ground.write("m/001_a.lua", "redis.call('SET', KEYS[1], '1')\nreturn 1\n");
                ground.write("m/001_a_rollback.lua", "return redis.call('DEL', KEYS[1])\n");
            }
            Kind::Elasticsearch => ground.write(
                "m/001_a.json",
                &format!(
                    r#"{{{head},"operations":[{{"type":"create_index","index":"NAME_a","mapping":{{}},"settings":{{"number_of_replicas":0}}}}]}}"#
                ),
            ),
            _ => ground.write(
                "m/001_a.json",
                &format!(r#"{{{head},"operations":[{{"type":"create_collection","collection":"a"}}]}}"#),
            ),
        }
        ground
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.project.dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text.replace("NAME", self.project.database.name())).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        let name = self.project.database.name();
        let args: Vec<String> = args.iter().map(|a| a.replace("NAME", name)).collect();
        let mut run = godwit(self.project.dir.path());
        run.args(args).env("SHOP_URL", &self.project.database.url).output().unwrap().into()
    }

    fn is_shared(&self) -> bool {
        !matches!(self.kind, Kind::Mongodb | Kind::MongodbStandalone)
    }

    /// The ending of seed data, some of it, what is not, and where that goes wrong.
    fn data(&self) -> (&'static str, &'static str, Vec<(&'static str, &'static str)>) {
        match self.kind {
            Kind::Redis | Kind::RedisCluster => (
                "redis",
                "# data\nSET NAME:1 \"one two\"\nDEL NAME:list\nRPUSH NAME:list a b\nSET NAMEother 1\n",
                vec![
                    ("SET NAME:1 \"one two\"\nFLUSHALL\n", "bad.redis:2"),
                    ("SET godwit:{NAME}:history 1\n", "bad.redis:1"),
                    ("INCR NAME:list\n", "bad.redis:1"),
                    ("SET \"NAME:1\n", "bad.redis:1"),
                ],
            ),
            Kind::Elasticsearch => (
                "ndjson",
                "{\"index\":{\"_index\":\"NAME_a\",\"_id\":\"1\"}}\n{\"n\":1}\n{\"create\":{\"_index\":\"NAMEother\",\"_id\":\"1\"}}\n{\"n\":1}\n",
                vec![
                    ("{\"index\":{\"_index\":\"NAME_a\"}}\n{}\n", "bad.ndjson:1"),
                    (
                        "{\"index\":{\"_index\":\"NAME_a\",\"_id\":\"1\"}}\n{\"n\":1}\n{\"index\":{\"_index\":\"NAME_a\",\"_id\":\"9\"}}\n{\"n\":\"word\"}\n",
                        "bad.ndjson:3",
                    ),
                ],
            ),
            _ => (
                "json",
                r#"{ "a": [{ "_id": 1, "n": 1 }, { "_id": 2, "at": { "$date": "2026-01-02T00:00:00Z" } }] }"#,
                vec![
                    (r#"{ "a": [{ "n": 1 }] }"#, "_id"),
                    ("{ \"a\":\n [", "bad.json:2"),
                    (r#"{ "godwit_history": [{ "_id": 1 }] }"#, "godwit_history"),
                ],
            ),
        }
    }
}

#[test]
fn s1_42_s1_43_every_kind_of_database_gets_its_own_data_and_production_never_does() {
    for kind in KINDS {
        let ground = Ground::new(kind);
        let (ending, good, bad) = ground.data();
        ground.run(&["apply", "development", "--yes"]).expect(0);
        let before = ground.project.database.contents(Own::Not);
        ground.write(&format!("seeds/development.{ending}"), good);
        let said = ground.run(&["seed", "--format", "json"]).expect(0).json();
        assert_eq!(said["files"].as_array().unwrap().len(), 1, "{kind:?}: {said}");
        let seeded = ground.project.database.contents(Own::Not);
        assert_ne!(seeded, before, "{kind:?}");
        ground.run(&["seed"]).expect(0);
        assert_eq!(ground.project.database.contents(Own::Not), seeded, "{kind:?}: again is the same");
        ground.run(&["seed", "production"]).expect(3);
        for file in ["02.csv", "03.SQL", "04.js", ".gitkeep", "README.md"] {
            ground.write(&format!("seeds/development/{file}"), "x");
        }
        let said = ground.run(&["seed", "--format", "json"]).expect(0);
        assert!(said.stderr.contains("note: `seeds/development/03.SQL` is passed over"), "{kind:?}: {said:?}");
        let passed: Vec<String> = ["02.csv", "03.SQL", "04.js"].map(|f| format!("seeds/development/{f}")).into();
        assert_eq!(said.json()["passed_over"], serde_json::json!(passed), "{kind:?}");
        for (text, place) in bad {
            ground.write(&format!("seeds/development/shop/bad.{ending}"), text);
            let said = ground.run(&["seed"]).expect(1).stderr;
            assert!(said.contains(&format!("bad.{ending}")) && said.contains(place), "{kind:?}: {text}: {said}");
            assert_eq!(ground.project.database.contents(Own::Not), seeded, "{kind:?}: {text}");
        }
        // What is for another kind of database is told, not passed over.
        std::fs::remove_dir_all(ground.project.dir.path().join("seeds/development")).unwrap();
        ground.write("seeds/development.sql", "select 1;");
        assert!(ground.run(&["seed"]).expect(2).stderr.contains("is for postgresql or sqlite"), "{kind:?}");
    }
}

#[test]
fn s3_32_only_named_keys_and_indices_go_and_the_migrations_count_as_not_applied() {
    for kind in KINDS {
        let ground = Ground::new(kind);
        let (ending, good, _) = ground.data();
        ground.write(&format!("seeds/development.{ending}"), good);
        ground.run(&["apply", "development", "--yes"]).expect(0);
        ground.run(&["seed"]).expect(0);
        let own = if kind == Kind::Elasticsearch { "NAME_*" } else { "NAME:*" };
        let (go, without): (&[&str], &[&str]) = if ground.is_shared() {
            (&["reset-data", "development", "--only", own], &["reset-data", "development", "--confirm"])
        } else {
            (&["reset-data", "development"], &["reset-data", "development", "--confirm", "--only", own])
        };
        assert!(ground.run(without).expect(2).stderr.contains("--only"), "{kind:?}");
        assert!(ground.run(go).expect(2).stderr.contains("--confirm"), "{kind:?}");
        let with = |more: &[&'static str]| [go, more].concat();
        let never = [&["reset-data", "production"], &go[2..], &["--confirm"]].concat();
        ground.run(&never).expect(3);
        let said = ground.run(&with(&["--confirm", "--backup", "--format", "json"])).expect(0).json();
        assert!(std::path::Path::new(said["emptied"][0]["backup"].as_str().unwrap()).is_file(), "{kind:?}: {said}");
        let left: Vec<String> = ground.project.database.contents(Own::Not).into_keys().collect();
        if ground.is_shared() {
            assert!(left.iter().all(|name| name.contains("other")) && !left.is_empty(), "{kind:?}: {left:?}");
        } else {
            assert!(left.is_empty(), "{kind:?}: {left:?}");
        }
        let status = ground.run(&["status", "development", "--format", "json"]).expect(0).json();
        let state = &status["targets"][0]["migrations"][0]["state"];
        assert!(state == "pending" || state == "rolled_back", "{kind:?}: {status}");
        ground.run(&["apply", "development", "--yes"]).expect(0);
        ground.run(&["seed"]).expect(0);
        let status = ground.run(&["status", "development", "--format", "json"]).expect(0).json();
        assert_eq!(status["targets"][0]["migrations"][0]["state"], "applied", "{kind:?}");
        // What was applied is forgotten here as everywhere, and the data stays [S2-80].
        let there = ground.project.database.contents(Own::Not);
        let said = ground.run(&["reset", "development", "--confirm", "--format", "json"]).expect(0).json();
        assert_eq!(said["targets"][0]["forgotten"].as_array().unwrap().len(), 1, "{kind:?}: {said}");
        assert_eq!(ground.project.database.contents(Own::Not), there, "{kind:?}");
    }
}
