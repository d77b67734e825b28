//! Everything that the story needs, running: `emulate`, the proxy in front of it, the shop's repository, its people and teams.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};

use super::front::{self, Answer, Delivery, Front};
use super::repository::Repository;

/// The repository of the story.
pub const REPOSITORY: &str = "shop/shop";
/// What the App and the server share.
pub const SECRET: &str = "a webhook secret of the tests";
/// The App's number.
pub const APP_ID: u64 = 4711;
const INSTALLATION: u64 = 99;

/// The people, with the teams they are in. Everyone is a member of the organisation.
const PEOPLE: &[(&str, &[&str])] = &[
    ("ann", &["developers"]),
    ("dora", &["developers"]),
    ("olaf", &["data-ops"]),
    ("omar", &["data-ops"]),
    ("bea", &["dba"]),
    ("dana", &[]),
    ("tess", &[]),
    ("carl", &[]),
];

/// What the App may do (docs/setup.md lists the same).
pub fn permissions() -> Value {
    json!({
        "checks": "write", "contents": "read", "issues": "write", "members": "read", "metadata": "read", "pull_requests": "write",
    })
}

/// The running world. Dropping it ends everything that it started.
pub struct World {
    pub root: tempfile::TempDir,
    pub front: Arc<Front>,
    /// The proxy's address, which takes `https://api.github.com`'s place.
    pub url: String,
    /// The file with the App's key.
    pub key: PathBuf,
    /// Every webhook that went out, with the answer's status.
    pub delivered: Arc<Mutex<Vec<(String, u16)>>>,
    godwit: Arc<Mutex<Option<String>>>,
    emulate: Child,
    http: ureq::Agent,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    /// Starts it all, with the shop's repository on `main`.
    pub fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repository = Repository::new(root.path(), REPOSITORY);
        let logins: Vec<&str> = PEOPLE.iter().map(|(login, _)| *login).collect();
        let (sender, receiver) = mpsc::channel();
        let front = Arc::new(Front::new(repository, REPOSITORY, SECRET, &logins, sender));

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(front::handle).with_state(front.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });

        let (emulate, ready) = launch(&url, &seed(&url));
        *front.emulate.lock().unwrap() = ready["url"].as_str().unwrap().to_owned();
        let key = root.path().join("app.pem");
        std::fs::write(&key, ready["privateKey"].as_str().unwrap()).unwrap();

        let (godwit, delivered) = (Arc::default(), Arc::default());
        deliver_in_order(receiver, front.clone(), Arc::clone(&godwit), Arc::clone(&delivered));
        let world = Self { root, front, url, key, delivered, godwit, emulate, http: front::agent(), _runtime: runtime };
        world.make_teams();
        world.fill_main();
        world
    }

    fn make_teams(&self) {
        for team in ["developers", "data-ops", "dba"] {
            self.expect(201, "dana", "POST", "/orgs/shop/teams", json!({ "name": team, "permission": "push" }));
            self.expect(204, "dana", "PUT", &format!("/orgs/shop/teams/{team}/repos/{REPOSITORY}"), json!({}));
        }
        for (login, teams) in PEOPLE {
            for team in *teams {
                self.expect(200, "dana", "PUT", &format!("/orgs/shop/teams/{team}/memberships/{login}"), json!({}));
            }
        }
    }

    fn fill_main(&self) {
        self.front.repository.branch("main", None);
        for (path, content) in shop_files() {
            self.front.repository.write(&path, &content);
        }
        self.push("dana", "main", "The shop as it is");
    }

    /// Commits what was written, pushes it, and lets the emulator know: the branch, and the head of its open pull request.
    pub fn push(&self, login: &str, branch: &str, message: &str) -> String {
        let repository = &self.front.repository;
        let sha = repository.push(login, message);
        let repo = format!("/repos/{REPOSITORY}");
        // Objects are sent by an administrator of the organisation: they are no one's word.
        repository.upload(&sha, &|path, body| self.expect(201, "dana", "POST", &format!("{repo}{path}"), body));
        let known = self.request("dana", "GET", &format!("{repo}/git/ref/heads/{branch}"), json!(null)).status == 200;
        if !known {
            let body = json!({ "ref": format!("refs/heads/{branch}"), "sha": sha });
            self.expect(201, login, "POST", &format!("{repo}/git/refs"), body);
            return sha;
        }
        let before = self.expect(200, login, "GET", &format!("{repo}/git/ref/heads/{branch}"), json!(null));
        self.expect(
            200,
            login,
            "PATCH",
            &format!("{repo}/git/refs/heads/{branch}"),
            json!({ "sha": sha, "force": true }),
        );
        let pulls = self.expect(200, login, "GET", &format!("{repo}/pulls?state=open&head=shop:{branch}"), json!(null));
        for pull in pulls.as_array().unwrap() {
            self.move_head(login, pull["number"].as_u64().unwrap(), &before["object"]["sha"], &sha);
        }
        sha
    }

    fn move_head(&self, login: &str, number: u64, before: &Value, after: &str) {
        self.expect(200, login, "POST", &format!("/_test/pulls/{number}/head"), json!({ "sha": after }));
        let pull = self.expect(200, login, "GET", &format!("/repos/{REPOSITORY}/pulls/{number}"), json!(null));
        assert_eq!(pull["head"]["sha"], after);
        let sender = self.expect(200, login, "GET", &format!("/users/{login}"), json!(null));
        let payload = json!({
            "action": "synchronize", "number": number, "before": before, "after": after,
            "repository": pull["base"]["repo"], "pull_request": pull, "sender": sender, "installation": { "id": INSTALLATION },
        });
        self.front.deliveries.send(Delivery { event: "pull_request".to_owned(), payload }).unwrap();
    }

    /// A request of a person.
    pub fn request(&self, login: &str, method: &str, path: &str, body: Value) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        request = request
            .header("authorization", format!("Bearer {}", token(login)))
            .header("user-agent", front::PEOPLE_AGENT);
        let response = if body.is_null() {
            self.http.run(request.body(()).unwrap())
        } else {
            self.http.run(request.header("content-type", "application/json").body(body.to_string()).unwrap())
        };
        let mut response = response.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: Vec::new(),
            body: response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap(),
        }
    }

    /// A request of a person that must be answered with that status; gives the body.
    pub fn expect(&self, status: u16, login: &str, method: &str, path: &str, body: Value) -> Value {
        let answer = self.request(login, method, path, body);
        assert_eq!(answer.status, status, "{login}: {method} {path}: {}", String::from_utf8_lossy(&answer.body));
        answer.value()
    }

    /// Reads something of the repository, as an administrator.
    pub fn get(&self, path: &str) -> Value {
        self.expect(200, "dana", "GET", &format!("/repos/{REPOSITORY}{path}"), json!(null))
    }

    /// Lets webhooks go to a server that listens there (`http://…/github/webhook`).
    pub fn send_webhooks_to(&self, url: &str) {
        *self.godwit.lock().unwrap() = Some(url.to_owned());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.emulate.kill();
        let _ = self.emulate.wait();
    }
}

