//! Fresh databases on real servers, folders of migrations, and the program itself.

pub mod elasticsearch;
pub mod mongodb;
pub mod redis;
pub mod servers;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;

/// The kinds of database that the engine tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Sqlite,
}

pub const BOTH: [Kind; 2] = [Kind::Postgres, Kind::Sqlite];

/// A database that somebody else takes away.
pub struct Place {
    kind: Kind,
    url: String,
}

impl Place {
    pub fn execute(&self, sql: &str) {
        match self.kind {
            Kind::Postgres => wait(pg_query(&self.url, sql)),
            Kind::Sqlite => wait(sqlite_query(&self.url, sql)),
        }
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

/// A database that nobody else uses, taken away when dropped.
pub struct Database {
    pub kind: Kind,
    pub url: String,
    name: String,
    _dir: TempDir,
}

/// URL of the PostgreSQL server for tests.
pub fn postgres_server() -> String {
    std::env::var("GODWIT_TEST_POSTGRES_URL").expect(
        "these tests need a PostgreSQL server whose user may create databases: set GODWIT_TEST_POSTGRES_URL, or run \
         `scripts/test`, which brings one up",
    )
}

fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, None), |(b, q)| (b, Some(q)));
    let (base, _) = base.rsplit_once('/').expect("the server's URL names a database");
    query.map_or_else(|| format!("{base}/{name}"), |q| format!("{base}/{name}?{q}"))
}

/// Runs `work` to its end on a runtime of its own.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
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
    pub fn fresh(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("godwit_it_{}", ulid::Ulid::generate().to_string().to_lowercase());
        let url = match kind {
            Kind::Postgres => {
                let server = postgres_server();
                wait(pg_query(&server, &format!("create database {name}"))).expect("the test server makes databases");
                with_database(&server, &name)
            }
            Kind::Sqlite => format!("sqlite:{}", dir.path().join("target.db").display()),
        };
        Self { kind, url, name, _dir: dir }
    }

    /// The same database for another thread.
    pub fn at(kind: Kind, url: &str) -> Place {
        Place { kind, url: url.to_owned() }
    }

    /// Rows as texts; NULL is the empty text.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_query(sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub fn try_query(&self, sql: &str) -> Result<Vec<Vec<String>>, sqlx::Error> {
        match self.kind {
            Kind::Postgres => wait(pg_query(&self.url, sql)),
            Kind::Sqlite => wait(sqlite_query(&self.url, sql)),
        }
    }

    /// The first value of the first row.
    pub fn one(&self, sql: &str) -> String {
        self.query(sql).first().and_then(|r| r.first()).cloned().unwrap_or_default()
    }

    pub fn has_table(&self, table: &str) -> bool {
        let sql = match self.kind {
            Kind::Postgres => format!("select count(*)::text from pg_class where relname = '{table}'"),
            Kind::Sqlite => format!("select cast(count(*) as text) from sqlite_master where name = '{table}'"),
        };
        self.one(&sql) != "0"
    }

    /// `id state` of every row of the history.
    pub fn history(&self) -> Vec<String> {
        if !self.has_table("godwit_history") {
            return Vec::new();
        }
        self.query("select id, state from godwit_history order by id").iter().map(|r| r.join(" ")).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.kind == Kind::Postgres {
            let drop = format!("drop database if exists {} with (force)", self.name);
            let _ = wait(pg_query(&postgres_server(), &drop));
        }
    }
}

/// A folder of migrations, a store and a database.
pub struct Project {
    pub dir: TempDir,
    pub database: Database,
}

/// What the program said.
#[derive(Debug)]
pub struct Said {
    /// The exit code; `None` if it was killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Project {
    pub fn new(kind: Kind, files: &[(&str, &str)]) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap(), database: Database::fresh(kind) };
        std::fs::create_dir(project.migrations()).unwrap();
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    pub fn migrations(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("state/godwit.db")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.migrations().join(name), text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.migrations().join(name)).unwrap();
    }

    /// The program with the place given; `args[0]` is the command.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_at(&self.database.url, args)
    }

    pub fn command_at(&self, url: &str, args: &[&str]) -> Command {
        let mut command = godwit(self.dir.path());
        command.arg(args[0]).args(["--url", url, "--path"]).arg(self.migrations()).args(&args[1..]);
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

/// The program, away from the state of whoever runs the tests.
pub fn godwit(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command
        .current_dir(dir)
        .env("GODWIT_DATA_DIR", dir.join("state"))
        .env("USER", "tester")
        .env_remove("GODWIT_STORE_URL")
        .env_remove("GODWIT_FAILPOINT");
    command
}

/// Awaits `condition`, which is asked again and again, for at most a minute.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited too long until {what}");
        std::thread::yield_now();
    }
}
