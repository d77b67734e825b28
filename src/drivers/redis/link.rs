//! The connection: to one server, or to every master of a cluster. Commands that stand here bear being sent twice, since
//! each script compares marks first; so what a lost connection left in doubt is sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, RedisError, TlsCertificates};

use super::address::Address;
use super::lines::Lines;
use super::lua::Lua;
use super::message::{self, Kind};
use super::names::{SLOTS, slot_of};
use crate::drivers::{DriverError, jittered, tls};

/// How long a server that is not ready yet is waited for at first.
const AT_FIRST: Duration = Duration::from_secs(10);

/// Where a command goes.
#[derive(Debug, Clone)]
pub(crate) enum To {
    /// The master of a slot.
    Slot(u16),
    /// One node.
    Node(Node),
}

/// A master, or the one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name in the cluster; empty for one server.
    pub id: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The slots that it has, first and last.
    pub slots: Vec<(u16, u16)>,
}

impl Node {
    /// Where it is.
    pub fn place(&self) -> (String, u16) {
        (self.host.clone(), self.port)
    }
}

/// A connection; clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    lines: Arc<Lines>,
    shown: Arc<str>,
    /// How long a server that is away for a moment is waited for.
    pub patience: Duration,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("to", &self.shown).finish_non_exhaustive()
    }
}

/// How a URL speaks of TLS.
const TLS: tls::Words = tls::Words { on: "`rediss://`", off: "`redis://`", authority: "`ca=FILE`" };

/// The certificates that the server's may be signed by, where the URL names some.
fn authority(address: &Address) -> Result<Option<TlsCertificates>, DriverError> {
    let Some(file) = &address.ca else { return Ok(None) };
    let read = std::fs::read(file).map_err(|e| {
        DriverError::Unreachable(format!("cannot read `{}`, which `ca` in the URL names: {e}", file.display()))
    })?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(read) }))
}

impl Link {
    /// Connects; a server that reads its data or runs a script is waited for.
    pub(super) async fn open(address: &Address) -> Result<Self, DriverError> {
        let shown = address.shown();
        let began = Instant::now();
        let lines = Lines::new(address.clone(), authority(address)?);
        let opened = loop {
            match lines.open().await {
                // The client says in words what the server said of the choice of a database.
                Err(error)
                    if began.elapsed() < AT_FIRST
                        && (message::kind(&error) == Kind::Wait || error.to_string().contains("BUSY ")) =>
                {
                    tokio::time::sleep(jittered(Duration::from_millis(200))).await;
                }
                answer => break answer,
            }
        };
        opened.map_err(|e| match message::unreachable(&e, &shown) {
            // A server without TLS says nothing to a greeting that it does not understand.
            DriverError::Unreachable(words) if address.tls && e.is_timeout() => DriverError::Unreachable(format!(
                "{words}: does it speak TLS on this port? `redis://` is for servers without TLS"
            )),
            DriverError::Unreachable(words) => match tls::help(&words, address.tls, &TLS) {
                Some(help) => DriverError::Unreachable(format!("{words}; {help}")),
                None => DriverError::Unreachable(words),
            },
            error => error,
        })?;
        Ok(Self { lines: Arc::new(lines), shown: shown.into(), patience: Duration::from_secs(5) })
    }

    /// Whether it leads to a cluster.
    pub fn is_cluster(&self) -> bool {
        self.lines.is_cluster()
    }

    /// Sends a command that bears being sent twice, and waits out what passes by itself.
    pub async fn try_ask<T: FromRedisValue>(&self, command: &Cmd, to: &To) -> Result<T, RedisError> {
        let mut trouble = Trouble::new(self.patience);
        loop {
            match self.lines.send(command, to).await {
                Ok(value) => return Ok(redis::from_redis_value(value)?),
                Err(error) => trouble.wait_out(error).await?,
            }
        }
    }

    /// An error as that of a server that cannot be worked with.
    pub fn unreachable(&self, error: &RedisError) -> DriverError {
        message::unreachable(error, &self.shown)
    }

    /// As [`Link::try_ask`], where a refusal is Godwit's own trouble.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd, to: &To) -> Result<T, DriverError> {
        self.try_ask(command, to).await.map_err(|e| message::unreachable(&e, &self.shown))
    }

    /// Runs a script where its first key is: by its hash, and by its text where the server does not know it (any more).
    pub(super) async fn run(&self, lua: &Lua, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Result<Vec<String>, DriverError> {
        let to = To::Slot(keys.first().map_or(0, |k| slot_of(k)));
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len());
            for part in keys.iter().chain(args) {
                command.arg(part.as_slice());
            }
            command
        };
        let answer = match self.try_ask::<Vec<Vec<u8>>>(&command("EVALSHA", &lua.hash), &to).await {
            Err(error) if message::kind(&error) == Kind::NoScript => {
                self.try_ask(&command("EVAL", &lua.code), &to).await
            }
            answer => answer,
        };
        match answer {
            Ok(parts) => Ok(parts.into_iter().map(|p| String::from_utf8_lossy(&p).into_owned()).collect()),
            Err(error) if message::is_of_the_server(&error) => Err(message::unreachable(&error, &self.shown)),
            Err(error) => Err(message::statement(&error)),
        }
    }

    /// A script of Godwit's own.
    pub async fn own(&self, code: &str, keys: &[&str], args: &[&str]) -> Result<Vec<String>, DriverError> {
        let bytes = |parts: &[&str]| parts.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>();
        match self.run(&Lua::new(code), &bytes(keys), &bytes(args)).await {
            Err(DriverError::Statement(failure)) => Err(DriverError::Unreachable(format!(
                "the Redis server at {} refuses Godwit's own keys: {failure}",
                self.shown
            ))),
            answer => answer,
        }
    }

    /// The server, or the masters of the cluster as it sees itself now.
    pub async fn nodes(&self) -> Result<Vec<Node>, DriverError> {
        if !self.is_cluster() {
            return Ok(vec![Node { id: String::new(), host: String::new(), port: 0, slots: vec![(0, SLOTS - 1)] }]);
        }
        let mut trouble = Trouble::new(self.patience);
        loop {
            match self.lines.masters().await {
                Ok(nodes) => return Ok(nodes),
                Err(error) => trouble.wait_out(error).await.map_err(|e| self.unreachable(&e))?,
            }
        }
    }

    /// Parts of `INFO` of a node, as `name:value` lines.
    pub async fn info(&self, node: &Node, section: &str) -> Result<Info, DriverError> {
        let text: String = self.ask(redis::cmd("INFO").arg(section), &To::Node(node.clone())).await?;
        Ok(Info(text))
    }
}

/// What passes by itself, for as long as patience lasts.
struct Trouble {
    began: Instant,
    patience: Duration,
    pause: Duration,
}

impl Trouble {
    fn new(patience: Duration) -> Self {
        Self { began: Instant::now(), patience, pause: Duration::from_millis(20) }
    }

    async fn wait_out(&mut self, error: RedisError) -> Result<(), RedisError> {
        match message::kind(&error) {
            Kind::Gone | Kind::Wait if self.began.elapsed() < self.patience => {
                tokio::time::sleep(jittered(self.pause)).await;
                self.pause = (self.pause * 2).min(Duration::from_millis(500));
                Ok(())
            }
            Kind::Gone | Kind::Wait | Kind::NoScript | Kind::Final => Err(error),
        }
    }
}

/// What a server says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Info(String);

impl Info {
    /// From a text, for tests.
    #[cfg(test)]
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// One value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.lines()
    }
}
