//! A repository with one environment of one database, which requires a backup before every run.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Database, Kind, Said, godwit};

pub struct World {
    pub dir: TempDir,
    pub database: Database,
}

impl World {
    pub fn new(kind: Kind) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), database: Database::fresh(kind) };
        let engine = kind.engine();
        world.write(
            "godwit.yml",
            "version: 1\nenvironments: [development]\nmigrations:\n  - { path: db, target: shop }\n",
        );
        world.write(
            "policies/environments.yml",
            &format!(
                "development:\n  targets:\n    shop: {{ engine: {engine}, url: \"${{SHOP_URL}}\", region: eu-west }}\n\
                 \x20 migration: {{ backup_required: true }}\n"
            ),
        );
        world
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = godwit(self.dir.path());
        command.args(args).env("SHOP_URL", &self.database.url).stdin(std::process::Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    pub fn run_killed_at(&self, point: &str, args: &[&str]) -> Said {
        self.command(args).env("GODWIT_FAILPOINT", point).output().unwrap().into()
    }

    pub fn shelf(&self) -> PathBuf {
        self.dir.path().join("state/backups")
    }

    /// Names in the folder of backups, sorted.
    pub fn files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.shelf()) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The one backup whose name does not end in `.meta`.
    pub fn newest(&self) -> String {
        self.files().into_iter().rfind(|n| !n.ends_with(".meta")).unwrap()
    }

    pub fn meta(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.shelf().join(format!("{name}.meta"))).unwrap()).unwrap()
    }
}
