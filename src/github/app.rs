//! What GitHub says of the App itself: what it may do, what it hears, whether its webhooks arrive.

use super::client::Github;
use super::error::GithubError;
use super::model::{App, HookConfig, HookDelivery, Installation};

/// Permissions that the App works with: name, level, what is missing without it. The first ones it cannot do without.
pub const PERMISSIONS: &[(&str, &str, Need, &str)] = &[
    ("metadata", "read", Need::Always, "reading the repository"),
    ("contents", "read", Need::Always, "reading migrations and policies"),
    ("checks", "write", Need::Always, "the check runs `godwit / lint` and `godwit / approval`"),
    ("pull_requests", "write", Need::Always, "pull requests, reviews and their comments"),
    ("issues", "write", Need::Always, "comments and labels"),
    ("members", "read", Need::Teams, "knowing who is in the teams that hold roles"),
    ("deployments", "write", Need::Wish, "deployments, and the word on workflow jobs that deploy"),
    ("statuses", "write", Need::Wish, "a commit status per environment"),
    ("actions", "read", Need::Wish, "workflow jobs that wait for Godwit's word"),
];

/// Events that the App listens to; installations are told of without a subscription.
pub const EVENTS: &[(&str, Need)] = &[
    ("pull_request", Need::Always),
    ("pull_request_review", Need::Always),
    ("issue_comment", Need::Always),
    ("check_run", Need::Always),
    ("check_suite", Need::Always),
    ("push", Need::Always),
    ("merge_group", Need::Wish),
    ("deployment_protection_rule", Need::Wish),
    ("repository", Need::Wish),
];

/// How much something is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing works without it.
    Always,
    /// Needed where the policy names teams.
    Teams,
    /// One thing less is shown or done.
    Wish,
}

/// Whether a held level covers a wanted one.
pub fn covers(held: Option<&str>, wanted: &str) -> bool {
    match held {
        Some("write" | "admin") => true,
        Some(held) => held == wanted,
        None => false,
    }
}

impl Github {
    /// The App as GitHub has it now.
    ///
    /// # Errors
    /// When GitHub cannot be asked, or does not accept the key.
    pub async fn app(&self) -> Result<App, GithubError> {
        self.caller().get("/app").await
    }

    /// Every installation, suspended ones too.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn all_installations(&self) -> Result<Vec<Installation>, GithubError> {
        self.caller().list("/app/installations").await
    }

    /// Where GitHub sends the App's webhooks.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn hook_config(&self) -> Result<HookConfig, GithubError> {
        self.caller().get("/app/hook/config").await
    }

    /// The last deliveries, newest first; one page of at most a hundred.
    ///
    /// # Errors
    /// When GitHub cannot be asked.
    pub async fn last_deliveries(&self) -> Result<Vec<HookDelivery>, GithubError> {
        self.caller().get("/app/hook/deliveries?per_page=100").await
    }
}
