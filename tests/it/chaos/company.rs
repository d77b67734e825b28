//! The company of these tests: lanes that do not touch each other, each a database of its own in every environment.

use std::path::PathBuf;

use godwit::sandbox::{RepoHandle, Sandbox, keys};
use godwit::store::{AuditKey, Store};
use secrecy::SecretString;

use crate::bot::world::{SECRET, company};
use crate::support::{Database, Kind};
use crate::webhook::http::{Served, store_url};

/// Folders of migrations, each with its own database.
pub const LANES: [&str; 4] = ["carts", "orders", "stock", "users"];
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
    /// A store on a server, else a file in `dir`.
    store: Option<Database>,
}

impl Company {
    /// With its store in a file, or on a server where several processes share it.
    pub fn found(store: Kind) -> Self {
        let mut godwit_yml = "version: 1\nenvironments: [development, staging, production]\nmigrations:\n".to_owned();
        for lane in LANES {
            godwit_yml += &format!("  - {{ path: {lane}, engine: sqlite, target: {lane} }}\n");
        }
        let mut environments_yml = String::new();
        for environment in ENVIRONMENTS {
            environments_yml += &format!("{environment}:\n  targets:\n");
            for lane in LANES {
                environments_yml += &format!(
                    "    {lane}: {{ engine: sqlite, url: \"sqlite:${{{}}}\" }}\n",
                    variable(lane, environment)
                );
            }
            if environment == "development" {
                environments_yml += "  migration: { auto_approve: true }\n";
            }
        }
        let (sandbox, repo) = company(&[("godwit.yml", &godwit_yml), ("policies/environments.yml", &environments_yml)]);
        let store = (store == Kind::Postgres).then(|| Database::fresh(Kind::Postgres));
        Self { sandbox, repo, dir: tempfile::tempdir().unwrap(), store }
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
            ("GODWIT_SWEEP_INTERVAL".to_owned(), "2".to_owned()),
            ("GODWIT_STORE_URL".to_owned(), self.store_url()),
        ];
        if self.store.is_some() {
            variables.push(("GODWIT_AUDIT_KEY".to_owned(), AUDIT_KEY.to_owned()));
        }
        let mut names = Vec::new();
        for lane in LANES {
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

    /// The file of a lane's database in an environment.
    pub fn database(&self, lane: &str, environment: &str) -> PathBuf {
        self.dir.path().join(format!("{lane}_{environment}.db"))
    }
}

fn variable(lane: &str, environment: &str) -> String {
    format!("{lane}_{environment}").to_uppercase()
}

impl Drop for Company {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            crate::contract::validate(&self.sandbox.recorder());
        }
    }
}
