//! The page of a pull request: look at it and act on it as any of the people. It loads nothing from elsewhere, and
//! its own requests are taken from itself alone.

mod diff;
mod elsewhere;
mod markdown;
mod view;

use std::sync::Arc;

use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Reply, Request};
use super::state::{MergeMethod, ReviewVerdict};
use super::{PullHandle, SandboxError, Shared};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a button does: gets the pull request and the login of the person who pressed it.
type Press = dyn Fn(&PullHandle, &str) -> Result<(), SandboxError> + Send + Sync;

/// A prepared action offered on the page of one pull request.
#[derive(Clone)]
pub struct Button {
    pub(super) repo: String,
    pub(super) number: u64,
    pub(super) label: String,
    pub(super) press: Arc<Press>,
    /// Whether it goes away once it was pressed.
    pub(super) once: bool,
}

impl Button {
    /// A button on the page of `pull`; it goes away once it was pressed with success.
    pub fn once(
        pull: &PullHandle,
        label: &str,
        press: impl Fn(&PullHandle, &str) -> Result<(), SandboxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            repo: pull.repo().full_name().to_owned(),
            number: pull.number(),
            label: label.to_owned(),
            press: Arc::new(press),
            once: true,
        }
    }

    /// A button that stays.
    pub fn lasting(
        pull: &PullHandle,
        label: &str,
        press: impl Fn(&PullHandle, &str) -> Result<(), SandboxError> + Send + Sync + 'static,
    ) -> Self {
        Self { once: false, ..Self::once(pull, label, press) }
    }
}

/// Paths that only the page's own script asks for; no fault hits them.
pub(super) fn is_own(path: &str) -> bool {
    path.starts_with("/_page/")
}

pub(super) fn answer(shared: &Arc<Shared>, request: &Request) -> Reply {
    // A page elsewhere that points its own name at this machine must not act here.
    let own_host = shared.look(|w| w.base_url.trim_start_matches("http://").to_owned());
    let port = own_host.rsplit(':').next().unwrap_or_default();
    let host = request.header("host").unwrap_or_default();
    if host != own_host && host != format!("localhost:{port}") {
        return Reply::text(421, "text/plain; charset=utf-8", "this host is not served here");
    }
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), path.as_slice()) {
        ("GET", [""]) => document(&shared.look(view::index), None),
        ("GET", [owner, name, "pull", number]) => match target(owner, name, number) {
            Some((repo, number)) if shared.look(|w| view::parts(w, &repo, number).is_some()) => {
                document(SHELL, Some(&format!("/_page/{repo}/pull/{number}")))
            }
            Some(_) | None => missing(),
        },
        ("GET", [owner, name, "blob", commit, file @ ..]) => {
            elsewhere::blob(shared, &format!("{owner}/{name}"), commit, &file.join("/"))
        }
        ("GET", [owner, name, "commit", sha]) => elsewhere::commit(shared, &format!("{owner}/{name}"), sha),
        ("GET", [owner, name, "runs", id]) => elsewhere::check_run(shared, &format!("{owner}/{name}"), id),
        ("GET", [_, _, "issues", _] | [_, _]) => elsewhere::to("/"),
        ("GET", ["_page", owner, name, "pull", number]) => match target(owner, name, number) {
            Some((repo, number)) => poll(shared, request, &repo, number),
            None => missing(),
        },
        ("POST", ["_page", owner, name, "pull", number, "act"]) => match target(owner, name, number) {
            Some((repo, number)) => act(shared, request, &repo, number),
            None => missing(),
        },
        _ => missing(),
    }
}

fn target(owner: &str, name: &str, number: &str) -> Option<(String, u64)> {
    let repo = crate::ids::RepoName::new(format!("{owner}/{name}")).ok()?;
    Some((repo.to_string(), number.parse().ok()?))
}

fn missing() -> Reply {
    Reply::text(404, "text/plain; charset=utf-8", "there is no such page")
}

fn poll(shared: &Shared, request: &Request, repo: &str, number: u64) -> Reply {
    let seen = request.param("since").and_then(|v| v.parse::<u64>().ok());
    shared.look(|w| {
        if seen == Some(w.version) {
            return Reply::empty(204);
        }
        view::parts(w, repo, number).map_or_else(missing, |parts| Reply::json(200, parts))
    })
}

