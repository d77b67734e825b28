//! Redis servers for tests: each test has keys and a namespace of its own on servers that all share.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use redis::{Commands as _, ConnectionLike as _};
use tempfile::TempDir;

use super::{Said, godwit, servers};

/// What a connection of a test can be.
pub enum Wire {
    One(redis::Connection),
    Many(Box<redis::cluster::ClusterConnection>),
}

/// A folder of migrations and a place on a server.
pub struct RedisProject {
    pub dir: TempDir,
    /// The server, with the namespace.
    pub url: String,
    /// What every key of the test begins with.
    pub prefix: String,
    pub namespace: String,
    pub cluster: bool,
    server: String,
}

/// One server, and the cluster.
pub const BOTH: [bool; 2] = [false, true];

impl RedisProject {
    pub fn new(cluster: bool, files: &[(&str, &str)]) -> Self {
        let variable = if cluster { "GODWIT_TEST_REDIS_CLUSTER_URL" } else { "GODWIT_TEST_REDIS_URL" };
        Self::at(&servers::shared(variable), cluster, files)
    }

    /// On a server that the test has for itself. `PREFIX` in a file is the prefix of the test's keys.
    pub fn at(server: &str, cluster: bool, files: &[(&str, &str)]) -> Self {
        let name = format!("t{}", ulid::Ulid::generate().to_string().to_lowercase());
        let project = Self {
            dir: tempfile::tempdir().unwrap(),
            url: format!("{server}?namespace={name}"),
            prefix: format!("{name}:"),
            namespace: name,
            cluster,
            server: server.to_owned(),
        };
        std::fs::create_dir(project.dir.path().join("redis")).unwrap();
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    pub fn write(&self, name: &str, text: &str) {
        let text = text.replace("PREFIX", &self.prefix);
        std::fs::write(self.dir.path().join("redis").join(name), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = godwit(self.dir.path());
        command.arg(args[0]).args(["--url", &self.url, "--path"]).arg(self.dir.path().join("redis")).args(&args[1..]);
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

    pub fn connect(&self) -> Wire {
        if self.cluster {
            let nodes: Vec<String> = nodes(&self.server);
            Wire::Many(Box::new(redis::cluster::ClusterClient::new(nodes).unwrap().get_connection().unwrap()))
        } else {
            Wire::One(redis::Client::open(self.server.as_str()).unwrap().get_connection().unwrap())
        }
    }

    /// Every node by itself.
    pub fn each_node(&self) -> Vec<redis::Connection> {
        let nodes = if self.cluster { nodes(&self.server) } else { vec![self.server.clone()] };
        nodes.iter().map(|n| redis::Client::open(n.as_str()).unwrap().get_connection().unwrap()).collect()
    }

    /// A key of the test.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Sends one command.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|w| {
            command.arg(*w);
        });
        let value = match self.connect() {
            Wire::One(mut c) => c.req_command(&command).unwrap(),
            Wire::Many(mut c) => c.req_command(&command).unwrap(),
        };
        redis::from_redis_value(value.extract_error().unwrap()).unwrap()
    }

    /// Sends many commands at once, in the order of their keys' nodes.
    pub fn pour(&self, commands: impl Iterator<Item = Vec<String>>) {
        let mut wire = self.connect();
        let commands: Vec<Vec<String>> = commands.collect();
        for part in commands.chunks(10_000) {
            match &mut wire {
                Wire::One(c) => {
                    let mut pipe = redis::pipe();
                    for words in part {
                        pipe.cmd(&words[0]);
                        words[1..].iter().for_each(|w| {
                            pipe.arg(w);
                        });
                        pipe.ignore();
                    }
                    pipe.exec(c).unwrap();
                }
                Wire::Many(c) => {
                    let mut pipe = redis::cluster::cluster_pipe();
                    for words in part {
                        let mut command = redis::cmd(&words[0]);
                        words[1..].iter().for_each(|w| {
                            command.arg(w);
                        });
                        pipe.add_command(command).ignore();
                    }
                    pipe.exec(c.as_mut()).unwrap();
                }
            }
        }
    }

    /// The test's keys.
    pub fn keys(&self) -> Vec<String> {
        self.found(&format!("{}*", self.prefix))
    }

    /// Godwit's keys for the test that are neither history nor fence; in a cluster those of other tests' slots may be
    /// among them, so only a server of its own is asked.
    pub fn leftovers(&self) -> Vec<String> {
        let own = format!("godwit:{{{}}}:*", self.namespace);
        let mut left = self.found(&own);
        left.retain(|k| !k.ends_with(":history") && !k.ends_with(":fence"));
        left
    }

    fn found(&self, pattern: &str) -> Vec<String> {
        let mut all = Vec::new();
        for mut node in self.each_node() {
            let found: Vec<String> = node
                .scan_options(redis::ScanOptions::default().with_pattern(pattern).with_count(10_000))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            all.extend(found);
        }
        all.sort();
        all.dedup();
        all
    }

    /// How often each value of a field stands in the test's hashes.
    pub fn counts(&self, field: &str) -> BTreeMap<Option<i64>, usize> {
        self.counts_in(field, &self.keys())
    }

    /// The values of a field that stand in some of the test's hashes.
    pub fn counts_of(&self, field: &str, keys: &[&str]) -> Vec<i64> {
        let keys: Vec<String> = keys.iter().map(|k| self.key(k)).collect();
        self.counts_in(field, &keys).into_keys().flatten().collect()
    }

    fn counts_in(&self, field: &str, keys: &[String]) -> BTreeMap<Option<i64>, usize> {
        let mut counts = BTreeMap::new();
        let mut wire = self.connect();
        for part in keys.chunks(10_000) {
            let values: Vec<Option<i64>> = match &mut wire {
                Wire::One(c) => {
                    let mut pipe = redis::pipe();
                    part.iter().for_each(|k| {
                        pipe.hget(k, field);
                    });
                    pipe.query(c).unwrap()
                }
                Wire::Many(c) => {
                    let mut pipe = redis::cluster::cluster_pipe();
                    part.iter().for_each(|k| {
                        pipe.hget(k, field);
                    });
                    pipe.query(c.as_mut()).unwrap()
                }
            };
            for value in values {
                *counts.entry(value).or_default() += 1;
            }
        }
        counts
    }

    /// `id state` of every row of the history.
    pub fn history(&self) -> Vec<String> {
        let kept: BTreeMap<String, String> = self.ask(&["HGETALL", &format!("godwit:{{{}}}:history", self.namespace)]);
        kept.values()
            .map(|text| {
                let row = &serde_json::from_str::<serde_json::Value>(text).unwrap()["row"];
                format!("{} {}", row["id"].as_str().unwrap(), row["state"].as_str().unwrap())
            })
            .collect()
    }
}

impl Drop for RedisProject {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut keys = self.keys();
        keys.extend(self.found(&format!("godwit:{{{}}}:*", self.namespace)));
        self.pour(keys.into_iter().map(|k| vec!["UNLINK".to_owned(), k]));
    }
}

fn nodes(server: &str) -> Vec<String> {
    let rest = server.strip_prefix("redis-cluster://").expect("a cluster's URL");
    rest.split(',').map(|n| format!("redis://{n}/")).collect()
}
