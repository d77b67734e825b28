//! The way to GitHub: one octocrab client per installation, timeouts, and retries of our own.
//!
//! octocrab signs the App's JWT and keeps the installation token; everything else (paging by number, retries, grading
//! of errors, models) is ours, because its pagination loses the token on other hosts than api.github.com, its retries
//! repeat a POST, and its closed enums refuse values that GitHub adds (GITHUB 7).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::header::{ACCEPT, ETAG, IF_NONE_MATCH, LINK, LOCATION, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use chrono::Utc;
use octocrab::models::{AppId, InstallationId};
use octocrab::{DefaultOctocrabBuilderConfig, NoAuth, NoSvc, NotLayerReady, Octocrab, OctocrabBuilder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::cache::Cache;
use super::error::{GithubError, classify};
use super::event::Repository;
use super::limits::Gate;
use super::model;
use super::repo::RepoApi;
use crate::ids::{Login, RepoName};

/// Entries asked for per page; GitHub's maximum.
const PER_PAGE: usize = 100;
/// Pages followed before giving up: no list of a pull request is longer.
const MAX_PAGES: usize = 200;
/// The longest wait for a rate limit inside a request (seconds); longer ones are handed back to the queue.
const PATIENCE: i64 = 3;
/// Redirects followed in a row.
const REDIRECTS: usize = 3;
/// How this program calls itself.
const AGENT: &str = concat!("godwit/", env!("CARGO_PKG_VERSION"));

/// How to reach GitHub.
#[derive(Debug, Clone)]
pub struct GithubSettings {
    /// REST root: `https://api.github.com`, or `https://HOST/api/v3` of a GitHub Enterprise Server.
    pub api_url: String,
    /// The App's id.
    pub app_id: u64,
    /// The App's private key, PEM.
    pub private_key: SecretString,
    /// Bound on one request, answer included.
    pub timeout: Duration,
    /// Wait before the first repetition; doubled each time.
    pub backoff: Duration,
    /// Whether writes are counted: GitHub's own service allows eighty a minute, a GitHub Enterprise Server any number.
    pub paced: bool,
}

impl GithubSettings {
    /// Settings with the usual bounds: half a minute a request, a quarter of a second before the first repetition.
    pub fn new(api_url: impl Into<String>, app_id: u64, private_key: SecretString) -> Self {
        let api_url = api_url.into();
        let host = url::Url::parse(&api_url).ok().and_then(|u| u.host_str().map(str::to_ascii_lowercase));
        let paced = host.is_some_and(|h| h == "api.github.com" || h.ends_with(".ghe.com"));
        Self {
            api_url,
            paced,
            app_id,
            private_key,
            timeout: Duration::from_secs(30),
            backoff: Duration::from_millis(250),
        }
    }
}

/// The client of the App; cheap to clone.
#[derive(Clone)]
pub struct Github {
    /// Another one when the App's key is replaced.
    inner: Arc<RwLock<Arc<Inner>>>,
}

struct Inner {
    settings: GithubSettings,
    /// The App, or the person whose token is used instead.
    app: Caller,
    app_id: u64,
    installations: Mutex<HashMap<u64, Caller>>,
    identity: OnceCell<model::App>,
}

/// One authenticated way to GitHub.
#[derive(Clone)]
pub(super) struct Caller {
    crab: Arc<Octocrab>,
    /// A person's own token, where it is one that asks.
    person: Option<SecretString>,
    timeout: Duration,
    backoff: Duration,
    root: Arc<url::Url>,
    gate: Arc<Gate>,
    cache: Arc<Cache>,
    paced: bool,
}

/// Whether a request may be sent again when its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Reads, and writes that end in the same state however often they arrive.
    Safe,
    /// Writes that would happen twice; the caller looks for their trace before it tries again.
    Never,
}

