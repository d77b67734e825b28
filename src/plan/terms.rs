//! The terms of an agreement besides the content itself: which databases a run goes to, and how it goes there. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{Engine, TargetName};
use crate::migration::Migration;
use crate::migration::execution::Execution;

/// Keys of a URL's query that say which database is meant; others say how it is spoken to.
const PLACES: [&str; 10] = [
    "namespace",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "options",
    "search_path",
    "schema",
    "currentSchema",
    "schema_search_path",
];

/// Where a run goes and how it goes there, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The version of this program.
    pub tool: String,
    /// The databases.
    pub targets: BTreeMap<TargetName, Place>,
    /// How each migration is carried out, as a hash: in one transaction or which statements on their own, each with what
    /// may be done about it after a crash.
    pub steps: BTreeMap<String, String>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its kind.
    pub engine: Engine,
    /// Which one it is, as a hash of host, port and name; without user and password, which may change at any time. `None`
    /// where a variable was not set.
    pub database: Option<String>,
}

impl Terms {
    /// Those of this moment. A target's URL is given where its variables are set.
    pub fn of<'a>(
        targets: impl Iterator<Item = (&'a TargetName, Engine, Option<&'a str>)>,
        migrations: impl Iterator<Item = &'a Migration>,
    ) -> Self {
        Self {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            targets: targets
                .map(|(name, engine, url)| (name.clone(), Place { engine, database: url.map(place) }))
                .collect(),
            steps: migrations.map(|m| (m.reference(), way(m))).collect(),
        }
    }

    /// What is not as it was, in sentences. Another version of the program alone is no difference, nor is what was not known
    /// at one of the two moments.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut out = Vec::new();
        for (name, place) in &now.targets {
            let Some(before) = self.targets.get(name) else {
                out.push(format!("`{name}` is a database that the environment did not have then"));
                continue;
            };
            if before.engine != place.engine {
                out.push(format!("`{name}` is {} now and was {}", place.engine, before.engine));
            } else if before.database.is_some() && place.database.is_some() && before.database != place.database {
                out.push(format!("`{name}` is another database now: its host, port or name changed"));
            }
        }
        for name in self.targets.keys().filter(|name| !now.targets.contains_key(*name)) {
            out.push(format!("`{name}` is no longer a database of the environment"));
        }
        for (migration, way) in &now.steps {
            if self.steps.get(migration).is_some_and(|before| before != way) {
                out.push(format!(
                    "`{migration}` would be carried out in another way by Godwit {} than by {}, which showed the plan",
                    now.tool, self.tool
                ));
            }
        }
        out
    }
}

fn hash(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
}

/// Which database a URL means.
fn place(url: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A file's name may hold an `@`; a host's cannot.
    let hosts =
        if scheme.is_empty() { hosts.to_owned() } else { hosts.rsplit('@').next().unwrap_or(hosts).to_lowercase() };
    let mut places: Vec<&str> =
        query.split('&').filter(|pair| PLACES.contains(&pair.split(['=', '[']).next().unwrap_or_default())).collect();
    places.sort_unstable();
    hash(&format!("{hosts}\0{}\0{}", path.trim_end_matches('/'), places.join("&")))
}

/// How a migration is carried out, forth and back.
fn way(migration: &Migration) -> String {
    let scripts = std::iter::once(&migration.up).chain(&migration.down);
    let ways = scripts.map(|script| match script.execution(migration.engine, migration.directives.no_transaction) {
        Ok(Execution::Transaction { .. }) => "transaction".to_owned(),
        Ok(Execution::Statements(statements)) => {
            let each = statements.iter().map(|s| format!("{}-{} {:?}", s.range.start, s.range.end, s.nature));
            each.collect::<Vec<_>>().join("\n")
        }
        Err(refused) => format!("refused by {}", refused.rule),
    });
    hash(&ways.collect::<Vec<_>>().join("\0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{MigrationRoot, SourceFile, resolve};

    fn terms(url: Option<&str>, sql: &str) -> Terms {
        let root = MigrationRoot { engine: Some(Engine::Postgresql), ..MigrationRoot::folder("") };
        let set = resolve(&[SourceFile::new("0001_a.up.sql", sql)], &[root]);
        let shop = TargetName::new("shop").unwrap();
        Terms::of(std::iter::once((&shop, Engine::Postgresql, url)), set.migrations.iter())
    }

    #[test]
    fn r16_who_logs_in_and_how_is_no_other_database() {
        let base = terms(Some("postgres://ann:a@DB.example.com:5432/shop?sslmode=require"), "SELECT 1;");
        for same in [
            "postgres://bob:hunter2@db.example.com:5432/shop",
            "postgresql://db.example.com:5432/shop?sslmode=verify-full&application_name=x",
        ] {
            assert_eq!(base.differences(&terms(Some(same), "SELECT 1;")), Vec::<String>::new(), "{same}");
        }
        for other in [
            "postgres://ann:a@db2.example.com:5432/shop",
            "postgres://ann:a@db.example.com:5433/shop",
            "postgres://ann:a@db.example.com:5432/shop2",
            "postgres://ann:a@db.example.com:5432/shop?options=-csearch_path%3Dx",
            "postgres://ann:a@db.example.com:5432/shop?options[search_path]=x",
            "postgres://ann:a@db.example.com:5432/shop?schema=x",
        ] {
            let found = base.differences(&terms(Some(other), "SELECT 1;"));
            assert!(
                found.len() == 1 && found[0].contains("another database") && !found[0].contains("example"),
                "{found:?}"
            );
        }
        assert_eq!(base.differences(&terms(None, "SELECT 1;")), Vec::<String>::new(), "not known is no difference");
        assert_ne!(place("sqlite:a@b.db"), place("sqlite:b.db"));
    }

    #[test]
    fn r16_another_version_alone_is_no_difference_another_way_is() {
        let base = terms(None, "CREATE INDEX CONCURRENTLY i ON t (a);");
        let mut older = base.clone();
        older.tool = "0.0.1".to_owned();
        assert_eq!(older.differences(&base), Vec::<String>::new());
        older.steps.values_mut().for_each(|way| way.push('x'));
        let found = older.differences(&base);
        assert!(found.len() == 1 && found[0].contains("0.0.1") && found[0].contains("0001_a"), "{found:?}");
        assert_ne!(base.steps, terms(None, "CREATE INDEX i ON t (a);").steps);
    }

    #[test]
    fn r16_a_database_more_less_or_of_another_kind_is_told() {
        let base = terms(None, "SELECT 1;");
        let mut now = base.clone();
        now.targets.values_mut().for_each(|p| p.engine = Engine::Sqlite);
        assert!(
            base.differences(&now)[0].contains("`shop` is sqlite now and was postgresql"),
            "{:?}",
            base.differences(&now)
        );
        now.targets.clear();
        assert!(base.differences(&now)[0].contains("no longer"));
        assert!(now.differences(&base)[0].contains("did not have"));
    }
}
