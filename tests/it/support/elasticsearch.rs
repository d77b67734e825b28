//! A part of a real cluster that nobody else uses: indices under a prefix of their own, and a namespace for Godwit's.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Said, godwit};

/// Indices of one test; taken away when dropped.
pub struct Cluster {
    pub prefix: String,
    pub url: String,
    http: String,
}

impl Cluster {
    pub fn fresh() -> Self {
        Self::at(&super::servers::shared("GODWIT_TEST_ELASTICSEARCH_URL"))
    }

    /// The same on another server.
    pub fn at(server: &str) -> Self {
        let prefix = format!("it{}", ulid::Ulid::generate().to_string().to_lowercase());
        let http = server.trim_start_matches("elasticsearch+").trim_end_matches('/').to_owned();
        Self { url: format!("elasticsearch+{http}?namespace={prefix}"), http, prefix }
    }

    /// A name of this test's.
    pub fn name(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    /// Text with `~` for the prefix.
    pub fn text(&self, text: &str) -> String {
        text.replace('~', &format!("{}_", self.prefix))
    }

    /// One request; `~` in the path and the body stands for the prefix.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/{}", self.http, self.text(path)))
            .header("content-type", "application/json")
            .body(body.map(|b| self.text(&b.to_string())).unwrap_or_default())
            .unwrap();
        // Nobody answers while a test's own server is down.
        let Ok(mut answer) = agent.run(request) else { return (0, Value::Null) };
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// One request that must be answered with yes.
    #[track_caller]
    pub fn ok(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// `count` documents `{"id": "…", "n": …}` in an index that is made for them.
    pub fn fill(&self, index: &str, count: usize) {
        if self.call("HEAD", index, None).0 == 404 {
            let body = json!({"settings": {"number_of_replicas": 0}, "mappings": {"properties": {
                "id": {"type": "keyword"}, "n": {"type": "long"}}}});
            self.ok("PUT", index, Some(body));
        }
        let mut lines = String::new();
        for n in 0..count {
            lines.push_str(&format!("{{\"index\":{{\"_id\":\"d{n}\"}}}}\n{{\"id\":\"d{n}\",\"n\":{n}}}\n"));
        }
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent
            .post(format!("{}/{}/_bulk?refresh=true", self.http, self.text(index)))
            .header("content-type", "application/json")
            .send(lines)
            .unwrap();
        let body: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        assert_eq!(body["errors"], false, "{body}");
    }

    /// Documents that can be found.
    pub fn count(&self, index: &str) -> u64 {
        self.ok("POST", &format!("{index}/_refresh"), None);
        self.ok("GET", &format!("{index}/_count"), None)["count"].as_u64().unwrap()
    }

    pub fn exists(&self, index: &str) -> bool {
        self.call("GET", index, None).0 == 200
    }

    /// The indices that have an alias, without the test's prefix.
    pub fn on(&self, alias: &str) -> Vec<String> {
        let (status, body) = self.call("GET", &format!("_alias/{alias}"), None);
        if status == 404 {
            return Vec::new();
        }
        let mut names: Vec<String> = body.as_object().unwrap().keys().map(|k| self.short(k)).collect();
        names.sort();
        names
    }

    /// A name without the test's prefix.
    pub fn short(&self, name: &str) -> String {
        name.strip_prefix(&format!("{}_", self.prefix)).unwrap_or(name).to_owned()
    }

    /// The test's indices without the prefix, Godwit's own left out.
    pub fn indices(&self) -> Vec<String> {
        let body = self.ok("GET", "_cat/indices/~*?format=json&expand_wildcards=all&h=index", None);
        let mut names: Vec<String> =
            body.as_array().unwrap().iter().map(|i| self.short(i["index"].as_str().unwrap())).collect();
        names.sort();
        names
    }

    /// Indices of the test that refuse writes.
    pub fn blocked(&self) -> Vec<String> {
        let body = self.ok("GET", "~*/_settings/index.blocks.write?flat_settings=true&expand_wildcards=all", None);
        let all = body.as_object().unwrap();
        all.iter()
            .filter(|(_, i)| i["settings"]["index.blocks.write"] == "true")
            .map(|(name, _)| self.short(name))
            .collect()
    }

    /// A document of Godwit's own.
    pub fn own(&self, index: &str, id: &str) -> Value {
        self.ok("GET", &format!("godwit_{}_{index}/_doc/{id}", self.prefix), None)
    }

    /// `id state` of every row of the history.
    pub fn history(&self) -> Vec<String> {
        let url = secrecy::SecretString::from(self.url.clone());
        let rows = super::wait(async {
            use godwit::drivers::Driver as _;
            let mut driver = godwit::drivers::elasticsearch::ElasticsearchDriver::connect(&url).await.unwrap();
            driver.history().await.unwrap()
        });
        let mut rows: Vec<String> = rows.iter().map(|r| format!("{} {}", r.id, r.state.as_str())).collect();
        rows.sort();
        rows
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let patterns = [self.text("~*"), format!("godwit_{}_*", self.prefix)];
        for pattern in patterns {
            let _ = self.call("DELETE", &format!("{pattern}?expand_wildcards=all"), None);
        }
        let _ = self.call("DELETE", "_index_template/~*", None);
    }
}

/// A folder of migrations, a store and a cluster.
pub struct Project {
    pub dir: TempDir,
    pub cluster: Cluster,
}

impl Project {
    /// Files by name; each text is the `operations` of a migration, or with braces the rest of it as well.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::on(Cluster::fresh(), files)
    }

    pub fn on(cluster: Cluster, files: &[(&str, &str)]) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap(), cluster };
        std::fs::create_dir(project.migrations()).unwrap();
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    pub fn migrations(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    /// Writes `NNN_name.json`; versions are 1.NNN.0.
    pub fn write(&self, stem: &str, operations: &str) {
        let (number, name) = stem.split_once('_').unwrap();
        let rest =
            if operations.starts_with('[') { format!("\"operations\": {operations}") } else { operations.to_owned() };
        let text = format!(
            "{{\"version\": \"1.{}.0\", \"name\": \"{name}\", \"description\": \"a test\", \
             \"database_type\": \"elasticsearch\", \"migration_type\": \"schema\",\n{rest}}}\n",
            number.trim_start_matches('0').parse::<u32>().unwrap() - 1
        );
        std::fs::write(self.migrations().join(format!("{stem}.json")), self.cluster.text(&text)).unwrap();
    }

    /// The program with the place given; `args[0]` is the command.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = godwit(self.dir.path());
        command.arg(args[0]).args(["--url", &self.cluster.url, "--path"]).arg(self.migrations()).args(&args[1..]);
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    pub fn run_killed_at(&self, point: &str, args: &[&str]) -> Said {
        self.command(args).env("GODWIT_FAILPOINT", point).output().unwrap().into()
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}
