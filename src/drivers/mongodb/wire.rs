//! Commands to the server, and its errors as ours.

use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::{ClientSession, Database};

use crate::drivers::{DriverError, StatementFailure, jittered};

/// What a server says that is not, or not yet, the primary, or that goes down.
const NOT_PRIMARY: [i32; 8] = [10107, 13435, 10058, 11600, 11602, 13436, 189, 91];
/// A document that a validator refuses.
const INVALID_DOCUMENT: i32 = 121;

/// Why a command did not do what it was to do.
#[derive(Debug)]
pub(super) struct Fault {
    /// As the rest of the program sees it.
    pub error: DriverError,
    /// The server's number, if it answered.
    pub code: Option<i32>,
    /// The whole transaction may be tried again.
    pub transient: bool,
    /// Whether a commit took effect is not known.
    pub commit_unknown: bool,
}

impl From<Fault> for DriverError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        Self { error, code: None, transient: false, commit_unknown: false }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let transient = error.contains_label(TRANSIENT_TRANSACTION_ERROR);
        let commit_unknown = error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
        let (code, error) = classify(&error);
        Self { error, code, transient, commit_unknown }
    }
}

impl Fault {
    /// Whether the server refused and would again.
    pub fn is_final(&self) -> bool {
        self.code.is_some() && !self.transient && matches!(self.error, DriverError::Statement(_))
    }

    /// A refusal by the server, or by us in its place.
    pub fn refused(code: i32, name: &str, message: &str) -> Self {
        let error = DriverError::Statement(failure(code, name, message));
        Self { error, code: Some(code), transient: false, commit_unknown: false }
    }
}

/// A refusal that is ours: no server said it.
pub(super) fn refusal(message: String, hint: &str) -> DriverError {
    DriverError::Statement(StatementFailure { message, code: None, line: None, hint: Some(hint.to_owned()) })
}

fn failure(code: i32, name: &str, message: &str) -> StatementFailure {
    let hint = match code {
        13 => Some("the connection's user may not do this: give it a role that may, such as `readWrite` and `dbAdmin`"),
        50 => Some("the time that was allowed for it was up"),
        85 => {
            Some("an index of the same key has another name or other options: drop it first, or name it as it is there")
        }
        86 => Some("an index of this name has another key or other options: drop it first, or choose another name"),
        INVALID_DOCUMENT => {
            Some("bring the document in line with the collection's validator first, or set the validator to `moderate`")
        }
        11000 | 11001 => Some("take the duplicates away first"),
        263 => Some("the server cannot do this in a transaction"),
        _ => None,
    };
    let message = if message.is_empty() { format!("the server refused: {name}") } else { message.to_owned() };
    StatementFailure {
        message: crate::redact::text(&message),
        code: Some(code.to_string()),
        line: None,
        hint: hint.map(str::to_owned),
    }
}

fn classify(error: &Error) -> (Option<i32>, DriverError) {
    let lost = |text: String| DriverError::Lost(crate::redact::text(&text));
    let unreachable = |text: String| DriverError::Unreachable(crate::redact::text(&text));
    match error.kind.as_ref() {
        ErrorKind::Command(command) if NOT_PRIMARY.contains(&command.code) => {
            (Some(command.code), lost(format!("the server is not the primary at the moment: {}", command.message)))
        }
        ErrorKind::Command(command) => {
            (Some(command.code), DriverError::Statement(failure(command.code, &command.code_name, &command.message)))
        }
        ErrorKind::Io(io) => (None, lost(io.to_string())),
        ErrorKind::ConnectionPoolCleared { message, .. } => (None, lost(message.clone())),
        ErrorKind::ServerSelection { message, .. } => (None, unreachable(no_server(message))),
        ErrorKind::Authentication { message, .. } => {
            (None, unreachable(format!("the server refuses the login: {message}")))
        }
        ErrorKind::DnsResolve { message, .. } => (None, unreachable(format!("the name cannot be resolved: {message}"))),
        ErrorKind::InvalidTlsConfig { message, .. } => (None, unreachable(format!("TLS cannot be set up: {message}"))),
        ErrorKind::IncompatibleServer { message, .. } => {
            (None, unreachable(format!("the server is too old: {message}")))
        }
        other => (
            None,
            DriverError::Statement(StatementFailure {
                message: crate::redact::text(&other.to_string()),
                code: None,
                line: None,
                hint: None,
            }),
        ),
    }
}

/// The library's word on why no server can be used, made shorter where the cause shows in it.
fn no_server(message: &str) -> String {
    let causes = causes(message);
    let told = match causes.as_slice() {
        [] => message.to_owned(),
        [(_, cause)] => (*cause).to_owned(),
        several => several.iter().map(|(host, cause)| format!("{host}: {cause}")).collect::<Vec<_>>().join("; "),
    };
    for (sign, said) in [
        ("certificate", "TLS is refused"),
        ("InvalidContentType", "TLS is refused: the server does not speak it"),
        ("tls", "TLS is refused"),
        ("TLS", "TLS is refused"),
        ("set name", "the replica set has another name"),
    ] {
        if message.contains(sign) {
            return format!("{said}: {told}");
        }
    }
    if message.contains("RsSecondary") || message.contains("ReplicaSetNoPrimary") && message.contains("RS") {
        return format!("no primary can be found: {told}");
    }
    told
}

