//! The REST API: who is asking, may they, and which topic answers.

mod actions;
pub(super) mod apps;
mod checks;
mod deployments;
mod git;
mod graphql;
mod issues;
mod labels;
mod line_comments;
mod orgs;
mod paging;
mod pulls;
mod repos;
mod reviewers;

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Content, Reply, Request};
use super::state::{Repo, Token, World};
use super::{Permission, SandboxError, Shared};

const DOCS: &str = "https://docs.github.com/rest";

/// An answer, or the refusal that is answered instead.
type Answer = Result<Reply, Reply>;

/// Who is asking.
enum Caller {
    /// The App itself, with a JWT.
    App,
    /// The installation, with a token.
    Installation(Token),
    /// A person, with a token of their own.
    Person(String),
}

/// One request with all that answers it.
struct Call<'a> {
    world: &'a mut World,
    request: &'a Request,
    body: Value,
    caller: Caller,
}

/// What stays as it is in one segment of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn is_rest(path: &str) -> bool {
    let first = strip_enterprise(path).trim_start_matches('/').split('/').next().unwrap_or_default();
    matches!(
        first,
        "repos"
            | "app"
            | "orgs"
            | "users"
            | "user"
            | "installation"
            | "rate_limit"
            | "graphql"
            | "api"
            | "organizations"
            | "repositories"
    )
}

/// Paths of GitHub Enterprise Server start with `/api/v3`.
pub(super) fn strip_enterprise(path: &str) -> &str {
    path.strip_prefix("/api/v3").unwrap_or(path)
}

/// Percent-encodes one path segment.
pub(super) fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, PLAIN).to_string()
}

/// Percent-encodes a path, keeping its slashes.
pub(super) fn encode_path(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

fn refuse(status: u16, message: &str) -> Reply {
    Reply::json(status, json!({ "message": message, "documentation_url": DOCS, "status": status.to_string() }))
}

fn not_found() -> Reply {
    refuse(404, "Not Found")
}

/// 422 with one field to blame.
fn invalid(resource: &str, field: &str, message: &str) -> Reply {
    let error = json!({ "resource": resource, "field": field, "code": "invalid", "message": message });
    let body = json!({
        "message": "Validation Failed", "errors": [error], "documentation_url": DOCS, "status": "422",
    });
    Reply::json(422, body)
}

impl From<SandboxError> for Reply {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::NoSuchUser(_)
            | SandboxError::NoSuchRepo(_)
            | SandboxError::NoSuchTeam(_)
            | SandboxError::NoSuchCommit(_)
            | SandboxError::NoSuchFile(_)
            | SandboxError::NoSuchPull(_)
            | SandboxError::NoSuch(..) => not_found(),
            SandboxError::NotAllowed(why) => invalid("PullRequest", "base", &why),
            SandboxError::NotMergeable | SandboxError::NotOpen(_) => refuse(405, "Pull Request is not mergeable"),
            SandboxError::StillDelivering(..) | SandboxError::Git(_) | SandboxError::Io(_) => {
                refuse(500, &error.to_string())
            }
        }
    }
}

impl From<git2::Error> for Reply {
    fn from(error: git2::Error) -> Self {
        SandboxError::from(error).into()
    }
}

pub(super) fn answer(shared: &Arc<Shared>, request: &Request) -> Reply {
    let mut world = shared.lock();
    let before = world.version;
    let reply = judge(&mut world, request).unwrap_or_else(|refusal| refusal);
    let changed = request.method != "GET" && reply.status < 300;
    if changed {
        world.version = before + 1;
    }
    let reply = with_headers(&world, request, reply);
    drop(world);
    if changed {
        shared.notify();
    }
    reply
}

/// Rate limit headers as GitHub sends them, and `304` for what the caller has already.
fn with_headers(world: &World, request: &Request, reply: Reply) -> Reply {
    let used = world.exchanges.len() as u64;
    let reset = world.now().timestamp() + 3600;
    let reply = reply
        .header("x-ratelimit-limit", "5000")
        .header("x-ratelimit-remaining", 5000u64.saturating_sub(used).max(1).to_string())
        .header("x-ratelimit-used", used.to_string())
        .header("x-ratelimit-reset", reset.to_string())
        .header("x-ratelimit-resource", "core")
        .header("x-github-request-id", format!("{used:X}:0"));
    let Content::Json(body) = &reply.content else { return reply };
    if request.method != "GET" || reply.status != 200 {
        return reply;
    }
    let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(body.to_string().as_bytes())));
    if request.header("if-none-match") == Some(etag.as_str()) {
        return Reply { status: 304, content: Content::Empty, ..reply }.header("etag", etag);
    }
    reply.header("etag", etag)
}

