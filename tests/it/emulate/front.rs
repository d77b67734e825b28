//! The proxy in front of `emulate`: passes REST through, serves git over HTTP from the real repository, re-signs webhooks, and fills
//! what the emulator lacks: a pull request's files and label events, reactions, authors of commits, fresh delivery ids.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::repository::{Repository, git_command};

/// What people's requests name as their program.
pub const PEOPLE_AGENT: &str = "people";

/// An answer: status, headers worth keeping, body.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: value.to_string().into(),
        }
    }

    /// The body as JSON; null where it is none.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A webhook on its way to Godwit.
pub struct Delivery {
    pub event: String,
    pub payload: Value,
}

/// One request of the server under test.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub status: u16,
}

/// The proxy's state.
pub struct Front {
    pub repository: Repository,
    pub full_name: String,
    pub secret: String,
    pub seen: Mutex<Vec<Seen>>,
    /// Webhooks wait here, so that what a request changes in git is there before anyone hears of it.
    pub deliveries: mpsc::Sender<Delivery>,
    pub emulate: Mutex<String>,
    /// E-mail address to login, for the authors of commits.
    pub people: BTreeMap<String, String>,
    installation_tokens: Mutex<HashSet<String>>,
    label_events: Mutex<Vec<Value>>,
    http: ureq::Agent,
}

impl Front {
    pub fn new(
        repository: Repository,
        full_name: &str,
        secret: &str,
        logins: &[&str],
        deliveries: mpsc::Sender<Delivery>,
    ) -> Self {
        Self {
            repository,
            full_name: full_name.to_owned(),
            secret: secret.to_owned(),
            seen: Mutex::default(),
            deliveries,
            emulate: Mutex::default(),
            people: logins.iter().map(|login| (format!("{login}@example.com"), (*login).to_owned())).collect(),
            installation_tokens: Mutex::default(),
            label_events: Mutex::default(),
            http: agent(),
        }
    }

    fn answer(&self, method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        if path == "/hooks" {
            return self.webhook(headers, body);
        }
        if path.starts_with(&format!("/{}.git/", self.full_name)) {
            return self.git(method, path, query, headers, body);
        }
        let repo = format!("/repos/{}", self.full_name);
        let parts: Vec<&str> = path.strip_prefix(&repo).unwrap_or("").split('/').skip(1).collect();
        let answer = match (method.as_str(), parts.as_slice()) {
            ("GET", ["pulls", number, "files"]) => self.files(number, query, headers),
            ("GET", ["pulls", number, "commits"]) => self.commits(number, path, query, headers),
            ("GET", ["issues", number, "timeline" | "events"]) => self.timeline(number),
            ("POST", ["issues", "comments", id, "reactions"]) => self.reaction(id, headers, body),
            ("PUT", ["pulls", _, "merge"]) => self.merge(path, headers, body),
            ("GET", ["commits", sha, "pulls"]) => self.pulls_of_commit(sha, headers),
            _ if path == "/installation/repositories" => self.installed_repositories(headers),
            _ => self.pass(method, path, query, headers, body),
        };
        if path.starts_with("/app/installations/") && answer.status == 201 {
            let token = answer.value()["token"].as_str().unwrap().to_owned();
            self.installation_tokens.lock().unwrap().insert(token);
        }
        // People's own requests, which the test itself makes, are not what it looks for.
        if headers.get("user-agent").is_none_or(|agent| agent != PEOPLE_AGENT) {
            self.seen.lock().unwrap().push(Seen {
                method: method.to_string(),
                path: path.to_owned(),
                status: answer.status,
            });
        }
        answer
    }

