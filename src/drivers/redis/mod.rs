//! Redis: one script per change, which compares the epoch, does the work and marks it done, all at once.
//!
//! A literal list of keys is one call. Keys by a pattern are walked with SCAN in batches, and each batch marks its keys in
//! the call that changes them, so no key is done twice, wherever the runner or the server died. Redis takes nothing back:
//! what a Lua error has left is told, not undone.

mod address;
mod eviction;
mod health;
mod kept;
mod lines;
pub(crate) mod link;
mod list;
mod loss;
mod lua;
mod message;
pub(crate) mod names;
mod rights;
mod seed;
mod server;
mod session;
mod statement;
mod step;
mod strain;
mod undo;
mod walk;
mod zones;

use redis::Value;
use secrecy::{ExposeSecret as _, SecretString};

use self::address::Address;
use self::link::{Link, Node, To};
use self::names::Names;
use self::server::Server;
pub use self::session::RedisSession;
use super::{Driver, DriverError, SessionOptions, below_floor};
use crate::plan::health::Reading;
use crate::plan::{
    Capabilities, HistoryRow, LockHolder, MigrationPlan, MigrationState, Objection, ObjectionKind, SchemaSnapshot,
};

/// A Redis server or cluster.
#[derive(Debug)]
pub struct RedisDriver {
    link: Link,
    names: Names,
    nodes: Vec<Node>,
    server: Server,
}

/// Whether the driver can read `url`.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str) -> Result<(), String> {
    Address::parse(url).map(|_| ())
}

impl RedisDriver {
    /// Connects to the server or the cluster that the URL names.
    ///
    /// # Errors
    /// What is wrong with the URL; when nobody answers, or refuses the login.
    pub async fn connect(url: &SecretString) -> Result<Self, DriverError> {
        let address = Address::parse(url.expose_secret()).map_err(DriverError::Unreachable)?;
        let link = Link::open(&address).await?;
        let nodes = link.nodes().await?;
        let first = nodes.first().ok_or_else(|| {
            DriverError::Unreachable(format!("the cluster at {} has no node with slots", address.shown()))
        })?;
        let server = Server::read(&link, first).await?;
        if server.in_cluster && !address.cluster {
            return Err(DriverError::Unreachable(format!(
                "the server at {} is a node of a cluster: write `redis-cluster://` in the URL",
                address.shown()
            )));
        }
        Ok(Self { names: Names::new(&address.namespace), link, nodes, server })
    }
}

impl RedisDriver {
    /// How many keys there are, Godwit's own among them.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn keys(&self) -> Result<u64, DriverError> {
        let mut keys = 0;
        for node in &self.nodes {
            keys += self.link.ask::<u64>(&redis::cmd("DBSIZE"), &To::Node(node.clone())).await?;
        }
        Ok(keys)
    }

    /// Takes Godwit's own history, fence and lock away.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn forget(&self) -> Result<(), DriverError> {
        let mut command = redis::cmd("UNLINK");
        command.arg(&self.names.history).arg(&self.names.fence).arg(&self.names.lock);
        self.link.ask::<u64>(&command, &session::home(&self.names)).await.map(|_| ())
    }

    /// The connection, Godwit's own names, the masters and the server's version.
    pub(crate) fn parts(&self) -> (&Link, &Names, &[Node], &str) {
        (&self.link, &self.names, &self.nodes, &self.server.version)
    }
}

impl Driver for RedisDriver {
    type Session = RedisSession;

    async fn history(&mut self) -> Result<Vec<HistoryRow>, DriverError> {
        Ok(session::rows(session::read_kept(&self.link, &self.names).await?))
    }

    async fn identity(&mut self) -> Result<Option<String>, DriverError> {
        session::identity(&self.link, &self.names).await
    }

    async fn holder(&mut self) -> Result<Option<LockHolder>, DriverError> {
        session::holder(&self.link, &self.names).await
    }

