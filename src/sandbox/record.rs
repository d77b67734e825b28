//! Every request and every answer that passed through, for contract tests and for debugging.

use serde_json::Value;

/// One request to the REST API with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// HTTP method.
    pub method: String,
    /// Path below the REST root, still percent-encoded.
    pub path: String,
    /// Query, still percent-encoded; empty when there is none.
    pub query: String,
    /// The request's body, if it had one that is JSON.
    pub request: Option<Value>,
    /// The answer's status; 0 when a fault cut the connection.
    pub status: u16,
    /// The answer's body, if it has one that is JSON.
    pub response: Option<Value>,
    /// Whether a fault asked for by a test produced this answer.
    pub fault: bool,
}

/// One webhook as it was fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// `X-GitHub-Event`.
    pub event: String,
    /// The payload's `action`.
    pub action: Option<String>,
    /// `X-GitHub-Delivery`.
    pub guid: String,
    /// The payload.
    pub payload: Value,
    /// Every attempt: HTTP status of the receiver's answer, 0 when none came.
    pub attempts: Vec<u16>,
}

/// A copy of everything recorded so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorder {
    /// REST requests in order of their answers.
    pub exchanges: Vec<Exchange>,
    /// Webhooks in the order they were fired.
    pub webhooks: Vec<Fired>,
}
