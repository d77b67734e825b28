//! Databases that nobody else uses, on the servers of the tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use godwit::ids::Engine;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;

use super::servers::shared;
use super::{apart, wait};

/// The kinds of database that the engine tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Postgres,
    Sqlite,
    Mongodb,
    /// MongoDB without transactions.
    MongodbStandalone,
    Redis,
    RedisCluster,
    Elasticsearch,
}

/// Those that speak SQL.
pub const BOTH: [Kind; 2] = [Kind::Postgres, Kind::Sqlite];

/// Every kind.
pub const ALL: [Kind; 7] = [
    Kind::Postgres,
    Kind::Sqlite,
    Kind::Mongodb,
    Kind::MongodbStandalone,
    Kind::Redis,
    Kind::RedisCluster,
    Kind::Elasticsearch,
];

impl Kind {
    /// Its engine.
    pub fn engine(self) -> Engine {
        match self {
            Kind::Postgres => Engine::Postgresql,
            Kind::Sqlite => Engine::Sqlite,
            Kind::Mongodb | Kind::MongodbStandalone => Engine::Mongodb,
            Kind::Redis | Kind::RedisCluster => Engine::Redis,
            Kind::Elasticsearch => Engine::Elasticsearch,
        }
    }

    /// What `scripts/servers` calls its server; SQLite has none.
    pub fn server(self) -> Option<&'static str> {
        Some(match self {
            Kind::Postgres => "postgres",
            Kind::Sqlite => return None,
            Kind::Mongodb => "mongodb",
            Kind::MongodbStandalone => "mongodb_standalone",
            Kind::Redis => "redis",
            Kind::RedisCluster => "redis_cluster",
            Kind::Elasticsearch => "elasticsearch",
        })
    }

    /// A word for people.
    pub fn name(self) -> &'static str {
        self.server().map_or("sqlite", |s| if s == "postgres" { "postgresql" } else { s })
    }
}

/// A database that nobody else uses, taken away when dropped.
pub struct Database {
    pub kind: Kind,
    pub url: String,
    server: String,
    name: String,
    /// Whether nobody else uses the server.
    pub(super) alone: bool,
    _dir: TempDir,
}

/// URL of the PostgreSQL server for tests.
pub fn postgres_server() -> String {
    server_of(Kind::Postgres)
}

/// URL of the server of a kind for tests; empty for SQLite.
pub fn server_of(kind: Kind) -> String {
    let Some(server) = kind.server() else { return String::new() };
    shared(&format!("GODWIT_TEST_{}_URL", server.to_uppercase()))
}

/// The server's URL with `name` as its database.
fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, None), |(b, q)| (b, Some(q)));
    let (base, _) = base.rsplit_once('/').expect("the server's URL ends with a path");
    query.map_or_else(|| format!("{base}/{name}"), |q| format!("{base}/{name}?{q}"))
}

async fn pg_query(url: &str, sql: &str) -> Result<Vec<Vec<String>>, sqlx::Error> {
    let mut c = sqlx::PgConnection::connect(url).await?;
    let rows = c.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    c.close().await?;
    Ok(rows
        .iter()
        .map(|r| {
            (0..r.columns().len())
                .map(|i| r.try_get_unchecked::<Option<String>, _>(i).unwrap_or_default().unwrap_or_default())
                .collect()
        })
        .collect())
}

async fn sqlite_query(url: &str, sql: &str) -> Result<Vec<Vec<String>>, sqlx::Error> {
    let options = url.parse::<sqlx::sqlite::SqliteConnectOptions>()?.create_if_missing(true).foreign_keys(false);
    let mut c = sqlx::ConnectOptions::connect(&options).await?;
    let rows = c.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    c.close().await?;
    Ok(rows
        .iter()
        .map(|r| {
            (0..r.columns().len())
                .map(|i| r.try_get_unchecked::<Option<String>, _>(i).unwrap_or_default().unwrap_or_default())
                .collect()
        })
        .collect())
}

impl Database {
    /// An empty one on the server of the tests. Redis and Elasticsearch have no databases to make: there a namespace
    /// keeps Godwit's own apart, and what a test makes must have [`Database::name`] in its name.
    pub fn fresh(kind: Kind) -> Self {
        Self::made(kind, &server_of(kind), false)
    }