    async fn capabilities(&mut self) -> Result<Capabilities, DriverError> {
        let mut notes = Vec::new();
        if !self.server.aof {
            notes.push(
                "the server keeps no append-only file: what it has not saved is lost with it, history and effects alike; \
                 the store's record is compared with the history before each run"
                    .to_owned(),
            );
        }
        for (field, kept) in session::read_kept(&self.link, &self.names).await? {
            if kept.row.state == MigrationState::Running && !kept.replid.is_empty() && kept.replid != self.server.replid
            {
                notes.push(format!(
                    "the server was restarted or failed over since `{field}` was begun: its keys are looked at again, and \
                     those whose mark is there are left alone"
                ));
            }
        }
        Ok(Capabilities { version: self.server.version.clone(), transactions: true, notes })
    }

    async fn preflight(&mut self, plan: &MigrationPlan) -> Result<Vec<Objection>, DriverError> {
        let mut objections = Vec::new();
        objections.extend(below_floor("Redis", &self.server.version, &[6, 2]));
        if !self.server.primary {
            objections.push(Objection {
                kind: ObjectionKind::Impossible,
                migration: None,
                file: None,
                line: None,
                message: "this server is a replica, which takes no writes".to_owned(),
                what_to_do: "name the primary in the URL".to_owned(),
            });
        }
        objections.extend(eviction::look(&self.link, &self.nodes, plan).await?);
        objections.extend(rights::look(&self.link, &self.names, plan).await?);
        for step in &plan.steps {
            for planned in &step.statements {
                let Err(DriverError::Statement(failure)) = statement::check(&self.link, &planned.sql).await else {
                    continue;
                };
                // A script within an operation has lines of its own.
                let (line, message) = match failure.line {
                    Some(n) if step.path.ends_with(".lua") => (planned.line + n - 1, failure.message),
                    Some(n) if !failure.message.contains("user_script:") => {
                        (planned.line, format!("user_script:{n}: {}", failure.message))
                    }
                    Some(_) | None => (planned.line, failure.message),
                };
                objections.push(Objection {
                    kind: ObjectionKind::Impossible,
                    migration: Some(step.migration.clone()),
                    file: Some(step.path.clone()),
                    line: Some(line),
                    message,
                    what_to_do: failure.hint.unwrap_or_default(),
                });
            }
        }
        objections.extend(loss::look(&self.link, &self.nodes, plan).await?);
        Ok(objections)
    }

    /// Redis has no schema. What decides how the keys behave stands for it: the functions that are loaded, and the
    /// settings for memory, persistence and notifications. No key is looked at.
    async fn schema(&mut self) -> Result<SchemaSnapshot, DriverError> {
        let mut snapshot = SchemaSnapshot::default();
        let home = To::Node(self.nodes.first().cloned().ok_or_else(|| DriverError::Unreachable("no node".to_owned()))?);
        for setting in ["maxmemory-policy", "appendonly", "appendfsync", "notify-keyspace-events"] {
            let mut command = redis::cmd("CONFIG");
            command.arg("GET").arg(setting);
            // A hosted server may refuse its configuration.
            if let Ok(found) = self.link.try_ask::<Vec<String>>(&command, &home).await
                && let [name, value] = found.as_slice()
            {
                snapshot.objects.insert(format!("setting {name}"), value.clone());
            }
        }
        let mut command = redis::cmd("FUNCTION");
        command.arg("LIST").arg("WITHCODE");
        // A server before 7.0 has none.
        if let Ok(libraries) = self.link.try_ask::<Vec<Value>>(&command, &home).await {
            for library in libraries {
                let Ok(parts) = redis::from_redis_value::<std::collections::HashMap<String, Value>>(library) else {
                    continue;
                };
                let text = |name: &str| {
                    parts.get(name).and_then(|v| redis::from_redis_value::<String>(v.clone()).ok()).unwrap_or_default()
                };
                snapshot.objects.insert(format!("function library {}", text("library_name")), text("library_code"));
            }
        }
        Ok(snapshot)
    }

    async fn vitals(&mut self) -> Result<Vec<Reading>, DriverError> {
        health::vitals(&self.link, &self.nodes).await
    }

    async fn readable(&mut self, _name: &str) -> Result<(), DriverError> {
        Err(super::refused("Redis has no tables"))
    }

    async fn lock(self, options: &SessionOptions) -> Result<RedisSession, DriverError> {
        RedisSession::lock(self.link, self.names, self.server, options).await
    }
}
