//! `POST /github/webhook`: check, keep, answer. What follows from a delivery happens later.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::json;
use tracing::Instrument as _;

use super::rotation::Secrets;
use super::{AppState, MAX_BODY, metrics};
use crate::bot::traced;
use crate::github::Event;
use crate::github::webhook::{self, MalformedPayload};
use crate::ids::DeliveryId;
use crate::store::{Ingest, NewDelivery};

/// Bodies above this many bytes are hashed and parsed away from the threads that answer requests.
const LARGE: usize = 256 * 1024;

/// What a delivery came to; each is one answer.
enum Received {
    Stored,
    Ignored,
    Duplicate,
    /// No signature, or a wrong one: both look the same from outside.
    Unsigned,
    /// What is missing or wrong.
    Malformed(&'static str),
    TooLarge,
    TooSlow,
    StoreFailed,
}

impl Received {
    /// Status, word for people and metrics, and what to do about it.
    fn answer(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Received::Stored => (StatusCode::ACCEPTED, "stored", ""),
            Received::Ignored => (StatusCode::ACCEPTED, "ignored", ""),
            Received::Duplicate => (StatusCode::ACCEPTED, "duplicate", ""),
            Received::Unsigned => (StatusCode::UNAUTHORIZED, "unsigned", "`X-Hub-Signature-256` is missing or wrong"),
            Received::Malformed(why) => (StatusCode::BAD_REQUEST, "malformed", why),
            Received::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is over 25 MiB"),
            Received::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow", "the body took too long to arrive"),
            Received::StoreFailed => {
                (StatusCode::SERVICE_UNAVAILABLE, "not_stored", "the delivery could not be stored; deliver it again")
            }
        }
    }
}

/// Answers one delivery.
pub(super) async fn receive(State(state): State<AppState>, request: Request) -> Response {
    let began = Instant::now();
    let headers = request.headers();
    let name = text(headers, "x-github-event").unwrap_or("").to_owned();
    let id = text(headers, "x-github-delivery").and_then(|id| DeliveryId::new(id).ok());
    // Recorded before the signature is known to be right: the id is a checked word, the name is cut.
    let span = tracing::info_span!(
        "delivery",
        delivery = id.as_ref().map_or("", DeliveryId::as_str),
        event = name.get(..name.len().min(60)).unwrap_or(""),
    );
    traced::belongs_to(&span, id.as_ref());
    let received = take(&state, request, id, &name).instrument(span.clone()).await;
    let (status, result, why) = received.answer();
    metrics::delivery(&name, result, began.elapsed());
    span.in_scope(|| match status {
        StatusCode::ACCEPTED => tracing::debug!(result, "delivery received"),
        _ => tracing::warn!(result, status = status.as_u16(), "delivery refused: {why}"),
    });
    if why.is_empty() {
        (status, Json(json!({ "result": result }))).into_response()
    } else {
        (status, Json(json!({ "result": result, "message": why }))).into_response()
    }
}

async fn take(state: &AppState, request: Request, id: Option<DeliveryId>, name: &str) -> Received {
    let headers = request.headers();
    // What can be told from the headers is told before a body is taken in.
    let Some(signature) = text(headers, "x-hub-signature-256").filter(|s| webhook::signature_of(s).is_some()) else {
        return Received::Unsigned;
    };
    let signature = signature.to_owned();
    let length = text(headers, header::CONTENT_LENGTH.as_str()).and_then(|l| l.parse::<u64>().ok());
    if length.is_some_and(|l| l > MAX_BODY as u64) {
        return Received::TooLarge;
    }
    let body = match tokio::time::timeout(state.body_timeout, Bytes::from_request(request, &())).await {
        Err(_) => return Received::TooSlow,
        Ok(Err(refused)) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => return Received::TooLarge,
        Ok(Err(_)) => return Received::Malformed("the body ended early"),
        Ok(Ok(body)) => body,
    };
    let Some(secrets) = &state.secrets else { return Received::Unsigned };
    let mut checked = checked(secrets, &signature, name, &body).await;
    // The secret may have been replaced a moment ago.
    if matches!(checked, Some(None)) && secrets.look_again() {
        checked = self::checked(secrets, &signature, name, &body).await;
    }
    let Some(checked) = checked else { return Received::StoreFailed };
    let event = match checked {
        None => return Received::Unsigned,
        Some(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "malformed payload");
            return Received::Malformed("the body is not JSON");
        }
        Some(Ok(event)) => event,
    };
    let Some(id) = id else { return Received::Malformed("`X-GitHub-Delivery` is missing or not an id") };
    if name.is_empty() || name.len() > 100 {
        return Received::Malformed("`X-GitHub-Event` is missing or too long");
    }
    let works = event.serial_key().is_some();
    let delivery = NewDelivery { id, name: name.to_owned(), event, received_at: Utc::now() };
    match state.store.ingest(delivery).await {
        Ok(Ingest::Duplicate) => Received::Duplicate,
        Ok(Ingest::New) if works => Received::Stored,
        Ok(Ingest::New) => Received::Ignored,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the delivery could not be stored");
            Received::StoreFailed
        }
    }
}

/// Checks by the secrets of now, a large body away from the threads that answer; `None` when that thread failed.
async fn checked(
    secrets: &Secrets,
    signature: &str,
    name: &str,
    body: &Bytes,
) -> Option<Option<Result<Event, MalformedPayload>>> {
    let secrets = secrets.current();
    if body.len() <= LARGE {
        return Some(check(&secrets, signature, name, body));
    }
    let (signature, name, body) = (signature.to_owned(), name.to_owned(), body.clone());
    tokio::task::spawn_blocking(move || check(&secrets, &signature, &name, &body)).await.ok()
}

/// `None`: the signature is wrong, and nothing of the body was looked at.
fn check(
    secrets: &webhook::WebhookSecrets,
    signature: &str,
    name: &str,
    body: &[u8],
) -> Option<Result<Event, MalformedPayload>> {
    webhook::verify_signature(secrets, body, signature).then(|| webhook::parse(name, body))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
