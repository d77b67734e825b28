//! Who a token belongs to, what that person may do, and which repository on GitHub a folder is.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::by_hand::blocked;
use super::exit::Failure;
use super::{Exit, Global};
use crate::approval::{Permission, Person, Policy};
use crate::github::{Github, GithubError, RepoApi};
use crate::ids::{Login, RepoName, RoleName, TeamSlug};

/// How GitHub is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct GithubArgs {
    /// The repository on GitHub, `owner/name` (default: that of the remote `origin`)
    #[arg(long = "for", value_name = "OWNER/NAME")]
    pub repository: Option<RepoName>,
    /// GitHub's REST API; `https://HOST/api/v3` for GitHub Enterprise Server
    #[arg(long, env = "GODWIT_GITHUB_API_URL", value_name = "URL", default_value = "https://api.github.com")]
    pub github_api_url: String,
    /// Your personal token on GitHub; give it as a variable rather than here
    #[arg(long, env = "GODWIT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
}

/// How long one question to GitHub may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl GithubArgs {
    /// A client with the person's token.
    ///
    /// # Errors
    /// Without a token, or with an address that is none.
    pub fn client(&self) -> anyhow::Result<Github> {
        let token = self.token.as_deref().map(str::trim).filter(|t| !t.is_empty());
        let Some(token) = token else {
            return Err(Failure::usage(
                "set `GODWIT_TOKEN` to a personal token of yours on GitHub (it proves who you are; it needs to read the \
                 repository, its collaborators and the organisation's teams)",
            ));
        };
        Github::of_person(&self.github_api_url, &SecretString::from(token.to_owned()), PATIENCE).map_err(failed)
    }

    /// The repository: the one that was named, else that of the remote `origin` of the folder.
    ///
    /// # Errors
    /// When neither says.
    pub fn repository(&self, dir: &Path) -> anyhow::Result<RepoName> {
        if let Some(name) = &self.repository {
            return Ok(name.clone());
        }
        let remote = git2::Repository::discover(dir).and_then(|r| {
            let remote = r.find_remote("origin")?;
            Ok(remote.url().unwrap_or_default().to_owned())
        });
        remote.ok().as_deref().and_then(name_of).ok_or_else(|| {
            Failure::usage(
                "no remote `origin` says which repository this is on GitHub; name it with `--for OWNER/NAME`",
            )
        })
    }
}

/// `owner/name` at the end of a remote's address, in any of git's forms.
fn name_of(url: &str) -> Option<RepoName> {
    let path = url.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    RepoName::new(format!("{owner}/{name}")).ok()
}

/// A failure of GitHub with the exit code it means.
pub fn failed(error: GithubError) -> anyhow::Error {
    let exit = match &error {
        GithubError::Forbidden { .. } | GithubError::NotFound { .. } | GithubError::Unusable(_) => Exit::Usage,
        GithubError::RateLimited { .. }
        | GithubError::Server { .. }
        | GithubError::Transport { .. }
        | GithubError::Rejected { .. } => Exit::Unreachable,
    };
    Failure::with_causes(exit, "GitHub could not be asked", &error)
}

/// What GitHub says of a person now, as far as `role` goes.
///
/// # Errors
/// When GitHub cannot be asked.
pub async fn look_up(api: &RepoApi, policy: &Policy, login: &Login, role: &RoleName) -> anyhow::Result<Person> {
    let teams = policy.roles.counting_as(role).flat_map(|(_, holders)| &holders.teams).collect();
    look_up_in(api, login, teams).await
}

/// What GitHub says of a person now, with those of `teams` that they are in.
///
/// # Errors
/// When GitHub cannot be asked.
pub async fn look_up_in(api: &RepoApi, login: &Login, asked: BTreeSet<&TeamSlug>) -> anyhow::Result<Person> {
    let permission = match api.permission(login).await {
        Ok(permission) => permission,
        // Only who may write is shown what others may do.
        Err(GithubError::Forbidden { .. }) => Permission::None,
        Err(e) => return Err(failed(e)),
    };
    let mut teams = BTreeSet::new();
    for team in asked {
        match api.is_member(team, login).await {
            Ok(true) => drop(teams.insert(team.clone())),
            Ok(false) | Err(GithubError::Forbidden { .. }) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(Person { permission, teams })
}

/// Who asks for what only a lead may do, where the policy names who that is: a holder of `data_ops_lead`, proved by a token.
/// `None` where nobody is named: then whoever reaches the database has what it takes.
///
/// # Errors
/// Without a token, for somebody who does not hold the role, or when GitHub cannot be asked.
pub async fn lead(global: &Global, policy: &Policy, github: &GithubArgs, may: &str) -> anyhow::Result<Option<String>> {
    let role = RoleName::new("data_ops_lead").expect("a plain word is a role name");
    if policy.roles.describe(&role).is_empty() {
        return Ok(None);
    }
    let repo = github.repository(&global.repo)?;
    let client = github.client()?;
    let by = client.person().await.map_err(failed)?;
    let api = client.repo(&repo, 0).await.map_err(failed)?;
    let person = look_up(&api, policy, &by, &role).await?;
    if policy.roles.holds(&role, &by, &person.teams) {
        return Ok(Some(by.to_string()));
    }
    Err(blocked(format!(
        "`{by}` does not hold the role `{role}`; {} may {may}",
        policy.roles.describe(&role).join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_names_its_repository() {
        for (url, expected) in [
            ("https://github.com/acme/shop.git", Some("acme/shop")),
            ("https://github.com/acme/shop", Some("acme/shop")),
            ("git@github.com:acme/shop.git", Some("acme/shop")),
            ("ssh://git@ghe.acme.example:2222/acme/shop.git/", Some("acme/shop")),
            ("", None),
            ("nothing", None),
        ] {
            assert_eq!(name_of(url).map(|n| n.to_string()).as_deref(), expected, "{url}");
        }
    }
}
