//! Spans for whoever collects traces, over OTLP: deliveries, the work that follows, runs, and each migration of a run.
//!
//! The collector and how it is spoken to stand in the variables that OpenTelemetry defines (`OTEL_EXPORTER_OTLP_…`,
//! `OTEL_SERVICE_NAME`, `OTEL_BSP_…`), which the exporter reads itself. Without an endpoint nothing of it is started.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::{Status, TracerProvider as _};
use opentelemetry::{KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::bot::traced;
use crate::redact;

/// Variables that name a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// Variables that say how it is spoken to.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// How long the collector may take, where `OTEL_EXPORTER_OTLP_TIMEOUT` does not say.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const LONGEST: u64 = 1024 * 1024;

/// What sends spans away.
#[derive(Debug, Clone)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send, where a variable names a collector; `variable` gives their values.
    ///
    /// # Errors
    /// What is wrong with the variables.
    pub fn begin(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let off = set("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|v| v == "none");
        let Some((name, endpoint)) = ENDPOINTS.iter().find_map(|name| Some((*name, set(name)?))).filter(|_| !off)
        else {
            return Ok(None);
        };
        let address =
            url::Url::parse(&endpoint).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        if address.is_none() {
            return Err(format!("`{name}` is no address of a collector; write `http://HOST:4318`"));
        }
        let protocol = match PROTOCOLS.iter().find_map(|name| Some((*name, set(name)?))) {
            None => Protocol::HttpBinary,
            Some((_, protocol)) if protocol == "http/protobuf" => Protocol::HttpBinary,
            Some((_, protocol)) if protocol == "http/json" => Protocol::HttpJson,
            Some((name, protocol)) => {
                return Err(format!("`{name}` is `{protocol}`; traces are sent as `http/protobuf` or `http/json`"));
            }
        };
        let timeout =
            set("OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|t| t.parse().ok()).map_or(PATIENCE, Duration::from_millis);
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(protocol)
            .with_timeout(timeout)
            .with_http_client(Client::new(timeout))
            .build()
            .map_err(|e| redact::text(&e.to_string()))?;
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if set("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("godwit");
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(Redacting(exporter))
            .build();
        Ok(Some(Self { provider }))
    }

    /// What hears of spans.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let wanted = filter_fn(|what| what.is_span() && matches!(what.target(), traced::TRACE | traced::ENDPOINT));
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("godwit"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(wanted)
    }

    /// Sends what is left, and ends.
    pub fn end(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(error = redact::text(&error.to_string()), "the last spans did not reach their collector");
        }
    }
}

/// Sends requests; called on the exporter's own thread, which may wait.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new(timeout: Duration) -> Self {
        let native = rustls_native_certs::load_native_certs();
        let trusted: Vec<_> = native.certs.iter().map(|c| ureq::tls::Certificate::from_der(c).to_owned()).collect();
        let roots = ureq::tls::RootCerts::Specific(std::sync::Arc::new(trusted));
        let config = ureq::Agent::config_builder()
            .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
            .user_agent(concat!("godwit/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false);
        Self(config.build().into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let body = answer.body_mut().with_config().limit(LONGEST).read_to_vec()?;
        let (parts, _) = answer.into_parts();
        Ok(Response::from_parts(parts, Bytes::from(body)))
    }
}

/// Takes credentials out of what is sent.
#[derive(Debug)]
struct Redacting<E>(E);

fn redacted(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        if let Value::String(text) = &attribute.value {
            attribute.value = Value::from(redact::text(text.as_str()));
        }
    }
}

impl<E: SpanExporter> SpanExporter for Redacting<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            redacted(&mut span.attributes);
            if let Status::Error { description } = &span.status {
                span.status = Status::error(redact::text(description));
            }
        }
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(variables: &[(&str, &str)]) -> Result<Option<Traces>, String> {
        Traces::begin(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn nothing_is_sent_unless_a_collector_is_named() {
        assert!(begin(&[]).unwrap().is_none());
        assert!(begin(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().is_none());
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        assert!(begin(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_none());
        assert!(begin(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_with_the_variables_is_told() {
        for endpoint in ["collector:4317", "4318", "ftp://x", "http://"] {
            let said = begin(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).unwrap_err();
            assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && said.contains("http://HOST:4318"), "{said}");
        }
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let said = begin(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap_err();
        assert!(said.contains("`grpc`") && said.contains("http/protobuf"), "{said}");
    }

    #[test]
    fn b20_attributes_lose_registered_secrets() {
        redact::register("planted-in-a-span");
        let mut attributes =
            [KeyValue::new("error", "planted-in-a-span at postgres://u:pw@h/d"), KeyValue::new("n", 1)];
        redacted(&mut attributes);
        assert_eq!(attributes[0].value.as_str(), "**** at postgres://u:****@h/d");
        assert_eq!(attributes[1].value, Value::I64(1));
    }
}
