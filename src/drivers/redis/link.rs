//! The connection: to one server, or to every master of a cluster. Commands that stand here bear being sent twice, since
//! each script compares marks first; so what a lost connection left in doubt is sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, TlsCertificates, Value};
use tokio::sync::Mutex;

use super::address::{self, Address};
use super::lua::Lua;
use super::message::{self, Kind};
use super::names::{SLOTS, slot_of};
use crate::drivers::{DriverError, jittered, tls};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server that is not ready yet is waited for at first.
const AT_FIRST: Duration = Duration::from_secs(10);
/// How long one answer may take before the connection counts as dead; a script of a migration may be slow.
const ANSWER: Duration = Duration::from_secs(120);

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

#[derive(Clone)]
enum Wire {
    One { client: Arc<Client>, current: Arc<Mutex<(u64, MultiplexedConnection)>> },
    Many(ClusterConnection),
}

/// A connection; clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    wire: Wire,
    shown: Arc<str>,
    /// How long a server that is away for a moment is waited for.
    pub patience: Duration,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("to", &self.shown).finish_non_exhaustive()
    }
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER))
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
        let authority = authority(address)?;
        let wire = loop {
            match Self::wire(address, authority.as_ref()).await {
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
        let wire = wire.map_err(|e| match message::unreachable(&e, &shown) {
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
        Ok(Self { wire, shown: shown.into(), patience: Duration::from_secs(5) })
    }

    async fn wire(address: &Address, authority: Option<&TlsCertificates>) -> Result<Wire, RedisError> {
        let infos =
            address.hosts.iter().map(|(host, port)| address.info(host, *port)).collect::<Result<Vec<_>, _>>()?;
        if address.cluster {
            let builder = ClusterClient::builder(infos);
            let builder = match authority {
                Some(authority) => builder.certs(authority.clone()),
                None => builder,
            };
            let client = builder
                .connection_timeout(CONNECT)
                .response_timeout(ANSWER)
                .tcp_settings(address::tcp())
                .retries(3)
                .min_retry_wait(20)
                .max_retry_wait(300)
                .build()?;
            return Ok(Wire::Many(client.get_async_connection().await?));
        }
        let first = infos.into_iter().next().ok_or((redis::ErrorKind::InvalidClientConfig, "no host"))?;
        let client = match authority {
            Some(authority) => Client::build_with_tls(first, authority.clone())?,
            None => Client::open(first)?,
        };
        let connection = client.get_multiplexed_async_connection_with_config(&config()).await?;
        Ok(Wire::One { client: Arc::new(client), current: Arc::new(Mutex::new((0, connection))) })
    }

    /// Whether it leads to a cluster.
    pub fn is_cluster(&self) -> bool {
        matches!(self.wire, Wire::Many(_))
    }

    async fn send(&self, command: &Cmd, to: &To) -> Result<Value, RedisError> {
        let value = match &self.wire {
            Wire::One { client, current } => {
                let (generation, mut connection) = current.lock().await.clone();
                let sent: Result<Value, RedisError> = command.query_async(&mut connection).await;
                if let Err(error) = &sent
                    && message::kind(error) == Kind::Gone
                {
                    let mut shared = current.lock().await;
                    if shared.0 == generation
                        && let Ok(fresh) = client.get_multiplexed_async_connection_with_config(&config()).await
                    {
                        *shared = (generation + 1, fresh);
                    }
                }
                sent?
            }
            Wire::Many(connection) => {
                let node = match to {
                    To::Slot(slot) => SingleNodeRoutingInfo::SpecificNode(Route::new(*slot, SlotAddr::Master)),
                    To::Node(node) => SingleNodeRoutingInfo::ByAddress { host: node.host.clone(), port: node.port },
                };
                connection.clone().route_command(command.clone(), RoutingInfo::SingleNode(node)).await?
            }
        };
        value.extract_error()
    }

    /// Sends a command that bears being sent twice, and waits out what passes by itself.
    pub async fn try_ask<T: FromRedisValue>(&self, command: &Cmd, to: &To) -> Result<T, RedisError> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            match self.send(command, to).await {
                Ok(value) => return Ok(redis::from_redis_value(value)?),
                Err(error) => match message::kind(&error) {
                    Kind::Gone | Kind::Wait if began.elapsed() < self.patience => {
                        tokio::time::sleep(jittered(pause)).await;
                        pause = (pause * 2).min(Duration::from_millis(500));
                    }
                    Kind::Gone | Kind::Wait | Kind::NoScript | Kind::Final => return Err(error),
                },
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
        let ranges: Vec<Vec<Value>> = self.ask(redis::cmd("CLUSTER").arg("SLOTS"), &To::Slot(0)).await?;
        let mut nodes: Vec<Node> = Vec::new();
        for range in ranges {
            let mut parts = range.into_iter();
            let (Some(first), Some(last), Some(master)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let read = |e: redis::ParsingError| message::unreachable(&e.into(), &self.shown);
            let (first, last): (u16, u16) =
                (redis::from_redis_value(first).map_err(read)?, redis::from_redis_value(last).map_err(read)?);
            let mut master = match master {
                Value::Array(parts) => parts.into_iter(),
                _ => continue,
            };
            let (Some(host), Some(port), Some(id)) = (master.next(), master.next(), master.next()) else { continue };
            let host: String = redis::from_redis_value(host).map_err(read)?;
            let port: u16 = redis::from_redis_value(port).map_err(read)?;
            let id: String = redis::from_redis_value(id).map_err(read)?;
            match nodes.iter_mut().find(|n| n.id == id) {
                Some(node) => node.slots.push((first, last)),
                None => nodes.push(Node { id, host, port, slots: vec![(first, last)] }),
            }
        }
        nodes.iter_mut().for_each(|n| n.slots.sort_unstable());
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(nodes)
    }

    /// Parts of `INFO` of a node, as `name:value` lines.
    pub async fn info(&self, node: &Node, section: &str) -> Result<Info, DriverError> {
        let text: String = self.ask(redis::cmd("INFO").arg(section), &To::Node(node.clone())).await?;
        Ok(Info(text))
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
