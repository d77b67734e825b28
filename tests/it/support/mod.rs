//! Fresh databases on real servers, folders of migrations, and the program itself.

mod changes;
mod database;
mod documents;
pub mod elasticsearch;
mod look;
pub mod mongodb;
pub mod reader;
pub mod redis;
pub mod servers;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use changes::change;
pub use database::{ALL, BOTH, Database, Kind, Own, postgres_server};

/// Runs `work` to its end on a runtime of its own.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Does something on a thread of its own: no runtime may be entered from within another.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
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
        Self::of(Database::fresh(kind), files)
    }

    /// On a database that is there.
    pub fn of(database: Database, files: &[(&str, &str)]) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap(), database };
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

/// How long a test waits for what must come: far above what it takes, since a test's machine may have hardly any time.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Awaits `condition`, which is asked again and again, for at most [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::yield_now();
    }
}
