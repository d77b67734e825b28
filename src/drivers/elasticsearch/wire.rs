//! Requests and answers: what is tried again, and what an error says.

use std::time::{Duration, Instant};

use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Method;
use elasticsearch::http::headers::{HeaderMap, HeaderName, HeaderValue};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use serde_json::Value;

use super::address::{Address, Login};
use crate::drivers::{DriverError, StatementFailure, failpoint, jittered, tls};

/// No request of ours takes longer: what does is a task of the server that is polled.
const ONE_REQUEST: Duration = Duration::from_secs(60);

/// How a URL speaks of TLS.
const TLS: tls::Words =
    tls::Words { on: "`elasticsearch+https://`", off: "`elasticsearch+http://`", authority: "`ca=FILE`" };

/// A way to a cluster.
#[derive(Clone)]
pub(crate) struct Wire {
    pub transport: Transport,
    /// Where it leads, for people.
    pub place: String,
    /// How long a server that is away is waited for.
    pub patience: Duration,
    /// How long a server that is too busy is asked again.
    pub retry_for: Duration,
    /// What the server's list of tasks shows beside ours.
    pub opaque: Option<String>,
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// Whether it is a yes.
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The kind of the error, such as `index_not_found_exception`.
    pub(super) fn kind(&self) -> &str {
        self.body["error"]["type"].as_str().unwrap_or_default()
    }

    /// The server's own words.
    pub(super) fn failure(&self) -> StatementFailure {
        let error = &self.body["error"];
        let mut message = match error {
            Value::String(text) => text.clone(),
            Value::Object(_) => words(error),
            _ => format!("the server answered with the status {}", self.status),
        };
        if let Some(failed) = self.body["failures"].as_array().and_then(|f| f.first()) {
            message.push_str(&format!(": {}", words(&failed["cause"])));
        }
        let hint = match self.status {
            401 => Some("look at the user and the password of the target's URL"),
            403 if error["type"] == "security_exception" => Some("give the user that privilege"),
            429 if error["type"] == "cluster_block_exception" => {
                Some("the disk is too full: free some, and the server lets writes in again")
            }
            _ => None,
        };
        StatementFailure {
            message: crate::redact::text(&message),
            code: error["type"].as_str().map(str::to_owned).or_else(|| Some(self.status.to_string())),
            line: None,
            hint: hint.map(str::to_owned),
        }
    }

    /// The body of a yes.
    pub(crate) fn ok(self) -> Result<Value, DriverError> {
        if self.is_ok() { Ok(self.body) } else { Err(DriverError::Statement(self.failure())) }
    }

    /// The body of a yes; `None` for 404.
    pub(crate) fn found(self) -> Result<Option<Value>, DriverError> {
        if self.status == 404 { Ok(None) } else { self.ok().map(Some) }
    }

    /// Too busy to take it; nothing was done. A full disk says the same and does not pass.
    fn is_busy(&self) -> bool {
        self.status == 429 && self.kind() != "cluster_block_exception"
    }

    /// Somebody on the way, or a part of the cluster, was away; what became of the request cannot be told.
    fn is_away(&self) -> bool {
        matches!(self.status, 502..=504)
    }
}

/// The reason of an error and of what caused it, with their kinds.
pub(super) fn words(error: &Value) -> String {
    let one = |e: &Value| match (e["type"].as_str(), e["reason"].as_str()) {
        (Some(kind), Some(reason)) => format!("{kind}: {reason}"),
        (Some(kind), None) => kind.to_owned(),
        (None, Some(reason)) => reason.to_owned(),
        (None, None) => e.to_string(),
    };
    let mut text = one(error);
    let (mut cause, mut depth) = (&error["caused_by"], 0);
    while cause.is_object() && depth < 5 {
        let next = one(cause);
        if !text.contains(&next) {
            text.push_str(&format!(": {next}"));
        }
        (cause, depth) = (&cause["caused_by"], depth + 1);
    }
    if let Some(root) = error["root_cause"].as_array().and_then(|r| r.first()) {
        let root = one(root);
        if !text.contains(&root) {
            text.push_str(&format!(": {root}"));
        }
    }
    text
}

/// An error with its causes, in one line and without secrets.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text.push_str(&format!(": {next}"));
        }
        source = cause.source();
    }
    crate::redact::text(&text)
}

impl Wire {
    /// Makes the way; nothing is sent.
    pub(super) fn new(address: &Address) -> Result<Self, DriverError> {
        let cannot = |what: String| DriverError::Unreachable(what);
        let mut builder =
            TransportBuilder::new(SingleNodeConnectionPool::new(address.url.clone())).timeout(ONE_REQUEST);
        builder = match &address.login {
            Login::None => builder,
            Login::Basic(user, password) => builder.auth(Credentials::Basic(user.clone(), password.clone())),
            Login::ApiKey(key) => builder.auth(Credentials::EncodedApiKey(key.clone())),
        };
        if address.url.scheme() == "https" {
            let mut roots: Option<Certificate> = None;
            // A certificate of the system that cannot be read is left out, as every browser does.
            for found in rustls_native_certs::load_native_certs().certs {
                if let Ok(certificate) = Certificate::from_der(&found) {
                    match &mut roots {
                        Some(all) => all.append(certificate),
                        None => roots = Some(certificate),
                    }
                }
            }
            if let Some(file) = &address.ca {
                let pem = std::fs::read(file)
                    .map_err(|e| cannot(format!("the certificates in `{}` cannot be read: {e}", file.display())))?;
                let own = Certificate::from_pem(&pem)
                    .map_err(|e| cannot(format!("`{}` holds no certificates in PEM: {e}", file.display())))?;
                match &mut roots {
                    Some(all) => all.append(own),
                    None => roots = Some(own),
                }
            }
            if let Some(roots) = roots {
                builder = builder.cert_validation(CertificateValidation::Full(roots));
            }
        }
        let place = address.url.as_str().trim_end_matches('/').to_owned();
        let transport = builder
            .build()
            .map_err(|e| cannot(format!("cannot set up a connection to {place}: {}", with_causes(&e))))?;
        Ok(Self {
            transport,
            place,
            patience: Duration::from_secs(10),
            retry_for: Duration::from_secs(10),
            opaque: None,
        })
    }

