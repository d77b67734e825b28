//! A local mirror of a repository, read at a commit.
//!
//! Blocking work happens in one place, [`Mirrors::with`], on a thread of its own and one call per repository at a time.
//! What is fetched comes from the configured GitHub host only (DECISIONS 24), and the token stands in a request header,
//! never in a URL or in the mirror's configuration.

mod mirror;
mod wire;

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use git2::{Oid, Repository};
use secrecy::SecretString;
use tokio::sync::Mutex;
use url::Url;

pub use mirror::{Change, ChangeKind, CommitNames, Mirror};

use crate::ids::{CommitSha, PrNumber, RepoName};

/// Why a mirror could not be brought up to date or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The address is not on the configured host.
    #[error("`{0}` is not on the configured GitHub host; it is never given a token")]
    ForeignHost(String),
    /// 401 or 403.
    #[error("git's server refuses the installation token; check the App's `contents` permission")]
    Refused,
    /// 404.
    #[error("git's server has no such repository, or the App may not see it")]
    NoRepository,
    /// Connection, protocol, disk.
    #[error("{0}")]
    Transport(String),
    /// A commit that neither the mirror nor the server has; it may have been garbage-collected after a force-push.
    #[error("git has no commit `{0}`")]
    Missing(CommitSha),
    /// The mirror itself is damaged.
    #[error("the local mirror cannot be read: {0}")]
    Mirror(String),
}

impl GitError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            GitError::Transport(_) | GitError::Mirror(_) => true,
            GitError::ForeignHost(_) | GitError::Refused | GitError::NoRepository | GitError::Missing(_) => false,
        }
    }
}

impl From<git2::Error> for GitError {
    fn from(e: git2::Error) -> Self {
        GitError::Mirror(e.message().to_owned())
    }
}

/// Something to have in the mirror before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The tip of a branch.
    Branch(String),
    /// The head of a pull request, from a fork too.
    PullHead(PrNumber),
    /// One commit. Asking for one that git's server does not have is no error; reading it is.
    Commit(CommitSha),
}

/// Where a repository is fetched from.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The repository.
    pub repo: RepoName,
    /// The address that GitHub sent.
    pub clone_url: String,
    /// The installation token; `None` for public repositories without an App.
    pub token: Option<SecretString>,
}

/// The mirrors of one server; cheap to clone.
#[derive(Clone)]
pub struct Mirrors {
    inner: Arc<Inner>,
}

/// Folders that processes on one data directory may have at most.
const FOLDERS: usize = 64;

/// A folder of mirrors in which this process alone writes, for as long as it holds the lock beside it.
struct Folder {
    dir: PathBuf,
    _lock: Option<File>,
}

struct Inner {
    dir: PathBuf,
    /// Taken when something is fetched first.
    own: std::sync::Mutex<Option<Folder>>,
    api: Url,
    agent: ureq::Agent,
    locks: Mutex<HashMap<RepoName, Arc<Mutex<()>>>>,
}

impl Mirrors {
    /// Mirrors below `dir`, of repositories on the host of GitHub's API at `api_url`.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(dir: impl Into<PathBuf>, api_url: &str, timeout: Duration) -> Result<Self, GitError> {
        let api = Url::parse(api_url).map_err(|_| GitError::Transport(format!("`{api_url}` is not a URL")))?;
        let (agent, locks) = (wire::agent(timeout), Mutex::new(HashMap::new()));
        let inner = Inner { dir: dir.into(), own: std::sync::Mutex::default(), api, agent, locks };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Fetches `wants`, then lets `read` look at the mirror. A damaged mirror is thrown away and fetched anew, once.
    ///
    /// # Errors
    /// When the address is foreign, git's server does not answer, or `read` fails.
    pub async fn with<T, F>(&self, remote: &Remote, wants: &[Want], read: F) -> Result<T, GitError>
    where
        T: Send + 'static,
        F: Fn(&Mirror) -> Result<T, GitError> + Send + 'static,
    {
        let url = checked_url(&self.inner.api, &remote.clone_url)?;
        let lock = Arc::clone(self.inner.locks.lock().await.entry(remote.repo.clone()).or_default());
        let alone = lock.lock_owned().await;
        let (inner, remote, wants) = (Arc::clone(&self.inner), remote.clone(), wants.to_vec());
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _of_whom = span.entered();
            // Held by the thread: it goes on when the caller is cancelled, and nobody else may write meanwhile.
            let _alone = alone;
            let dir = inner.folder()?.join(remote.repo.owner()).join(format!("{}.git", remote.repo.name()));
            let attempt = || {
                let mirror = Mirror { repository: open(&dir)? };
                bring_up_to_date(&inner.agent, &url, &remote, &mirror, &wants)?;
                read(&mirror)
            };
            match attempt() {
                Err(GitError::Mirror(reason)) => {
                    tracing::warn!(repo = %remote.repo, reason, "the mirror is damaged; fetching it anew");
                    std::fs::remove_dir_all(&dir).map_err(|e| GitError::Transport(e.to_string()))?;
                    attempt()
                }
                other => other,
            }
        })
        .await
        .map_err(|e| GitError::Transport(format!("reading the mirror broke off: {e}")))?
    }
}

