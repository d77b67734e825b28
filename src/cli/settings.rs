//! What every command needs from the command line's surroundings: the repository's files, its configuration, the store's URL.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::SecretString;

use super::exit::Failure;
use super::{Exit, Global};
use crate::config::RepoConfig;
use crate::ids::EnvironmentName;
use crate::migration::roots::Place;
use crate::store::{AuditKey, Store, StoreError};

/// The configuration that a text is.
///
/// # Errors
/// All that is wrong with it: who mends one mistake should not learn of the next by trying again.
pub(super) fn parsed(text: &str) -> anyhow::Result<RepoConfig> {
    RepoConfig::parse_all(text)
        .map_err(|errors| Failure::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

impl Global {
    /// The repository's `godwit.yml`, or the defaults where there is none.
    ///
    /// # Errors
    /// A located message when the file is wrong, or cannot be read.
    pub fn repo_config(&self) -> anyhow::Result<RepoConfig> {
        let path = self.config_file();
        match std::fs::read_to_string(&path) {
            Ok(text) => parsed(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && self.config.is_none() => Ok(RepoConfig::default()),
            Err(e) => Err(Failure::usage(format!("cannot read `{}`: {e}", path.display()))),
        }
    }

    /// Where the configuration stands, if it is there.
    pub fn config_file(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| self.repo.join(RepoConfig::FILE))
    }

    /// What stands at a path of the repository.
    pub fn place(&self, path: &str) -> Place {
        let steps = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
        match steps.filter(|step| !step.is_empty()).find(|step| self.repo.join(step).is_symlink()) {
            Some(link) => Place::Link(link.to_owned()),
            None if self.repo.join(path).is_dir() => Place::Folder,
            None => Place::Nothing,
        }
    }

    /// The environment that a word on the command line means here.
    ///
    /// # Errors
    /// When `godwit.yml` cannot be read.
    pub fn environment(&self, name: &EnvironmentName) -> anyhow::Result<EnvironmentName> {
        let known = self.repo_config()?.environments;
        Ok(known_as(name, &|name| known.contains(name)))
    }

    /// The store's URL: `--store`, else `godwit.db` in the data directory, which is made when missing.
    ///
    /// # Errors
    /// When the data directory cannot be made.
    pub fn store_url(&self) -> anyhow::Result<String> {
        self.store_url_in(None)
    }

    /// The same, where the command itself was told of a data directory.
    ///
    /// # Errors
    /// When the data directory cannot be made.
    pub fn store_url_in(&self, data: Option<&Path>) -> anyhow::Result<String> {
        if let Some(url) = &self.store {
            return Ok(url.clone());
        }
        Ok(format!("sqlite:{}", data_dir_or(data)?.join("godwit.db").display()))
    }

    /// Opens the store with the audit chain's key: `GODWIT_AUDIT_KEY`, the file named by `GODWIT_AUDIT_KEY_FILE`, else
    /// `audit.key` beside the store's file. Every command opens it here, so that all of them use one key.
    ///
    /// # Errors
    /// With the exit code for something that cannot be reached.
    pub async fn open_store(&self) -> anyhow::Result<Store> {
        self.open_store_at(&self.store_url()?, None).await
    }

    /// The same where there is one: none is made only to be looked into.
    ///
    /// # Errors
    /// As [`Global::open_store`].
    pub async fn store_if_there(&self) -> anyhow::Result<Option<Store>> {
        let url = self.store_url()?;
        let file = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match file {
            Some(file) if !Path::new(file).exists() => Ok(None),
            Some(_) | None => self.open_store_at(&url, None).await.map(Some),
        }
    }

    /// The same for a command that can do without: where the store cannot be opened, a warning says so.
    pub async fn store_to_look_into(&self) -> Option<Store> {
        match self.store_if_there().await {
            Ok(store) => store,
            Err(error) => {
                let why = crate::redact::text(&format!("{error:#}"));
                super::print::talk(&format!("warning: {why}; what it knows of the databases is left out"));
                None
            }
        }
    }

    /// The same at a URL, where the command itself may have been told of a data directory.
    ///
    /// # Errors
    /// With the exit code for something that cannot be reached.
    pub async fn open_store_at(&self, url: &str, data: Option<&Path>) -> anyhow::Result<Store> {
        let data = data_dir_for(url, data)?;
        Store::open_in(url, data.as_deref(), given_audit_key()?).await.map_err(|e| cannot_open(url, e))
    }

    /// The audit chain's key for the store at `url`, made when there is none; and the file that it stands in, unless the
    /// environment gives it.
    ///
    /// # Errors
    /// When it cannot be read or made.
    #[cfg(feature = "bot")]
    pub fn audit_key_at(&self, url: &str) -> anyhow::Result<(AuditKey, Option<PathBuf>)> {
        if let Some(key) = given_audit_key()? {
            return Ok((key, None));
        }
        let file = Store::audit_key_file(url, data_dir_for(url, None)?.as_deref())?;
        Ok((AuditKey::read_or_make(&file)?, Some(file)))
    }

    /// Opens a store with that key.
    ///
    /// # Errors
    /// With the exit code for something that cannot be reached.
    #[cfg(feature = "bot")]
    pub async fn open_store_with(&self, url: &str, key: AuditKey) -> anyhow::Result<Store> {
        let data = data_dir_for(url, None)?;
        Store::open_in(url, data.as_deref(), Some(key)).await.map_err(|e| cannot_open(url, e))
    }

    /// The file with the audit chain's key that was made when there was none; `None` where the environment gives the key.
    ///
    /// # Errors
    /// When the store's URL is none.
    pub fn own_audit_key_file(&self) -> anyhow::Result<Option<PathBuf>> {
        if given_audit_key()?.is_some() {
            return Ok(None);
        }
        let url = self.store_url()?;
        Ok(Some(Store::audit_key_file(&url, data_dir_for(&url, None)?.as_deref())?))
    }

    /// The audit chain's key, without opening the store.
    ///
    /// # Errors
    /// When it cannot be read; it is not made here.
    pub fn audit_key(&self) -> anyhow::Result<AuditKey> {
        if let Some(key) = given_audit_key()? {
            return Ok(key);
        }
        let url = self.store_url()?;
        let file = Store::audit_key_file(&url, data_dir_for(&url, None)?.as_deref())?;
        if !file.exists() {
            return Err(Failure::usage(format!(
                "there is no audit key at `{}`: set `GODWIT_AUDIT_KEY` or `GODWIT_AUDIT_KEY_FILE`",
                file.display()
            )));
        }
        Ok(AuditKey::read_or_make(&file)?)
    }

    /// Runs a command that waits for the store or a database.
    ///
    /// # Errors
    /// Those of the command, or when no threads can be had.
    pub fn block_on<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the threads that wait for databases")?;
        runtime.block_on(work)
    }
}

/// Why a store is not open, with the exit code for it.
fn cannot_open(url: &str, error: StoreError) -> anyhow::Error {
    let exit = match error {
        StoreError::OtherAuditKey | StoreError::Url(_) => Exit::Usage,
        _ => Exit::Unreachable,
    };
    Failure::with_causes(exit, format!("cannot open the store `{}`", crate::redact::url(url)), &error)
}

/// The key of the audit chain where the environment gives one.
fn given_audit_key() -> anyhow::Result<Option<AuditKey>> {
    let key = match (std::env::var("GODWIT_AUDIT_KEY").ok(), std::env::var_os("GODWIT_AUDIT_KEY_FILE")) {
        (Some(text), _) => AuditKey::new(&SecretString::from(text)),
        (None, Some(file)) => AuditKey::in_file(Path::new(&file)).map_err(|e| {
            let what = format!("`{}`, named by `GODWIT_AUDIT_KEY_FILE`, cannot be used", Path::new(&file).display());
            Failure::with_causes(Exit::Usage, what, &e)
        })?,
        (None, None) => return Ok(None),
    };
    if key.is_too_short() {
        let message = format!("`GODWIT_AUDIT_KEY` is too short: give {} characters or more", AuditKey::SHORTEST);
        return Err(Failure::usage(message));
    }
    Ok(Some(key))
}

/// Other words for the usual environments [S3-08] [S3-11].
const OTHER_WORDS: [(&str, &str); 6] = [
    ("dev", "development"),
    ("local", "development"),
    ("test", "testing"),
    ("ci", "testing"),
    ("stage", "staging"),
    ("prod", "production"),
];

/// The environment that `name` means: itself, or where nothing is called so, what the word is another one for.
pub fn known_as(name: &EnvironmentName, is_known: &dyn Fn(&EnvironmentName) -> bool) -> EnvironmentName {
    if is_known(name) {
        return name.clone();
    }
    let other = OTHER_WORDS.iter().find(|(word, _)| *word == name.as_str());
    other
        .and_then(|(_, usual)| EnvironmentName::new(*usual).ok())
        .filter(|usual| is_known(usual))
        .unwrap_or_else(|| name.clone())
}

/// The name of the person at this machine, for history and audit.
pub fn user() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|n| !n.is_empty()))
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The account this process runs as, where no variable names it: containers, CI, cron.
#[cfg(target_os = "linux")]
fn account() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let uid = std::fs::metadata("/proc/self").ok()?.uid();
    let named = std::fs::read_to_string("/etc/passwd").ok().and_then(|accounts| {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
    });
    Some(named.unwrap_or_else(|| format!("uid {uid}")))
}

#[cfg(not(target_os = "linux"))]
fn account() -> Option<String> {
    None
}

/// `dir`, else `GODWIT_DATA_DIR`, else the platform's state directory; made when missing.
///
/// # Errors
/// When it cannot be found or made.
pub fn data_dir_or(dir: Option<&Path>) -> anyhow::Result<PathBuf> {
    use etcetera::BaseStrategy as _;
    let dir = match dir.map(Path::to_path_buf).or_else(|| std::env::var_os("GODWIT_DATA_DIR").map(PathBuf::from)) {
        Some(dir) => dir,
        None => {
            let base = etcetera::choose_base_strategy().context("no home directory; set `GODWIT_DATA_DIR`")?;
            base.state_dir().unwrap_or_else(|| base.data_dir()).join("godwit")
        }
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the data directory `{}`", dir.display()))?;
    Ok(dir)
}

/// The data directory where the store at `url` needs one: a file keeps everything beside it.
fn data_dir_for(url: &str, data: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    if url.starts_with("sqlite:") { Ok(None) } else { data_dir_or(data).map(Some) }
}
