//! Migrations from within another program [S4-37] [S4-39]: a folder, the databases that it is for, and three calls.
//!
//! The same runs as `godwit apply --url … --path …`: the target's lock and fence, history in the target, the run in a store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::ids::{Engine, TargetName};
use crate::migration::{MigrationRoot, MigrationSet, resolve_below};
use crate::plan::planner::Selector;
use crate::plan::{RunReport, TargetStatus};
use crate::runner::sealed::{Keys, Opening};
use crate::runner::{self, Actor, ApplyOptions, Keeper, RunError, Target};
use crate::store::Store;

/// Why a call came to nothing. A run that fails or is refused is no error: its report says so.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The folder cannot be read.
    #[error("{0}")]
    Folder(String),
    /// A database's address cannot be read.
    #[error("the address of the {engine} database is wrong: {why}")]
    Address {
        /// The kind of database.
        engine: Engine,
        /// What is wrong with it; without credentials.
        why: String,
    },
    /// A database or the store cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] RunError),
}

/// Brings the databases of a folder of migrations forward and back. A kind of database without an address is left out, and
/// a note in the report says so.
#[derive(Debug, Clone)]
pub struct MigrationManager {
    folder: PathBuf,
    databases: BTreeMap<Engine, SecretString>,
    store: Option<String>,
    by: String,
    accept_data_loss: bool,
    keys: Keys,
}

