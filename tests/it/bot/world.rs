//! A company on the stand-in GitHub with the real server and the real bot: tests say what people do and read what they
//! would see.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use godwit::bot::{Bot, Settings};
use godwit::config::server::SecretVars;
use godwit::github::GithubSettings;
use godwit::github::webhook::WebhookSecrets;
use godwit::sandbox::{
    Change, CheckRunView, CommentView, NewCommit, NewPull, Permission, PullHandle, RepoHandle, ReviewVerdict, Sandbox,
    SandboxConfig, keys,
};
use godwit::server::{self, AppState};
use godwit::store::Store;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::support::PATIENCE;

pub const LINT: &str = "godwit / lint";
pub const APPROVAL: &str = "godwit / approval";
pub const SUMMARY: &str = "<!-- godwit:summary -->";
/// File of the addresses that may be asked.
const ALLOWED: &str = "allowed-urls";
pub const SECRET: &str = "the stand-in's webhook secret";

pub const GODWIT_YML: &str = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n  - path: \
                              migrations\n    engine: sqlite\n    target: shop\n";
pub const ENVIRONMENTS_YML: &str = "development:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_DEVELOPMENT}\" }\n  \
     migration: { auto_approve: true }\nstaging:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_STAGING}\" }\n  \
     migration: { backup_required: false }\nproduction:\n  targets:\n    shop: { engine: sqlite, url: \"sqlite:${SHOP_PRODUCTION}\" }\n  \
     migration: { backup_required: false }\n";
pub const ROLES_YML: &str = "developer: { users: [alice, bob] }\ndata_ops: { users: [omar] }\ndata_ops_lead: { users: [dana] }\n\
                             dba: { teams: [acme/dba] }\ntech_lead: { users: [tess] }\ncto: { users: [carl] }\n";
/// What the server lets the repository's files name.
const VARIABLES: &str = "acme/shop:*=SHOP_DEVELOPMENT,SHOP_STAGING,SHOP_PRODUCTION,SHOP_SEALED";
/// The file of the server's folder with the key that `SHOP_SEALED` is.
pub const SEALED: &str = "sealed.key";
const MATRIX_YML: &str = "development:\n  ANY: { required_approvals: 0, required_roles: [] }\nstaging:\n  ANY: { required_approvals: 1, \
     required_roles: [data_ops] }\nproduction:\n  ANY: { required_approvals: 2, required_roles: [data_ops, dba] }\n";

pub struct World {
    pub sandbox: Sandbox,
    pub repo: RepoHandle,
    pub store: Store,
    pub bot: Arc<Bot>,
    pub dir: tempfile::TempDir,
    /// Where the server is.
    pub server: String,
    /// What stands before every path of GitHub's API.
    prefix: String,
    stop: watch::Sender<bool>,
    clock: Arc<Mutex<Option<DateTime<Utc>>>>,
}

impl World {
    /// The company with its usual files; nothing open yet.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with these files instead or besides; an empty text leaves a file out.
    pub async fn start_with(files: &[(&str, &str)]) -> Self {
        Self::start_allowed(files, |_| {}).await
    }

    /// The same with other permissions of the App.
    pub async fn start_allowed(files: &[(&str, &str)], permissions: impl Fn(&mut Vec<(String, String)>)) -> Self {
        let mut config = SandboxConfig::default();
        permissions(&mut config.app.permissions);
        Self::start_on(config, files, "").await
    }

    /// The usual company on a GitHub whose API stands below `prefix`.
    pub async fn start_at(prefix: &str) -> Self {
        Self::start_on(SandboxConfig::default(), &[], prefix).await
    }