fn judge(world: &mut World, request: &Request) -> Answer {
    if request.header("user-agent").is_none_or(str::is_empty) {
        let words = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
        return Err(refuse(403, words));
    }
    if let Some(version) = request.header("x-github-api-version")
        && !matches!(version, "2022-11-28" | "2026-03-10")
    {
        return Err(refuse(400, "The specified API version is not supported"));
    }
    let segments: Vec<String> = strip_enterprise(&request.path)
        .trim_matches('/')
        .split('/')
        .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
        .collect();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let body = if request.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&request.body).map_err(|_| refuse(400, "Problems parsing JSON"))?
    };
    let caller = caller(world, request, &path)?;
    route(&mut Call { world, request, body, caller }, &path)
}

/// Checks the credentials: a JWT opens what belongs to the App, an installation token everything else.
fn caller(world: &World, request: &Request, path: &[&str]) -> Result<Caller, Reply> {
    let bad = || refuse(401, "Bad credentials");
    let header = request.header("authorization").ok_or_else(|| refuse(401, "Requires authentication"))?;
    let (scheme, credential) = header.split_once(' ').ok_or_else(bad)?;
    if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("token") {
        return Err(bad());
    }
    let for_app = matches!(path, ["app", ..] | ["repos" | "orgs" | "users", .., "installation"]);
    if for_app {
        apps::check_jwt(world, credential)?;
        return Ok(Caller::App);
    }
    if let Some(login) = world.personal_tokens.get(credential) {
        return Ok(Caller::Person(login.clone()));
    }
    let token = world.tokens.get(credential).filter(|t| t.expires_at > world.now()).ok_or_else(bad)?;
    if world.app.uninstalled {
        return Err(bad());
    }
    if world.app.suspended {
        return Err(refuse(403, "This installation has been suspended"));
    }
    Ok(Caller::Installation(token.clone()))
}

fn route(call: &mut Call<'_>, path: &[&str]) -> Answer {
    let method = call.request.method.clone();
    match (method.as_str(), path) {
        (_, ["app", ..]) => apps::route(call, &method, path),
        ("GET", ["repos", owner, name, "installation"]) => apps::installation_of(call, &format!("{owner}/{name}")),
        ("GET", ["users" | "orgs", account, "installation"]) => apps::installation_of(call, account),
        ("GET", ["installation", "repositories"]) => apps::repositories(call),
        ("GET", ["rate_limit"]) => Ok(apps::rate_limit(call)),
        ("POST", ["graphql"] | ["api", "graphql"]) => graphql::answer(call),
        ("GET", ["user"]) => {
            let Caller::Person(login) = &call.caller else {
                return Err(refuse(403, "Resource not accessible by integration"));
            };
            orgs::user(call, login)
        }
        ("GET", ["users", login]) => orgs::user(call, login),
        ("GET", ["orgs", org, rest @ ..]) => orgs::route(call, org, rest),
        (_, ["repos", owner, name, rest @ ..]) => in_repo(call, &method, &format!("{owner}/{name}"), rest),
        // Where redirects of renamed repositories lead.
        (_, ["repositories", id, rest @ ..]) => {
            let id = number(id)?;
            let found = call.world.repos.values().find(|r| r.id == id).map(|r| r.full_name.clone());
            in_repo(call, &method, &found.ok_or_else(not_found)?, rest)
        }
        _ => Err(not_found()),
    }
}

fn in_repo(call: &mut Call<'_>, method: &str, name: &str, rest: &[&str]) -> Answer {
    if let Some(id) = call.world.moved_from(name) {
        return Err(moved(call, method, id, rest));
    }
    let name = call.open(method, name)?;
    if let Some((permissions, level)) = needed(method, rest) {
        call.may(permissions, level)?;
    }
    match rest {
        ["pulls", _, "requested_reviewers"] => reviewers::route(call, method, &name, rest),
        ["pulls", ..] | ["commits", _, "pulls"] => pulls::route(call, method, &name, rest),
        ["issues", _, "labels", ..] | ["labels", ..] => labels::route(call, method, &name, rest),
        ["issues", ..] => issues::route(call, method, &name, rest),
        ["check-runs", ..]
        | ["check-suites", ..]
        | ["statuses", _]
        | ["commits", _, "check-runs" | "status" | "statuses"] => checks::route(call, method, &name, rest),
        ["deployments", ..] => deployments::route(call, method, &name, rest),
        ["actions", "runs", ..] => actions::route(call, method, &name, rest),
        ["git", ..] if method == "POST" => git::route(call, &name, rest),
        _ => repos::route(call, method, &name, rest),
    }
}

