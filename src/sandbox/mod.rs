//! A stand-in for GitHub on this machine: repositories with real git behind them, pull requests, reviews, checks,
//! signed webhooks, and faults on request. It knows nothing of the bot, which reaches it by HTTP alone; people act on
//! it through this module, or on its page.
//!
//! What it answers is compared with GitHub's own description of its API by `tests/it/contract`.

mod faults;
mod gates;
mod git_http;
mod gitrepo;
mod http;
mod installing;
pub mod keys;
mod page;
mod people;
mod pulls;
mod queue;
mod record;
mod rest;
mod shapes;
mod snapshots;
mod state;
mod webhooks;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};

pub use faults::{Fault, FaultKind, WebhookFault, WebhookFaultKind};
pub use page::Button;
pub use people::{Change, NewCommit, RepoHandle};
pub use pulls::{NewPull, PullHandle};
pub use queue::MergeGroup;
pub use record::{Exchange, Fired, Recorder};
pub use snapshots::{
    CheckRunView, CommentView, DeploymentView, GateView, LineCommentView, PullView, ReviewView, StatusView,
    TimelineView,
};
pub use state::{MergeMethod, Permission, ReviewVerdict};

use state::{App, Org, Team, User, World};

/// Why something could not be done on the stand-in.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Nobody has this login.
    #[error("no user `{0}` on the stand-in: add it first")]
    NoSuchUser(String),
    /// No such repository.
    #[error("no repository `{0}` on the stand-in: create it first")]
    NoSuchRepo(String),
    /// No such organisation or team.
    #[error("no organisation or team `{0}` on the stand-in: add it first")]
    NoSuchTeam(String),
    /// No such branch or commit.
    #[error("no branch or commit `{0}`")]
    NoSuchCommit(String),
    /// No such file to delete.
    #[error("no file `{0}` to delete")]
    NoSuchFile(String),
    /// No such pull request or issue.
    #[error("no pull request #{0}")]
    NoSuchPull(u64),
    /// No such review, comment, label or delivery.
    #[error("no {0} `{1}`")]
    NoSuch(&'static str, String),
    /// GitHub would refuse it, in GitHub's words.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// Merging would give a conflict.
    #[error("the branches cannot be merged without a conflict")]
    NotMergeable,
    /// The pull request is closed or merged.
    #[error("pull request #{0} is not open")]
    NotOpen(u64),
    /// Webhooks were still under way when the time was up.
    #[error("{0} webhooks were still to be delivered after {1:?}")]
    StillDelivering(usize, Duration),
    /// libgit2 refused.
    #[error("git: {}", .0.message())]
    Git(#[from] git2::Error),
    /// Disk or socket.
    #[error("input or output failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The App that is installed on the stand-in.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// The App's id, `iss` of its tokens.
    pub id: u64,
    /// The App's slug; it comments as `SLUG[bot]`.
    pub slug: String,
    /// The key its tokens are checked with, PEM.
    pub public_key_pem: String,
    /// Where webhooks go; none are sent while `None`.
    pub webhook_url: Option<String>,
    /// What webhooks are signed with.
    pub webhook_secret: SecretString,
    /// Login of the account (user or organisation) it is installed on.
    pub account: String,
    /// What the installation may do, `name` and `read` or `write`.
    pub permissions: Vec<(String, String)>,
    /// Events that the App subscribed to. Every event is sent all the same; what an App reads of itself names these.
    pub events: Vec<String>,
}

/// What the App is subscribed to unless a test says otherwise.
const EVENTS: [&str; 12] = [
    "check_run",
    "check_suite",
    "deployment_protection_rule",
    "issue_comment",
    "issues",
    "membership",
    "merge_group",
    "pull_request",
    "pull_request_review",
    "push",
    "repository",
    "team",
];

impl Default for AppConfig {
    /// App 1 `godwit`, installed on `acme` with the permissions that the bot asks for, and the key of [`keys`].
    fn default() -> Self {
        let may = |name: &str, level: &str| (name.to_owned(), level.to_owned());
        Self {
            id: 1,
            slug: "godwit".to_owned(),
            public_key_pem: keys::PUBLIC_KEY_PEM.to_owned(),
            webhook_url: None,
            webhook_secret: SecretString::from("the stand-in's webhook secret"),
            account: "acme".to_owned(),
            permissions: vec![
                may("checks", "write"),
                may("pull_requests", "write"),
                may("issues", "write"),
                may("contents", "read"),
                may("metadata", "read"),
                may("statuses", "write"),
                may("deployments", "write"),
                may("environments", "read"),
                may("actions", "read"),
                may("members", "read"),
                may("administration", "read"),
            ],
            events: EVENTS.map(str::to_owned).to_vec(),
        }
    }
}

/// How a stand-in is set up.
#[derive(Debug, Clone, Default)]
pub struct SandboxConfig {
    /// The App.
    pub app: AppConfig,
    /// Where repositories are kept; a temporary directory, removed at the end, when `None`.
    pub directory: Option<PathBuf>,
    /// Port on 127.0.0.1; any free one when 0.
    pub port: u16,
}

pub(crate) struct Shared {
    world: Mutex<World>,
    /// Wakes the thread that delivers webhooks.
    wake: Condvar,
    /// Tells those who wait that something changed.
    watch: tokio::sync::watch::Sender<u64>,
    /// The stand-in itself, for what the page does; weak, or it would keep itself alive.
    running: OnceLock<Weak<Running>>,
}

impl Shared {
    fn look<R>(&self, read: impl FnOnce(&World) -> R) -> R {
        read(&self.lock())
    }

    /// Changes the world and tells everybody.
    fn change<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.lock();
        let result = change(&mut world);
        world.changed();
        drop(world);
        self.notify();
        result
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stand-in, unless it is being dropped.
    fn sandbox(&self) -> Option<Sandbox> {
        self.running.get()?.upgrade().map(|running| Sandbox { running })
    }

    fn notify(&self) {
        self.wake.notify_all();
        self.watch.send_modify(|n| *n += 1);
    }
}

struct Running {
    shared: Arc<Shared>,
    base_url: String,
    stop: Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
    _directory: Option<tempfile::TempDir>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.change(|w| w.stopping = true);
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = stop.send(());
        }
    }
}

