//! The company of these tests: lanes that do not touch each other, each a database of its own in every environment.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use godwit::sandbox::{Exchange, RepoHandle, Sandbox, keys};
use godwit::store::{AuditKey, Store};
use secrecy::SecretString;
use tokio::runtime::Runtime;

use crate::bot::world::{SECRET, company};
use crate::support::{Database, Kind};
use crate::webhook::http::{Served, store_url};

/// Lives that share a folder of migrations and its databases: what is stuck in one keeps only these waiting.
const LIVES_OF_A_LANE: usize = 12;
/// Requests, answers and webhooks of one kind that are held against GitHub's description; what happens by the ten
/// thousand is always the same.
const OF_A_KIND: u32 = 60;
pub const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];
/// What the audit chain is keyed with where more than one process writes it.
const AUDIT_KEY: &str = "one key for every replica";

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, on a file.
    All,
    Web,
    Worker,
}

/// The stand-in, its repository and where everything is kept.
pub struct Company {
    pub sandbox: Sandbox,
    pub repo: RepoHandle,
    pub dir: tempfile::TempDir,
    /// Folders of migrations, each with its own database.
    pub lanes: Vec<&'static str>,
    /// A store on a server, else a file in `dir`.
    store: Option<Database>,
    /// How many of each kind were held against the description.
    held: Mutex<BTreeMap<String, u32>>,
    /// The store as one more process sees it, once somebody looked.
    seen: OnceCell<(Runtime, Store)>,
}

impl Company {
    /// With its store in a file, or on a server where several processes share it; for so many lives.
    pub fn found(store: Kind, lives: usize) -> Self {
        let names = (0..lives.div_ceil(LIVES_OF_A_LANE).max(4)).map(|n| &*format!("lane{n}").leak());
        let lanes: Vec<&'static str> = names.collect();
        let mut godwit_yml = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n".to_owned();
        for lane in &lanes {
            godwit_yml += &format!("  - {{ path: {lane}, engine: sqlite, target: {lane} }}\n");
        }
        let mut environments_yml = String::new();
        for environment in ENVIRONMENTS {
            environments_yml += &format!("{environment}:\n  targets:\n");
            for lane in &lanes {
                environments_yml += &format!(
                    "    {lane}: {{ engine: sqlite, url: \"sqlite:${{{}}}\" }}\n",
                    variable(lane, environment)
                );
            }
            let given = if environment == "development" { "auto_approve: true" } else { "backup_required: false" };
            environments_yml += &format!("  migration: {{ {given} }}\n");
        }
        let (sandbox, repo) = company(&[("godwit.yml", &godwit_yml), ("policies/environments.yml", &environments_yml)]);
        let store = (store == Kind::Postgres).then(|| Database::fresh(Kind::Postgres));
        Self {
            sandbox,
            repo,
            dir: tempfile::tempdir().unwrap(),
            lanes,
            store,
            held: Mutex::default(),
            seen: OnceCell::new(),
        }
    }

    /// The processes that serve the company on a good day.
    pub fn roles(&self) -> &'static [Role] {
        if self.store.is_some() { &[Role::Web, Role::Worker, Role::Worker] } else { &[Role::All] }
    }

    /// The store, as one more process has it.
    pub async fn open_store(&self) -> Store {
        let key = self.store.is_some().then(|| AuditKey::new(&SecretString::from(AUDIT_KEY)));
        Store::open_in(&self.store_url(), Some(self.dir.path()), key).await.unwrap()
    }

    /// How much the processes have to do now; what waits for a later moment is not counted.
    pub fn work_left(&self) -> i64 {
        let (runtime, store) = self.seen.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let store = runtime.block_on(self.open_store());
            (runtime, store)
        });
        let sql = "SELECT COUNT(*) FROM jobs WHERE state = 'running' OR (state = 'queued' AND due_at <= $1)";
        let count = sqlx::query_scalar(sql).bind(chrono::Utc::now().timestamp_millis());
        runtime.block_on(count.fetch_one(store.reader())).unwrap()
    }

    fn store_url(&self) -> String {
        self.store.as_ref().map_or_else(|| store_url(self.dir.path()), |database| database.url.clone())
    }

    /// Starts a process on the store of the company.
    pub fn serve(&self, role: Role) -> Served {
        let key = self.dir.path().join("app.pem");
        std::fs::write(&key, keys::PRIVATE_KEY_PEM).unwrap();
        let mut variables = vec![
            ("GODWIT_WEBHOOK_SECRET".to_owned(), SECRET.to_owned()),
            ("GODWIT_GITHUB_API_URL".to_owned(), self.sandbox.base_url().to_owned()),
            ("GODWIT_GITHUB_APP_ID".to_owned(), self.sandbox.app_id().to_string()),
            ("GODWIT_GITHUB_PRIVATE_KEY_FILE".to_owned(), key.display().to_string()),
            // Soon enough for a test, and late enough for a busy machine not to lose what nobody killed.
            ("GODWIT_LEASE".to_owned(), if self.store.is_some() { "5" } else { "2" }.to_owned()),
            ("GODWIT_SWEEP_INTERVAL".to_owned(), "4".to_owned()),
            ("GODWIT_STORE_URL".to_owned(), self.store_url()),
        ];
        if self.store.is_some() {
            variables.push(("GODWIT_AUDIT_KEY".to_owned(), AUDIT_KEY.to_owned()));
        }
        let mut names = Vec::new();
        for lane in &self.lanes {
            for environment in ENVIRONMENTS {
                variables.push((variable(lane, environment), self.database(lane, environment).display().to_string()));
                names.push(variable(lane, environment));
            }
        }
        variables.push(("GODWIT_SECRET_VARS".to_owned(), format!("acme/shop:*={}", names.join(","))));
        let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let arguments: &[&str] = match role {
            Role::All => &[],
            Role::Web => &["--role", "web"],
            Role::Worker => &["--role", "worker"],
        };
        let served = Served::start(self.dir.path(), arguments, &variables);
        if role != Role::Worker {
            self.sandbox.set_webhook_url(&format!("http://{}/github/webhook", served.address));
        }
        served
    }

    /// Holds what happened since the last time against GitHub's description, and forgets it: hours of it fill any memory.
    pub fn check(&self) {
        let mut record = self.sandbox.take_record();
        let mut held = self.held.lock().unwrap();
        let mut is_new = |kind: String| {
            let seen = held.entry(kind).or_default();
            *seen += 1;
            *seen <= OF_A_KIND
        };
        record.exchanges.retain(|exchange| is_new(kind_of(exchange)));
        record.webhooks.retain(|w| is_new(format!("{} {:?}", w.event, w.action)));
        crate::contract::validate(&record);
    }

    /// The file of a lane's database in an environment.
    pub fn database(&self, lane: &str, environment: &str) -> PathBuf {
        self.dir.path().join(format!("{lane}_{environment}.db"))
    }
}

/// Method, address without what is different each time, and status.
fn kind_of(exchange: &Exchange) -> String {
    let digit = |part: &&str| part.chars().any(|c| c.is_ascii_digit());
    let path = exchange.path.split('/').filter(|part| !digit(part)).collect::<Vec<_>>().join("/");
    format!("{} {path} {} {}", exchange.method, exchange.status, exchange.fault)
}

fn variable(lane: &str, environment: &str) -> String {
    format!("{lane}_{environment}").to_uppercase()
}

impl Drop for Company {
    fn drop(&mut self) {
        if let Some((runtime, store)) = self.seen.take() {
            runtime.block_on(store.close());
        }
        if !std::thread::panicking() {
            self.check();
        }
    }
}
