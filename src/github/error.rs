//! What can go wrong with GitHub, graded by what the caller does about it.

use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Duration, Utc};

/// An answer of GitHub that is not the one asked for, or none at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GithubError {
    /// 404 or 410: it is not there, or the App may not see it.
    #[error("GitHub has no `{what}`, or the App may not see it")]
    NotFound {
        /// Method and path.
        what: String,
    },
    /// 401 or 403 that is no rate limit: a permission is missing, or the installation is suspended.
    #[error("GitHub refuses `{what}`: {message}; check the App's permissions and installation")]
    Forbidden {
        /// Method and path.
        what: String,
        /// GitHub's words.
        message: String,
    },
    /// A primary or secondary rate limit; the work is taken up again at `until`.
    #[error("GitHub's rate limit is used up until {until}")]
    RateLimited {
        /// When GitHub will answer again.
        until: DateTime<Utc>,
    },
    /// 5xx.
    #[error("GitHub failed with {status} on `{what}`")]
    Server {
        /// The status.
        status: u16,
        /// Method and path.
        what: String,
    },
    /// No answer: connection, TLS, timeout.
    #[error("GitHub did not answer `{what}`: {message}")]
    Transport {
        /// Method and path.
        what: String,
        /// Why.
        message: String,
    },
    /// Any other 4xx: the request itself is wrong (422 for a text that is too long, for example).
    #[error("GitHub rejected `{what}` with {status}: {message}")]
    Rejected {
        /// The status.
        status: u16,
        /// Method and path.
        what: String,
        /// GitHub's words.
        message: String,
    },
    /// An answer that cannot be read, or a setting that cannot be used.
    #[error("{0}")]
    Unusable(String),
}

impl GithubError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            GithubError::RateLimited { .. } | GithubError::Server { .. } | GithubError::Transport { .. } => true,
            GithubError::NotFound { .. }
            | GithubError::Forbidden { .. }
            | GithubError::Rejected { .. }
            | GithubError::Unusable(_) => false,
        }
    }

    /// When GitHub asks to come back, if it says so.
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            GithubError::RateLimited { until } => Some(*until),
            GithubError::NotFound { .. }
            | GithubError::Forbidden { .. }
            | GithubError::Server { .. }
            | GithubError::Transport { .. }
            | GithubError::Rejected { .. }
            | GithubError::Unusable(_) => None,
        }
    }
}

/// Grades an answer that is no success. `what` is the method and path, `body` GitHub's text.
pub(super) fn classify(
    what: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    now: DateTime<Utc>,
) -> GithubError {
    let what = what.to_owned();
    let message = message_of(body);
    if let Some(until) = rate_limit(status, headers, &message, now) {
        return GithubError::RateLimited { until };
    }
    match status.as_u16() {
        404 | 410 => GithubError::NotFound { what },
        401 | 403 => GithubError::Forbidden { what, message },
        status @ 500.. => GithubError::Server { status, what },
        status => GithubError::Rejected { status, what, message },
    }
}

/// When to come back, if the answer is a rate limit: `retry-after`, else `x-ratelimit-reset` where nothing remains, else
/// a minute for a secondary limit that names no time (GITHUB 5).
fn rate_limit(status: StatusCode, headers: &HeaderMap, message: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if !matches!(status.as_u16(), 403 | 429) {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Some(now + Duration::seconds(seconds.clamp(0, 3600)));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = number("x-ratelimit-reset").and_then(|s| DateTime::from_timestamp(s, 0));
        return Some(reset.unwrap_or(now + Duration::seconds(60)).clamp(now, now + Duration::hours(1)));
    }
    let secondary = message.to_ascii_lowercase().contains("rate limit");
    (status.as_u16() == 429 || secondary).then(|| now + Duration::seconds(60))
}

fn message_of(body: &str) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let message = parsed.as_ref().and_then(|v| v.get("message")?.as_str()).unwrap_or(body);
    crate::redact::text(&message.chars().take(300).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| ((*k).parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn limits_are_told_from_refusals() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let at = |s: i64| GithubError::RateLimited { until: now + Duration::seconds(s) };
        let forbidden = GithubError::Forbidden { what: "GET /x".into(), message: "no".into() };
        for (status, given, body, expected) in [
            (429, headers(&[("retry-after", "7")]), "", at(7)),
            (403, headers(&[("retry-after", "7")]), r#"{"message":"secondary"}"#, at(7)),
            (403, headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000030")]), "", at(30)),
            (403, headers(&[]), r#"{"message":"You have exceeded a secondary rate limit"}"#, at(60)),
            (429, headers(&[]), "", at(60)),
            (403, headers(&[("x-ratelimit-remaining", "12")]), r#"{"message":"no"}"#, forbidden),
            (404, headers(&[]), "", GithubError::NotFound { what: "GET /x".into() }),
            (502, headers(&[]), "<html>", GithubError::Server { status: 502, what: "GET /x".into() }),
            (
                422,
                headers(&[]),
                r#"{"message":"too long"}"#,
                GithubError::Rejected { status: 422, what: "GET /x".into(), message: "too long".into() },
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(classify("GET /x", status, &given, body, now), expected);
        }
    }
}
