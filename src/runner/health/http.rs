//! Asks addresses that an environment names, where they are allowed. No redirect is followed: it would lead elsewhere.

use std::time::Duration;

use crate::config::urls::UrlList;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const LONGEST: u64 = 8 * 1024 * 1024;

/// Status and text of an answer; else why there is none.
pub(super) async fn get(url: &str, allowed: &UrlList) -> Result<(u16, String), String> {
    if !allowed.allows(url) {
        return Err(format!("the server's list does not allow {url}: name it in `GODWIT_ALLOWED_URLS`"));
    }
    let asked = url.to_owned();
    let answer = tokio::task::spawn_blocking(move || ask(&asked)).await;
    answer.unwrap_or_else(|e| Err(e.to_string())).map_err(|why| crate::redact::text(&format!("{url}: {why}")))
}

fn ask(url: &str) -> Result<(u16, String), String> {
    let native = rustls_native_certs::load_native_certs();
    let certificates: Vec<_> = native.certs.iter().map(|c| ureq::tls::Certificate::from_der(c).to_owned()).collect();
    let roots = ureq::tls::RootCerts::Specific(std::sync::Arc::new(certificates));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
        .user_agent(concat!("godwit/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .into();
    let mut answer = agent.get(url).call().map_err(|e| e.to_string())?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(LONGEST).read_to_string().map_err(|e| e.to_string())?;
    Ok((status, text))
}

/// What stands at the address of metrics; at a bare host they are under `/metrics`.
pub(super) async fn metrics(url: &str, allowed: &UrlList) -> Result<String, String> {
    let mut place = url::Url::parse(url).map_err(|e| format!("{url}: {e}"))?;
    if place.path() == "/" {
        place.set_path("/metrics");
    }
    match get(place.as_str(), allowed).await? {
        (200, text) => Ok(text),
        (status, _) => Err(format!("{place} answered {status}")),
    }
}
