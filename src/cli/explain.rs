//! `godwit policy explain --pr N`: the verdict about a pull request as GitHub has it now.

use chrono::Utc;

use super::exit::Failure;
use super::person::{GithubArgs, failed};
use super::settings::data_dir_or;
use super::{Exit, Global};
use crate::approval::Verdict;
use crate::bot::explain::Explained;
use crate::bot::{Bot, JobError};
use crate::config::server::secret;
use crate::github::{Github, GithubSettings};
use crate::ids::PrNumber;

/// Signing in as the App instead of with a token of one's own.
#[derive(Debug, Clone, clap::Args)]
pub struct AppArgs {
    /// The App's id, to ask as the App
    #[arg(long, env = "GODWIT_GITHUB_APP_ID", value_name = "ID")]
    pub github_app_id: Option<u64>,
    /// The App's private key, PEM
    #[arg(long, env = "GODWIT_GITHUB_PRIVATE_KEY", hide_env_values = true, value_name = "PEM")]
    pub github_private_key: Option<String>,
    /// File with the App's private key
    #[arg(long, env = "GODWIT_GITHUB_PRIVATE_KEY_FILE", value_name = "FILE", conflicts_with = "github_private_key")]
    pub github_private_key_file: Option<std::path::PathBuf>,
}

/// Judges pull request `number` of the repository that `github` names.
///
/// # Errors
/// Who cannot sign in, what GitHub does not show, and a policy that cannot be read.
pub fn of_pull(global: &Global, number: u64, github: &GithubArgs, app: &AppArgs) -> anyhow::Result<Verdict> {
    let name = github.repository(&global.repo)?;
    let data_dir = data_dir_or(None)?;
    let api_url = github.github_api_url.trim_end_matches('/');
    global.block_on(async {
        let client = sign_in(github, app)?;
        let store = global.open_store().await?;
        let repository = client.find(&name).await.map_err(failed)?;
        let bot = Bot::looking(store, client, api_url, &data_dir).map_err(broken)?;
        match bot.explain(&repository, PrNumber(number), Utc::now()).await.map_err(broken)? {
            Explained::Judged(judged) => Ok(judged.1),
            Explained::BrokenPolicy(errors) => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let message = format!(
                    "the policy of the base branch cannot be read, so nothing can be approved\n{}",
                    lines.join("\n")
                );
                Err(Failure { exit: Exit::Blocked, message }.into())
            }
        }
    })
}

/// The App where its key is given and no token of a person; that person else.
fn sign_in(github: &GithubArgs, app: &AppArgs) -> anyhow::Result<Github> {
    let key = secret(
        "GODWIT_GITHUB_PRIVATE_KEY_FILE",
        app.github_private_key.clone(),
        app.github_private_key_file.as_deref(),
    )
    .map_err(|e| Failure::with_causes(Exit::Usage, "the App's key cannot be used", &e))?;
    match (&github.token, app.github_app_id, key) {
        (None, Some(id), Some(key)) => {
            let api_url = github.github_api_url.trim_end_matches('/');
            Github::new(&GithubSettings::new(api_url, id, key)).map_err(failed)
        }
        _ => github.client(),
    }
}

fn broken(error: JobError) -> anyhow::Error {
    match error {
        JobError::Github(error) => failed(error),
        other => Failure::with_causes(Exit::Unreachable, "the pull request could not be judged", &other),
    }
}