/// What the library's word says of each server: its address, and why it cannot be used.
fn causes(message: &str) -> Vec<(&str, &str)> {
    message
        .split("Address: ")
        .skip(1)
        .filter_map(|server| {
            let (address, _) = server.split_once(',')?;
            let (_, error) = server.split_once(", Error: Kind: ")?;
            let cause = error.split(", labels: ").next().unwrap_or(error);
            Some((address, cause.strip_prefix("I/O error: ").unwrap_or(cause)))
        })
        .collect()
}

/// Runs a command; errors inside a reply that says `ok` are errors.
pub(super) async fn run(
    db: &Database,
    session: Option<&mut ClientSession>,
    command: Document,
) -> Result<Document, Fault> {
    let sent = db.run_command(command);
    let reply = match session {
        Some(session) => sent.session(session).await?,
        None => sent.await?,
    };
    check(reply)
}

/// How long a lost server is waited for.
pub(super) const RECONNECT_FOR: Duration = Duration::from_secs(30);

/// A command that reads, outside any transaction; a lost server is waited for.
pub(super) async fn read(db: &Database, command: Document) -> Result<Document, Fault> {
    let mut trouble: Option<Instant> = None;
    loop {
        match run(db, None, command.clone()).await {
            Err(Fault { error: DriverError::Lost(_), .. })
                if trouble.get_or_insert_with(Instant::now).elapsed() < RECONNECT_FOR =>
            {
                tokio::time::sleep(jittered(Duration::from_millis(200))).await;
            }
            other => return other,
        }
    }
}

fn check(reply: Document) -> Result<Document, Fault> {
    if let Some(first) = reply.get_array("writeErrors").ok().and_then(|e| e.first()).and_then(Bson::as_document) {
        let code = number(first.get("code")).unwrap_or(0) as i32;
        let mut message = first.get_str("errmsg").unwrap_or_default().to_owned();
        let details = first.get_document("errInfo").ok();
        if let Some(id) = details.and_then(|d| d.get("failingDocumentId")) {
            message = format!("{message}: the document with `_id` {}", json(id));
        }
        let mut fault = Fault::refused(code, "write error", &message);
        if let (DriverError::Statement(failure), Some(rules)) =
            (&mut fault.error, details.and_then(|d| d.get("details")).filter(|_| code == INVALID_DOCUMENT))
        {
            let rules: String = json(rules).chars().take(600).collect();
            failure.hint = Some(format!("{}; {rules}", failure.hint.clone().unwrap_or_default()));
        }
        return Err(fault);
    }
    if let Ok(concern) = reply.get_document("writeConcernError") {
        let code = number(concern.get("code")).unwrap_or(64) as i32;
        let message = concern.get_str("errmsg").unwrap_or("no majority of the replica set has it");
        if NOT_PRIMARY.contains(&code) {
            return Err(DriverError::Lost(format!("the server is not the primary any more: {message}")).into());
        }
        return Err(
            DriverError::Lost(format!("the change has not reached a majority of the replica set: {message}")).into()
        );
    }
    Ok(reply)
}

/// Any number as an integer.
pub(super) fn number(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        #[allow(clippy::cast_possible_truncation)]
        Bson::Double(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(*n as i64),
        _ => None,
    }
}

/// A value for people.
pub(super) fn json(value: &Bson) -> String {
    value.clone().into_relaxed_extjson_text()
}

/// Relaxed extended JSON without the `serde_json` feature of the library.
trait Text {
    fn into_relaxed_extjson_text(self) -> String;
}

impl Text for Bson {
    fn into_relaxed_extjson_text(self) -> String {
        serde_json::to_string(&self).unwrap_or_else(|_| self.to_string())
    }
}

/// The documents of a cursor's first batch, and whether there are more.
pub(super) fn batch_of(reply: &Document) -> (Vec<Document>, i64) {
    let Ok(cursor) = reply.get_document("cursor") else { return (Vec::new(), 0) };
    let found = cursor
        .get_array("firstBatch")
        .or_else(|_| cursor.get_array("nextBatch"))
        .map(|b| b.iter().filter_map(Bson::as_document).cloned().collect())
        .unwrap_or_default();
    (found, number(cursor.get("id")).unwrap_or(0))
}

/// Every document that a command with a cursor gives.
pub(super) async fn all(db: &Database, collection: &str, command: Document) -> Result<Vec<Document>, Fault> {
    let (mut found, mut cursor) = batch_of(&run(db, None, command).await?);
    while cursor != 0 {
        let more = run(db, None, doc! { "getMore": cursor, "collection": collection }).await?;
        let (next, id) = batch_of(&more);
        found.extend(next);
        cursor = id;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_no_server_can_be_used_is_told_without_the_librarys_frame() {
        let server = |address: &str, why: &str| {
            format!(
                "{{ Address: {address}, Type: Unknown, Error: Kind: {why}, labels: {{}}, source: None, server response: None }}"
            )
        };
        let word = |servers: &[String]| {
            format!(
                "Server selection timeout: No available servers. Topology: {{ Type: Unknown, Servers: [ {} ] }}",
                servers.join(", ")
            )
        };
        let refused = "I/O error: Connection refused (os error 111)";
        assert_eq!(no_server(&word(&[server("a:1", refused)])), "Connection refused (os error 111)");
        let two = no_server(&word(&[server("a:1", refused), server("b:2", "I/O error: timed out")]));
        assert_eq!(two, "a:1: Connection refused (os error 111); b:2: timed out");
        let tls = no_server(&word(&[server("a:1", "I/O error: received corrupt message of type InvalidContentType")]));
        assert!(tls.starts_with("TLS is refused") && !tls.contains("labels"), "{tls}");
    }
}
