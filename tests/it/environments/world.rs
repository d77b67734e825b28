//! A repository with four environments of three databases each: two SQLite files and one PostgreSQL database.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Database, Kind, Said, godwit};

pub const ORDER: [&str; 4] = ["development", "testing", "staging", "production"];

pub const SHOP: &str = "CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";
pub const LOG: &str = "CREATE TABLE IF NOT EXISTS line (id INTEGER PRIMARY KEY, text TEXT NOT NULL);";
pub const STOCK: &str =
    "CREATE TABLE IF NOT EXISTS stock (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount bigint NOT NULL);";

pub struct World {
    pub dir: TempDir,
    stock: Vec<Database>,
}

impl World {
    pub fn new() -> Self {
        let stock = ORDER.iter().map(|_| Database::fresh(Kind::Postgres)).collect();
        let world = Self { dir: tempfile::tempdir().unwrap(), stock };
        world.write(
            "godwit.yml",
            "version: 1\nenvironments: [development, testing, staging, production]\nmigrations:\n\
             \x20 - { path: db/shop, target: shop }\n  - { path: services/*/migrations, target: log }\n\
             \x20 - { path: db/stock, target: stock }\n",
        );
        world.write("policies/environments.yml", &world.environments("  migration: { backup_required: false }\n"));
        world.write("db/shop/0001_item.up.sql", SHOP);
        world.write("db/shop/0001_item.down.sql", "DROP TABLE IF EXISTS item;");
        world.write("services/log/migrations/0001_line.up.sql", LOG);
        world.write("services/log/migrations/0001_line.down.sql", "DROP TABLE IF EXISTS line;");
        world.write("db/stock/0001_stock.up.sql", STOCK);
        world.write("db/stock/0001_stock.down.sql", "DROP TABLE IF EXISTS stock;");
        world
    }

    /// `environments.yml`; `more` goes into every environment.
    pub fn environments(&self, more: &str) -> String {
        let one = |name: &str| {
            let upper = name.to_uppercase();
            format!(
                "{name}:\n  targets:\n    shop: {{ engine: sqlite, url: \"sqlite:${{DATA}}/{name}-shop.db\" }}\n\
                 \x20   log: {{ engine: sqlite, url: \"sqlite:${{DATA}}/{name}-log.db\" }}\n\
                 \x20   stock: {{ engine: postgresql, url: \"${{{upper}_STOCK_URL}}\" }}\n{more}"
            )
        };
        ORDER.map(one).concat()
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn database(&self, environment: &str, target: &str) -> PathBuf {
        self.dir.path().join(format!("{environment}-{target}.db"))
    }

    pub fn stock(&self, environment: &str) -> &Database {
        &self.stock[ORDER.iter().position(|e| *e == environment).unwrap()]
    }

    pub fn store_url(&self) -> String {
        format!("sqlite:{}", self.dir.path().join("state/godwit.db").display())
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = godwit(self.dir.path());
        command.args(args).env("DATA", self.dir.path()).stdin(std::process::Stdio::null());
        for (name, database) in ORDER.iter().zip(&self.stock) {
            command.env(format!("{}_STOCK_URL", name.to_uppercase()), &database.url);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    /// Brings environments forward, each of which must let it.
    #[track_caller]
    pub fn bring(&self, environments: &[&str]) {
        for environment in environments {
            self.run(&["apply", environment, "--yes"]).expect(0);
        }
    }

    pub fn status(&self, environment: &str) -> serde_json::Value {
        self.run(&["status", environment, "--format", "json"]).expect(0).json()
    }
}
