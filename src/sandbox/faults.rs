//! Misbehaviour on request: what GitHub and the network do on a bad day.

use std::time::Duration;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// An answer with this status (500, 502, 503, …) and no work done.
    Status(u16),
    /// 403 with GitHub's words for a secondary rate limit.
    SecondaryLimit {
        /// `retry-after`, in seconds; absent when `None`.
        retry_after: Option<u64>,
    },
    /// 429.
    TooManyRequests {
        /// `retry-after`, in seconds; absent when `None`.
        retry_after: Option<u64>,
    },
    /// 403 with `x-ratelimit-remaining: 0` and a reset this many seconds away.
    PrimaryLimit {
        /// Seconds until the reset.
        reset_in: u64,
    },
    /// The work is done, the answer comes late.
    Slow(Duration),
    /// The work is done, the connection is cut without an answer.
    LoseAnswer,
    /// The connection is cut before anything is done.
    LoseRequest,
}

/// A fault for the next requests that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// HTTP method; any when `None`.
    pub method: Option<String>,
    /// A part of the path; empty matches every path (git's too).
    pub path: String,
    /// How many requests it still hits.
    pub times: u32,
    /// What happens.
    pub kind: FaultKind,
}

impl Fault {
    /// `kind` for the next `times` requests whose path contains `path`.
    pub fn new(path: impl Into<String>, times: u32, kind: FaultKind) -> Self {
        Self { method: None, path: path.into(), times, kind }
    }

    /// Only for this HTTP method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_ascii_uppercase());
        self
    }
}

/// What goes wrong with a webhook delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookFaultKind {
    /// Never arrives; GitHub lists it as failed, so that it can be asked for again.
    Lose,
    /// Arrives this many times more, with the same delivery id.
    Repeat(u32),
    /// Arrives this much later; the others do not wait.
    Delay(Duration),
    /// Arrives after this many later deliveries.
    Overtaken(u32),
}

/// A fault for the next deliveries that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookFault {
    /// Event name such as `pull_request`; any when `None`.
    pub event: Option<String>,
    /// Action such as `synchronize`; any when `None`.
    pub action: Option<String>,
    /// How many deliveries it still hits.
    pub times: u32,
    /// What happens.
    pub kind: WebhookFaultKind,
}

impl WebhookFault {
    /// `kind` for the next `times` deliveries of any event.
    pub fn new(times: u32, kind: WebhookFaultKind) -> Self {
        Self { event: None, action: None, times, kind }
    }

    /// Only for this event, written `event` or `event.action`.
    pub fn on(mut self, event: &str) -> Self {
        let (event, action) = event.split_once('.').map_or((event, None), |(e, a)| (e, Some(a)));
        self.event = Some(event.to_owned());
        self.action = action.map(str::to_owned);
        self
    }
}

/// Takes the first fault that hits this request.
pub(super) fn take(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<FaultKind> {
    let at = faults.iter().position(|f| {
        f.times > 0 && f.method.as_deref().is_none_or(|m| m == method) && path.contains(f.path.as_str())
    })?;
    faults[at].times -= 1;
    let kind = faults[at].kind.clone();
    faults.retain(|f| f.times > 0);
    Some(kind)
}

/// Takes the first fault that hits this delivery.
pub(super) fn take_webhook(
    faults: &mut Vec<WebhookFault>,
    event: &str,
    action: Option<&str>,
) -> Option<WebhookFaultKind> {
    let at = faults.iter().position(|f| {
        f.times > 0
            && f.event.as_deref().is_none_or(|e| e == event)
            && f.action.as_deref().is_none_or(|a| Some(a) == action)
    })?;
    faults[at].times -= 1;
    let kind = faults[at].kind.clone();
    faults.retain(|f| f.times > 0);
    Some(kind)
}
