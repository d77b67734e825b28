//! MongoDB: everything that makes a collection comes back, and a restore that is cut short is told and finished.

use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use tempfile::TempDir;

use crate::support::servers::shared;
use crate::support::{Said, godwit, wait};

struct Mongo {
    dir: TempDir,
    url: String,
    name: String,
}

impl Mongo {
    fn new(variable: &str) -> Self {
        let server = shared(variable);
        let name = format!("godwit_it_{}", ulid::Ulid::generate().to_string().to_lowercase());
        let (base, query) = server.split_once('?').map_or((server.as_str(), ""), |(b, q)| (b, q));
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let url = format!("{}/{name}{query}", base.trim_end_matches('/'));
        Self { dir: tempfile::tempdir().unwrap(), url, name }
    }

    async fn db(&self) -> Database {
        Client::with_uri_str(&self.url).await.unwrap().database(&self.name)
    }

    fn fill(&self) {
        wait(async {
            let db = self.db().await;
            let validator = doc! { "$jsonSchema": { "required": ["name"] } };
            db.run_command(doc! { "create": "people", "validator": validator, "collation": { "locale": "de" } })
                .await
                .unwrap();
            let people: Vec<Document> =
                (0..5000).map(|n| doc! { "_id": n, "name": format!("n{n}"), "f": 1.5, "l": n as i64 }).collect();
            db.collection("people").insert_many(people).await.unwrap();
            db.run_command(doc! { "createIndexes": "people", "indexes": [
                { "key": { "name": 1, "f": -1 }, "name": "by_name", "unique": true },
                { "key": { "l": 1 }, "name": "few", "partialFilterExpression": { "l": { "$gt": 10 } } },
                { "key": { "at": 1 }, "name": "ttl", "expireAfterSeconds": 3600 },
            ] })
            .await
            .unwrap();
            db.run_command(doc! { "create": "tail", "capped": true, "size": 65536 }).await.unwrap();
            db.collection("tail").insert_one(doc! { "_id": 1 }).await.unwrap();
            db.run_command(doc! { "create": "seen", "viewOn": "people", "pipeline": [{ "$match": { "_id": 1 } }] })
                .await
                .unwrap();
        });
    }

    /// All that the server says of the database, as one text.
    fn state(&self) -> Vec<String> {
        wait(async {
            let db = self.db().await;
            let mut all = Vec::new();
            let mut names = db.list_collection_names().await.unwrap();
            names.retain(|n| !n.starts_with("godwit_") && !n.starts_with("system."));
            names.sort();
            for name in names {
                let info = db.run_command(doc! { "listCollections": 1, "filter": { "name": &name } }).await.unwrap();
                let first = info.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
                let options = first.first().unwrap().as_document().unwrap().get_document("options").unwrap();
                all.push(format!("{name} {options}"));
                if name == "seen" {
                    continue;
                }
                let indexes = db.run_command(doc! { "listIndexes": &name }).await.unwrap();
                let indexes = indexes.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
                let mut indexes: Vec<String> = indexes.iter().map(ToString::to_string).collect();
                indexes.sort();
                all.extend(indexes);
                let mut found = db.collection::<Document>(&name).find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
                while found.advance().await.unwrap() {
                    all.push(format!("{:?}", found.current()));
                }
            }
            all
        })
    }

    fn run(&self, args: &[&str], failpoint: Option<&str>) -> Said {
        let mut command = godwit(self.dir.path());
        command.arg(args[0]).args(["--url", &self.url]).args(&args[1..]).stdin(std::process::Stdio::null());
        if let Some(point) = failpoint {
            command.env("GODWIT_FAILPOINT", point);
        }
        command.output().unwrap().into()
    }

    fn backed_up(&self) -> (String, serde_json::Value) {
        let made = self.run(&["backup", "--format", "json"], None).expect(0).json();
        let meta = made["backups"][0].clone();
        assert_eq!(meta["verified"]["ok"], true, "{meta}");
        (meta["backup_file"].as_str().unwrap().to_owned(), meta)
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        wait(async {
            let _ = self.db().await.drop().await;
        });
    }
}

#[test]
fn r24_a_mongodb_database_comes_back_with_documents_options_indexes_and_views() {
    for variable in ["GODWIT_TEST_MONGODB_URL", "GODWIT_TEST_MONGODB_STANDALONE_URL"] {
        let mongo = Mongo::new(variable);
        mongo.fill();
        let before = mongo.state();
        let (name, meta) = mongo.backed_up();
        assert!(name.ends_with(".archive"), "{name}");
        assert_eq!(meta["consistent"], false, "a capped collection is of no snapshot: {meta}");
        wait(async {
            let db = mongo.db().await;
            db.collection::<Document>("people").drop().await.unwrap();
            db.collection::<Document>("seen").drop().await.unwrap();
            db.collection("later").insert_one(doc! { "_id": 1 }).await.unwrap();
        });
        mongo.run(&["restore", &name, "--yes"], None).expect(0);
        assert_eq!(mongo.state(), before);
    }
}

#[test]
fn r24_a_mongodb_restore_that_is_killed_half_way_keeps_runs_away_until_it_is_finished() {
    let mongo = Mongo::new("GODWIT_TEST_MONGODB_URL");
    mongo.fill();
    let before = mongo.state();
    let (name, _) = mongo.backed_up();
    wait(async {
        let db = mongo.db().await;
        db.collection::<Document>("people").delete_many(doc! {}).await.unwrap();
        db.collection::<Document>("tail").drop().await.unwrap();
    });
    assert_eq!(mongo.run(&["restore", &name, "--yes"], Some("restore_half:kill")).code, None);
    std::fs::create_dir(mongo.dir.path().join("m")).unwrap();
    let operation = r#"{"version":"1.0.0","name":"m1","description":"d","database_type":"mongodb","migration_type":"schema","operations":[{"type":"create_collection","collection":"x"}]}"#;
    std::fs::write(mongo.dir.path().join("m/001_m1.json"), operation).unwrap();
    let said = mongo.run(&["apply", "--path", "m", "--yes"], None).expect(4);
    assert!(said.stdout.contains("a restore was cut short") && said.stdout.contains(&name), "{said:?}");
    mongo.run(&["restore", &name, "--yes"], None).expect(0);
    assert_eq!(mongo.state(), before);
}