/// Does what a person asked for with a button.
fn act(shared: &Arc<Shared>, request: &Request, repo: &str, number: u64) -> Reply {
    let own = shared.look(|w| w.base_url.clone());
    let host = format!("http://{}", request.header("host").unwrap_or_default());
    let from_here = request.header("origin").is_none_or(|o| o == own || o == host);
    if !from_here || !request.header("content-type").is_some_and(|t| t.starts_with("application/json")) {
        return Reply::json(403, json!({ "message": "only the page itself may ask for this" }));
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return Reply::json(400, json!({ "message": "not JSON" }));
    };
    let Some(sandbox) = shared.sandbox() else { return Reply::empty(503) };
    let result = sandbox.repo(repo).and_then(|r| r.pull(number)).and_then(|pull| perform(shared, &pull, &body));
    match result {
        Ok(()) => Reply::empty(204),
        Err(error) => Reply::json(422, json!({ "message": error.to_string() })),
    }
}

fn perform(shared: &Shared, pull: &PullHandle, body: &Value) -> Result<(), SandboxError> {
    let text = |field: &str| body[field].as_str().unwrap_or_default();
    let person = text("as");
    let needs_text = |what: &'static str| {
        let given = text("text").trim();
        if given.is_empty() { Err(SandboxError::NotAllowed(format!("write {what} first"))) } else { Ok(given) }
    };
    match text("do") {
        "approve" => pull.review(person, ReviewVerdict::Approve, text("text")).map(|_| ()),
        "request_changes" => {
            pull.review(person, ReviewVerdict::RequestChanges, needs_text("what should change")?).map(|_| ())
        }
        "comment" => pull.comment(person, needs_text("a comment")?).map(|_| ()),
        "label" => pull.add_label(person, needs_text("the label's name")?),
        "unlabel" => pull.remove_label(person, needs_text("the label's name")?),
        "merge" => {
            let method = match text("method") {
                "squash" => MergeMethod::Squash,
                "rebase" => MergeMethod::Rebase,
                _ => MergeMethod::Merge,
            };
            pull.merge(person, method).map(|_| ())
        }
        "close" => pull.close(person),
        "reopen" => pull.reopen(person),
        "press" => press(shared, pull, person, text("label")),
        other => Err(SandboxError::NoSuch("action", other.to_owned())),
    }
}

fn press(shared: &Shared, pull: &PullHandle, person: &str, label: &str) -> Result<(), SandboxError> {
    let of_pull = |b: &Button| b.repo == pull.repo().full_name() && b.number == pull.number() && b.label == label;
    let button = shared.look(|w| w.buttons.iter().find(|b| of_pull(b)).cloned());
    let button = button.ok_or_else(|| SandboxError::NoSuch("button", label.to_owned()))?;
    (button.press)(pull, person)?;
    if button.once {
        shared.change(|w| w.buttons.retain(|b| !of_pull(b)));
    }
    Ok(())
}

const SHELL: &str = r#"<div id="head"></div>
<nav role="tablist" aria-label="Pull request">
<button role="tab" data-tab="conversation">Conversation <span></span></button>
<button role="tab" data-tab="commits">Commits <span></span></button>
<button role="tab" data-tab="checks">Checks <span></span></button>
<button role="tab" data-tab="files">Files changed <span></span></button>
</nav>
<div class="columns"><div id="main">
<div id="conversation"></div><div id="commits" hidden></div><div id="checks" hidden></div><div id="files" hidden></div>
</div><aside id="side"></aside></div>
<form id="act" class="box"><div class="row"><label>Act as <select name="as"></select></label><span id="buttons"></span></div>
<textarea name="text" rows="2" placeholder="Comment, review text, label name or a command such as /godwit status" aria-label="Text"></textarea>
<div class="row"><button data-do="comment">Comment</button><button data-do="approve" class="primary">Approve</button>
<button data-do="request_changes">Request changes</button><button data-do="label">Add label</button>
<button data-do="unlabel">Remove label</button><span class="gap"></span>
<select name="method" aria-label="Merge method"><option value="merge">Merge commit</option><option value="squash">Squash</option>
<option value="rebase">Rebase</option></select><button data-do="merge" class="primary">Merge</button>
<button data-do="close">Close</button><button data-do="reopen">Reopen</button></div></form>
<div id="toast" role="status"></div>"#;

/// The whole document; `source` is where a pull request's parts come from.
fn document(body: &str, source: Option<&str>) -> Reply {
    let script = if source.is_some() { format!("<script>{SCRIPT}</script>") } else { String::new() };
    let source = source.map(|s| format!(" data-source=\"{}\"", markdown::escape(s))).unwrap_or_default();
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Pull request</title>\
         <style>{STYLE}</style><body{source}><div class=\"top\"><a href=\"/\">Pull requests</a> \
         <span class=\"muted\">a stand-in for GitHub on this machine</span></div><main>{body}</main>{script}"
    );
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Reply::text(200, "text/html; charset=utf-8", html)
        .header("content-security-policy", policy)
        .header("x-content-type-options", "nosniff")
        .header("cache-control", "no-store")
}