/// Where a renamed repository is found now: for good for what only reads, with the same method for the rest.
fn moved(call: &Call<'_>, method: &str, id: u64, rest: &[&str]) -> Reply {
    let prefix = if call.request.path.starts_with("/api/v3") { "/api/v3" } else { "" };
    let mut url = format!("{}{prefix}/repositories/{id}", call.world.base_url);
    for segment in rest {
        url.push('/');
        url.push_str(&encode(segment));
    }
    if !call.request.query.is_empty() {
        url.push('?');
        url.push_str(&call.request.query);
    }
    let (status, words) = if method == "GET" { (301, "Moved Permanently") } else { (307, "Temporary Redirect") };
    Reply::json(status, json!({ "message": words, "url": url, "documentation_url": DOCS })).header("location", url)
}

/// Permissions of which one is needed, and the level.
fn needed(method: &str, rest: &[&str]) -> Option<(&'static [&'static str], &'static str)> {
    let level = if method == "GET" { "read" } else { "write" };
    let permissions: &[&str] = match rest {
        ["pulls", ..] | ["commits", _, "pulls"] => &["pull_requests"],
        ["issues", ..] | ["labels", ..] => &["issues", "pull_requests"],
        ["check-runs", ..] | ["check-suites", ..] | ["commits", _, "check-runs"] => &["checks"],
        ["statuses", ..] | ["commits", _, "status" | "statuses"] => &["statuses"],
        ["deployments", ..] | ["actions", "runs", _, "deployment_protection_rule"] => &["deployments"],
        ["contents" | "commits" | "compare" | "git" | "codeowners" | "branches", ..] => &["contents"],
        _ => return None,
    };
    Some((permissions, level))
}

impl Call<'_> {
    /// Fails unless the token holds one of `permissions` at `level`.
    fn may(&self, permissions: &[&str], level: &str) -> Result<(), Reply> {
        if let Caller::Person(_) = &self.caller {
            // What a person may do in a repository was looked at when it was opened.
            return Ok(());
        }
        let Caller::Installation(token) = &self.caller else { return Err(refuse(401, "Bad credentials")) };
        let held = permissions.iter().filter_map(|p| token.permissions.get(*p));
        if held.into_iter().any(|l| l == level || l == "write" || l == "admin") {
            return Ok(());
        }
        Err(refuse(403, "Resource not accessible by integration"))
    }

    /// The repository under its own name, if this token sees it; a public one without the App can be read.
    fn open(&self, method: &str, name: &str) -> Result<String, Reply> {
        let repo = self.world.repo(name).ok_or_else(not_found)?;
        if let Caller::Person(login) = &self.caller {
            let held = self.world.permission(repo, login);
            return match (repo.private && held < Permission::Read, method == "GET" || held >= Permission::Write) {
                (true, _) => Err(not_found()),
                (false, true) => Ok(repo.full_name.clone()),
                (false, false) => Err(refuse(403, "Must have push access to this repository")),
            };
        }
        let Caller::Installation(token) = &self.caller else { return Err(refuse(401, "Bad credentials")) };
        let chosen = repo.installed && token.repositories.as_ref().is_none_or(|ids| ids.contains(&repo.id));
        match (chosen, repo.private, method) {
            (true, _, _) | (false, false, "GET") => Ok(repo.full_name.clone()),
            (false, false, _) => Err(refuse(403, "Resource not accessible by integration")),
            (false, true, _) => Err(not_found()),
        }
    }

    fn repo(&self, name: &str) -> Result<&Repo, Reply> {
        self.world.repo(name).ok_or_else(not_found)
    }

    fn repo_mut(&mut self, name: &str) -> Result<&mut Repo, Reply> {
        self.world.repo_mut(name).ok_or_else(not_found)
    }

    /// Login that the App acts as.
    fn bot(&self) -> String {
        self.world.app.bot_login()
    }

    /// A text of the body; 422 when it is missing or no text.
    fn text(&self, resource: &str, field: &str) -> Result<String, Reply> {
        let value = self.body.get(field).and_then(Value::as_str);
        value.map(str::to_owned).ok_or_else(|| invalid(resource, field, &format!("{field} is missing or no string")))
    }

    fn optional(&self, field: &str) -> Option<String> {
        self.body.get(field).and_then(Value::as_str).map(str::to_owned)
    }
}

/// A number in a path.
fn number(segment: &str) -> Result<u64, Reply> {
    segment.parse().map_err(|_| not_found())
}