impl Inner {
    /// Where this process keeps its mirrors.
    fn folder(&self) -> Result<PathBuf, GitError> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*own {
            return Ok(folder.dir.clone());
        }
        let taken = take_folder(&self.dir)
            .map_err(|e| GitError::Transport(format!("cannot make the folder `{}`: {e}", self.dir.display())))?;
        Ok(own.insert(taken).dir.clone())
    }
}

/// The first folder that no other process has: `dir`, `dir-1`, … Git's own locks are left behind by a process that is
/// killed, and a damaged mirror is thrown away, which nobody else may be reading meanwhile.
fn take_folder(dir: &Path) -> std::io::Result<Folder> {
    std::fs::create_dir_all(dir.parent().unwrap_or(dir))?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    for n in 0..FOLDERS {
        let dir = if n == 0 { dir.to_path_buf() } else { dir.with_file_name(format!("{name}-{n}")) };
        let lock = File::options().create(true).truncate(false).write(true).open(dir.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => return Ok(Folder { dir, _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {}
            // A file system that knows no locks: as if this were the only process.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                return Ok(Folder { dir, _lock: None });
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Err(std::io::Error::other(format!("{FOLDERS} processes have one each; give this one a data directory of its own")))
}

/// Opens the bare mirror at `dir`, or makes it.
fn open(dir: &Path) -> Result<Repository, GitError> {
    if dir.join("HEAD").exists() {
        return Ok(Repository::open_bare(dir)?);
    }
    std::fs::create_dir_all(dir)
        .map_err(|e| GitError::Transport(format!("cannot make the mirror `{}`: {e}", dir.display())))?;
    Ok(Repository::init_bare(dir)?)
}

/// The address git fetches from, without user, query or trailing slash; refused when its host is not GitHub's.
fn checked_url(api: &Url, clone_url: &str) -> Result<String, GitError> {
    let foreign = || GitError::ForeignHost(crate::redact::text(clone_url));
    let url = Url::parse(clone_url).map_err(|_| foreign())?;
    let git_host = |host: &str| host.strip_prefix("api.").unwrap_or(host).to_owned();
    let same_host = url.host_str().is_some_and(|h| Some(h.to_owned()) == api.host_str().map(git_host))
        || url.host_str() == api.host_str();
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if url.scheme() != api.scheme() || !same_host || url.port_or_known_default() != api.port_or_known_default() || !bare
    {
        return Err(foreign());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Makes the mirror's references say what the server's say, for `wants`.
fn bring_up_to_date(
    agent: &ureq::Agent,
    url: &str,
    remote: &Remote,
    mirror: &Mirror,
    wants: &[Want],
) -> Result<(), GitError> {
    let here = |oid: Oid| mirror.repository.find_commit(oid).is_ok();
    let all_here = wants.iter().all(|w| match w {
        Want::Commit(sha) => mirror.has(sha),
        Want::Branch(_) | Want::PullHead(_) => false,
    });
    if all_here {
        return Ok(());
    }
    let token = remote.token.as_ref();
    let advertised = wire::advertisement(agent, url, token)?;
    let (mut missing, mut references, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    for want in wants {
        let name = match want {
            Want::Branch(name) => format!("refs/heads/{name}"),
            Want::PullHead(number) => format!("refs/pull/{}/head", number.0),
            Want::Commit(sha) => {
                commits.push(Oid::from_str(sha.as_str())?);
                continue;
            }
        };
        match advertised.find(&name) {
            Some(oid) => {
                references.push((name, oid));
                if !here(oid) {
                    missing.push(oid);
                }
            }
            // A branch that is gone must not be remembered as it was.
            None => {
                if let Ok(mut old) = mirror.repository.find_reference(&name) {
                    old.delete()?;
                }
            }
        }
    }
    missing.sort();
    missing.dedup();
    if !missing.is_empty() {
        wire::fetch_pack(agent, url, token, &mirror.repository, &missing, &haves(mirror))?;
    }
    let may_ask = |c: &Oid| advertised.serves_any_commit() || advertised.refs.iter().any(|(_, oid)| oid == c);
    for commit in commits.iter().filter(|c| !here(**c) && may_ask(c)) {
        match wire::fetch_pack(agent, url, token, &mirror.repository, &[*commit], &haves(mirror)) {
            // The server does not have it: whoever reads it is told so.
            Err(GitError::Transport(message)) if message.contains("not our ref") => {}
            other => other?,
        }
    }
    // A server that names commits only by its references may still have a wanted one below one of them.
    if commits.iter().any(|c| !here(*c)) {
        let tips: Vec<Oid> = advertised.refs.iter().map(|(_, oid)| *oid).filter(|oid| !here(*oid)).collect();
        if !tips.is_empty() {
            wire::fetch_pack(agent, url, token, &mirror.repository, &tips, &haves(mirror))?;
        }
    }
    for (name, oid) in references {
        mirror.repository.reference(&name, oid, true, "fetched")?;
    }
    // Commits are kept alive by nothing but a reference of their own.
    for oid in commits.into_iter().filter(|c| here(*c)) {
        mirror.repository.reference(&format!("refs/godwit/{oid}"), oid, true, "kept")?;
    }
    Ok(())
}

/// Commits that the mirror has, for the server to leave out.
fn haves(mirror: &Mirror) -> Vec<Oid> {
    let Ok(references) = mirror.repository.references() else { return Vec::new() };
    let mut oids: Vec<Oid> = references.filter_map(|r| r.ok()?.target()).collect();
    oids.sort();
    oids.dedup();
    oids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_on_one_data_directory_have_mirrors_of_their_own() {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("deep/mirrors");
        let named = |folder: &Folder| folder.dir.file_name().unwrap().to_str().unwrap().to_owned();
        let first = take_folder(&dir).unwrap();
        let second = take_folder(&dir).unwrap();
        assert_eq!((named(&first).as_str(), named(&second).as_str()), ("mirrors", "mirrors-1"));
        // Whoever comes after one that ended has what it left.
        drop(first);
        assert_eq!(named(&take_folder(&dir).unwrap()), "mirrors");
    }

    #[test]
    fn tokens_go_to_the_configured_host_only() {
        for (api, clone_url, allowed) in [
            ("https://api.github.com", "https://github.com/o/r.git", true),
            ("https://api.github.com", "https://github.com/o/r.git/", true),
            ("https://ghe.example.com/api/v3", "https://ghe.example.com/o/r.git", true),
            ("https://api.sub.ghe.com", "https://sub.ghe.com/o/r.git", true),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/o/r.git", true),
            ("https://api.github.com", "https://github.com.evil.org/o/r.git", false),
            ("https://api.github.com", "https://evil.org/github.com/o/r.git", false),
            ("https://api.github.com", "http://github.com/o/r.git", false),
            ("https://api.github.com", "https://github.com:8443/o/r.git", false),
            ("https://api.github.com", "https://github.com@evil.org/o/r.git", false),
            ("https://api.github.com", "https://user:pw@github.com/o/r.git", false),
            ("https://api.github.com", "ssh://git@github.com/o/r.git", false),
            ("https://api.github.com", "file:///etc/passwd", false),
            ("https://api.github.com", "/etc", false),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4001/o/r.git", false),
        ] {
            let api = Url::parse(api).unwrap();
            assert_eq!(checked_url(&api, clone_url).is_ok(), allowed, "{api} {clone_url}");
        }
    }
}
