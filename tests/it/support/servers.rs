//! The servers of `scripts/servers`: those that all tests share, and one of a test's own to be killed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

/// The address of a shared server, from the variable that `scripts/test` sets.
pub fn shared(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("this test needs a server: set {variable}, or run `scripts/test`, which brings one up")
    })
}

/// A server that nobody else uses, gone when dropped.
pub struct OwnServer {
    name: &'static str,
    dir: TempDir,
    /// Its address, which stays the same over [`OwnServer::kill`] and [`OwnServer::start`].
    pub url: String,
}

impl OwnServer {
    /// Brings up the server of this name, as `scripts/servers` names it.
    pub fn up(name: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Some servers run as a user of their own, who must get in.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        // From here on it is stopped when dropped, also when it never comes up.
        let mut server = Self { name, dir, url: String::new() };
        let line = server.script("up", &[]).unwrap_or_else(|error| panic!("{name} does not come up: {error}"));
        line.trim().split_once('=').expect("one line, KEY=VALUE").1.clone_into(&mut server.url);
        server
    }

    /// Brings up another one beside it, and gives its address.
    pub fn also(&self, name: &str) -> String {
        let line = self.script_for(name, "up", &[]).unwrap_or_else(|error| panic!("{name} does not come up: {error}"));
        line.trim().split_once('=').expect("one line, KEY=VALUE").1.to_owned()
    }

    /// Lets a server of its folder stand still, as one whose machine does.
    pub fn freeze(&self, name: &str) -> Frozen {
        let pid = std::fs::read_to_string(self.path().join(format!("{name}.pid"))).unwrap().trim().to_owned();
        assert!(Frozen::signal("STOP", &pid), "{name} runs as process {pid}");
        Frozen(pid)
    }

    /// Where its data and its log are.
    pub fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        self.script("kill", &[self.name]).unwrap();
    }

    /// Starts it again with its data, and returns when it answers.
    pub fn start(&self) {
        self.script("start", &[self.name]).unwrap();
    }

    fn script(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        self.script_for(self.name, command, arguments)
    }

    fn script_for(&self, name: &str, command: &str, arguments: &[&str]) -> Result<String, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers");
        let output = Command::new(script)
            .arg(command)
            .arg(self.dir.path())
            .args(arguments)
            .env("SERVERS", name)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// A server that stands still until this is dropped.
pub struct Frozen(String);

impl Frozen {
    fn signal(name: &str, pid: &str) -> bool {
        Command::new("kill").arg(format!("-{name}")).arg(pid).status().unwrap().success()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        Self::signal("CONT", &self.0);
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // A test that fails already has its reason; a second panic would hide it.
        let _ = self.script("down", &[]);
    }
}
