//! Log lines: JSON when not on a terminal, each with the delivery it belongs to, credentials taken out of every one.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::bot::traced;
use crate::redact;

/// The field of a line that names its delivery.
const DELIVERY: &str = "delivery";

/// A writer that hands on lines without credentials, whatever a driver or a library printed.
#[derive(Debug)]
pub struct Redacting<W: Write> {
    inner: W,
}

impl<W: Write> Redacting<W> {
    /// Wraps a writer.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }
}

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The formatter hands over whole lines, so no secret is cut in two here.
        self.inner.write_all(redact::text(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Lines of JSON, each with the delivery whose work it tells of, in whatever span it was written.
struct WithDelivery<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithDelivery<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let says = event.metadata().fields().field(DELIVERY).is_some();
        match (delivery_of(context).filter(|_| !says), line.strip_prefix('{')) {
            (Some(delivery), Some(rest)) => write!(out, "{{\"{DELIVERY}\":{delivery},{rest}"),
            (Some(_) | None, _) => out.write_str(&line),
        }
    }
}

/// The delivery that the innermost span with one names, as JSON.
fn delivery_of<S, N>(context: &FmtContext<'_, S, N>) -> Option<serde_json::Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    context.event_scope()?.find_map(|span| {
        span.metadata().fields().field(DELIVERY)?;
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>()?;
        let mut fields: serde_json::Value = serde_json::from_str(&fields.fields).ok()?;
        fields.get_mut(DELIVERY).map(serde_json::Value::take).filter(|delivery| delivery != "")
    })
}

/// What is logged: `RUST_LOG` (`info`, or `godwit=debug,sqlx=warn`), else `level`, with the libraries at warnings.
fn targets(rust_log: Option<&str>, level: LevelFilter) -> Targets {
    match rust_log.filter(|l| !l.trim().is_empty()).map(str::parse::<Targets>) {
        Some(Ok(targets)) => targets,
        Some(Err(_)) | None => Targets::new().with_default(LevelFilter::WARN).with_target("godwit", level),
    }
}

/// Starts logging to standard error, and telling `traces` of spans; a second call changes nothing.
pub fn start(
    rust_log: Option<&str>,
    level: LevelFilter,
    #[cfg(feature = "otel")] traces: Option<&super::traces::Traces>,
) {
    let writer = || Redacting::new(io::stderr());
    // Whatever is logged names its delivery, also where the spans that do are not asked for.
    let naming = filter_fn(|what| what.is_span() && matches!(what.target(), traced::LINES | traced::ENDPOINT));
    let wanted = targets(rust_log, level).or(naming.with_max_level_hint(LevelFilter::INFO));
    let registry = tracing_subscriber::registry();
    #[cfg(feature = "postgres")]
    let registry = registry.with(crate::bot::notices::layer());
    #[cfg(feature = "otel")]
    let registry = registry.with(traces.map(super::traces::Traces::layer));
    // Refused only when logging has been started before, which is fine.
    let _ = if io::stderr().is_terminal() {
        registry.with(tracing_subscriber::fmt::layer().with_writer(writer).with_filter(wanted)).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(writer)
            .map_event_format(WithDelivery)
            .with_filter(wanted);
        registry.with(layer).try_init()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b20_lines_lose_registered_secrets() {
        redact::register("planted-in-a-log");
        let mut out = Vec::new();
        Redacting::new(&mut out).write_all(b"{\"m\":\"planted-in-a-log postgres://u:pw@h/d\"}\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"m\":\"**** postgres://u:****@h/d\"}\n");
    }

    #[test]
    fn levels_come_from_the_variable_or_the_flags() {
        let quiet = targets(None, LevelFilter::INFO);
        assert!(quiet.would_enable("godwit::server", &tracing::Level::INFO));
        assert!(!quiet.would_enable("sqlx", &tracing::Level::INFO));
        assert!(targets(Some("godwit=trace"), LevelFilter::INFO).would_enable("godwit", &tracing::Level::TRACE));
        assert!(targets(Some("=="), LevelFilter::INFO).would_enable("godwit", &tracing::Level::INFO));
    }
}
