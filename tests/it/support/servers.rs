//! Servers of a test's own, for those that kill one: `scripts/servers` starts them and brings them back with their data.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Kind;

/// A server that only its holder uses; ended when dropped.
pub struct OwnServer {
    name: &'static str,
    dir: TempDir,
    /// How to reach it.
    pub url: String,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers")
}

impl OwnServer {
    /// Starts one; `None` for SQLite, which has no server.
    pub fn up(kind: Kind) -> Option<Self> {
        let name = kind.server()?;
        // The users that servers run as must be able to enter it.
        let open = std::fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("godwit-server").permissions(open).tempdir().unwrap();
        let said = Command::new(script()).arg("up").arg(dir.path()).env("SERVERS", name).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let text = String::from_utf8(said.stdout).unwrap();
        let url = text.lines().find_map(|l| l.split_once('=')).map(|(_, url)| url.to_owned()).unwrap();
        Some(Self { name, dir, url })
    }

    fn ask(&self, command: &str) {
        let said = Command::new(script()).arg(command).arg(self.dir.path()).arg(self.name).output().unwrap();
        assert!(said.status.success(), "{command} {}: {}", self.name, String::from_utf8_lossy(&said.stderr));
    }

    /// Ends it as a crash would, and starts it again with its data.
    pub fn crash_and_start(&self) {
        self.ask("kill");
        self.ask("start");
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("down").arg(self.dir.path()).output();
    }
}