/// A running stand-in. Clones are handles to the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct Sandbox {
    running: Arc<Running>,
}

impl Sandbox {
    /// Starts it on 127.0.0.1 with threads of its own, so that it can be used with or without an async runtime.
    pub fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", config.port))?;
        listener.set_nonblocking(true)?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let (temporary, root) = match config.directory {
            Some(directory) => (None, directory),
            None => {
                let temporary = tempfile::Builder::new().prefix("godwit-sandbox-").tempdir()?;
                let path = temporary.path().to_owned();
                (Some(temporary), path)
            }
        };
        std::fs::create_dir_all(&root)?;
        let now = Utc::now();
        let app = App {
            id: config.app.id,
            slug: config.app.slug,
            public_keys: vec![config.app.public_key_pem],
            installation: 1000 + config.app.id,
            account: config.app.account,
            permissions: config.app.permissions.into_iter().collect(),
            webhook_url: config.app.webhook_url,
            webhook_secret: config.app.webhook_secret.expose_secret().to_owned(),
            suspended: false,
            uninstalled: false,
            events: config.app.events,
            created_at: now,
        };
        let world = World::new(base_url.clone(), root, app, now);
        let (watch, _) = tokio::sync::watch::channel(0);
        let shared =
            Arc::new(Shared { world: Mutex::new(world), wake: Condvar::new(), watch, running: OnceLock::new() });
        let stop = http::serve(listener, shared.clone())?;
        webhooks::start(shared.clone())?;
        let running = Running { shared, base_url, stop: Mutex::new(Some(stop)), _directory: temporary };
        let sandbox = Self { running: Arc::new(running) };
        // Set once: this is the only place that makes a stand-in.
        let _ = sandbox.shared().running.set(Arc::downgrade(&sandbox.running));
        Ok(sandbox)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.running.shared
    }

    /// Root of the REST API, such as `http://127.0.0.1:40123`; clone URLs and the page start with it too.
    pub fn base_url(&self) -> &str {
        &self.running.base_url
    }

    /// The App's id.
    pub fn app_id(&self) -> u64 {
        self.shared().look(|w| w.app.id)
    }

    /// The App's installation.
    pub fn installation_id(&self) -> u64 {
        self.shared().look(|w| w.app.installation)
    }

    /// Sends webhooks to this address from now on.
    pub fn set_webhook_url(&self, url: &str) {
        self.shared().change(|w| w.app.webhook_url = Some(url.to_owned()));
    }

    /// Signs webhooks with this secret from now on.
    pub fn set_webhook_secret(&self, secret: &SecretString) {
        self.shared().change(|w| w.app.webhook_secret = secret.expose_secret().to_owned());
    }

    /// The App has these keys from now on, by their public halves in PEM.
    pub fn set_app_keys(&self, public_keys: &[&str]) {
        self.shared().change(|w| w.app.public_keys = public_keys.iter().map(|k| (*k).to_owned()).collect());
    }

    /// Adds a person with the e-mail address `LOGIN@example.com`. Adding somebody again changes nothing.
    pub fn add_user(&self, login: &str) {
        self.add_user_with_emails(login, &[&format!("{}@example.com", login.to_lowercase())]);
    }

    /// Adds a person whose commits carry these e-mail addresses; none: their commits map to nobody.
    pub fn add_user_with_emails(&self, login: &str, emails: &[&str]) {
        self.shared().change(|w| {
            if w.user(login).is_none() {
                let user = User {
                    id: w.new_id(),
                    login: login.to_owned(),
                    emails: emails.iter().map(|e| (*e).to_owned()).collect(),
                    bot: false,
                    created_at: w.now(),
                };
                w.users.insert(login.to_lowercase(), user);
            }
        });
    }

    /// Adds an organisation with its members, who are added as people where they are new.
    pub fn add_org(&self, login: &str, members: &[&str]) {
        members.iter().for_each(|m| self.add_user(m));
        self.shared().change(|w| {
            let org = Org {
                id: w.new_id(),
                login: login.to_owned(),
                members: members.iter().map(|m| (*m).to_owned()).collect(),
                teams: Default::default(),
                created_at: w.now(),
            };
            w.orgs.insert(login.to_lowercase(), org);
        });
    }

    /// Adds a team, `org/slug`, or replaces its members; people and organisation are added where they are new.
    pub fn add_team(&self, team: &str, members: &[&str]) -> Result<(), SandboxError> {
        let (org, slug) = team.split_once('/').ok_or_else(|| SandboxError::NoSuchTeam(team.to_owned()))?;
        members.iter().for_each(|m| self.add_user(m));
        if self.shared().look(|w| !w.orgs.contains_key(&org.to_lowercase())) {
            self.add_org(org, members);
        }
        self.shared().change(|w| {
            let id = w.new_id();
            let org = w.orgs.get_mut(&org.to_lowercase()).ok_or_else(|| SandboxError::NoSuchTeam(team.to_owned()))?;
            for member in members {
                if !org.members.iter().any(|m| m.eq_ignore_ascii_case(member)) {
                    org.members.push((*member).to_owned());
                }
            }
            let team = org.teams.entry(slug.to_owned()).or_insert_with(|| Team {
                id,
                slug: slug.to_owned(),
                name: slug.to_owned(),
                members: Vec::new(),
                parent: None,
                secret: false,
                grants: Default::default(),
            });
            team.members = members.iter().map(|m| ((*m).to_owned(), true)).collect();
            Ok(())
        })
    }

    fn change_team(&self, team: &str, change: impl FnOnce(&mut Team)) -> Result<(), SandboxError> {
        let missing = || SandboxError::NoSuchTeam(team.to_owned());
        let (org, slug) = team.split_once('/').ok_or_else(missing)?;
        self.shared().change(|w| {
            let org = w.orgs.get_mut(&org.to_lowercase()).ok_or_else(missing)?;
            change(org.teams.get_mut(slug).ok_or_else(missing)?);
            Ok(())
        })
    }

    /// Invites somebody who has not accepted yet: a `pending` member, which is none.
    pub fn invite_to_team(&self, team: &str, login: &str) -> Result<(), SandboxError> {
        self.add_user(login);
        self.change_team(team, |t| t.members.push((login.to_owned(), false)))
    }

    /// Takes somebody out of a team.
    pub fn leave_team(&self, team: &str, login: &str) -> Result<(), SandboxError> {
        self.change_team(team, |t| t.members.retain(|(l, _)| !l.eq_ignore_ascii_case(login)))
    }

    /// Makes one team (`org/slug`) a part of another of the same organisation.
    pub fn nest_team(&self, team: &str, parent_slug: &str) -> Result<(), SandboxError> {
        self.change_team(team, |t| t.parent = Some(parent_slug.to_owned()))
    }

    /// Makes a team secret: the App cannot see it.
    pub fn hide_team(&self, team: &str) -> Result<(), SandboxError> {
        self.change_team(team, |t| t.secret = true)
    }

    /// Gives a team a permission in a repository.
    pub fn grant_team(&self, team: &str, repo: &str, permission: Permission) -> Result<(), SandboxError> {
        self.change_team(team, |t| {
            t.grants.insert(repo.to_lowercase(), permission);
        })
    }

    /// Makes an empty repository, `owner/name` with default branch `main`, in which the App is installed.
    pub fn create_repo(&self, full_name: &str) -> Result<RepoHandle, SandboxError> {
        people::create_repo(self, full_name)
    }

    /// A repository that exists.
    pub fn repo(&self, full_name: &str) -> Result<RepoHandle, SandboxError> {
        self.shared()
            .look(|w| w.repo(full_name).map(|r| r.full_name.clone()))
            .map(|name| RepoHandle::new(self.clone(), name))
            .ok_or_else(|| SandboxError::NoSuchRepo(full_name.to_owned()))
    }

    /// Misbehaves as asked, after the faults that were asked for before.
    pub fn fault(&self, fault: Fault) {
        self.shared().change(|w| w.faults.push(fault));
    }

    /// Mistreats webhooks as asked.
    pub fn webhook_fault(&self, fault: WebhookFault) {
        self.shared().change(|w| w.webhook_faults.push(fault));
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        self.shared().change(|w| {
            w.faults.clear();
            w.webhook_faults.clear();
        });
    }

    /// Suspends the App's installation, or takes that back.
    pub fn set_suspended(&self, suspended: bool) {
        self.shared().change(|w| w.app.suspended = suspended);
    }

    /// Ends every installation token now, as GitHub does when an App is suspended or its key is taken away.
    pub fn revoke_tokens(&self) {
        self.shared().change(|w| w.tokens.clear());
    }

    /// Moves the stand-in's clock forward: tokens expire, comments and reviews get later times.
    pub fn advance_clock(&self, by: Duration) {
        self.shared().change(|w| w.clock += chrono::Duration::from_std(by).unwrap_or_default());
    }

    /// An installation token with everything the installation may do, as a test needs it for git.
    pub fn installation_token(&self) -> SecretString {
        self.shared().change(|w| SecretString::from(rest::apps::mint(w, None, None).0))
    }

    /// A token that a person made for themselves, with all that the person may do.
    pub fn personal_token(&self, login: &str) -> SecretString {
        self.shared().change(|w| {
            let token = format!("ghp_{}{}", ulid::Ulid::generate(), w.new_id());
            w.personal_tokens.insert(token.clone(), login.to_owned());
            SecretString::from(token)
        })
    }

    /// Offers a prepared action on the page of a pull request.
    pub fn add_button(&self, button: Button) {
        self.shared().change(|w| w.buttons.push(button));
    }

    /// A copy of every request, answer and webhook so far.
    pub fn recorder(&self) -> Recorder {
        self.shared().look(|w| Recorder {
            exchanges: w.exchanges.clone(),
            webhooks: w.deliveries.iter().filter(|d| !d.payload.is_null()).map(webhooks::Delivery::fired).collect(),
        })
    }

    /// The same of what happened since the last time, which is forgotten: for what runs long.
    pub fn take_record(&self) -> Recorder {
        self.shared().change(|w| Recorder {
            exchanges: std::mem::take(&mut w.exchanges),
            webhooks: w.deliveries.iter_mut().filter_map(webhooks::Delivery::let_go).collect(),
        })
    }

    /// Sends a delivery once more with the same `X-GitHub-Delivery`, as the button on GitHub's page does.
    pub fn redeliver(&self, guid: &str) -> Result<(), SandboxError> {
        self.shared().change(|w| webhooks::redeliver(w, guid))
    }

    /// Lets go of the deliveries that wait to be overtaken.
    pub fn release_webhooks(&self) {
        self.shared().change(webhooks::release);
    }

    /// Waits until no webhook is queued or under way (those that wait to be overtaken do not count).
    pub async fn await_deliveries(&self, timeout: Duration) -> Result<(), SandboxError> {
        let mut changes = self.shared().watch.subscribe();
        let settled = async {
            while self.shared().look(webhooks::outstanding) > 0 {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        match tokio::time::timeout(timeout, settled).await {
            Ok(()) => Ok(()),
            Err(_) => Err(SandboxError::StillDelivering(self.shared().look(webhooks::outstanding), timeout)),
        }
    }

    /// [`Sandbox::await_deliveries`] for code without an async runtime.
    pub fn wait_for_deliveries(&self, timeout: Duration) -> Result<(), SandboxError> {
        let (_guard, result) = self
            .shared()
            .wake
            .wait_timeout_while(self.shared().lock(), timeout, |w| webhooks::outstanding(w) > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            return Err(SandboxError::StillDelivering(self.shared().look(webhooks::outstanding), timeout));
        }
        Ok(())
    }
}
