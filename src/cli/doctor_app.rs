//! The App's side of `godwit doctor`: key, permissions, events, webhook, installations, branches without protection.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::exit::Failure;
use crate::approval::Policy;
use crate::bot::guarded::unguarded;
use crate::config::server::secret;
use crate::github::app::{EVENTS, Need, PERMISSIONS, covers};
use crate::github::{Github, GithubError, GithubSettings, model};
use crate::ids::TeamSlug;
use crate::plan::diagnosis::{Diagnosis, Health};

/// What every finding about the App stands under.
const APP: &str = "GitHub App";
/// Repositories whose branches are looked at.
const REPOSITORIES: usize = 50;

/// How to act as the App; the variables of `godwit serve`.
#[derive(Debug, clap::Args)]
pub struct AppArgs {
    /// GitHub's REST API; `https://HOST/api/v3` for GitHub Enterprise Server
    #[arg(long, env = "GODWIT_GITHUB_API_URL", value_name = "URL", default_value = "https://api.github.com")]
    github_api_url: String,
    /// The App's id
    #[arg(long, env = "GODWIT_GITHUB_APP_ID", value_name = "ID")]
    github_app_id: Option<u64>,
    /// The App's private key, PEM
    #[arg(long, env = "GODWIT_GITHUB_PRIVATE_KEY", hide_env_values = true, value_name = "PEM")]
    github_private_key: Option<String>,
    /// File with the App's private key
    #[arg(long, env = "GODWIT_GITHUB_PRIVATE_KEY_FILE", value_name = "FILE", conflicts_with = "github_private_key")]
    github_private_key_file: Option<PathBuf>,
}

/// Everything about the App; nothing where none is configured here.
///
/// # Errors
/// When the key cannot be read.
pub(super) async fn examine(args: &AppArgs, policy: &Policy) -> anyhow::Result<Vec<Diagnosis>> {
    let file = args.github_private_key_file.as_deref();
    let key = secret("GODWIT_GITHUB_PRIVATE_KEY_FILE", args.github_private_key.clone(), file)
        .map_err(|e| Failure::with_causes(super::Exit::Usage, "the App's key cannot be read", &e))?;
    let (Some(id), Some(key)) = (args.github_app_id, key) else {
        let what = "set `GODWIT_GITHUB_APP_ID` and `GODWIT_GITHUB_PRIVATE_KEY_FILE` to look at it as well";
        return Ok(vec![Diagnosis::of(APP, "key", Health::Warning, "not looked at: no App is configured here", what)]);
    };
    let mut found = Vec::new();
    match Github::new(&GithubSettings::new(&args.github_api_url, id, key)) {
        Ok(github) => {
            if let Err(error) = look(&github, policy, &mut found).await {
                found.push(failed(APP, &error));
            }
        }
        Err(error) => found.push(Diagnosis::of(APP, "key", Health::Wrong, error.to_string(), "correct the settings")),
    }
    Ok(found)
}

fn failed(about: &str, error: &GithubError) -> Diagnosis {
    let (health, what) = match error {
        GithubError::Transport { .. } | GithubError::Server { .. } | GithubError::RateLimited { .. } => {
            (Health::Unreachable, "look at `GODWIT_GITHUB_API_URL` and the way there, or try again later")
        }
        GithubError::Forbidden { .. } => (Health::Wrong, "compare id and key with the App's settings on GitHub"),
        GithubError::NotFound { .. } | GithubError::Rejected { .. } | GithubError::Unusable(_) => {
            (Health::Wrong, "compare `GODWIT_GITHUB_API_URL` and `GODWIT_GITHUB_APP_ID` with GitHub")
        }
    };
    Diagnosis::of(about, "key", health, error.to_string(), what)
}

async fn look(github: &Github, policy: &Policy, found: &mut Vec<Diagnosis>) -> Result<(), GithubError> {
    let app = github.app().await?;
    found.push(Diagnosis::good(APP, "key", format!("signed in as `{}`", app.slug)));
    let teams = policy.roles.0.values().any(|holders| !holders.teams.is_empty());
    of_permissions(
        APP,
        &app.permissions,
        teams,
        "grant it in the App's settings, then accept it on each account",
        found,
    );
    of_events(&app.events, found);
    of_webhook(github, found).await?;
    let installations = github.all_installations().await?;
    if installations.is_empty() {
        let what = "install it on an account";
        found.push(Diagnosis::of(APP, "installations", Health::Wrong, "it is installed nowhere", what));
    }
    let mut seen = BTreeSet::new();
    for installation in &installations {
        of_installation(github, installation, teams, policy, &mut seen, found).await?;
    }
    Ok(())
}

/// What is not allowed, and what is missing without it.
fn of_permissions(
    about: &str,
    held: &std::collections::BTreeMap<String, String>,
    teams: bool,
    what: &str,
    found: &mut Vec<Diagnosis>,
) {
    let before = found.len();
    for (name, level, need, without) in PERMISSIONS {
        if covers(held.get(*name).map(String::as_str), level) {
            continue;
        }
        let health = match need {
            Need::Always => Health::Wrong,
            Need::Teams if teams => Health::Wrong,
            Need::Teams | Need::Wish => Health::Warning,
        };
        let message = format!("`{name}: {level}` is missing, needed for {without}");
        found.push(Diagnosis::of(about, "permissions", health, message, what));
    }
    if found.len() == before {
        found.push(Diagnosis::good(about, "permissions", "everything it needs"));
    }
}

