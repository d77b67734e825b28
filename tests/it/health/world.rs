//! A repository with one environment of one database, and an address that answers what a test says.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::support::{Database, Kind, Said, godwit};

/// Answers every request by a function of its number, from 1.
pub struct Endpoint {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Endpoint {
    pub fn answering(answer: impl Fn(usize) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&asked), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                let (status, body) = answer(count.fetch_add(1, Ordering::SeqCst) + 1);
                // Who asked may have gone away.
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { address, asked, over }
    }

    /// The same to every request.
    pub fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::answering(move |_| (status, body.clone()))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
    }
}

pub struct World {
    pub dir: TempDir,
    pub database: Database,
}

impl World {
    /// `more` goes into the environment.
    pub fn new(kind: Kind, files: &[(&str, &str)], more: &str) -> Self {
        Self::on(Database::fresh(kind), files, more)
    }

    pub fn on(database: Database, files: &[(&str, &str)], more: &str) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), database };
        world.write(
            "godwit.yml",
            "version: 1\nenvironments: [development]\nmigrations:\n  - { path: m, target: shop }\n",
        );
        world.environment(more);
        for (name, text) in files {
            world.write(&format!("m/{name}"), text);
        }
        world
    }

    /// Writes `environments.yml` with `more` in the environment.
    pub fn environment(&self, more: &str) {
        let engine = self.database.kind.engine();
        self.write(
            "policies/environments.yml",
            &format!("development:\n  targets: {{ shop: {{ engine: {engine}, url: \"${{SHOP_URL}}\" }} }}\n{more}"),
        );
    }

    pub fn write(&self, path: &str, text: &str) {
        let file: PathBuf = self.dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let mut command = godwit(self.dir.path());
        command.args(args).env("SHOP_URL", &self.database.url).stdin(std::process::Stdio::null());
        command.output().unwrap().into()
    }

    /// `apply`, as JSON.
    #[track_caller]
    pub fn apply(&self, code: i32) -> serde_json::Value {
        self.run(&["apply", "development", "--yes", "--format", "json"]).expect(code).json()
    }
}
