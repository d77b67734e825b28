//! what a merge sets going is told as spans to whoever collects traces over OTLP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::Value;

use super::process::Shop;
use crate::support::until;

const ORDERS: [(&str, &str); 1] =
    [("migrations/0001_orders.up.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")];

type Received = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

/// A collector that keeps what it is sent: path, form and body.
struct Collector {
    address: SocketAddr,
    received: Received,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    fn start() -> Self {
        let received = Received::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let kept = Arc::clone(&received);
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let keep = |State(kept): State<Received>, uri: axum::http::Uri, headers: HeaderMap, body: Bytes| async move {
                let form = headers["content-type"].to_str().unwrap().to_owned();
                kept.lock().unwrap().push((uri.path().to_owned(), form, body.to_vec()));
                "{}"
            };
            let app = axum::Router::new().fallback(axum::routing::post(keep)).with_state(kept);
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
            address
        });
        Self { address, received, _runtime: runtime }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span that came, with the resource that it is of.
    fn spans(&self) -> Vec<(Value, Value)> {
        let received = self.received.lock().unwrap();
        let mut out = Vec::new();
        for (path, form, body) in received.iter() {
            assert_eq!((path.as_str(), form.as_str()), ("/v1/traces", "application/json"));
            let body: Value = serde_json::from_slice(body).unwrap();
            for of in body["resourceSpans"].as_array().unwrap() {
                for scope in of["scopeSpans"].as_array().unwrap() {
                    out.extend(scope["spans"].as_array().unwrap().iter().map(|s| (of["resource"].clone(), s.clone())));
                }
            }
        }
        out
    }
}

/// An attribute of a span or a resource, as text.
fn attribute(of: &Value, key: &str) -> Option<String> {
    let found =
        of["attributes"].as_array()?.iter().find(|a| a["key"] == key)?["value"].as_object()?.values().next()?.clone();
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

#[test]
fn r25_a_merge_its_runs_and_their_migrations_are_spans_of_one_trace() {
    let collector = Collector::start();
    let shop = Shop::sqlite();
    let url = collector.url();
    let served = shop.serve_as(
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=tests"),
        ],
    );
    shop.webhooks_to(&served);
    let pull = shop.approved("orders", &ORDERS);
    shop.merge(&pull);
    shop.until("production has it", || pull.labels().unwrap().contains(&"migrated:production".to_owned()));
    shop.rest();
    // What is left is sent at the end.
    served.terminate();
    assert_eq!(served.wait().code(), Some(0));
    let spans = collector.spans();
    let named =
        |name: &str| spans.iter().map(|(_, s)| s).filter(|s| s["name"] == name).cloned().collect::<Vec<Value>>();
    for (resource, _) in &spans {
        assert_eq!(attribute(resource, "service.name").as_deref(), Some("godwit"));
        assert_eq!(attribute(resource, "deployment.environment").as_deref(), Some("tests"));
    }
    let guid = shop
        .sandbox
        .recorder()
        .webhooks
        .iter()
        .rev()
        .find(|w| w.action.as_deref() == Some("closed"))
        .unwrap()
        .guid
        .clone();
    let trace = guid.replace('-', "");
    let delivery = named("delivery").into_iter().find(|s| attribute(s, "delivery").as_deref() == Some(guid.as_str()));
    assert_eq!(delivery.unwrap()["traceId"], trace.as_str());
    let migrations = named("migration");
    assert_eq!(migrations.len(), 3, "{spans:#?}");
    for migration in &migrations {
        let said = |key: &str| attribute(migration, key).unwrap_or_default();
        assert_eq!((said("migration").as_str(), said("state").as_str()), ("0001_orders", "applied"), "{migration:#}");
        assert_eq!((said("recovery").as_str(), said("target").as_str()), ("atomic", "shop"));
        assert!(said("epoch").parse::<i64>().unwrap() >= 1, "{migration:#}");
        assert!(migration["endTimeUnixNano"].as_str().unwrap() >= migration["startTimeUnixNano"].as_str().unwrap());
        let run =
            named("run").into_iter().find(|s| s["spanId"] == migration["parentSpanId"]).expect("the run around it");
        assert_eq!(attribute(&run, "outcome").as_deref(), Some("applied"));
        assert_eq!(attribute(&run, "run"), attribute(migration, "run"));
        assert_eq!(attribute(&run, "pr").as_deref(), Some(pull.number().to_string().as_str()));
        let work = named("work").into_iter().find(|s| s["spanId"] == run["parentSpanId"]).expect("the work around it");
        assert_eq!((&work["traceId"], &run["traceId"]), (&migration["traceId"], &migration["traceId"]));
    }
    assert!(migrations.iter().any(|m| m["traceId"] == trace.as_str()), "{trace} {migrations:#?}");
    let environments: Vec<String> = named("run").iter().filter_map(|s| attribute(s, "environment")).collect();
    for environment in ["development", "staging", "production"] {
        assert!(environments.iter().any(|e| e == environment), "{environments:?}");
    }
    assert!(!named("plan").is_empty());
}

#[test]
fn r25_the_usual_form_is_protobuf_and_a_collector_that_is_away_disturbs_nobody() {
    let collector = Collector::start();
    let shop = Shop::sqlite();
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{away}");
    let served =
        shop.serve_as(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")]);
    shop.webhooks_to(&served);
    shop.approved("orders", &ORDERS);
    served.terminate();
    assert_eq!(served.wait().code(), Some(0));
    let url = collector.url();
    let served =
        shop.serve_as(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")]);
    shop.webhooks_to(&served);
    shop.approved("more", &[("migrations/0002_more.up.sql", "CREATE TABLE more (id INTEGER PRIMARY KEY);\n")]);
    until("something is sent", || !collector.received.lock().unwrap().is_empty());
    served.terminate();
    assert_eq!(served.wait().code(), Some(0));
    let received = collector.received.lock().unwrap();
    assert!(received.iter().all(|(path, form, _)| path == "/v1/traces" && form == "application/x-protobuf"));
    let all: Vec<u8> = received.iter().flat_map(|(_, _, body)| body.clone()).collect();
    for part in [&b"delivery"[..], b"service.name"] {
        assert!(all.windows(part.len()).any(|w| w == part));
    }
}
