//! The App's side: key, permissions, events, webhook, teams, branches.

use godwit::sandbox::{Change, NewCommit, Permission, RepoHandle, Sandbox, SandboxConfig, keys};
use serde_json::Value;

use crate::support::{Said, godwit};

const ROLES: &str = "dba: { teams: [acme/dba] }\ndata_ops: { users: [omar] }\n";
const MATRIX: &str = "production:\n  ANY: { required_approvals: 1, required_roles: [dba] }\n";

struct Shop {
    sandbox: Sandbox,
    repo: RepoHandle,
    dir: tempfile::TempDir,
}

impl Shop {
    fn start(change: impl Fn(&mut SandboxConfig)) -> Self {
        let mut config = SandboxConfig::default();
        change(&mut config);
        let sandbox = Sandbox::start(config).unwrap();
        sandbox.add_org("acme", &["rosa", "dora"]);
        sandbox.add_team("acme/dba", &["dora"]).unwrap();
        let repo = sandbox.create_repo("acme/shop").unwrap();
        repo.set_permission("rosa", Permission::Write).unwrap();
        repo.push("main", "rosa", &[NewCommit::new("rosa", "Begin", &[Change::write("README.md", "x")])]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        std::fs::write(dir.path().join("godwit.yml"), "version: 1\nenvironments: [production]\n").unwrap();
        std::fs::write(dir.path().join("policies/roles.yml"), ROLES).unwrap();
        std::fs::write(dir.path().join("policies/approval_matrix.yml"), MATRIX).unwrap();
        std::fs::write(dir.path().join("app.pem"), keys::PRIVATE_KEY_PEM).unwrap();
        Self { sandbox, repo, dir }
    }

    fn doctor_at(&self, url: &str, app: u64) -> Said {
        godwit(self.dir.path())
            .args(["doctor", "--format", "json"])
            .env("GODWIT_GITHUB_API_URL", url)
            .env("GODWIT_GITHUB_APP_ID", app.to_string())
            .env("GODWIT_GITHUB_PRIVATE_KEY_FILE", self.dir.path().join("app.pem"))
            .output()
            .unwrap()
            .into()
    }

    fn doctor(&self) -> Said {
        self.doctor_at(self.sandbox.base_url(), self.sandbox.app_id())
    }
}

/// Part and message of everything about GitHub that is of this health.
fn of(said: &Said, health: &str) -> Vec<String> {
    let json: Value = said.json();
    let checks = json["checks"].as_array().unwrap();
    let of_github = checks.iter().filter(|c| c["health"] == health && c["about"] != "policy");
    of_github.map(|c| format!("{}: {}", c["part"].as_str().unwrap(), c["message"].as_str().unwrap())).collect()
}

#[track_caller]
fn has(list: &[String], start: &str, words: &str) {
    assert!(list.iter().any(|l| l.starts_with(start) && l.contains(words)), "no {start} with {words} in {list:#?}");
}

#[test]
fn a_sound_app_passes_once_a_webhook_has_arrived() {
    let shop = Shop::start(|_| {});
    shop.repo.require_checks("main", &["godwit / approval"]).unwrap();
    let before = shop.doctor().expect(1);
    has(&of(&before, "wrong"), "webhook", "no address");
    let receiver = crate::sandbox::receiver::Receiver::start();
    shop.sandbox.set_webhook_url(&receiver.url);
    has(&of(&shop.doctor().expect(0), "warning"), "webhook", "nothing");
    shop.repo.push("topic", "rosa", &[NewCommit::new("rosa", "x", &[Change::write("x", "x")])]).unwrap();
    shop.sandbox.wait_for_deliveries(crate::support::PATIENCE).unwrap();
    let good = shop.doctor().expect(0);
    assert_eq!((of(&good, "wrong"), of(&good, "warning")), (vec![], vec![]));
    has(&of(&good, "good"), "webhook", "arrived");
    has(&of(&good, "good"), "teams", "`acme/dba` has 1 members");
    // Deliveries that fail.
    receiver.answer_with(401);
    shop.repo.push("topic", "rosa", &[NewCommit::new("rosa", "x", &[Change::write("y", "x")])]).unwrap();
    shop.sandbox.wait_for_deliveries(crate::support::PATIENCE).unwrap();
    let bad = shop.doctor().expect(1);
    has(&of(&bad, "wrong"), "webhook", "401");
    assert!(bad.stdout.contains("GODWIT_WEBHOOK_SECRET"));
    crate::contract::validate(&shop.sandbox.recorder());
}

#[test]
fn what_is_not_allowed_not_heard_and_not_protected_is_named() {
    let shop = Shop::start(|config| {
        config.app.permissions.retain(|(name, _)| name != "deployments" && name != "checks");
        config.app.events.retain(|name| name != "merge_group" && name != "pull_request_review");
    });
    shop.sandbox.hide_team("acme/dba").unwrap();
    let said = shop.doctor().expect(1);
    let (wrong, warning) = (of(&said, "wrong"), of(&said, "warning"));
    has(&wrong, "permissions", "`checks: write`");
    has(&warning, "permissions", "`deployments: write`");
    has(&wrong, "events", "`pull_request_review`");
    has(&warning, "events", "`merge_group`");
    has(&wrong, "teams", "cannot see the team `acme/dba`");
    has(&warning, "protection", "`acme/shop`");
}

#[test]
fn a_wrong_key_a_suspended_app_and_no_answer_are_told_apart() {
    let shop = Shop::start(|_| {});
    has(&of(&shop.doctor_at(shop.sandbox.base_url(), shop.sandbox.app_id() + 1).expect(1), "wrong"), "key", "refuses");
    shop.sandbox.set_suspended(true);
    has(&of(&shop.doctor().expect(1), "wrong"), "state", "suspended");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = shop.doctor_at(&format!("http://{closed}"), 1).expect(5);
    has(&of(&said, "unreachable"), "key", "did not answer");
}