    /// Passes a request on and gives the answer.
    pub fn pass(&self, method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        let mut url = format!("{}{path}", self.emulate.lock().unwrap());
        if !query.is_empty() {
            url += &format!("?{query}");
        }
        let mut request = ureq::http::Request::builder().method(method.as_str()).uri(url);
        for name in ["authorization", "accept", "content-type", "user-agent"] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value.as_bytes());
            }
        }
        // A GET or DELETE without a body must be sent without one.
        let response = if body.is_empty() && matches!(*method, Method::GET | Method::DELETE) {
            self.http.run(request.body(()).unwrap())
        } else {
            self.http.run(request.body(body.to_vec()).unwrap())
        };
        let mut response = response.unwrap();
        let keep = ["content-type", "link", "etag", "x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset"];
        Answer {
            status: response.status().as_u16(),
            headers: keep
                .iter()
                .filter_map(|name| {
                    Some(((*name).to_owned(), response.headers().get(*name)?.to_str().unwrap().to_owned()))
                })
                .collect(),
            body: response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap(),
        }
    }

    fn pull(&self, number: &str, headers: &HeaderMap) -> Answer {
        self.pass(&Method::GET, &format!("/repos/{}/pulls/{number}", self.full_name), "", headers, b"")
    }

    fn files(&self, number: &str, query: &str, headers: &HeaderMap) -> Answer {
        let pull = self.pull(number, headers);
        if pull.status != 200 {
            return pull;
        }
        let sha = |side: &str| pull.value()[side]["sha"].as_str().unwrap().to_owned();
        let first = !query.split('&').any(|pair| pair.starts_with("page=") && pair != "page=1");
        let files = if first { self.repository.changed_files(&sha("base"), &sha("head")) } else { json!([]) };
        Answer::json(200, &files)
    }

    /// The emulator lists the base commit among a pull request's, and knows no author.
    fn commits(&self, number: &str, path: &str, query: &str, headers: &HeaderMap) -> Answer {
        let base = self.pull(number, headers).value()["base"]["sha"].clone();
        let mut answer = self.pass(&Method::GET, path, query, headers, b"");
        if let Value::Array(mut commits) = answer.value() {
            commits.retain(|commit| commit["sha"] != base);
            for commit in &mut commits {
                for who in ["author", "committer"] {
                    let login = commit["commit"][who]["email"].as_str().and_then(|email| self.people.get(email));
                    commit[who] = login.map_or(Value::Null, |login| user(login));
                }
            }
            answer.body = Value::Array(commits).to_string().into();
        }
        answer
    }

    fn timeline(&self, number: &str) -> Answer {
        let number: Option<u64> = number.parse().ok();
        let events = self.label_events.lock().unwrap();
        let of_this = events.iter().filter(|event| event["issue"].as_u64() == number).cloned().collect();
        Answer::json(200, &Value::Array(of_this))
    }

    fn reaction(&self, id: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        // The emulator checks that the comment is there and may be seen.
        let comment = format!("/repos/{}/issues/comments/{id}", self.full_name);
        let found = self.pass(&Method::GET, &comment, "", headers, b"");
        if found.status != 200 {
            return found;
        }
        let wanted: Value = serde_json::from_slice(body).unwrap();
        let at = "2026-01-01T00:00:00Z";
        Answer::json(
            201,
            &json!({ "id": 1, "node_id": "r", "user": user("godwit[bot]"), "content": wanted["content"], "created_at": at }),
        )
    }

    fn pulls_of_commit(&self, sha: &str, headers: &HeaderMap) -> Answer {
        let mut all = self.pass(&Method::GET, &format!("/repos/{}/pulls", self.full_name), "state=all", headers, b"");
        if let Value::Array(mut pulls) = all.value() {
            pulls.retain(|pull| pull["head"]["sha"] == sha || pull["merge_commit_sha"] == sha);
            all.body = Value::Array(pulls).to_string().into();
        }
        all
    }

    fn installed_repositories(&self, headers: &HeaderMap) -> Answer {
        let one = self.pass(&Method::GET, &format!("/repos/{}", self.full_name), "", headers, b"");
        Answer::json(one.status, &json!({ "total_count": 1, "repositories": [one.value()] }))
    }

    fn merge(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        let answer = self.pass(&Method::PUT, path, "", headers, body);
        if answer.status == 200 {
            let sha = answer.value()["sha"].as_str().unwrap().to_owned();
            let commit =
                self.pass(&Method::GET, &format!("/repos/{}/git/commits/{sha}", self.full_name), "", headers, b"");
            self.repository.adopt("main", &commit.value());
        }
        answer
    }

    /// `git http-backend` as the CGI program that it is. Whoever fetches shows a token that the emulator gave out.
    fn git(&self, method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let known = basic_password(header("authorization"))
            .is_some_and(|password| self.installation_tokens.lock().unwrap().contains(&password));
        if !known {
            let ask = ("www-authenticate".to_owned(), "Basic realm=\"git\"".to_owned());
            return Answer { status: 401, headers: vec![ask], body: Vec::new() };
        }
        let root = self.repository.bare.ancestors().nth(2).unwrap();
        let mut child = git_command()
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", method.as_str())
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let output = child.wait_with_output().unwrap().stdout;
        let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let mut answer = Answer { status: 200, headers: Vec::new(), body: output[end + 4..].to_vec() };
        for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "Status" => answer.status = value[..3].parse().unwrap(),
                _ => answer.headers.push((name.to_owned(), value.to_owned())),
            }
        }
        answer
    }

    /// A webhook of the emulator: checked, mended where it differs from GitHub's, and put in line.
    fn webhook(&self, headers: &HeaderMap, body: &[u8]) -> Answer {
        assert_eq!(headers["x-hub-signature-256"].to_str().unwrap(), self.sign(body), "emulate's own signature");
        let mut event = headers["x-github-event"].to_str().unwrap().to_owned();
        let mut payload: Value = serde_json::from_slice(body).unwrap();
        match event.as_str() {
            // The emulator reports a pull request's labels as an issue's.
            "issues" if payload["label"].is_object() => {
                let pull = payload["issue"].take();
                self.label_events.lock().unwrap().push(json!({
                    "event": payload["action"], "issue": pull["number"], "actor": payload["sender"], "label": payload["label"],
                    "created_at": chrono::Utc::now().to_rfc3339(),
                }));
                payload["number"] = pull["number"].clone();
                payload["pull_request"] = pull;
                payload.as_object_mut().unwrap().remove("issue");
                event = "pull_request".to_owned();
            }
            "pull_request" => payload["number"] = payload["pull_request"]["number"].clone(),
            // GitHub writes the state in lower case here, and in upper case in its REST answers.
            "pull_request_review" => {
                payload["review"]["state"] = payload["review"]["state"].as_str().unwrap().to_lowercase().into();
            }
            // Without this member GitHub's comments are an issue's.
            "issue_comment" => {
                let number = payload["issue"]["number"].clone();
                payload["issue"]["pull_request"] =
                    json!({ "url": format!("/repos/{}/pulls/{number}", self.full_name) });
            }
            _ => {}
        }
        self.deliveries.send(Delivery { event, payload }).unwrap();
        Answer::json(200, &json!({}))
    }

    /// The value of `X-Hub-Signature-256`.
    pub fn sign(&self, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }
}

fn user(login: &str) -> Value {
    json!({ "login": login, "id": 1, "type": if login.ends_with("[bot]") { "Bot" } else { "User" } })
}

/// An HTTP client that gives every status to the caller.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

/// The password of a Basic authorization header.
fn basic_password(header: &str) -> Option<String> {
    let encoded = header.strip_prefix("Basic ")?;
    let mut bits = 0u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for character in encoded.bytes().filter(|byte| *byte != b'=') {
        let digit =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|c| *c == character)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// The axum handler: everything below is blocking code, as tests like it.
pub async fn handle(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        front.answer(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or(""), &parts.headers, &body)
    })
    .await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        response.headers_mut().insert(header::HeaderName::try_from(name).unwrap(), value.try_into().unwrap());
    }
    response
}
