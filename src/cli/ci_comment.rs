//! The one comment that `godwit ci --comment` keeps on a pull request.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::lint::LintReport;
use crate::report::{escape, lint_markdown};

/// First line of the comment, by which it is found again. Not the App's: both may stand on one pull request.
const MARKER: &str = "<!-- godwit:ci -->";
/// Comments of one page of GitHub's list.
const PAGE: usize = 100;
/// Pages that are searched for the comment.
const PAGES: usize = 30;

/// Writes or edits the comment; gives a word about what was done.
///
/// # Errors
/// No pull request, no token, no right to write, or GitHub cannot be reached.
pub(super) fn write(report: &LintReport) -> anyhow::Result<&'static str> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let token = variable("GITHUB_TOKEN").context("`GITHUB_TOKEN` is not set")?;
    crate::redact::register(&token);
    let repository = variable("GITHUB_REPOSITORY").context("`GITHUB_REPOSITORY` is not set")?;
    let api = variable("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".to_owned());
    let number = pull_request(&variable("GITHUB_EVENT_PATH").context("`GITHUB_EVENT_PATH` is not set")?)?;
    let client = Client { agent: agent(), token, issues: format!("{api}/repos/{repository}/issues") };

    let text = lint_markdown::render(report, escape::CHECK_LIMIT.saturating_sub(MARKER.len() + 1));
    let body = json!({ "body": format!("{MARKER}\n{text}") });
    match client.find(number)? {
        Some(id) => {
            client.send("PATCH", &format!("{}/comments/{id}", client.issues), &body)?;
            Ok("the comment was brought up to date")
        }
        None => {
            client.send("POST", &format!("{}/{number}/comments", client.issues), &body)?;
            Ok("a comment was written")
        }
    }
}

/// The number of the event's pull request.
fn pull_request(event: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(event).with_context(|| format!("cannot read `{event}`"))?;
    let event: Value = serde_json::from_str(&text).context("the event is not JSON")?;
    event["pull_request"]["number"].as_u64().context("the event is not about a pull request")
}

struct Client {
    agent: ureq::Agent,
    token: String,
    issues: String,
}

impl Client {
    /// The comment with our marker that an App wrote: anyone could paste the marker.
    fn find(&self, number: u64) -> anyhow::Result<Option<u64>> {
        for page in 1..=PAGES {
            let url = format!("{}/{number}/comments?per_page={PAGE}&page={page}", self.issues);
            let comments = self.send("GET", &url, &Value::Null)?;
            let comments = comments.as_array().context("GitHub's list of comments is no list")?;
            let ours = comments
                .iter()
                .find(|c| c["user"]["type"] == "Bot" && c["body"].as_str().is_some_and(|b| b.starts_with(MARKER)));
            if let Some(id) = ours.and_then(|c| c["id"].as_u64()) {
                return Ok(Some(id));
            }
            if comments.len() < PAGE {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn send(&self, method: &str, url: &str, body: &Value) -> anyhow::Result<Value> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .body(if body.is_null() { String::new() } else { body.to_string() })?;
        let mut answer = self.agent.run(request)?;
        let text = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            let said: Value = serde_json::from_str(&text).unwrap_or_default();
            bail!("GitHub answers {}: {}", answer.status(), said["message"].as_str().unwrap_or("no reason given"));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// An HTTP client that trusts the machine's certificates.
fn agent() -> ureq::Agent {
    let native = rustls_native_certs::load_native_certs();
    let certificates: Vec<_> = native.certs.iter().map(|c| ureq::tls::Certificate::from_der(c).to_owned()).collect();
    let roots = ureq::tls::RootCerts::Specific(std::sync::Arc::new(certificates));
    ureq::Agent::config_builder()
        .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
        .user_agent(concat!("godwit/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into()
}
