//! One environment of several databases, for runs that end between two of them.

use std::collections::BTreeMap;

use crate::support::{Database, Kind, Said, godwit};

/// A step: its target and its migration.
pub type Link = (&'static str, &'static str);

/// The repository, and the databases by their target.
pub struct Several {
    pub dir: tempfile::TempDir,
    pub databases: BTreeMap<&'static str, Database>,
}

impl Several {
    /// An environment `development` of these: each one's target, its folder below `db`, and its kind.
    pub fn new(targets: &[(&'static str, &str, Kind)]) -> Self {
        let databases = targets.iter().map(|(target, _, kind)| (*target, Database::fresh(*kind))).collect();
        let all = Self { dir: tempfile::tempdir().unwrap(), databases };
        let (mut roots, mut listed) = (String::new(), String::new());
        for (target, folder, kind) in targets {
            let engine = kind.engine();
            roots.push_str(&format!("  - {{ path: db/{folder}, engine: {engine}, target: {target} }}\n"));
            listed.push_str(&format!(
                "    {target}: {{ engine: {engine}, url: \"${{{}_URL}}\" }}\n",
                target.to_uppercase()
            ));
        }
        all.write("godwit.yml", &format!("version: 1\nenvironments: [development]\nmigrations:\n{roots}"));
        all.write("policies/environments.yml", &format!("development:\n  targets:\n{listed}"));
        all
    }

    pub fn write(&self, name: &str, text: &str) {
        let file = self.dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn run(&self, args: &[&str], failpoint: Option<&str>) -> Said {
        let mut command = godwit(self.dir.path());
        command.args(args);
        for (target, database) in &self.databases {
            command.env(format!("{}_URL", target.to_uppercase()), &database.url);
        }
        if let Some(point) = failpoint {
            command.env("GODWIT_FAILPOINT", point);
        }
        command.output().unwrap().into()
    }

    /// The links of a chain that their databases say are applied.
    pub fn applied(&self, chain: &[Link]) -> Vec<Link> {
        let is_there = |(target, id): &Link| self.databases[target].history().contains(&format!("{id} applied"));
        chain.iter().copied().filter(is_there).collect()
    }
}

/// The steps of a report, in order.
pub fn ran(said: &serde_json::Value) -> Vec<(String, String)> {
    let word = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    said["steps"].as_array().unwrap().iter().map(|s| (word(&s["target"]), word(&s["migration"]))).collect()
}

pub fn owned(links: &[Link]) -> Vec<(String, String)> {
    links.iter().map(|(target, id)| ((*target).to_owned(), (*id).to_owned())).collect()
}