fn of_events(events: &[String], found: &mut Vec<Diagnosis>) {
    let before = found.len();
    for (name, need) in EVENTS.iter().filter(|(name, _)| !events.iter().any(|e| e == name)) {
        let health = if *need == Need::Always { Health::Wrong } else { Health::Warning };
        let message = format!("it is not subscribed to `{name}`");
        found.push(Diagnosis::of(
            APP,
            "events",
            health,
            message,
            "subscribe in the App's settings, Permissions & events",
        ));
    }
    if found.len() == before {
        found.push(Diagnosis::good(APP, "events", "everything it needs"));
    }
}

/// Whether webhooks arrive, by the last ones that GitHub sent.
async fn of_webhook(github: &Github, found: &mut Vec<Diagnosis>) -> Result<(), GithubError> {
    let url = github.hook_config().await?.url.filter(|u| !u.is_empty());
    let Some(url) = url else {
        let what = "set the webhook's URL to `https://YOUR-SERVER/github/webhook` in the App's settings";
        found.push(Diagnosis::of(APP, "webhook", Health::Wrong, "it has no address", what));
        return Ok(());
    };
    let last = github.last_deliveries().await?;
    let arrived = |d: &&model::HookDelivery| (200..300).contains(&d.status_code);
    found.push(match (last.first(), last.iter().find(arrived)) {
        (None, _) => {
            let message = format!("GitHub has sent nothing to `{url}` lately");
            Diagnosis::of(
                APP,
                "webhook",
                Health::Warning,
                message,
                "open a pull request, or press Redeliver in the App's settings",
            )
        }
        (Some(newest), _) if arrived(&newest) => {
            let message = format!("the last delivery arrived at `{url}` at {}", stamp(newest));
            let lost = last.iter().filter(|d| !arrived(d)).count();
            if lost == 0 {
                Diagnosis::good(APP, "webhook", message)
            } else {
                let message = format!("{message}; {lost} of the last {} did not", last.len());
                let what = "nothing: the server asks for them again and looks at every pull request regularly";
                Diagnosis::of(APP, "webhook", Health::Warning, message, what)
            }
        }
        (Some(newest), before) => {
            let since = before
                .map_or_else(|| "none of the last ones did".to_owned(), |d| format!("the last that did: {}", stamp(d)));
            let message = format!(
                "the newest delivery to `{url}` did not arrive: {} ({}); {since}",
                newest.status, newest.status_code
            );
            let what = match newest.status_code {
                401 | 403 => "compare the webhook's secret with `GODWIT_WEBHOOK_SECRET`",
                404 | 405 => "the path is `/github/webhook`",
                _ => "look whether `godwit serve` runs and GitHub can reach it",
            };
            Diagnosis::of(APP, "webhook", Health::Wrong, message, what)
        }
    });
    Ok(())
}

fn stamp(delivery: &model::HookDelivery) -> String {
    format!("{} (`{}`)", delivery.delivered_at.format("%Y-%m-%d %H:%M UTC"), delivery.event)
}

async fn of_installation(
    github: &Github,
    installation: &model::Installation,
    teams: bool,
    policy: &Policy,
    seen: &mut BTreeSet<TeamSlug>,
    found: &mut Vec<Diagnosis>,
) -> Result<(), GithubError> {
    let account = installation.account.as_ref().and_then(|a| a.login.clone());
    let about = format!("installation on {}", account.map_or_else(|| installation.id.to_string(), |l| l.to_string()));
    if installation.suspended_at.is_some() {
        let what = "an owner of the account takes it back in the account's settings, GitHub Apps";
        found.push(Diagnosis::of(&about, "state", Health::Wrong, "it is suspended", what));
        return Ok(());
    }
    let what = "an owner of the account accepts the App's new permissions";
    of_permissions(&about, &installation.permissions, teams, what, found);
    let repositories: Vec<model::Repo> =
        github.repositories(installation.id).await?.into_iter().filter(|r| !r.archived).collect();
    found.push(Diagnosis::good(&about, "repositories", format!("{}", repositories.len())));
    let Some(first) = repositories.first() else { return Ok(()) };
    let api = github.repo(&first.full_name, installation.id).await?;
    for team in policy.roles.0.values().flat_map(|h| &h.teams) {
        if !team.org().eq_ignore_ascii_case(first.full_name.owner()) || !seen.insert(team.clone()) {
            continue;
        }
        let (health, message) = match api.team_size(team).await {
            Ok(0) => (Health::Wrong, format!("the team `{team}` has no members, so nobody holds its roles")),
            Ok(n) => (Health::Good, format!("the team `{team}` has {n} members")),
            Err(GithubError::NotFound { .. } | GithubError::Forbidden { .. }) => {
                (Health::Wrong, format!("the App cannot see the team `{team}`: it is secret, or there is none"))
            }
            Err(error) => return Err(error),
        };
        let what = if health == Health::Good { "" } else { "make it visible, add people, or correct `roles.yml`" };
        found.push(Diagnosis::of(&about, "teams", health, message, what));
    }
    for repo in repositories.iter().take(REPOSITORIES) {
        let api = github.repo(&repo.full_name, installation.id).await?;
        let checks = match api.required_checks(&repo.default_branch).await {
            Ok(checks) => checks,
            Err(GithubError::NotFound { .. } | GithubError::Forbidden { .. }) => continue,
            Err(error) => return Err(error),
        };
        if let Some((message, what)) = unguarded(&checks, github.app_id()) {
            let message = format!("`{}` of `{}` {message}", repo.default_branch, repo.full_name);
            found.push(Diagnosis::of(&about, "protection", Health::Warning, message, &what));
        }
    }
    Ok(())
}
