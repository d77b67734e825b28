//! A small HTTP client that can misbehave, and a `godwit serve` of one's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::support::PATIENCE;

pub const SECRET: &str = "webhook-secret-of-the-tests";

pub fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads one answer; `None` when the server went away without one.
pub fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A reset after the answer is the server refusing to read the rest of a body.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = text.split_once("\r\n\r\n")?.1.to_owned();
    Some(Answer { status, body })
}

pub fn request(address: SocketAddr, head: &str, body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).ok()?;
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(body);
    answer(&mut stream)
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, &format!("GET {path} HTTP/1.1"), b"").unwrap()
}

pub fn head(event: &str, delivery: &str, signature: &str) -> String {
    format!(
        "POST /github/webhook HTTP/1.1\r\nContent-Type: application/json\r\nX-GitHub-Event: {event}\r\n\
         X-GitHub-Delivery: {delivery}\r\nX-Hub-Signature-256: {signature}"
    )
}

/// Posts a delivery as GitHub does.
pub fn try_deliver(address: SocketAddr, event: &str, delivery: &str, body: &[u8]) -> Option<Answer> {
    request(address, &head(event, delivery, &sign(SECRET, body)), body)
}

pub fn deliver(address: SocketAddr, event: &str, delivery: &str, body: &[u8]) -> Answer {
    try_deliver(address, event, delivery, body).unwrap()
}

/// A comment with a command on pull request `number`.
pub fn comment(number: u64, text: &str) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "action": "created",
        "issue": { "number": number, "pull_request": { "url": "x" } },
        "comment": { "id": 1, "body": text },
        "repository": { "id": 1, "full_name": "o/r", "clone_url": "https://github.example/o/r.git", "default_branch": "main" },
        "installation": { "id": 7 },
        "sender": { "login": "alice", "type": "User" },
    }))
    .unwrap()
}

/// A running `godwit serve`; killed when dropped.
pub struct Served {
    child: Child,
    pub address: SocketAddr,
    pub dir: PathBuf,
}

impl Served {
    /// Starts it on a free port with its data in `dir` and its log in `dir/log`.
    pub fn start(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
        let mut child = command(dir, variables)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("http://").map(|(_, address)| address.parse().unwrap());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}: {}", log_of(dir)));
        Self { child, address, dir: dir.to_path_buf() }
    }

    pub fn log(&self) -> String {
        log_of(&self.dir)
    }

    /// SIGKILL: nothing is finished, flushed or closed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    pub fn wait(mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.log());
            std::thread::yield_now();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command(dir: &Path, variables: &[(&str, &str)]) -> Command {
    // Benches say another one.
    let program = std::env::var_os("GODWIT_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_godwit").into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GODWIT_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.arg("serve").env("GODWIT_DATA_DIR", dir).envs(variables.iter().copied());
    command
}

fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// The store's URL in such a folder.
pub fn store_url(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("godwit.db").display())
}