    async fn start_on(config: SandboxConfig, files: &[(&str, &str)], prefix: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, repo) = company_on(config, files);
        let prefix = prefix.to_owned();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("godwit.db").display())).await.unwrap();
        let (stop, stopping) = watch::channel(false);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/github/webhook", listener.local_addr().unwrap());
        let secrets = WebhookSecrets::parse(&SecretString::from(SECRET)).unwrap();
        let mut state = AppState::new(store.clone(), secrets, None);
        state.github_api_url = Some(sandbox.base_url().to_owned());
        tokio::spawn(async move { server::serve(listener, state, stopping).await.unwrap() });
        sandbox.set_webhook_url(&url);
        let server = url.trim_end_matches("/github/webhook").to_owned();
        let clock = Arc::default();
        let bot = Arc::new(new_bot(&sandbox, &store, dir.path().to_path_buf(), &prefix, VARIABLES, &clock));
        Self { sandbox, repo, store, bot, dir, server, prefix, stop, clock }
    }

    /// A bot that starts afresh, as after a crash.
    pub fn restart_bot(&mut self) {
        self.restart_bot_with(VARIABLES);
    }

    /// The same, allowing other variables.
    pub fn restart_bot_with(&mut self, variables: &str) {
        let dir = self.dir.path().to_path_buf();
        self.bot = Arc::new(new_bot(&self.sandbox, &self.store, dir, &self.prefix, variables, &self.clock));
    }

    /// Waits until every webhook has arrived and everything that follows from it is done.
    pub async fn settle(&self) {
        let settled = async {
            loop {
                self.sandbox.await_deliveries(PATIENCE).await.unwrap();
                if self.store.is_idle().await.unwrap() {
                    return;
                }
                self.bot.run_until_idle().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, settled).await.is_err() {
            let errors: Vec<(String, i64, Option<String>)> =
                sqlx::query_as("SELECT serial_key, attempts, error FROM jobs WHERE state <> 'done' ORDER BY id")
                    .fetch_all(self.store.reader())
                    .await
                    .unwrap();
            panic!("the bot does not come to rest: {errors:#?}");
        }
    }

    /// Lets the repository ask this address in every environment.
    pub fn allow(&mut self, url: &str) {
        std::fs::write(self.dir.path().join(ALLOWED), format!("acme/shop:*={url}")).unwrap();
        self.restart_bot();
    }

    /// From now on a variable names another database, as when an operator changes it.
    pub fn moved(&self, variable: &str, to: &str) {
        std::fs::write(self.dir.path().join(format!("{variable}.moved")), to).unwrap();
    }

    /// Stops the bot's clock at a moment.
    pub fn it_is(&self, moment: &str) {
        *self.clock.lock().unwrap() = Some(moment.parse().unwrap());
    }

    /// As [`World::settle`], but what is due much later is left for then.
    pub async fn settle_for_now(&self) {
        let settled = async {
            loop {
                self.sandbox.await_deliveries(PATIENCE).await.unwrap();
                self.bot.run_due().await.unwrap();
                let soon = Utc::now() + chrono::TimeDelta::minutes(5);
                if self.store.next_due().await.unwrap().is_none_or(|due| due > soon) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("the bot does not come to rest");
    }

    /// Writes a comment, waits for the bot and reads its answer.
    pub async fn ask(&self, pull: &PullHandle, person: &str, text: &str) -> String {
        let id = pull.comment(person, text).unwrap();
        self.settle().await;
        answer(pull, id)
    }

    /// Runs SQL in the store, as time or an operator would.
    pub async fn in_store(&self, sql: &'static str) {
        let mut tx = self.store.begin().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Opens a pull request by alice on a branch of its own, and waits for the bot.
    pub async fn open(&self, branch: &str, changes: &[(&str, &str)]) -> PullHandle {
        let pull = self.open_as("alice", branch, changes, false);
        self.settle().await;
        pull
    }

    pub fn open_as(&self, author: &str, branch: &str, changes: &[(&str, &str)], draft: bool) -> PullHandle {
        let main = self.repo.branch_sha("main").unwrap();
        self.repo.force_push(branch, author, &main, &[commit(author, changes)]).unwrap();
        self.repo
            .open_pull_request(&NewPull { author, title: branch, body: "", head: branch, base: "main", draft })
            .unwrap()
    }

    /// Somebody approves; waits for the bot.
    pub async fn approve(&self, pull: &PullHandle, person: &str) {
        pull.review(person, ReviewVerdict::Approve, "fine").unwrap();
        self.settle().await;
    }

    /// The file of an environment's database.
    pub fn database(&self, environment: &str) -> PathBuf {
        self.dir.path().join(format!("{environment}.db"))
    }

    /// Whether a table stands in an environment's database.
    pub async fn has_table(&self, environment: &str, table: &str) -> bool {
        let file = self.database(environment);
        if !file.exists() {
            return false;
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = $1")
            .bind(table)
            .fetch_one(&pool)
            .await
            .unwrap();
        pool.close().await;
        count > 0
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // Whatever the test was about: the bot asked nothing that GitHub does not know, in GitHub's form.
        if !std::thread::panicking() {
            crate::contract::validate(&self.sandbox.recorder());
        }
    }
}

/// The people, teams and usual files, with these instead or besides; an empty text leaves a file out.
pub fn company(files: &[(&str, &str)]) -> (Sandbox, RepoHandle) {
    company_on(SandboxConfig::default(), files)
}

fn company_on(config: SandboxConfig, files: &[(&str, &str)]) -> (Sandbox, RepoHandle) {
    let sandbox = Sandbox::start(config).unwrap();
    let people = ["alice", "bob", "omar", "dana", "dora", "tess", "carl", "rosa", "mallory"];
    for login in people {
        sandbox.add_user(login);
    }
    sandbox.add_org("acme", &people);
    sandbox.add_team("acme/dba", &["dora"]).unwrap();
    let repo = sandbox.create_repo("acme/shop").unwrap();
    for login in people {
        let permission = if login == "mallory" { Permission::Triage } else { Permission::Write };
        repo.set_permission(login, permission).unwrap();
    }
    sandbox.grant_team("acme/dba", "acme/shop", Permission::Write).unwrap();
    let mut all: BTreeMap<&str, &str> = [
        ("README.md", "# Shop\n"),
        ("godwit.yml", GODWIT_YML),
        ("policies/environments.yml", ENVIRONMENTS_YML),
        ("policies/roles.yml", ROLES_YML),
        ("policies/approval_matrix.yml", MATRIX_YML),
    ]
    .into();
    all.extend(files.iter().copied());
    let files: Vec<Change> =
        all.into_iter().filter(|(_, text)| !text.is_empty()).map(|(p, t)| Change::write(p, t)).collect();
    repo.push("main", "rosa", &[NewCommit::new("rosa", "Begin", &files)]).unwrap();
    (sandbox, repo)
}

fn new_bot(
    sandbox: &Sandbox,
    store: &Store,
    dir: PathBuf,
    prefix: &str,
    variables: &str,
    clock: &Arc<Mutex<Option<DateTime<Utc>>>>,
) -> Bot {
    let vars: SecretVars = variables.parse().unwrap();
    let folder = dir.clone();
    let lookup = move |name: &str| {
        if name == "SHOP_SEALED" {
            return std::fs::read_to_string(folder.join(SEALED)).ok();
        }
        let environment = name.strip_prefix("SHOP_")?.to_ascii_lowercase();
        let moved = std::fs::read_to_string(folder.join(format!("{name}.moved")));
        let environment = moved.unwrap_or(environment);
        Some(folder.join(format!("{environment}.db")).display().to_string())
    };
    // A test's own list of addresses that may be asked.
    let allowed_urls = std::fs::read_to_string(dir.join(ALLOWED)).unwrap_or_default().parse().unwrap();
    let clock = Arc::clone(clock);
    let clock = move || clock.lock().unwrap().unwrap_or_else(Utc::now);
    let settings = Settings {
        lookup: Arc::new(lookup),
        worker: "test".into(),
        clock: Arc::new(clock),
        allowed_urls,
        push_grace: Duration::ZERO,
        ..Settings::new(vars)
    };
    let url = format!("{}{prefix}", sandbox.base_url());
    let mut github = GithubSettings::new(url, sandbox.app_id(), SecretString::from(keys::PRIVATE_KEY_PEM));
    github.timeout = Duration::from_secs(10);
    github.backoff = Duration::from_millis(10);
    Bot::new(store.clone(), &github, &dir, settings).unwrap()
}

pub fn commit(author: &str, changes: &[(&str, &str)]) -> NewCommit {
    let changes: Vec<Change> = changes
        .iter()
        .map(|(path, text)| if text.is_empty() { Change::delete(*path) } else { Change::write(*path, text) })
        .collect();
    NewCommit::new(author, "Change", &changes)
}

/// The newest check run of that name on the pull request's head.
pub fn check(pull: &PullHandle, name: &str) -> CheckRunView {
    let all = pull.check_runs().unwrap();
    let newest = all.iter().filter(|c| c.name == name).max_by_key(|c| c.id);
    newest.unwrap_or_else(|| panic!("no check `{name}` among {all:?}")).clone()
}

/// How that check ends.
pub fn conclusion(pull: &PullHandle, name: &str) -> String {
    let check = check(pull, name);
    assert_eq!(check.status, "completed", "{check:?}");
    check.conclusion.unwrap()
}

/// The App's comment with that first line.
pub fn comment(pull: &PullHandle, marker: &str) -> Option<CommentView> {
    let all: Vec<CommentView> =
        pull.comments().unwrap().into_iter().filter(|c| c.by_app && c.body.lines().next() == Some(marker)).collect();
    assert!(all.len() <= 1, "{marker} stands on {} comments", all.len());
    all.into_iter().next()
}

/// The comment about an environment.
pub fn run_comment(pull: &PullHandle, environment: &str) -> String {
    comment(pull, &format!("<!-- godwit:run:{environment} -->")).map_or_else(String::new, |c| c.body)
}

/// The answer to the last comment.
pub fn answer(pull: &PullHandle, to: u64) -> String {
    comment(pull, &format!("<!-- godwit:answer:{to} -->")).map_or_else(String::new, |c| c.body)
}