/// The HTTP methods that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl Github {
    /// A client for the App of `settings`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the private key or the URL cannot be used.
    pub fn new(settings: &GithubSettings) -> Result<Self, GithubError> {
        Ok(Self { inner: Arc::new(RwLock::new(Arc::new(Inner::new(settings)?))) })
    }

    /// A client that asks as the person whose token it is, with what that person may see. Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn of_person(api_url: &str, token: &SecretString, timeout: Duration) -> Result<Self, GithubError> {
        crate::redact::register(token.expose_secret());
        let settings = GithubSettings { timeout, ..GithubSettings::new(api_url, 0, SecretString::from(String::new())) };
        let crab = builder(&settings)?
            .personal_token(token.clone())
            .build()
            .map_err(|e| GithubError::Unusable(format!("cannot use the GitHub settings: {e}")))?;
        let inner = Inner::of(settings, crab, Some(token.clone()))?;
        Ok(Self { inner: Arc::new(RwLock::new(Arc::new(inner))) })
    }

    /// Whose token it is (GET /user).
    ///
    /// # Errors
    /// When GitHub cannot be asked, or does not accept the token.
    pub async fn person(&self) -> Result<Login, GithubError> {
        let user: model::MaybeUser = self.inner().app.get("/user").await?;
        user.login.ok_or_else(|| GithubError::Unusable("GitHub does not say whose token this is".to_owned()))
    }

    /// A repository by its name, with the rights of whoever asks.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or does not show it.
    pub async fn find(&self, repo: &RepoName) -> Result<Repository, GithubError> {
        let path = format!("/repos/{}/{}", segment(repo.owner()), segment(repo.name()));
        let inner = self.inner();
        let installation = match inner.app.person {
            Some(_) => 0,
            None => inner.app.get::<model::Installation>(&format!("{path}/installation")).await?.id,
        };
        let found: model::Repo = self.installation(installation).await?.get(&path).await?;
        Ok(Repository {
            id: found.id,
            name: found.full_name,
            clone_url: found.clone_url,
            default_branch: found.default_branch,
            installation,
        })
    }

    /// Signs with another key of the App from now on; tokens that were given out stay good.
    ///
    /// # Errors
    /// When it is no key; then the one before stays.
    pub fn use_key(&self, private_key: SecretString) -> Result<(), GithubError> {
        let new = Inner::new(&GithubSettings { private_key, ..self.inner().settings.clone() })?;
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }

    fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The way to GitHub as the App itself.
    pub(super) fn caller(&self) -> Caller {
        self.inner().app.clone()
    }

    /// The App's id.
    pub fn app_id(&self) -> u64 {
        self.inner().app_id
    }

    /// The login under which the App writes, `<slug>[bot]`; asked once (GET /app).
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn bot_login(&self) -> Result<Login, GithubError> {
        let inner = self.inner();
        if inner.app.person.is_some() {
            return self.person().await;
        }
        let app = inner.identity.get_or_try_init(|| async { inner.app.get::<model::App>("/app").await }).await?;
        Ok(Login::new(format!("{}[bot]", app.slug)))
    }

    /// A view of one repository with the rights of its installation. One client is kept per installation, so that its
    /// token is fetched once an hour and not once a request.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn repo(&self, repo: &RepoName, installation: u64) -> Result<RepoApi, GithubError> {
        Ok(RepoApi { caller: self.installation(installation).await?, repo: repo.clone(), github: self.clone() })
    }

    /// Repositories that an installation may see.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn repositories(&self, installation: u64) -> Result<Vec<model::Repo>, GithubError> {
        self.installation(installation).await?.list_in("/installation/repositories", "repositories").await
    }

    async fn installation(&self, id: u64) -> Result<Caller, GithubError> {
        let inner = self.inner();
        if inner.app.person.is_some() {
            return Ok(inner.app.clone());
        }
        let mut known = inner.installations.lock().await;
        if let Some(caller) = known.get(&id) {
            return Ok(caller.clone());
        }
        let crab = inner
            .app
            .crab
            .installation(InstallationId(id))
            .map_err(|e| GithubError::Unusable(format!("cannot use installation {id}: {e}")))?;
        // Limits are counted, and answers are given, to each installation by itself.
        let gate = Arc::new(Gate::new(inner.app.paced));
        let caller = Caller { crab: Arc::new(crab), gate, cache: Arc::default(), ..inner.app.clone() };
        known.insert(id, caller.clone());
        Ok(caller)
    }
}

impl Inner {
    fn new(settings: &GithubSettings) -> Result<Self, GithubError> {
        let unusable =
            |e: &dyn std::fmt::Display| GithubError::Unusable(format!("cannot use the GitHub settings: {e}"));
        let crab = builder(settings)?
            .app_from_rsa_pem(AppId(settings.app_id), settings.private_key.expose_secret())
            .map_err(|_| {
                GithubError::Unusable("the App's private key is not an RSA key in PEM form; download it again".into())
            })?
            .build()
            .map_err(|e| unusable(&e))?;
        Self::of(settings.clone(), crab, None)
    }

