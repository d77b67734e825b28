//! The same company with the real `godwit serve` as a process, which tests kill, stop and start again.

use std::path::Path;
use std::time::{Duration, Instant};

use godwit::sandbox::{MergeMethod, PullHandle, RepoHandle, ReviewVerdict, Sandbox, keys};
use godwit::store::{AuditRecord, Store};
use sqlx::Connection as _;

use super::world::{SECRET, commit, company, run_comment};
use crate::support::wait;
use crate::webhook::http::{Served, store_url};

pub const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

/// A company whose bot is a process.
pub struct Shop {
    pub sandbox: Sandbox,
    pub repo: RepoHandle,
    pub dir: tempfile::TempDir,
    /// URL of each environment's database, in the order of [`ENVIRONMENTS`].
    urls: [String; 3],
}

impl Shop {
    /// With a SQLite file for each environment.
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let urls = ENVIRONMENTS.map(|e| dir.path().join(format!("{e}.db")).display().to_string());
        let (sandbox, repo) = company(&[]);
        Self { sandbox, repo, dir, urls }
    }

    /// With these files and databases.
    pub fn with(files: &[(&str, &str)], urls: [String; 3]) -> Self {
        let (sandbox, repo) = company(files);
        Self { sandbox, repo, dir: tempfile::tempdir().unwrap(), urls }
    }

    /// Starts the server; `failpoint` is where it ends by itself.
    pub fn serve(&self, failpoint: Option<&str>) -> Served {
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
            // What a killed server held is taken over soon.
            ("GODWIT_LEASE", "2"),
        ];
        variables.extend(failpoint.map(|point| ("GODWIT_FAILPOINT", point)));
        let served = Served::start(self.dir.path(), &[], &variables);
        self.sandbox.set_webhook_url(&format!("http://{}/github/webhook", served.address));
        served
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
            self.sandbox.wait_for_deliveries(Duration::from_secs(30)).unwrap();
            self.with_store(|store| wait(async { store.is_idle().await.unwrap() }))
        });
    }

    /// Awaits that an environment's comment holds `text`.
    pub fn until_told(&self, pull: &PullHandle, environment: &str, text: &str) {
        let mut told = String::new();
        let what = format!("`{text}` is told of {environment}");
        let began = Instant::now();
        while !told.contains(text) {
            assert!(began.elapsed() < Duration::from_secs(60), "waited too long until {what}: {told}");
            std::thread::sleep(Duration::from_millis(20));
            told = run_comment(pull, environment);
        }
    }

    #[track_caller]
    pub fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            if began.elapsed() > Duration::from_secs(60) {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                panic!("waited too long until {what}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn with_store<T>(&self, ask: impl FnOnce(&Store) -> T) -> T {
        let store = wait(Store::open(&store_url(self.dir.path()))).unwrap();
        ask(&store)
    }

    /// Every audit record; the chain must hold.
    pub fn audit(&self) -> Vec<AuditRecord> {
        let url = store_url(self.dir.path());
        wait(async {
            let store = Store::open(&url).await.unwrap();
            let verdict = store.verify_audit(None).await.unwrap();
            assert!(verdict.valid, "{verdict:?}");
            let records = store.audit(&Default::default()).await.unwrap();
            store.close().await;
            records
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
        let url = store_url(self.dir.path());
        wait(async {
            let store = Store::open(&url).await.unwrap();
            let runs = store.recent_runs(None, 100).await.unwrap();
            store.close().await;
            runs.iter().filter(|r| r.finished_at.is_none()).count()
        })
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
