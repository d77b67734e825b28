//! Fresh databases on real MongoDB servers, and the program run on them.

use futures_util::TryStreamExt as _;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use tempfile::TempDir;

use super::{Said, godwit, wait};

/// A server as a test wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    ReplicaSet,
    Standalone,
}

/// A database that nobody else uses, taken away when dropped, with a folder of migrations.
pub struct Mongo {
    pub url: String,
    name: String,
    pub dir: TempDir,
}

/// A migration: its number, its operations, and its `rollback` if it has one.
pub fn file(number: u32, operations: &str, rollback: Option<&str>) -> (String, String) {
    let rollback = rollback.map_or(String::new(), |r| format!(",\n  \"rollback\": {r}"));
    let text = format!(
        "{{\n  \"version\": \"1.{}.0\", \"name\": \"m{number}\", \"description\": \"Number {number}\",\n  \
         \"database_type\": \"mongodb\", \"migration_type\": \"schema\",\n  \"operations\": {operations}{rollback}\n}}\n",
        number - 1
    );
    (format!("{number:03}_m{number}.json"), text)
}

impl Mongo {
    pub fn fresh(server: Server, files: &[(String, String)]) -> Self {
        let variable = match server {
            Server::ReplicaSet => "GODWIT_TEST_MONGODB_URL",
            Server::Standalone => "GODWIT_TEST_MONGODB_STANDALONE_URL",
        };
        Self::at(&super::servers::shared(variable), files)
    }

    /// The same on the server of this address.
    pub fn at(server: &str, files: &[(String, String)]) -> Self {
        let name = format!("godwit_it_{}", ulid::Ulid::generate().to_string().to_lowercase());
        let (host, query) = server.split_once('?').unwrap_or((server, ""));
        let url = format!("{}/{name}?{query}", host.trim_end_matches('/'));
        let mongo = Self { url, name, dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(mongo.dir.path().join("m")).unwrap();
        for (name, text) in files {
            mongo.write(name, text);
        }
        mongo
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join("m").join(name), text).unwrap();
    }

    pub fn command_line(&self, args: &[&str]) -> std::process::Command {
        let mut command = godwit(self.dir.path());
        command.arg(args[0]).args(["--url", &self.url, "--path"]).arg(self.dir.path().join("m")).args(&args[1..]);
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.command_line(args).output().unwrap().into()
    }

    pub fn run_killed_at(&self, point: &str, args: &[&str]) -> Said {
        self.command_line(args).env("GODWIT_FAILPOINT", point).output().unwrap().into()
    }

    pub fn try_command(&self, command: Document) -> mongodb::error::Result<Document> {
        wait(self.asked(command))
    }

    async fn asked(&self, command: Document) -> mongodb::error::Result<Document> {
        let client = Client::with_uri_str(&self.url).await?;
        client.database(&self.name).run_command(command).await
    }

    #[track_caller]
    pub fn command(&self, command: Document) -> Document {
        let reply = self.try_command(command.clone()).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(!reply.contains_key("writeErrors"), "{reply}");
        reply
    }

    pub fn insert(&self, collection: &str, documents: Vec<Document>) {
        wait(async {
            let client = Client::with_uri_str(&self.url).await.unwrap();
            client.database(&self.name).collection::<Document>(collection).insert_many(documents).await.unwrap();
        });
    }

    /// The documents in the order of their ids.
    pub fn find(&self, collection: &str, filter: Document) -> Vec<Document> {
        wait(async {
            let client = Client::with_uri_str(&self.url).await.unwrap();
            let all = client.database(&self.name).collection::<Document>(collection);
            all.find(filter).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap()
        })
    }

    pub fn count(&self, collection: &str, filter: Document) -> usize {
        self.find(collection, filter).len()
    }

    /// Names of the collections, without Godwit's own.
    pub fn collections(&self) -> Vec<String> {
        let reply = self.command(
            doc! { "listCollections": 1, "filter": { "name": { "$not": { "$regex": "^(godwit_|system[.])" } } } },
        );
        let mut names: Vec<String> =
            first_batch(&reply).iter().map(|d| d.get_str("name").unwrap().to_owned()).collect();
        names.sort();
        names
    }

    pub fn options(&self, collection: &str) -> Document {
        let reply = self.command(doc! { "listCollections": 1, "filter": { "name": collection } });
        first_batch(&reply)[0].get_document("options").unwrap().clone()
    }

    /// Indexes as the server lists them, by name.
    pub fn indexes(&self, collection: &str) -> Vec<Document> {
        let Ok(reply) = self.try_command(doc! { "listIndexes": collection }) else { return Vec::new() };
        let mut all = first_batch(&reply);
        all.sort_by_key(|i| i.get_str("name").unwrap().to_owned());
        all
    }

    pub fn index_names(&self, collection: &str) -> Vec<String> {
        self.indexes(collection).iter().map(|i| i.get_str("name").unwrap().to_owned()).collect()
    }

    /// `id state` of every row of the history.
    pub fn history(&self) -> Vec<String> {
        self.find("godwit_history", doc! {})
            .iter()
            .map(|r| {
                format!("{} {}", r.get_document("_id").unwrap().get_str("id").unwrap(), r.get_str("state").unwrap())
            })
            .collect()
    }

    /// Everything that tells two databases apart.
    pub fn state(&self) -> Vec<String> {
        let mut out = self.history();
        for name in self.collections() {
            out.push(format!("{name} {}", self.options(&name)));
            out.extend(self.indexes(&name).iter().map(ToString::to_string));
            out.extend(self.find(&name, doc! {}).iter().map(ToString::to_string));
        }
        out
    }
}

fn first_batch(reply: &Document) -> Vec<Document> {
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    batch.iter().filter_map(Bson::as_document).cloned().collect()
}

impl Drop for Mongo {
    fn drop(&mut self) {
        // A set without a majority never answers, and a test that failed is to end all the same.
        wait(async {
            let gone = self.asked(doc! { "dropDatabase": 1 });
            let _ = tokio::time::timeout(std::time::Duration::from_secs(30), gone).await;
        });
    }
}