    fn of(settings: GithubSettings, crab: Octocrab, person: Option<SecretString>) -> Result<Self, GithubError> {
        let root = url::Url::parse(settings.api_url.trim_end_matches('/'))
            .map_err(|e| GithubError::Unusable(format!("cannot use the GitHub settings: {e}")))?;
        let app = Caller {
            crab: Arc::new(crab),
            person,
            timeout: settings.timeout,
            backoff: settings.backoff,
            root: Arc::new(root),
            gate: Arc::new(Gate::new(settings.paced)),
            cache: Arc::default(),
            paced: settings.paced,
        };
        Ok(Self {
            app,
            app_id: settings.app_id,
            installations: Mutex::new(HashMap::new()),
            identity: OnceCell::new(),
            settings,
        })
    }
}

impl Caller {
    /// An installation token for git that holds for ten minutes at least.
    pub(super) async fn token(&self) -> Result<SecretString, GithubError> {
        if let Some(token) = &self.person {
            return Ok(token.clone());
        }
        let what = "POST /app/installations/ID/access_tokens";
        let minted = self.crab.installation_token_with_buffer(chrono::Duration::minutes(10));
        match tokio::time::timeout(self.timeout, minted).await {
            Ok(Ok(token)) => {
                crate::redact::register(token.expose_secret());
                Ok(token)
            }
            Ok(Err(e)) => Err(from_octocrab(what, &e)),
            Err(_) => Err(GithubError::Transport { what: what.into(), message: "no answer in time".into() }),
        }
    }

