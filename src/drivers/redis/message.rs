//! What the client says of an error, as the driver's errors: in the server's words, with what to do.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::drivers::{DriverError, StatementFailure};

/// What may be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection is gone: connect again, and send again what can bear it.
    Gone,
    /// The server asks for patience: it loads, fails over, moves slots, or runs a script.
    Wait,
    /// The server does not know a script by its hash any more.
    NoScript,
    /// It stays so.
    Final,
}

/// What may be done about `error`.
pub(super) fn kind(error: &RedisError) -> Kind {
    if error.is_io_error() || matches!(error.kind(), ErrorKind::ClusterConnectionNotFound) {
        return if is_tls(error) { Kind::Final } else { Kind::Gone };
    }
    match error.code() {
        Some("NOSCRIPT") => Kind::NoScript,
        Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "MOVED" | "ASK") => Kind::Wait,
        _ => Kind::Final,
    }
}

fn is_tls(error: &RedisError) -> bool {
    let text = error.to_string();
    ["certificate", "handshake", "TLS", "corrupt message", "InvalidContentType"].iter().any(|w| text.contains(w))
}

/// The server's own words, without any secret.
pub(super) fn words(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    crate::redact::text(&text)
}

/// An error on the way to the server, or one that no statement of a migration has caused.
pub(super) fn unreachable(error: &RedisError, shown: &str) -> DriverError {
    let words = words(error);
    let help = match error.code() {
        Some("NOAUTH") => ": the server asks for a password: write it into the URL",
        Some("WRONGPASS") => ": user or password is wrong",
        Some("NOPERM") => ": the user lacks a permission; docs/redis.md lists what Godwit needs",
        Some("LOADING") => ": the server is still reading its data; try again later",
        Some("BUSY") => {
            ": a script is running on the server; wait for its end, or end it with `redis-cli SCRIPT KILL` (possible as \
             long as it has written nothing)"
        }
        Some("CLUSTERDOWN" | "MASTERDOWN") => ": a part of the cluster has no master at the moment; try again later",
        Some("READONLY") => ": this server is a replica; name the primary in the URL",
        Some("MISCONF") => ": the server cannot save its data and refuses writes; look at its log",
        Some("OOM") => ": the server has no memory left; raise `maxmemory` or free some",
        Some("MOVED") => ": this server is a node of a cluster; write `redis-cluster://`",
        _ if is_tls(error) && words.contains("certificate") => ": no encrypted connection could be made",
        _ if is_tls(error) => ": no encrypted connection could be made; `redis://` is for servers without TLS",
        _ if matches!(error.kind(), ErrorKind::AuthenticationFailed) => {
            ": the login was refused: user or password is wrong"
        }
        _ => "",
    };
    DriverError::Unreachable(format!("the Redis server at {shown}: {words}{help}"))
}

/// The server's refusal of a statement.
pub(super) fn statement(error: &RedisError) -> DriverError {
    let hint = match error.code() {
        Some("NOPERM") => Some("grant the user this command and these keys"),
        Some("OOM") => Some("raise `maxmemory` or free some; then run again, it goes on from there"),
        Some("MISCONF") => Some("the server cannot save its data; look at its log, then run again"),
        Some("CROSSSLOT") => Some("give the keys a common hash tag, such as `{cart}`"),
        _ => None,
    };
    DriverError::Statement(StatementFailure {
        message: words(error),
        code: error.code().map(str::to_owned),
        line: None,
        hint: hint.map(str::to_owned),
    })
}

/// Whether the server could not do it because of its state rather than of the statement.
pub(super) fn is_of_the_server(error: &RedisError) -> bool {
    matches!(kind(error), Kind::Gone | Kind::Wait)
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "READONLY"))
        || matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig)
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly))
}

/// A failure that the driver found itself.
pub(super) fn refused(code: &str, message: String, hint: &str) -> DriverError {
    DriverError::Statement(StatementFailure {
        message,
        code: Some(code.to_owned()),
        line: None,
        hint: Some(hint.to_owned()),
    })
}
