//! The store on both databases that may hold it: deliveries, jobs, approvals, environments, schema.
//!
//! A test is a function of a fresh store; `on_both!` makes it a test on SQLite and one on PostgreSQL.

mod moving;
mod people;
mod queue;
mod records;
mod renames;
mod replicas;
mod schema;
mod turns;

use std::process::Command;

use godwit::store::Store;
use tempfile::TempDir;

use crate::support::{Database, Kind, apart};

/// Makes each function, which takes a [`Fresh`], a test on a SQLite file and one on a PostgreSQL server.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::store::fresh_on($crate::support::Kind::Sqlite).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::store::fresh_on($crate::support::Kind::Postgres).await).await;
            })+
        }
    };
}
pub(crate) use on_both;

/// A store with a folder of its own for what is kept beside it; both go when this does.
pub struct Fresh {
    pub dir: TempDir,
    pub store: Store,
    url: String,
    database: Server,
}

/// A database of a server, which goes on a thread of its own: no runtime may be entered from within another.
pub struct Server(Option<Database>);

impl Drop for Server {
    fn drop(&mut self) {
        let database = self.0.take();
        apart(move || drop(database));
    }
}

impl Fresh {
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Name of the database on its server.
    pub fn database(&self) -> &str {
        self.database.0.as_ref().map_or("", Database::name)
    }

    pub fn kind(&self) -> Kind {
        if self.is_postgres() { Kind::Postgres } else { Kind::Sqlite }
    }

    pub fn is_postgres(&self) -> bool {
        self.database.0.is_some()
    }

    /// Another process's view: a second handle on the same store.
    pub async fn again(&self) -> Store {
        Store::open_in(&self.url, Some(self.dir.path()), None).await.unwrap()
    }

    /// Raw access, as somebody has who holds the file or the server.
    pub async fn raw(&self, sql: &str) -> sqlx::Result<u64> {
        use sqlx::Connection as _;
        let mut connection = sqlx::AnyConnection::connect(&self.url).await?;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    }

    /// Every row of every table but those of processes, as texts.
    pub async fn rows(&self) -> std::collections::BTreeMap<String, Vec<String>> {
        use sqlx::{Column as _, Connection as _, Row as _, ValueRef as _};
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let sql = match self.kind() {
            Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            _ => {
                "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            }
        };
        let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
        let mut all = std::collections::BTreeMap::new();
        for table in tables.into_iter().filter(|t| !["_sqlx_migrations", "replicas", "facts"].contains(&t.as_str())) {
            let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
            let found = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
            let text = |row: &sqlx::any::AnyRow, i: usize| {
                if row.try_get_raw(i).unwrap().is_null() {
                    return "-".to_owned();
                }
                row.try_get::<i64, _>(i).map_or_else(|_| row.get::<String, _>(i), |n| n.to_string())
            };
            let mut rows: Vec<String> = found
                .iter()
                .map(|row| {
                    let columns = row.columns().iter().map(|c| format!("{}={}", c.name(), text(row, c.ordinal())));
                    columns.collect::<Vec<_>>().join(" ")
                })
                .collect();
            rows.sort();
            all.insert(table, rows);
        }
        connection.close().await.unwrap();
        all
    }

    /// The program on this store, without anybody's settings.
    pub fn godwit(&self) -> Command {
        let mut command = crate::support::godwit(self.dir.path());
        command
            .env("GODWIT_STORE_URL", &self.url)
            .env("GODWIT_DATA_DIR", self.dir.path())
            .env_remove("GODWIT_AUDIT_KEY")
            .env_remove("GODWIT_AUDIT_KEY_FILE");
        command
    }
}

/// A place for a store, where none was made yet.
pub fn place_on(kind: Kind) -> (TempDir, String, Server) {
    let dir = tempfile::tempdir().unwrap();
    let database = (kind == Kind::Postgres).then(|| apart(|| Database::fresh(kind)));
    let url = match &database {
        Some(database) => database.url.clone(),
        None => format!("sqlite:{}", dir.path().join("godwit.db").display()),
    };
    (dir, url, Server(database))
}

/// A store in a file.
pub async fn fresh() -> Fresh {
    fresh_on(Kind::Sqlite).await
}

/// A store of that kind.
pub async fn fresh_on(kind: Kind) -> Fresh {
    let (dir, url, database) = place_on(kind);
    let store = Store::open_in(&url, Some(dir.path()), None).await.unwrap();
    Fresh { dir, store, url, database }
}
