//! Spans of the work that follows from a delivery: those that whoever collects traces hears of, and the one by which each
//! log line names its delivery.

use tracing::Span;

use crate::ids::DeliveryId;

pub use crate::runner::TRACE;

/// What the span is marked with that names the delivery of log lines; no trace tells of it.
pub const LINES: &str = "lines";

/// The module of the endpoint for webhooks, whose spans are for both.
pub const ENDPOINT: &str = "godwit::server::webhook";

/// The work that follows from a delivery, for its log lines. `correlation` is the delivery's id; of work without one,
/// what its lines have in common.
pub fn lines_of(correlation: &str, key: &str) -> Span {
    // Of the highest level: whatever is logged at all names its delivery.
    tracing::error_span!(target: LINES, "work", delivery = correlation, key)
}

/// Puts a span into the trace of a delivery, which bears the delivery's own id: so the endpoint and a worker on another
/// machine tell of one trace without speaking of it.
#[cfg(feature = "otel")]
pub fn belongs_to(span: &Span, delivery: Option<&DeliveryId>) {
    use opentelemetry::Context;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    let Some(id) = delivery.and_then(|d| trace_id(d.as_str())) else { return };
    let (first, _) = id.split_at(8);
    let mut root = [0; 8];
    root.copy_from_slice(first);
    let context = SpanContext::new(
        TraceId::from_bytes(id),
        SpanId::from_bytes(root),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    // Where nobody collects, there is nothing that it could belong to.
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
}

/// The same where no traces are sent.
#[cfg(not(feature = "otel"))]
pub fn belongs_to(_: &Span, _: Option<&DeliveryId>) {}

/// The sixteen bytes of a delivery's UUID; of any other id none.
#[cfg(feature = "otel")]
fn trace_id(delivery: &str) -> Option<[u8; 16]> {
    let plain: String = delivery.chars().filter(|c| *c != '-').collect();
    let bytes: [u8; 16] = hex::decode(plain).ok()?.try_into().ok()?;
    (bytes[..8] != [0; 8]).then_some(bytes)
}

#[cfg(all(test, feature = "otel"))]
mod tests {
    use super::*;

    #[test]
    fn a_trace_bears_the_id_of_its_delivery() {
        let id = trace_id("72d3162e-cc78-11e3-81ab-4c9367dc0958").unwrap();
        assert_eq!(hex::encode(id), "72d3162ecc7811e381ab4c9367dc0958");
        for other in ["", "d1", "zz", "00000000-0000-0000-0000-000000000001"] {
            assert_eq!(trace_id(other), None, "{other}");
        }
    }
}
