//! The connections to the nodes, one to each, and which of them has a slot.
//!
//! A cluster's calls are routed here rather than by the client's own cluster connection, whose calls all stop while it
//! learns of slots that moved, and may never go on. Here each node has a line of its own, so that a node, or a slot that
//! moves, holds up nobody but those who ask for it: the lock is renewed meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, TlsCertificates, Value};

use super::address::Address;
use super::link::{Node, To};
use super::message::{self, Kind};

/// How long a server may take to accept a connection, and to say who has which slots.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one answer may take before the connection counts as dead; a script of a migration may be slow.
const ANSWER: Duration = Duration::from_secs(120);
/// How often one call is sent on to another node.
const HOPS: u32 = 5;

/// Host and port.
type Place = (String, u16);

/// A connection that is there or on its way; who asks for it meanwhile waits for the same.
type Line = Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>;

/// The lines to a server, or to the nodes of a cluster.
pub(super) struct Lines {
    address: Address,
    authority: Option<TlsCertificates>,
    known: Mutex<Known>,
    /// Held by who asks the cluster for its slots, so that of many who need to know one asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// By place, each with a number of its own.
    lines: HashMap<Place, (u64, Line)>,
    opened: u64,
    /// The masters, as a node last told all of them.
    masters: Vec<Node>,
    /// How often that was asked.
    asked: u64,
    /// Slots that moved since.
    moved: HashMap<u16, Place>,
}

impl Known {
    fn place_of(&self, slot: u16) -> Option<Place> {
        let has = |node: &&Node| node.slots.iter().any(|(a, b)| (*a..=*b).contains(&slot));
        self.moved.get(&slot).cloned().or_else(|| self.masters.iter().find(has).map(Node::place))
    }
}

impl Lines {
    /// Knows where to connect; nothing is opened yet.
    pub fn new(address: Address, authority: Option<TlsCertificates>) -> Self {
        Self { address, authority, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Whether they lead to a cluster.
    pub fn is_cluster(&self) -> bool {
        self.address.cluster
    }

    /// Whether somebody answers.
    pub async fn open(&self) -> Result<(), RedisError> {
        if self.is_cluster() { self.masters().await.map(drop) } else { self.line(&self.server()?).await.map(drop) }
    }

    /// Sends a command once, and where a slot has moved, behind it.
    pub async fn send(&self, command: &Cmd, to: &To) -> Result<Value, RedisError> {
        let slot = match to {
            To::Slot(slot) if self.is_cluster() => *slot,
            To::Slot(_) => return self.call(&self.server()?, command, false).await,
            To::Node(node) if self.is_cluster() => return self.call(&node.place(), command, false).await,
            To::Node(_) => return self.call(&self.server()?, command, false).await,
        };
        let (asked, known) = {
            let known = self.known();
            (known.asked, known.place_of(slot))
        };
        let Some(mut place) = known else {
            self.look_again(asked, None).await;
            return Err((ErrorKind::ClusterConnectionNotFound, "no node of the cluster has the slot").into());
        };
        let (mut asking, mut hops) = (false, 0);
        loop {
            let sent = self.call(&place, command, asking).await;
            let Err(error) = &sent else { return sent };
            match redirected(error, &place) {
                Some((slot, there)) if hops < HOPS => {
                    asking = matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Ask));
                    if !asking {
                        self.known().moved.insert(slot, there.clone());
                    }
                    place = there;
                    hops += 1;
                }
                // Another may have taken its slots over.
                None if message::kind(error) == Kind::Gone => {
                    self.look_again(asked, Some(&place)).await;
                    return sent;
                }
                Some(_) | None => return sent,
            }
        }
    }

    /// Asks who has which slots.
    pub async fn masters(&self) -> Result<Vec<Node>, RedisError> {
        self.masters_by_others(None).await
    }