/// Waits until `look` finds something.
///
/// # Panics
/// After a minute, with what `explain` says.
pub fn until<T>(what: &str, explain: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + crate::support::PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited a minute for {what}\n{}", explain());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The token a person shows.
pub fn token(login: &str) -> String {
    format!("token-of-{login}")
}

/// The files of the demo's shop, as they are on `main`.
fn shop_files() -> Vec<(String, Vec<u8>)> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let mut files = Vec::new();
    for (folder, within) in [(shop(), ""), (shop().join("policies"), "policies/"), (examples, "migrations/")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap();
                files.push((format!("{within}{name}"), std::fs::read(&path).unwrap()));
            }
        }
    }
    files
}

/// The demo's shop.
pub fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/shop")
}

fn seed(url: &str) -> Value {
    let members: Vec<Value> = PEOPLE
        .iter()
        .map(|(login, _)| json!({ "login": login, "role": if *login == "dana" { "admin" } else { "member" } }))
        .collect();
    let users: Vec<Value> =
        PEOPLE.iter().map(|(login, _)| json!({ "login": login, "email": format!("{login}@example.com") })).collect();
    let tokens: serde_json::Map<String, Value> = PEOPLE
        .iter()
        .map(|(login, _)| (token(login), json!({ "login": login, "scopes": ["repo", "user", "admin:org"] })))
        .collect();
    json!({
        "tokens": tokens,
        "github": {
            "users": users,
            "orgs": [{ "login": "shop", "members": members }],
            "repos": [{ "owner": "shop", "name": "shop", "auto_init": false }],
            "apps": [{
                "app_id": APP_ID, "slug": "godwit", "name": "Godwit", "permissions": permissions(),
                "events": ["pull_request", "pull_request_review", "issue_comment", "issues", "push", "check_run", "check_suite"],
                "webhook_url": format!("{url}/hooks"), "webhook_secret": SECRET,
                "installations": [{ "installation_id": INSTALLATION, "account": "shop", "repository_selection": "all" }],
            }],
        },
    })
}

/// Starts the emulator and waits for the line that says it listens.
fn launch(url: &str, seed: &Value) -> (Child, Value) {
    let package = std::env::var("GODWIT_TEST_EMULATE")
        .expect("GODWIT_TEST_EMULATE is not set: run the tests with `scripts/test`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/emulate/launch.mjs");
    let mut child = Command::new("node")
        .arg(script)
        .arg(package)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    // Standard input stays open in the child's handle: when this process ends, however it ends, the emulator does too.
    writeln!(child.stdin.as_mut().unwrap(), "{}", json!({ "baseUrl": url, "seed": seed })).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the emulator did not start: {error}: {line}"));
    (child, ready)
}

/// Sends webhooks one after the other, each with an id of its own; the emulator's ids repeat within a millisecond.
/// Until a server is named, webhooks go nowhere, as on GitHub before an App is set up.
fn deliver_in_order(
    receiver: mpsc::Receiver<Delivery>,
    front: Arc<Front>,
    godwit: Arc<Mutex<Option<String>>>,
    delivered: Arc<Mutex<Vec<(String, u16)>>>,
) {
    std::thread::spawn(move || {
        let http = front::agent();
        for (number, delivery) in receiver.iter().enumerate() {
            let Some(url) = godwit.lock().unwrap().clone() else { continue };
            let body = delivery.payload.to_string();
            let request = ureq::http::Request::builder()
                .method(Method::POST.as_str())
                .uri(url)
                .header("content-type", "application/json")
                .header("user-agent", "GitHub-Hookshot/tests")
                .header("x-github-event", &delivery.event)
                .header("x-github-delivery", format!("00000000-0000-4000-8000-{number:012}"))
                .header("x-hub-signature-256", front.sign(body.as_bytes()))
                .body(body)
                .unwrap();
            let status = http.run(request).map_or(0, |response| response.status().as_u16());
            let name = format!("{}.{}", delivery.event, delivery.payload["action"].as_str().unwrap_or(""));
            delivered.lock().unwrap().push((name, status));
        }
    });
}