    /// Reads one value.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GithubError> {
        let text = self.send(Method::Get, path, None, Repeat::Safe).await?;
        read(path, &text)
    }

    /// Reads one value in a form that GitHub gives only to who asks for it.
    pub(super) async fn get_as<T: DeserializeOwned>(&self, path: &str, form: &'static str) -> Result<T, GithubError> {
        let text = self.send_as(Method::Get, path, None, Repeat::Safe, Some(form)).await?;
        read(path, &text)
    }

    /// What was kept of an earlier answer.
    pub(super) fn kept(&self, under: &str) -> Option<String> {
        self.cache.get(under).map(|(_, text)| text)
    }

    /// Keeps what does not change.
    pub(super) fn keep(&self, under: &str, text: &str) {
        self.cache.put(under, "", text);
    }

    /// Reads a whole list, page by page.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, GithubError> {
        self.pages(path, Some).await
    }

    /// Reads a whole list that stands under `field` of an object, page by page.
    pub(super) async fn list_in<T: DeserializeOwned>(&self, path: &str, field: &str) -> Result<Vec<T>, GithubError> {
        self.pages(path, |mut value| value.get_mut(field).map(Value::take)).await
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        entries: impl Fn(Value) -> Option<Value>,
    ) -> Result<Vec<T>, GithubError> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let value: Value = self.get(&format!("{path}{joint}per_page={PER_PAGE}&page={page}")).await?;
            let unreadable = || GithubError::Unusable(format!("GitHub's answer to `GET {path}` is not a list"));
            let Some(Value::Array(items)) = entries(value) else { return Err(unreadable()) };
            let full = items.len() >= PER_PAGE;
            for item in items {
                all.push(
                    serde_json::from_value(item).map_err(|e| {
                        GithubError::Unusable(format!("cannot read GitHub's answer to `GET {path}`: {e}"))
                    })?,
                );
            }
            if !full {
                return Ok(all);
            }
        }
        Err(GithubError::Unusable(format!("GitHub's answer to `GET {path}` does not end")))
    }

    /// Writes and reads the answer.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        repeat: Repeat,
    ) -> Result<T, GithubError> {
        let text = self.send(method, path, Some(body), repeat).await?;
        read(path, &text)
    }

    /// Reads one value, and the address of the next page where GitHub names one instead of counting pages. Asked once:
    /// who reads such a list reads it again anyhow.
    pub(super) async fn get_linked<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>), GithubError> {
        let what = format!("GET {}", path.split('?').next().unwrap_or(path));
        let _turn = self.gate.enter(false).await?;
        let asked = async {
            let response = self.crab._get(path).await.map_err(|e| from_octocrab(&what, &e))?;
            let (status, headers) = (response.status(), response.headers().clone());
            self.gate.heard(&headers);
            let text = self.crab.body_to_string(response).await.map_err(|e| from_octocrab(&what, &e))?;
            if !status.is_success() {
                return Err(classify(&what, status, &headers, &text, Utc::now()));
            }
            Ok((read(path, &text)?, headers.get(LINK).and_then(|link| next_of(link.to_str().ok()?))))
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(result) => result,
            Err(_) => Err(GithubError::Transport { what, message: "no answer in time".into() }),
        }
    }

    /// Sends a request, again and again while that is safe and the failure is a passing one.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<String, GithubError> {
        self.send_as(method, path, body, repeat, None).await
    }

    async fn send_as(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
        form: Option<&'static str>,
    ) -> Result<String, GithubError> {
        let mut wait = self.backoff;
        let mut attempt = 1;
        loop {
            let error = match self.send_once(method, path, body, form).await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            // A rate limit is refused before anything happened, so even a write may be sent again.
            let pause = match error.retry_at() {
                Some(until) => {
                    let left = until - Utc::now();
                    if left.num_seconds() > PATIENCE { None } else { Some(left.to_std().unwrap_or_default()) }
                }
                None if error.is_temporary() && repeat == Repeat::Safe => Some(wait),
                None => None,
            };
            match pause {
                Some(pause) if attempt < 4 => {
                    tracing::debug!(%error, attempt, "asking GitHub again");
                    tokio::time::sleep(pause).await;
                    wait *= 2;
                    attempt += 1;
                }
                Some(_) | None => return Err(error),
            }
        }
    }

    async fn send_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        form: Option<&'static str>,
    ) -> Result<String, GithubError> {
        let what = format!("{} {}", method.as_str(), path.split('?').next().unwrap_or(path));
        let _turn = self.gate.enter(method != Method::Get).await?;
        match tokio::time::timeout(self.timeout, self.exchange(&what, method, path, body, form)).await {
            Ok(result) => result.inspect_err(|error| {
                if let GithubError::RateLimited { until } = error {
                    self.gate.close_until(*until);
                }
            }),
            Err(_) => Err(GithubError::Transport { what, message: "no answer in time".into() }),
        }
    }

    /// One request, with the redirects that a renamed repository answers with.
    async fn exchange(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        form: Option<&'static str>,
    ) -> Result<String, GithubError> {
        let mut path = path.to_owned();
        for _ in 0..=REDIRECTS {
            let known = if method == Method::Get { self.cache.get(&path) } else { None };
            let response = match method {
                Method::Get => {
                    let mut headers = HeaderMap::new();
                    if let Some(tag) = known.as_ref().and_then(|(tag, _)| HeaderValue::from_str(tag).ok()) {
                        headers.insert(IF_NONE_MATCH, tag);
                    }
                    if let Some(form) = form {
                        headers.insert(ACCEPT, HeaderValue::from_static(form));
                    }
                    self.crab._get_with_headers(path.as_str(), Some(headers)).await
                }
                Method::Post => self.crab._post(path.as_str(), body).await,
                Method::Patch => self.crab._patch(path.as_str(), body).await,
                Method::Delete => self.crab._delete(path.as_str(), body).await,
            }
            .map_err(|e| from_octocrab(what, &e))?;
            let (status, headers) = (response.status(), response.headers().clone());
            self.gate.heard(&headers);
            if status == StatusCode::NOT_MODIFIED
                && let Some((_, text)) = known
            {
                return Ok(text);
            }
            if status.is_redirection() {
                path = self.redirected(what, &headers)?;
                continue;
            }
            let text = self.crab.body_to_string(response).await.map_err(|e| from_octocrab(what, &e))?;
            if !status.is_success() {
                return Err(classify(what, status, &headers, &text, Utc::now()));
            }
            if method == Method::Get
                && let Some(tag) = headers.get(ETAG).and_then(|t| t.to_str().ok())
            {
                self.cache.put(&path, tag, &text);
            }
            return Ok(text);
        }
        Err(GithubError::Unusable(format!("GitHub redirects `{what}` again and again")))
    }

    /// The path that a redirect leads to. Whoever leads away from GitHub's API gets no token.
    fn redirected(&self, what: &str, headers: &HeaderMap) -> Result<String, GithubError> {
        let away = || GithubError::Unusable(format!("GitHub redirects `{what}` to an address that is not its API's"));
        let location = headers.get(LOCATION).and_then(|l| l.to_str().ok()).ok_or_else(away)?;
        let url = self.root.join(location).map_err(|_| away())?;
        let base = self.root.path().trim_end_matches('/');
        let path = url.path().strip_prefix(base).filter(|p| p.starts_with('/')).ok_or_else(away)?;
        if url.origin() != self.root.origin() {
            return Err(away());
        }
        Ok(url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
    }

    /// Asks GitHub's other API, which does a few things that REST cannot. On a GitHub Enterprise Server it stands beside
    /// `/api/v3`, not below it.
    pub(super) async fn graphql(&self, body: &Value) -> Result<Value, GithubError> {
        let what = "POST /graphql";
        let token = self.token().await?;
        let _turn = self.gate.enter(true).await?;
        let root = self.root.as_str().trim_end_matches('/');
        let crab = Octocrab::builder()
            .base_uri(root.strip_suffix("/api/v3").map_or_else(|| root.to_owned(), |host| format!("{host}/api")))
            .map_err(|_| GithubError::Unusable(format!("`{root}` is not a URL of GitHub's API")))?
            .add_header(USER_AGENT, AGENT.to_owned())
            .personal_token(token)
            .build()
            .map_err(|e| GithubError::Unusable(format!("cannot use the GitHub settings: {e}")))?;
        let asked = async {
            let response = crab._post("/graphql", Some(body)).await.map_err(|e| from_octocrab(what, &e))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let text = crab.body_to_string(response).await.map_err(|e| from_octocrab(what, &e))?;
            if !status.is_success() {
                return Err(classify(what, status, &headers, &text, Utc::now()));
            }
            let answer: Value = read(what, &text)?;
            match answer["errors"][0]["message"].as_str() {
                Some(message) => Err(refused(what, &answer["errors"][0]["type"], message)),
                None => Ok(answer["data"].clone()),
            }
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(result) => result,
            Err(_) => Err(GithubError::Transport { what: what.into(), message: "no answer in time".into() }),
        }
    }
}

