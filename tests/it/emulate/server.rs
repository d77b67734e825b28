//! The real `godwit serve`, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::world::{APP_ID, REPOSITORY, SECRET, World};

/// The environments of the shop, in promotion order.
pub const ENVIRONMENTS: [&str; 4] = ["development", "testing", "staging", "production"];

/// A running server. Dropping it ends the process.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    log: PathBuf,
}

impl Server {
    /// Starts it on a free port, for the world's App, and lets the world's webhooks go to it.
    pub fn start(world: &World) -> Self {
        let log = world.root.path().join("godwit.log");
        let mut child = godwit(world)
            .args(["serve", "--listen", "127.0.0.1:0", "--format", "json"])
            .env("GODWIT_GITHUB_API_URL", &world.url)
            .env("GODWIT_GITHUB_APP_ID", APP_ID.to_string())
            .env("GODWIT_GITHUB_PRIVATE_KEY_FILE", &world.key)
            .env("GODWIT_WEBHOOK_SECRET", SECRET)
            .env("GODWIT_SECRET_VARS", secret_vars())
            .env("GODWIT_SWEEP_INTERVAL", "3600")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("the server did not start: {error}: {line}{}", std::fs::read_to_string(&log).unwrap())
        });
        let url = said["listening"].as_str().unwrap().to_owned();
        world.send_webhooks_to(&format!("{url}/github/webhook"));
        Self { child, url, log }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks it to end, as an operator does, and waits.
    pub fn stop(mut self) -> ExitStatus {
        let done = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
        let end = Instant::now() + crate::support::PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server did not end in 30 s\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `godwit` with the world's data directory and databases, and nothing else of this process's environment.
pub fn godwit(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("GODWIT_DATA_DIR", world.root.path().join("data"))
        .stdin(Stdio::null());
    for environment in ENVIRONMENTS {
        command.env(variable(environment), database(world, environment));
    }
    command
}

/// The environment's SQLite file.
pub fn database(world: &World, environment: &str) -> PathBuf {
    world.root.path().join(format!("{environment}.db"))
}

fn variable(environment: &str) -> String {
    format!("SHOP_{}_DB", environment.to_uppercase())
}

fn secret_vars() -> String {
    ENVIRONMENTS.map(|environment| format!("{REPOSITORY}:{environment}={}", variable(environment))).join(";")
}