impl MigrationManager {
    /// A manager for the migrations below `folder`, in any layout.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            databases: BTreeMap::new(),
            store: None,
            by: "library".to_owned(),
            accept_data_loss: false,
            keys: Keys::default(),
        }
    }

    /// The PostgreSQL database: `postgres://…`.
    #[must_use]
    pub fn postgresql(self, url: impl Into<String>) -> Self {
        self.with(Engine::Postgresql, url.into())
    }

    /// The MongoDB server, `mongodb://…`, and the name of the database on it.
    #[must_use]
    pub fn mongodb(self, url: impl Into<String>, database: &str) -> Self {
        let url = url.into();
        let (base, options) = url.split_once('?').map_or((url.as_str(), None), |(base, options)| (base, Some(options)));
        // Behind the servers stands the database, or nothing yet.
        let servers_end = base.find("://").map_or(0, |at| at + 3);
        let servers = base[servers_end..].split('/').next().unwrap_or_default();
        let options = options.map_or(String::new(), |o| format!("?{o}"));
        let full = format!("{}{servers}/{database}{options}", &base[..servers_end]);
        self.with(Engine::Mongodb, full)
    }

    /// The Redis server: `redis://…`, `rediss://…`, `redis-cluster://…`.
    #[must_use]
    pub fn redis(self, url: impl Into<String>) -> Self {
        self.with(Engine::Redis, url.into())
    }

    /// The Elasticsearch server: `elasticsearch+https://…`.
    #[must_use]
    pub fn elasticsearch(self, url: impl Into<String>) -> Self {
        self.with(Engine::Elasticsearch, url.into())
    }

    /// The SQLite file: `sqlite:FILE`.
    #[must_use]
    pub fn sqlite(self, url: impl Into<String>) -> Self {
        self.with(Engine::Sqlite, url.into())
    }

    /// Where runs are recorded: `sqlite:FILE` or `postgres://…`; without it where the command line does.
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Some(url.into());
        self
    }

    /// Whose name stands in the history.
    #[must_use]
    pub fn by(mut self, name: impl Into<String>) -> Self {
        self.by = name.into();
        self
    }

    /// Lets a rollback lose data. Without it one that would is refused, and its report says what would be lost.
    #[must_use]
    pub fn accept_data_loss(mut self) -> Self {
        self.accept_data_loss = true;
        self
    }

    /// The private key (`AGE-SECRET-KEY-1…`) that opens the values which migrations hold sealed.
    #[must_use]
    pub fn identity(mut self, key: &str) -> Self {
        self.keys = Keys::parse(key);
        self
    }

    fn with(mut self, engine: Engine, url: String) -> Self {
        crate::redact::register_url(&url);
        self.databases.insert(engine, SecretString::from(url));
        self
    }

    /// Brings every database forward: to `"latest"`, or up to and with a version, such as `"1.2.0"`.
    ///
    /// # Errors
    /// When the folder cannot be read, an address is wrong, or something cannot be reached.
    pub async fn run_migrations(&self, version: &str) -> Result<RunReport, ManagerError> {
        let (set, targets, notes) = self.gather()?;
        let options = ApplyOptions { to: (version != "latest").then(|| version.to_owned()), ..self.options() };
        let mut report = runner::apply_with(&self.keeper(), &set, &targets, &self.actor(), &options).await?;
        report.notes.extend(notes);
        Ok(report)
    }

    /// What of the migrations each database has.
    ///
    /// # Errors
    /// As [`MigrationManager::run_migrations`].
    pub async fn get_migration_status(&self) -> Result<Vec<TargetStatus>, ManagerError> {
        let (set, targets, _) = self.gather()?;
        Ok(runner::status(None, &set, &targets, &BTreeSet::new()).await?)
    }

    /// Undoes everything above a version, which itself stays.
    ///
    /// # Errors
    /// As [`MigrationManager::run_migrations`].
    pub async fn rollback_migrations(&self, version: &str) -> Result<RunReport, ManagerError> {
        let (set, targets, notes) = self.gather()?;
        let (keeper, options) = (self.keeper(), self.options());
        let selector = Selector::To(version.to_owned());
        let mut report = runner::rollback(&keeper, &set, &targets, &self.actor(), &options, selector).await?;
        report.notes.extend(notes);
        Ok(report)
    }

    fn options(&self) -> ApplyOptions {
        ApplyOptions {
            accept_data_loss: self.accept_data_loss,
            opening: Opening::With(self.keys.clone()),
            ..ApplyOptions::default()
        }
    }

    fn actor(&self) -> Actor {
        Actor { by: self.by.clone(), repo: None, pr: None, commit: None, correlation: None }
    }

    /// The store, opened when there is something to record.
    fn keeper(&self) -> Keeper {
        let given = self.store.clone();
        Keeper::later(Box::new(move || {
            let given = given.clone();
            Box::pin(async move {
                let url = match given {
                    Some(url) => url,
                    None => {
                        let dir = crate::cli::data_dir().map_err(|e| RunError::Store(format!("{e:#}")))?;
                        format!("sqlite:{}", dir.join("godwit.db").display())
                    }
                };
                Ok(Store::open(&url).await?)
            })
        }))
    }

    /// The migrations, the databases, and what is left out.
    fn gather(&self) -> Result<(MigrationSet, Vec<Target>, Vec<String>), ManagerError> {
        let mut targets = Vec::new();
        for (engine, url) in &self.databases {
            let text = secrecy::ExposeSecret::expose_secret(url);
            crate::drivers::check_url(*engine, text)
                .map_err(|e| ManagerError::Address { engine: *engine, why: crate::redact::text(&e.to_string()) })?;
            let name = TargetName::new(engine.as_str()).expect("an engine's name is a target's");
            targets.push(Target { environment: None, name, engine: *engine, url: url.clone() });
        }
        let mut set = self.read(&self.folder)?;
        let mut left_out: BTreeMap<Engine, usize> = BTreeMap::new();
        set.migrations.retain(|m| {
            let there = self.databases.contains_key(&m.engine);
            if !there {
                *left_out.entry(m.engine).or_default() += 1;
            }
            there
        });
        let notes = left_out
            .into_iter()
            .map(|(engine, n)| {
                format!("{engine}: {} left out, no database is given", crate::report::count(n, "migration"))
            })
            .collect();
        Ok((set, targets, notes))
    }

    fn read(&self, folder: &Path) -> Result<MigrationSet, ManagerError> {
        let files = crate::cli::read_tree(folder).map_err(|e| ManagerError::Folder(format!("{e:#}")))?;
        let above = crate::cli::above(folder);
        let set = resolve_below(&above, &files, &[MigrationRoot::folder("**")]);
        // Where nothing says what they are for, they are for the only database there is.
        match self.databases.keys().collect::<Vec<_>>().as_slice() {
            [only] if !set.migrations.iter().any(|m| m.engine == **only) => {
                let here = MigrationRoot { engine: Some(**only), ..MigrationRoot::folder("") };
                Ok(resolve_below(&above, &files, &[here]))
            }
            _ => Ok(set),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_37_a_mongodb_database_is_named_beside_its_server() {
        for (url, expected) in [
            ("mongodb://h:27017", "mongodb://h:27017/shop"),
            ("mongodb://u:p@a,b/?replicaSet=r", "mongodb://u:p@a,b/shop?replicaSet=r"),
            ("mongodb+srv://h/other", "mongodb+srv://h/shop"),
        ] {
            let manager = MigrationManager::new(".").mongodb(url, "shop");
            let made = secrecy::ExposeSecret::expose_secret(&manager.databases[&Engine::Mongodb]).to_owned();
            assert_eq!(made, expected);
        }
    }
}