    /// An empty one on a server that nobody else uses.
    pub fn alone_on(kind: Kind, server: &str) -> Self {
        let database = Self::made(kind, server, true);
        database.wipe();
        database
    }

    fn made(kind: Kind, server: &str, alone: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("it_{}", ulid::Ulid::generate().to_string().to_lowercase());
        let url = match kind {
            Kind::Postgres => {
                // What the server has acknowledged must survive its own end, as on any server that matters.
                let make = format!("create database {name}");
                wait(pg_query(server, &make)).expect("the test server makes databases");
                let durable = format!("alter database {name} set synchronous_commit = on");
                wait(pg_query(server, &durable)).expect("the test server makes databases");
                with_database(server, &name)
            }
            Kind::Sqlite => format!("sqlite:{}", dir.path().join("target.db").display()),
            Kind::Mongodb | Kind::MongodbStandalone => with_database(server, &name),
            Kind::Redis | Kind::RedisCluster | Kind::Elasticsearch => {
                format!("{}/?namespace={name}", server.trim_end_matches('/'))
            }
        };
        Self { kind, url, server: server.to_owned(), name, alone, _dir: dir }
    }

    /// Its name on its server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of a SQLite database.
    pub fn file(&self) -> PathBuf {
        PathBuf::from(self.url.trim_start_matches("sqlite:"))
    }

    /// Rows as texts; NULL is the empty text.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_query(sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub fn try_query(&self, sql: &str) -> Result<Vec<Vec<String>>, sqlx::Error> {
        match self.kind {
            Kind::Sqlite => apart(|| wait(sqlite_query(&self.url, sql))),
            _ => apart(|| wait(pg_query(&self.url, sql))),
        }
    }

    /// The first value of the first row.
    pub fn one(&self, sql: &str) -> String {
        self.query(sql).first().and_then(|r| r.first()).cloned().unwrap_or_default()
    }

    pub fn has_table(&self, table: &str) -> bool {
        let sql = match self.kind {
            Kind::Sqlite => format!("select cast(count(*) as text) from sqlite_master where name = '{table}'"),
            _ => format!("select count(*)::text from pg_class where relname = '{table}'"),
        };
        self.one(&sql) != "0"
    }

    /// `id state` of every row of the history.
    pub fn history(&self) -> Vec<String> {
        if BOTH.contains(&self.kind) {
            if !self.has_table("godwit_history") {
                return Vec::new();
            }
            return self
                .query("select id, state from godwit_history order by id")
                .iter()
                .map(|r| r.join(" "))
                .collect();
        }
        let mut rows: Vec<String> =
            self.look().history.iter().map(|r| format!("{} {}", r.id, r.state.as_str())).collect();
        rows.sort();
        rows
    }

    /// Every row, document and key with its place, Godwit's own among them or not: two equal databases give equal ones.
    pub fn contents(&self, own: Own) -> BTreeMap<String, Vec<String>> {
        if !BOTH.contains(&self.kind) {
            return self.documents(own);
        }
        if self.kind == Kind::Sqlite && !self.file().exists() {
            return BTreeMap::new();
        }
        let tables = match self.kind {
            Kind::Sqlite => "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'",
            _ => "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
        };
        let tables = self.query(tables).into_iter().map(|r| r[0].clone());
        tables
            .filter(|t| own == Own::Too || !t.starts_with("godwit_"))
            .map(|table| {
                let sql = match self.kind {
                    Kind::Sqlite => format!("select * from \"{table}\""),
                    _ => format!("select row_to_json(t)::text from \"{table}\" t"),
                };
                let mut rows: Vec<String> = self.query(&sql).iter().map(|r| r.join("|")).collect();
                rows.sort();
                (table, rows)
            })
            .collect()
    }
}

/// Whether Godwit's own objects are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    Too,
    Not,
}

impl Drop for Database {
    fn drop(&mut self) {
        match self.kind {
            Kind::Postgres => {
                let drop = format!("drop database if exists {} with (force)", self.name);
                let _ = wait(pg_query(&self.server, &drop));
            }
            Kind::Mongodb | Kind::MongodbStandalone => {
                let _ = self.mongo(&serde_json::json!({ "dropDatabase": 1 }));
            }
            Kind::Redis | Kind::RedisCluster | Kind::Elasticsearch => self.wipe(),
            Kind::Sqlite => {}
        }
    }
}