    /// One request; the error says why there is no answer.
    pub(super) async fn once(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let mut headers = HeaderMap::new();
        if let Some(opaque) = self.opaque.as_deref().and_then(|o| HeaderValue::from_str(o).ok()) {
            headers.insert(HeaderName::from_static("x-opaque-id"), opaque);
        }
        let body = body.map(Value::to_string);
        let answer =
            self.transport.send(method, path, headers, None::<&()>, body, None).await.map_err(|e| with_causes(&e))?;
        let status = answer.status_code().as_u16();
        let text = answer.text().await.map_err(|e| with_causes(&e))?;
        let body = serde_json::from_str(&text).unwrap_or_else(|_| {
            // A proxy's page.
            Value::String(text.chars().take(200).collect())
        });
        Ok(Answer { status, body })
    }

    /// A request that may be sent any number of times: tried again while the server is away or too busy.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, DriverError> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let why = match self.once(method, path, body).await {
                Ok(answer) if answer.status == 401 => return Err(self.unreachable(&answer.failure().message)),
                Ok(answer) if !answer.is_busy() && !answer.is_away() => return Ok(answer),
                Ok(answer) if began.elapsed() >= self.retry_for => return Ok(answer),
                Ok(answer) => answer.failure().message,
                Err(why) => why,
            };
            if began.elapsed() >= self.patience {
                return Err(self.unreachable(&why));
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// A request whose answer is wanted as it is; the body is of that media type. Sent once.
    pub(crate) async fn text(
        &self,
        method: Method,
        path: &str,
        media: &'static str,
        body: String,
    ) -> Result<String, DriverError> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("content-type"), HeaderValue::from_static(media));
        let failed = |e: elasticsearch::Error| self.unreachable(&with_causes(&e));
        let answer = self.transport.send(method, path, headers, None::<&()>, Some(body), None).await.map_err(failed)?;
        let status = answer.status_code().as_u16();
        let text = answer.text().await.map_err(failed)?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Err(DriverError::Statement(Answer { status, body }.failure()))
    }

    /// A GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, DriverError> {
        self.ask(Method::Get, path, None).await
    }

    /// A request that changes something for good: sent once, unless the server is too busy to take it.
    ///
    /// # Errors
    /// [`DriverError::Lost`] once the server is there again, when what became of it must be looked at.
    pub(super) async fn change(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, DriverError> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let why = match failpoint::sent(&["stmt_sent"], self.once(method, path, body)).await {
                Ok(answer) if answer.is_busy() && began.elapsed() < self.retry_for => {
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                    continue;
                }
                Ok(answer) if answer.status == 401 => return Err(self.unreachable(&answer.failure().message)),
                Ok(answer) if answer.is_away() => answer.failure().message,
                Ok(answer) => {
                    failpoint::hit("stmt_acked");
                    return Ok(answer);
                }
                Err(why) => why,
            };
            // Comes back, or ends as unreachable.
            self.get("").await?;
            return Err(DriverError::Lost(why));
        }
    }

    /// The server is not there, or not for us.
    pub(super) fn unreachable(&self, why: &str) -> DriverError {
        let help =
            tls::help(why, self.place.starts_with("https"), &TLS).map_or(String::new(), |help| format!("; {help}"));
        DriverError::Unreachable(format!("cannot reach Elasticsearch at {}: {why}{help}", self.place))
    }
}

/// A name as a part of a path.
pub(crate) fn part(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_told_in_the_server_s_own_words() {
        let body = json!({"error": {"type": "mapper_parsing_exception", "reason": "Failed to parse mapping",
            "root_cause": [{"type": "mapper_parsing_exception", "reason": "No handler for type [nope]"}],
            "caused_by": {"type": "mapper_parsing_exception", "reason": "No handler for type [nope]"}}, "status": 400});
        let failure = Answer { status: 400, body }.failure();
        assert_eq!(
            failure.message,
            "mapper_parsing_exception: Failed to parse mapping: mapper_parsing_exception: No handler for type [nope]"
        );
        assert_eq!(failure.code.as_deref(), Some("mapper_parsing_exception"));
        let plain = Answer { status: 502, body: Value::String("<html>".to_owned()) };
        assert!(plain.is_away() && plain.failure().message.contains("502"));
        let full = Answer { status: 429, body: json!({"error": {"type": "cluster_block_exception", "reason": "x"}}) };
        assert!(!full.is_busy() && full.failure().hint.is_some());
    }
}
