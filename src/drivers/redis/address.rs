//! The URL of a Redis target: one server, or the nodes of a cluster. Pure.
//!
//! `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` with TLS, `redis-cluster://[USER:PASSWORD@]HOST[:PORT],…` and
//! `rediss-cluster://`. `?namespace=NAME` keeps Godwit's keys apart from those of another history on the same server; `?ca=FILE`
//! names the authority of a server's certificate.

use std::path::PathBuf;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, RedisError};
use secrecy::{ExposeSecret as _, SecretString};

/// The port that is meant where none is written.
const PORT: u16 = 6379;
/// The namespace of targets that name none.
const NAMESPACE: &str = "godwit";

/// Where a target is and how to come in.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Whether the nodes are a cluster.
    pub cluster: bool,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Host and port of the server, or of some nodes of the cluster.
    pub hosts: Vec<(String, u16)>,
    /// The number of the database.
    pub db: i64,
    /// Part of the name of each of Godwit's keys.
    pub namespace: String,
    /// A file with the certificates that the server's is signed by.
    pub ca: Option<PathBuf>,
    user: Option<String>,
    password: Option<SecretString>,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the URL of a Redis target begins with `redis://`")?;
        let (cluster, tls) = match scheme {
            "redis" => (false, false),
            "rediss" => (false, true),
            "redis-cluster" => (true, false),
            "rediss-cluster" => (true, true),
            other => {
                return Err(format!(
                    "`{other}://` is no Redis URL: use `redis://`, `rediss://`, `redis-cluster://` or `rediss-cluster://`"
                ));
            }
        };
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(r, q)| (r, q));
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
        let (login, hosts) = authority.rsplit_once('@').map_or((None, authority), |(l, h)| (Some(l), h));
        let (user, password) = match login.map(|l| l.split_once(':').unwrap_or((l, ""))) {
            Some((user, password)) => (decoded(user)?, decoded(password)?.map(SecretString::from)),
            None => (None, None),
        };
        let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, String>>()?;
        if !cluster && hosts.len() > 1 {
            return Err("several servers are the nodes of a cluster: write `redis-cluster://`".to_owned());
        }
        let db = match path {
            "" => 0,
            number => number
                .parse()
                .ok()
                .filter(|n| *n >= 0)
                .ok_or_else(|| format!("`{number}` is not the number of a database: `redis://HOST:6379/0`"))?,
        };
        if cluster && db != 0 {
            return Err("a cluster has the database 0 only: leave the number away".to_owned());
        }
        let (mut namespace, mut ca) = (NAMESPACE.to_owned(), None);
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("namespace", name) if is_namespace(name) => name.clone_into(&mut namespace),
                ("namespace", _) => {
                    return Err("`namespace` takes letters, digits, `-`, `_` and `.`, at most 60".to_owned());
                }
                ("ca", _) if !tls => {
                    return Err("`ca` is for encrypted connections: write `rediss://`".to_owned());
                }
                ("ca", file) => ca = decoded(file)?.map(PathBuf::from),
                (key, _) => {
                    return Err(format!(
                        "`{key}` is not known in a Redis URL: only `namespace=NAME` and, with TLS, `ca=FILE` are"
                    ));
                }
            }
        }
        Ok(Self { cluster, tls, hosts, db, namespace, ca, user, password })
    }

    /// What the client needs to connect to one of the hosts.
    ///
    /// # Errors
    /// When the client does not take it.
    pub fn info(&self, host: &str, port: u16) -> Result<ConnectionInfo, RedisError> {
        let addr = if self.tls {
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host.to_owned(), port)
        };
        let mut settings =
            RedisConnectionInfo::default().set_db(self.db).set_lib_name("godwit", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose_secret());
        }
        Ok(addr.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp()))
    }

    /// The hosts, for people.
    pub fn shown(&self) -> String {
        self.hosts.iter().map(|(h, p)| format!("{h}:{p}")).collect::<Vec<_>>().join(", ")
    }
}

/// A script's keys fill several packets; without this each call would wait for the answer to the one before.
pub(super) fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn is_namespace(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 60
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn decoded(part: &str) -> Result<Option<String>, String> {
    let text = percent_encoding::percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| "the user or password of the URL is not percent-encoded UTF-8".to_owned())?;
    Ok(if text.is_empty() { None } else { Some(text.into_owned()) })
}

fn host(text: &str) -> Result<(String, u16), String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            (name, port.parse().map_err(|_| format!("`{text}` has no port behind the colon"))?)
        }
        _ => (text, PORT),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() {
        return Err("it names no host: `redis://HOST:6379/0`".to_owned());
    }
    Ok((name.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_strictly() {
        let a = Address::parse("rediss://ann:p%40ss@db.example:6380/3?namespace=shop").unwrap();
        assert_eq!((a.cluster, a.tls, a.db, a.namespace.as_str()), (false, true, 3, "shop"));
        assert_eq!(a.hosts, [("db.example".to_owned(), 6380)]);
        assert_eq!(a.password.as_ref().map(|p| p.expose_secret().to_owned()), Some("p@ss".to_owned()));
        assert!(!format!("{a:?}").contains("p@ss"));
        let private = Address::parse("rediss://h/0?ca=%2Fetc%2Fca.pem&namespace=x").unwrap();
        assert_eq!(private.ca, Some(PathBuf::from("/etc/ca.pem")));
        let c = Address::parse("redis-cluster://:x@a:1,[::1]:2,c").unwrap();
        assert_eq!(c.hosts, [("a".to_owned(), 1), ("::1".to_owned(), 2), ("c".to_owned(), PORT)]);
        assert_eq!((c.cluster, c.user.is_none(), c.namespace.as_str()), (true, true, NAMESPACE));
        for (wrong, part) in [
            ("redis:x", "redis://"),
            ("http://x", "no Redis URL"),
            ("redis://", "names no host"),
            ("redis://h:x", "`h:x` has no port"),
            ("redis://h/x", "not the number"),
            ("redis://a,b", "redis-cluster://"),
            ("redis-cluster://a/1", "database 0"),
            ("redis://h?namespace={x}", "takes letters"),
            ("redis://h?timeout=1", "`timeout` is not known"),
            ("redis://h?x", "`x` is not known"),
            ("redis://h?ca=x", "`rediss://`"),
        ] {
            let said = Address::parse(wrong).unwrap_err();
            assert!(said.contains(part), "{wrong}: {said}");
        }
    }
}