/// GraphQL answers 200 and says in words what went wrong.
fn refused(what: &str, kind: &Value, message: &str) -> GithubError {
    let (what, message) = (what.to_owned(), crate::redact::text(message));
    match kind.as_str() {
        Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => GithubError::Forbidden { what, message },
        Some("RATE_LIMITED") => GithubError::RateLimited { until: Utc::now() + chrono::Duration::seconds(60) },
        Some(_) | None => GithubError::Rejected { status: 200, what, message },
    }
}

/// The address that a `Link` header gives for the next page.
fn next_of(link: &str) -> Option<String> {
    let (address, _) =
        link.split(',').filter_map(|part| part.split_once(';')).find(|(_, rel)| rel.contains("rel=\"next\""))?;
    Some(address.trim().trim_start_matches('<').trim_end_matches('>').to_owned())
}

/// A client that nobody has signed in to yet.
type Builder = OctocrabBuilder<NoSvc, DefaultOctocrabBuilderConfig, NoAuth, NotLayerReady>;

/// What every client has in common.
fn builder(settings: &GithubSettings) -> Result<Builder, GithubError> {
    Octocrab::builder()
        .base_uri(settings.api_url.trim_end_matches('/'))
        .map(|b| {
            b.add_header(USER_AGENT, AGENT.to_owned())
                .set_connect_timeout(Some(Duration::from_secs(10).min(settings.timeout)))
                .set_read_timeout(Some(settings.timeout))
                .set_write_timeout(Some(settings.timeout))
        })
        .map_err(|_| GithubError::Unusable(format!("`{}` is not a URL of GitHub's API", settings.api_url)))
}

fn read<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, GithubError> {
    serde_json::from_str(text)
        .map_err(|e| GithubError::Unusable(format!("cannot read GitHub's answer to `{path}`: {e}")))
}

/// Grades octocrab's own errors; a failed token request arrives as one.
fn from_octocrab(what: &str, error: &octocrab::Error) -> GithubError {
    match error {
        octocrab::Error::GitHub { source, .. } => {
            let headers = source.headers.clone().unwrap_or_default();
            classify(what, source.status_code, &headers, &source.message, Utc::now())
        }
        other => {
            // The chain names the cause (refused, reset, certificate); the outermost error alone says nothing.
            let mut message = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(inner) = cause {
                message = inner.to_string();
                cause = inner.source();
            }
            GithubError::Transport { what: what.to_owned(), message: crate::redact::text(&message) }
        }
    }
}

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One segment of a path, encoded whole: a `/`, `#` or `?` in a name must not reach another address.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_where_the_header_says() {
        let link = "<https://h/a?cursor=1>; rel=\"prev\", <https://h/a?per_page=2&cursor=v1_7>; rel=\"next\"";
        assert_eq!(next_of(link).as_deref(), Some("https://h/a?per_page=2&cursor=v1_7"));
        assert_eq!(next_of("<https://h/a>; rel=\"first\""), None);
        assert_eq!(next_of("nonsense"), None);
    }

    #[test]
    fn names_stay_within_their_segment() {
        assert_eq!(segment("needs:dba"), "needs%3Adba");
        assert_eq!(segment("a/b#c?d e%"), "a%2Fb%23c%3Fd%20e%25");
        assert_eq!(segment("feature_1.x-y~z"), "feature_1.x-y~z");
    }
}