    /// Asks the nodes one after the other, and one that did not answer last.
    async fn masters_by_others(&self, silent: Option<&Place>) -> Result<Vec<Node>, RedisError> {
        let mut places: Vec<Place> = self.known().masters.iter().map(Node::place).collect();
        places.extend(self.address.hosts.iter().cloned());
        places.sort_by_key(|p| Some(p) == silent);
        let mut error = RedisError::from((ErrorKind::ClusterConnectionNotFound, "no node of the cluster is known"));
        let mut tried: Vec<&Place> = Vec::new();
        for place in &places {
            if tried.contains(&place) {
                continue;
            }
            tried.push(place);
            let mut command = redis::cmd("CLUSTER");
            command.arg("SLOTS");
            let asked = tokio::time::timeout(CONNECT, self.call(place, &command, false)).await;
            let answer = asked.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
            match answer.and_then(|slots| masters_of(slots, place)) {
                Ok(masters) => {
                    let mut known = self.known();
                    known.masters.clone_from(&masters);
                    known.moved.clear();
                    return Ok(masters);
                }
                Err(final_one) if message::kind(&final_one) == Kind::Final => return Err(final_one),
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    /// Asks who has which slots, unless that was done since.
    async fn look_again(&self, asked: u64, silent: Option<&Place>) {
        let _alone = self.asking.lock().await;
        if self.known().asked == asked {
            if let Err(error) = self.masters_by_others(silent).await {
                tracing::debug!(%error, "no node of the cluster says who has which slots");
            }
            self.known().asked += 1;
        }
    }

    async fn call(&self, place: &Place, command: &Cmd, asking: bool) -> Result<Value, RedisError> {
        let (number, mut line) = self.line(place).await?;
        let sent = if asking {
            let mut both = redis::pipe();
            both.cmd("ASKING").add_command(command.clone());
            line.req_packed_commands(&both, 0, 2).await.map(|mut answers| answers.pop().unwrap_or(Value::Nil))
        } else {
            line.req_packed_command(command).await
        };
        let sent = sent.and_then(Value::extract_error);
        if sent.as_ref().is_err_and(|error| message::kind(error) == Kind::Gone) {
            self.hang_up(place, number);
        }
        sent
    }

    async fn line(&self, place: &Place) -> Result<(u64, MultiplexedConnection), RedisError> {
        let (number, line) = {
            let mut known = self.known();
            match known.lines.get(place) {
                Some(there) => there.clone(),
                None => {
                    known.opened += 1;
                    let new = (known.opened, self.opening(place).shared());
                    known.lines.insert(place.clone(), new.clone());
                    new
                }
            }
        };
        let opened = line.await;
        if opened.is_err() {
            self.hang_up(place, number);
        }
        opened.map(|line| (number, line))
    }

    fn opening(&self, place: &Place) -> BoxFuture<'static, Result<MultiplexedConnection, RedisError>> {
        let client = self.address.info(&place.0, place.1).and_then(|info| match &self.authority {
            Some(authority) => Client::build_with_tls(info, authority.clone()),
            None => Client::open(info),
        });
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        async move { client?.get_multiplexed_async_connection_with_config(&config).await }.boxed()
    }

    /// Forgets a line, unless another one has taken its place.
    fn hang_up(&self, place: &Place, number: u64) {
        let mut known = self.known();
        if known.lines.get(place).is_some_and(|(n, _)| *n == number) {
            known.lines.remove(place);
        }
    }

    /// The one server.
    fn server(&self) -> Result<Place, RedisError> {
        self.address.hosts.first().cloned().ok_or_else(|| (ErrorKind::InvalidClientConfig, "no host").into())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot and the place that a node names instead of itself; without a host it means its own.
fn redirected(error: &RedisError, asked: &Place) -> Option<(u16, Place)> {
    let (place, slot) = error.redirect_node()?;
    let (host, port) = place.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { asked.0.clone() } else { host.to_owned() };
    Some((slot, (host, port.parse().ok()?)))
}

/// Reads `CLUSTER SLOTS`, as the node at `asked` says it.
fn masters_of(slots: Value, asked: &Place) -> Result<Vec<Node>, RedisError> {
    let ranges: Vec<Vec<Value>> = redis::from_redis_value(slots)?;
    let mut nodes: Vec<Node> = Vec::new();
    for range in ranges {
        let mut parts = range.into_iter();
        let (Some(first), Some(last), Some(Value::Array(master))) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (first, last): (u16, u16) = (redis::from_redis_value(first)?, redis::from_redis_value(last)?);
        let mut master = master.into_iter();
        let (Some(host), Some(port), Some(id)) = (master.next(), master.next(), master.next()) else { continue };
        let host: Option<String> = redis::from_redis_value(host)?;
        let host = host.filter(|h| !h.is_empty()).unwrap_or_else(|| asked.0.clone());
        let (port, id): (u16, String) = (redis::from_redis_value(port)?, redis::from_redis_value(id)?);
        match nodes.iter_mut().find(|n| n.id == id) {
            Some(node) => node.slots.push((first, last)),
            None => nodes.push(Node { id, host, port, slots: vec![(first, last)] }),
        }
    }
    nodes.iter_mut().for_each(|n| n.slots.sort_unstable());
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_node_without_a_host_is_where_it_was_asked() {
        let node = |host: Value, port: i64, id: &str| Value::Array(vec![host, Value::Int(port), text(id)]);
        let range = |a: i64, b: i64, node: Value| Value::Array(vec![Value::Int(a), Value::Int(b), node]);
        let said = Value::Array(vec![
            range(9, 16383, node(text("10.0.0.2"), 7001, "b")),
            range(5, 8, node(Value::Nil, 7000, "a")),
            range(0, 4, node(text(""), 7000, "a")),
        ]);
        let masters = masters_of(said, &("seed".to_owned(), 7000)).unwrap();
        let known = Known { masters, ..Known::default() };
        assert_eq!(known.masters[0].slots, [(0, 4), (5, 8)]);
        assert_eq!(known.place_of(6), Some(("seed".to_owned(), 7000)));
        assert_eq!(known.place_of(16383), Some(("10.0.0.2".to_owned(), 7001)));
        let moved = HashMap::from([(6, ("10.0.0.3".to_owned(), 7002))]);
        assert_eq!(Known { moved, ..known }.place_of(6), Some(("10.0.0.3".to_owned(), 7002)));
    }

    #[test]
    fn a_slot_that_moved_is_followed() {
        let says = |words: &str| redis::parse_redis_value(format!("-{words}\r\n").as_bytes()).unwrap();
        let place = |words: &str| {
            let error = says(words).extract_error().unwrap_err();
            redirected(&error, &("seed".to_owned(), 7000))
        };
        assert_eq!(place("MOVED 3999 10.0.0.2:6381"), Some((3999, ("10.0.0.2".to_owned(), 6381))));
        assert_eq!(place("ASK 7 :6381"), Some((7, ("seed".to_owned(), 6381))));
        assert_eq!(place("MOVED 7 ::1:6381"), Some((7, ("::1".to_owned(), 6381))));
        assert_eq!(place("TRYAGAIN Multiple keys request during rehashing of slot"), None);
    }
}
