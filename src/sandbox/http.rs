//! The socket: reads a request whole, applies the faults asked for, and hands it to git, the REST API or the page.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request as HttpRequest, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::faults::{self, FaultKind};
use super::record::Exchange;
use super::{Shared, git_http, page, rest};

/// Larger requests are refused.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A request, read whole.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub method: String,
    /// Still percent-encoded.
    pub path: String,
    /// Still percent-encoded.
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// A query parameter, decoded.
    pub fn param(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }
}

/// An answer's body.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Empty,
    Json(Value),
    Text(&'static str, String),
    Bytes(&'static str, Vec<u8>),
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub content: Content,
}

impl Reply {
    pub fn json(status: u16, value: Value) -> Self {
        Self { status, headers: Vec::new(), content: Content::Json(value) }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Empty }
    }

    pub fn text(status: u16, kind: &'static str, text: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), content: Content::Text(kind, text.into()) }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Serves until the sender is used or dropped; on a thread and a runtime of its own.
pub(super) fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) -> std::io::Result<oneshot::Sender<()>> {
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("sandbox-http")
        .enable_all()
        .build()?;
    std::thread::Builder::new().name("sandbox".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            let router = Router::new().fallback(answer).with_state(shared);
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                _ = stopped => {}
            }
        });
        runtime.shutdown_background();
    })?;
    Ok(stop)
}

async fn answer(State(shared): State<Arc<Shared>>, incoming: HttpRequest<Body>) -> Response<Body> {
    let (parts, body) = incoming.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return response(Reply::json(413, json!({ "message": "Payload too big" })));
    };
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts
            .headers
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        body: body.to_vec(),
    };
    let fault = if page::is_own(&request.path) {
        None
    } else {
        faults::take(&mut shared.lock().faults, &request.method, &request.path)
    };
    let instead = match &fault {
        Some(FaultKind::LoseRequest) => {
            record(&shared, &request, 0, None, true);
            return cut();
        }
        Some(FaultKind::Slow(by)) => {
            tokio::time::sleep(*by).await;
            None
        }
        Some(FaultKind::LoseAnswer) | None => None,
        Some(FaultKind::Status(status)) => Some(Reply::json(*status, json!({ "message": "Server Error" }))),
        Some(FaultKind::SecondaryLimit { retry_after }) => Some(limited(403, *retry_after)),
        Some(FaultKind::TooManyRequests { retry_after }) => Some(limited(429, *retry_after)),
        Some(FaultKind::PrimaryLimit { reset_in }) => {
            let reset = shared.look(|w| w.now()).timestamp().saturating_add_unsigned(*reset_in);
            let body = json!({
                "message": "API rate limit exceeded for installation.",
                "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api",
            });
            let reply = Reply::json(403, body).header("x-ratelimit-limit", "5000");
            Some(reply.header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", reset.to_string()))
        }
    };
    let faulty = instead.is_some();
    let reply = match instead {
        Some(reply) => reply,
        None => {
            let (shared, request) = (shared.clone(), request.clone());
            let work = tokio::task::spawn_blocking(move || route(&shared, &request));
            work.await.unwrap_or_else(|e| Reply::json(500, json!({ "message": format!("stand-in failed: {e}") })))
        }
    };
    let body = match &reply.content {
        Content::Json(value) => Some(value.clone()),
        Content::Empty | Content::Text(..) | Content::Bytes(..) => None,
    };
    record(&shared, &request, reply.status, body, faulty);
    if fault == Some(FaultKind::LoseAnswer) {
        return cut();
    }
    response(reply)
}

fn route(shared: &Arc<Shared>, request: &Request) -> Reply {
    if git_http::is_git(&request.path) {
        git_http::answer(shared, request)
    } else if rest::is_rest(&request.path) {
        rest::answer(shared, request)
    } else {
        page::answer(shared, request)
    }
}

fn limited(status: u16, retry_after: Option<u64>) -> Reply {
    let body = json!({
        "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "documentation_url": "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api",
    });
    let reply = Reply::json(status, body);
    match retry_after {
        Some(seconds) => reply.header("retry-after", seconds.to_string()),
        None => reply,
    }
}

/// Keeps what belongs to the REST API.
fn record(shared: &Shared, request: &Request, status: u16, response: Option<Value>, fault: bool) {
    if !rest::is_rest(&request.path) || git_http::is_git(&request.path) {
        return;
    }
    let exchange = Exchange {
        method: request.method.clone(),
        path: rest::strip_enterprise(&request.path).to_owned(),
        query: request.query.clone(),
        request: serde_json::from_slice(&request.body).ok(),
        status,
        response,
        fault,
    };
    shared.lock().exchanges.push(exchange);
    shared.notify();
}

fn response(reply: Reply) -> Response<Body> {
    let (kind, body) = match reply.content {
        Content::Empty => (None, Vec::new()),
        Content::Json(value) => (Some("application/json; charset=utf-8"), value.to_string().into_bytes()),
        Content::Text(kind, text) => (Some(kind), text.into_bytes()),
        Content::Bytes(kind, bytes) => (Some(kind), bytes),
    };
    let mut builder = Response::builder().status(reply.status);
    if let Some(kind) = kind {
        builder = builder.header("content-type", kind);
    }
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(body)).unwrap_or_else(|_| Response::new(Body::from("stand-in: bad header")))
}

/// Makes the server close the connection without an answer: a body that fails before its first byte.
fn cut() -> Response<Body> {
    Response::new(Body::new(Cut))
}

struct Cut;

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))))
    }
}
