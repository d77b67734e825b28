//! The same company with the real `godwit serve` as a process, which tests kill, stop and start again.

use std::path::Path;
use std::time::{Duration, Instant};

use godwit::sandbox::{MergeMethod, PullHandle, RepoHandle, ReviewVerdict, Sandbox, keys};
use godwit::store::{AuditKey, AuditRecord, Store};
use secrecy::SecretString;
use sqlx::Connection as _;

use super::world::{SECRET, commit, company, run_comment};
use crate::support::{Database, Kind, PATIENCE, wait};
use crate::webhook::http::{Served, store_url};

pub const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

/// A company whose bot is a process.
pub struct Shop {
    pub sandbox: Sandbox,
    pub repo: RepoHandle,
    pub dir: tempfile::TempDir,
    /// URL of each environment's database, in the order of [`ENVIRONMENTS`].
    urls: [String; 3],
    /// A store on a server, else a file in `dir`.
    store: Option<Database>,
}

/// What the audit chain is keyed with where more than one process writes it.
const AUDIT_KEY: &str = "one key for every replica";

impl Shop {
    /// With a SQLite file for each environment.
    pub fn sqlite() -> Self {
        Self::sqlite_with(&[])
    }

    /// The same with these files.
    pub fn sqlite_with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let urls = ENVIRONMENTS.map(|e| dir.path().join(format!("{e}.db")).display().to_string());
        let (sandbox, repo) = company(files);
        Self { sandbox, repo, dir, urls, store: None }
    }

    /// With these files and databases.
    pub fn with(files: &[(&str, &str)], urls: [String; 3]) -> Self {
        let (sandbox, repo) = company(files);
        Self { sandbox, repo, dir: tempfile::tempdir().unwrap(), urls, store: None }
    }

    /// With its store on the PostgreSQL server.
    pub fn on_postgres(mut self) -> Self {
        self.store = Some(Database::fresh(Kind::Postgres));
        self
    }

    pub fn store_url(&self) -> String {
        self.store.as_ref().map_or_else(|| store_url(self.dir.path()), |database| database.url.clone())
    }

    /// Starts the server; `failpoint` is where it ends by itself.
    pub fn serve(&self, failpoint: Option<&str>) -> Served {
        // What a server held that is killed on purpose is taken over soon.
        let killed = |point| vec![("GODWIT_FAILPOINT", point), ("GODWIT_LEASE", "2")];
        let served = self.serve_as(&[], &failpoint.map(killed).unwrap_or_default());
        self.webhooks_to(&served);
        served
    }

    /// From now on GitHub sends there.
    pub fn webhooks_to(&self, served: &Served) {
        self.sandbox.set_webhook_url(&format!("http://{}/github/webhook", served.address));
    }

    /// Starts one more process on the store, with these arguments and variables besides.
    pub fn serve_as(&self, arguments: &[&str], besides: &[(&str, &str)]) -> Served {
        let store = self.store_url();
        let key = self.dir.path().join("app.pem");
        std::fs::write(&key, keys::PRIVATE_KEY_PEM).unwrap();
        let app = self.sandbox.app_id().to_string();
        let mut variables = vec![
            ("GODWIT_WEBHOOK_SECRET", SECRET),
            ("GODWIT_GITHUB_API_URL", self.sandbox.base_url()),
            ("GODWIT_GITHUB_APP_ID", app.as_str()),
            ("GODWIT_GITHUB_PRIVATE_KEY_FILE", key.to_str().unwrap()),
            ("GODWIT_SECRET_VARS", "acme/shop:*=SHOP_DEVELOPMENT,SHOP_STAGING,SHOP_PRODUCTION"),
            ("SHOP_DEVELOPMENT", self.urls[0].as_str()),
            ("SHOP_STAGING", self.urls[1].as_str()),
            ("SHOP_PRODUCTION", self.urls[2].as_str()),
            // Long enough for a machine on which much else goes on to renew it in time.
            ("GODWIT_LEASE", "5"),
            ("GODWIT_STORE_URL", store.as_str()),
        ];
        if self.store.is_some() {
            variables.push(("GODWIT_AUDIT_KEY", AUDIT_KEY));
        }
        variables.extend_from_slice(besides);
        Served::start(self.dir.path(), arguments, &variables)
    }

    /// The store, as one more process has it.
    async fn open(&self) -> Store {
        let key = self.store.is_some().then(|| AuditKey::new(&SecretString::from(AUDIT_KEY)));
        Store::open_in(&self.store_url(), Some(self.dir.path()), key).await.unwrap()
    }

    /// A pull request by alice that omar and dora agree to.
    pub fn approved(&self, branch: &str, changes: &[(&str, &str)]) -> PullHandle {
        let main = self.repo.branch_sha("main").unwrap();
        self.repo.force_push(branch, "alice", &main, &[commit("alice", changes)]).unwrap();
        let new = godwit::sandbox::NewPull {
            author: "alice",
            title: branch,
            body: "",
            head: branch,
            base: "main",
            draft: false,
        };
        let pull = self.repo.open_pull_request(&new).unwrap();
        for person in ["omar", "dora"] {
            pull.review(person, ReviewVerdict::Approve, "fine").unwrap();
        }
        self.until("the pull request is approved", || {
            pull.check_runs()
                .unwrap()
                .iter()
                .any(|c| c.name == super::world::APPROVAL && c.conclusion.as_deref() == Some("success"))
        });
        self.rest();
        pull
    }

    pub fn merge(&self, pull: &PullHandle) {
        pull.merge("rosa", MergeMethod::Squash).unwrap();
    }

    /// Awaits that no webhook is under way and no job is open.
    pub fn rest(&self) {
        self.until("the bot is at rest", || {
            self.sandbox.wait_for_deliveries(PATIENCE).unwrap();
            self.with_store(async |store| store.is_idle().await.unwrap())
        });
    }

    /// Awaits that an environment's comment holds `text`.
    pub fn until_told(&self, pull: &PullHandle, environment: &str, text: &str) {
        let mut told = String::new();
        let what = format!("`{text}` is told of {environment}");
        let began = Instant::now();
        while !told.contains(text) {
            assert!(began.elapsed() < PATIENCE, "waited too long until {what}: {told}");
            std::thread::sleep(Duration::from_millis(20));
            told = run_comment(pull, environment);
        }
    }

    /// What every process said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    #[track_caller]
    pub fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            if began.elapsed() > PATIENCE {
                panic!("waited too long until {what}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn with_store<T>(&self, ask: impl AsyncFnOnce(&Store) -> T) -> T {
        wait(async {
            let store = self.open().await;
            let said = ask(&store).await;
            store.close().await;
            said
        })
    }

    /// Every audit record; the chain must hold.
    pub fn audit(&self) -> Vec<AuditRecord> {
        self.with_store(async |store| {
            let verdict = store.verify_audit(None).await.unwrap();
            assert!(verdict.valid, "{verdict:?}");
            store.audit(&Default::default()).await.unwrap()
        })
    }

    /// How often an audit word stands there for an environment.
    pub fn audited(&self, action: &str, environment: &str) -> usize {
        let is = |r: &&AuditRecord| {
            r.body.action == action && r.body.environment.as_ref().is_some_and(|e| e.as_str() == environment)
        };
        self.audit().iter().filter(is).count()
    }

    /// What every run that was begun came to.
    pub fn open_runs(&self) -> usize {
        let runs = self.with_store(async |store| store.recent_runs(None, 100).await.unwrap());
        runs.iter().filter(|r| r.finished_at.is_none()).count()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            crate::contract::validate(&self.sandbox.recorder());
        }
    }
}

/// `id state` of every row of the history in a SQLite file.
pub fn history(file: &Path) -> Vec<String> {
    wait(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let mut c = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, state FROM godwit_history ORDER BY id").fetch_all(&mut c).await.unwrap();
        rows.into_iter().map(|(id, state)| format!("{id} {state}")).collect()
    })
}

/// The numbers of one metric's lines on `/metrics`, as they stand there.
pub fn metric(served: &Served, name: &str) -> Vec<String> {
    let text = crate::webhook::http::get(served.address, "/metrics").body;
    text.lines().filter(|l| l.starts_with(name)).map(str::to_owned).collect()
}
