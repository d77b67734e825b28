//! The REST API.
pub(super) mod apps;

use std::sync::Arc;

use super::Shared;
use super::http::{Reply, Request};

pub(super) fn is_rest(path: &str) -> bool {
    let path = strip_enterprise(path);
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    matches!(
        first,
        "repos"
            | "app"
            | "orgs"
            | "users"
            | "installation"
            | "rate_limit"
            | "meta"
            | "graphql"
            | "api"
            | "organizations"
    )
}

/// Paths of GitHub Enterprise Server start with `/api/v3`.
pub(super) fn strip_enterprise(path: &str) -> &str {
    path.strip_prefix("/api/v3").unwrap_or(path)
}

/// Percent-encodes one path segment.
pub(super) fn encode(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Percent-encodes a path, keeping its slashes.
pub(super) fn encode_path(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

pub(super) fn answer(_: &Arc<Shared>, _: &Request) -> Reply {
    Reply::empty(404)
}
