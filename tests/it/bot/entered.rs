//! Approvals outside GitHub: the command line and the API, by the same rules as a review, proved by a person's own token.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use godwit::sandbox::PullHandle;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::world::{APPROVAL, SUMMARY, World, check, comment, commit, conclusion};

const UP: &str = "migrations/0001_orders.up.sql";
const ORDERS: [(&str, &str); 2] = [
    (UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY);\n"),
    ("migrations/0001_orders.down.sql", "DROP TABLE orders;\n"),
];

/// What a request of the API came to.
struct Reply {
    status: u16,
    json: Value,
}

impl World {
    pub fn token(&self, person: &str) -> String {
        self.sandbox.personal_token(person).expose_secret().to_owned()
    }

    async fn api(&self, method: &'static str, path: &str, token: Option<&str>, body: Option<Value>) -> Reply {
        let (url, token) = (format!("{}{path}", self.server), token.map(str::to_owned));
        let ask = move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut request = ureq::http::Request::builder().method(method).uri(url);
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let text = body.map_or_else(String::new, |b| b.to_string());
            let request = request.header("content-type", "application/json").body(text).unwrap();
            let mut answer = agent.run(request).unwrap();
            let text = answer.body_mut().read_to_string().unwrap();
            Reply { status: answer.status().as_u16(), json: serde_json::from_str(&text).unwrap_or_default() }
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// A clone of the repository with `branch` checked out.
    pub fn checkout(&self, branch: &str) -> PathBuf {
        let place = self.dir.path().join(format!("work-{branch}"));
        let token = self.sandbox.installation_token().expose_secret().to_owned();
        let url = self.repo.clone_url().replacen("://", &format!("://x-access-token:{token}@"), 1);
        git(self.dir.path(), &["clone", "-q", "-b", branch, &url, place.to_str().unwrap()]);
        place
    }

    /// Runs `godwit` in a checkout, on this world's store and GitHub.
    pub async fn godwit(&self, dir: &Path, token: &str, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
        command
            .args(args)
            .arg("--repo")
            .arg(dir)
            .arg("--store")
            .arg(format!("sqlite:{}", self.dir.path().join("godwit.db").display()))
            .env("GODWIT_DATA_DIR", self.dir.path())
            .env("GODWIT_GITHUB_API_URL", self.sandbox.base_url())
            .env("GODWIT_TOKEN", token);
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

fn git(dir: &Path, args: &[&str]) {
    let output = Command::new("git").current_dir(dir).args(args).env("GIT_TERMINAL_PROMPT", "0").output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn summary(pull: &PullHandle) -> String {
    comment(pull, SUMMARY).map_or_else(String::new, |c| c.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn dec9_an_approval_by_the_api_counts_for_whose_token_it_is_and_falls_with_the_content() {
    let world = World::start().await;
    let pull = world.open("orders", &ORDERS).await;
    let (omar, dora, mallory) = (world.token("omar"), world.token("dora"), world.token("mallory"));
    let path = format!("/api/v1/pulls?repository=acme/shop&pull={}", pull.number());
    let listed = world.api("GET", &path, Some(&omar), None).await;
    assert_eq!(listed.status, 200, "{}", listed.json);
    let seen = &listed.json["pulls"][0];
    assert_eq!((seen["state"].as_str(), seen["status"].as_str()), (Some("open"), Some("pending")), "{seen}");
    let digest = seen["digest"].as_str().unwrap().to_owned();
    let body = |environment: &str, role: &str, digest: &str| {
        json!({ "repository": "acme/shop", "pull": pull.number(), "environment": environment, "role": role,
                "digest": digest, "comment": "looked at the plan" })
    };
    let other = format!("sha256:{}", "0".repeat(64));
    for (token, sent, status, part) in [
        (None, body("production", "dba", &digest), 401, "personal token"),
        (Some("ghp_wrong"), body("production", "dba", &digest), 401, "Bad credentials"),
        (Some(mallory.as_str()), body("production", "dba", &digest), 403, "no write access"),
        (Some(dora.as_str()), body("prod", "dba", &digest), 422, "there are `development`"),
        (Some(dora.as_str()), body("production", "dba", &other), 409, "not what you looked at"),
        (Some(dora.as_str()), json!({ "repository": "acme/shop" }), 422, "missing field"),
    ] {
        let reply = world.api("POST", "/api/v1/approvals", token, Some(sent)).await;
        assert_eq!(reply.status, status, "{}", reply.json);
        assert!(reply.json["message"].as_str().unwrap().contains(part), "{part}: {}", reply.json);
    }
    assert_eq!(world.store.entered(&"acme/shop".parse().unwrap(), None).await.unwrap(), []);

    let entered = world.api("POST", "/api/v1/approvals", Some(&dora), Some(body("production", "dba", &digest))).await;
    assert_eq!(entered.status, 201, "{}", entered.json);
    assert_eq!((entered.json["approver"].as_str(), entered.json["source"].as_str()), (Some("dora"), Some("api")));
    // A role that she does not hold counts for nothing, and the comment says so.
    world.api("POST", "/api/v1/approvals", Some(&dora), Some(body("staging", "data_ops", &digest))).await;
    world.settle().await;
    let text = summary(&pull);
    assert!(text.contains("`@dora` dba (by API)"), "{text}");
    assert!(text.contains("`@dora` does not hold the role `data_ops`"), "{text}");
    world.approve(&pull, "omar").await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    let path = format!("/api/v1/approvals?repository=acme/shop&pull={}", pull.number());
    let all = world.api("GET", &path, Some(&omar), None).await.json;
    let counting = all["counting"].as_array().unwrap();
    let is = |who: &str, way: &str| counting.iter().any(|c| c["approver"] == who && c["sources"] == json!([way]));
    assert!(is("dora", "api") && is("omar", "review"), "{all}");
    let audit = world.store.audit(&Default::default()).await.unwrap();
    assert!(audit.iter().any(|r| r.body.action == "approve" && r.body.details["entered_by"] == "dora"));

    // One byte, an added file, a policy edit: each drops it, visibly.
    pull.push("alice", &[commit("alice", &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n")])]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
    assert!(
        summary(&pull).contains(
            "The approval of `@dora` as `dba` for `production` by api does not count: the migrations changed"
        ),
        "{}",
        summary(&pull)
    );

    let places = world.api("GET", "/api/v1/environments?repository=acme/shop", Some(&omar), None).await;
    let names: Vec<&str> =
        places.json["environments"].as_array().unwrap().iter().filter_map(|e| e["environment"].as_str()).collect();
    assert_eq!(names, ["development", "staging", "production"], "{}", places.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_shows_nothing_to_those_who_may_not_read_and_is_described() {
    let world = World::start().await;
    world.repo.set_private().unwrap();
    world.open("orders", &ORDERS).await;
    world.sandbox.add_user("stranger");
    let stranger = world.token("stranger");
    for path in ["pulls", "environments", "approvals"] {
        let reply = world.api("GET", &format!("/api/v1/{path}?repository=acme/shop"), Some(&stranger), None).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.json);
        let reply = world.api("GET", &format!("/api/v1/{path}?repository=acme/shop"), None, None).await;
        assert_eq!(reply.status, 401, "{path}: {}", reply.json);
        let reply = world.api("GET", &format!("/api/v1/{path}"), Some(&stranger), None).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.json);
    }
    let described = world.api("GET", "/api/openapi.json", None, None).await;
    let paths: Vec<&String> = described.json["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/api/openapi.json", "/api/v1/pulls", "/api/v1/environments", "/api/v1/approvals"]);
    // What is answered has the described form.
    let rosa = world.token("rosa");
    for (path, field, schema) in [
        ("pulls", "pulls", "Pull"),
        ("environments", "environments", "Environment"),
        ("approvals", "entered", "Entered"),
    ] {
        let reply = world.api("GET", &format!("/api/v1/{path}?repository=acme/shop"), Some(&rosa), None).await;
        let mut wanted = described.json["components"]["schemas"][schema].clone();
        wanted["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        let validator = jsonschema::validator_for(&wanted).unwrap();
        for entry in reply.json[field].as_array().unwrap() {
            assert!(validator.is_valid(entry), "{path}: {entry}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dec9_godwit_approve_proves_who_it_is_and_satisfies_pull_request_and_command_line() {
    let world = World::start_with(&[(
        "policies/roles.yml",
        "developer: { users: [alice] }\ndata_ops: { users: [omar, alice] }\ndata_ops_lead: { users: [dana] }\n\
         dba: { teams: [acme/dba] }\ntech_lead: { users: [tess] }\ncto: { users: [carl] }\nadmin: { users: [rosa] }\n",
    )])
    .await;
    let pull = world.open("orders", &ORDERS).await;
    let work = world.checkout("orders");
    let (omar, dora, mallory, rosa, alice) =
        (world.token("omar"), world.token("dora"), world.token("mallory"), world.token("rosa"), world.token("alice"));
    let base = ["approve", "0001_orders", "--env", "production", "--comment", "looked at it"];
    let with = |more: &[&'static str]| -> Vec<&'static str> { [&base[..], more].concat() };
    for (token, args, code, part) in [
        ("", with(&["--role", "dba"]), 2, "set `GODWIT_TOKEN`"),
        ("ghp_wrong", with(&["--role", "dba"]), 2, "Bad credentials"),
        (&mallory, with(&["--role", "dba"]), 3, "`mallory` has no write access"),
        (&omar, with(&["--role", "dba"]), 3, "`omar` does not hold the role `dba`; @acme/dba may"),
        (&omar, with(&["--role", "boss"]), 2, "nobody holds a role `boss`"),
        (&omar, with(&["--role", "dba", "--approver", "dora"]), 3, "needs the role `admin`"),
        (&alice, with(&["--role", "data_ops"]), 3, "`alice` wrote part of `migrations/0001_orders`"),
    ] {
        let (found, out, err) = world.godwit(&work, token, &args).await;
        assert_eq!(found, code, "{args:?}\n{out}\n{err}");
        assert!(err.contains(part), "{part}\n{err}");
        assert!(token.is_empty() || !err.contains(token), "a token is shown: {err}");
    }
    let (code, _, err) = world
        .godwit(&work, &omar, &["approve", "0009_no", "--env", "staging", "--role", "dba", "--comment", "x"])
        .await;
    assert_eq!(code, 2, "{err}");

    let (code, out, err) = world.godwit(&work, &omar, &with(&["--role", "data_ops"])).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("migrations/0001_orders is approved by omar as data_ops for production"), "{out}");
    let staging = ["approve", "0001_orders", "--env", "staging", "--role", "data_ops", "--comment", "fine"];
    assert_eq!(world.godwit(&work, &omar, &staging).await.0, 0);
    // Somebody with the role `admin` enters what dora said; it is hers, and the audit says who entered it.
    let (code, out, err) =
        world.godwit(&work, &rosa, &with(&["--role", "dba", "--approver", "dora", "--format", "json"])).await;
    assert_eq!(code, 0, "{err}");
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((json["approver"].as_str(), json["entered_by"].as_str()), (Some("dora"), Some("rosa")), "{json}");
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{:?}", check(&pull, APPROVAL));
    assert!(summary(&pull).contains("`@dora` dba (by command line)"), "{}", summary(&pull));
    let (_, out, _) = world.godwit(&work, &dora, &["approvals", "--env", "production"]).await;
    assert!(out.contains("dba by dora  cli  migrations/0001_orders  looked at it"), "{out}");

    // What is not committed cannot be approved, and a byte more is not what was.
    std::fs::write(work.join(UP), "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n").unwrap();
    let (code, _, err) = world.godwit(&work, &dora, &with(&["--role", "dba"])).await;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("is not what the last commit holds"), "{err}");
    pull.push("alice", &[commit("alice", &[(UP, "CREATE TABLE orders (id INTEGER PRIMARY KEY, n TEXT);\n")])]).unwrap();
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "action_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn dec12_an_approval_by_the_api_falls_when_the_pull_request_is_aimed_elsewhere() {
    let world = World::start().await;
    // The same policy on another branch: nothing but the aim changes.
    let main = world.repo.branch_sha("main").unwrap();
    world.repo.force_push("other", "rosa", &main, &[]).unwrap();
    let pull = world.open("orders", &ORDERS).await;
    let path = format!("/api/v1/pulls?repository=acme/shop&pull={}", pull.number());
    let listed = world.api("GET", &path, Some(&world.token("omar")), None).await;
    let digest = listed.json["pulls"][0]["digest"].as_str().unwrap().to_owned();
    for (person, role, environment) in
        [("omar", "data_ops", "staging"), ("omar", "data_ops", "production"), ("dora", "dba", "production")]
    {
        let body = json!({ "repository": "acme/shop", "pull": pull.number(), "environment": environment, "role": role,
                           "digest": digest, "comment": "looked at the plan" });
        let reply = world.api("POST", "/api/v1/approvals", Some(&world.token(person)), Some(body)).await;
        assert!(reply.status < 300, "{}", reply.json);
    }
    world.settle().await;
    assert_eq!(conclusion(&pull, APPROVAL), "success", "{}", summary(&pull));
    for base in ["other", "main"] {
        pull.change_base("alice", base).unwrap();
        world.settle().await;
    }
    assert_eq!(conclusion(&pull, APPROVAL), "action_required", "{}", summary(&pull));
    assert!(summary(&pull).contains("before the pull request was aimed at another branch"), "{}", summary(&pull));
}
