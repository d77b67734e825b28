//! `godwit confirm`: the second person's word for a rollback, outside GitHub, by the rules of the comment (DECISIONS 10).

use chrono::Utc;
use serde_json::json;

use super::exit::Failure;
use super::person::{GithubArgs, failed, look_up_in};
use super::settings::data_dir_or;
use super::{Exit, Format, Global, print};
use crate::approval::Policy;
use crate::bot::confirm::{Unconfirmed, may_confirm, settle};
use crate::bot::{Bot, JobError};
use crate::github::{Github, Repository};
use crate::ids::{Login, PrNumber, RepoName, RunId};
use crate::store::rollbacks::{RequestState, RollbackRequest};
use crate::store::{AuditEntry, Store};

/// Arguments of `godwit confirm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  GODWIT_TOKEN=… godwit confirm 01JD3ZQ7V3MZ5T4Q9C1XKX7B2H
  GODWIT_TOKEN=… godwit confirm 01JD3ZQ7V3MZ5T4Q9C1XKX7B2H --for acme/shop --store postgres://godwit@db.internal/godwit

The answer to `/godwit rollback` on the pull request shows the id, and what would be undone. The server of the store
undoes it.")]
pub struct Args {
    /// The rollback: the id that the answer to `/godwit rollback` shows
    #[arg(value_name = "RUN")]
    run: RunId,
    #[command(flatten)]
    github: GithubArgs,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let name = args.github.repository(&global.repo)?;
    global.block_on(async {
        let client = args.github.client()?;
        let by = client.person().await.map_err(failed)?;
        let repository = client.find(&name).await.map_err(failed)?;
        let repo = &repository.name;
        let store = global.open_store().await?;
        let Some(request) = store.rollback_request(repo, &args.run).await? else {
            return Err(Failure::usage(format!(
                "`{}` is no rollback of {repo} that waits for anybody; copy the id from the answer to `/godwit rollback`, \
                 and name the server's store with `--store` or `GODWIT_STORE_URL`",
                args.run
            )));
        };
        let policy = policy(&store, &client, &repository, request.pr, &args.github).await?;
        let api = client.repo(repo, 0).await.map_err(failed)?;
        let teams = policy.roles.0.values().flat_map(|holders| &holders.teams).collect();
        let person = look_up_in(&api, &by, teams).await?;
        let now = Utc::now();
        let found = may_confirm(&request, &policy, &by, &person, None, now);
        let mut entry = AuditEntry::new(now, by.as_str(), "confirm", "ok");
        entry.details.insert("source".to_owned(), "cli".to_owned());
        let new = match settle(&store, repo, &request, &by, found, entry).await? {
            Ok(()) => true,
            // Said before: whoever says it again need not know whether it was heard.
            Err(Unconfirmed::Past { state: RequestState::Ready | RequestState::Done, by: Some(first) })
                if first == by =>
            {
                false
            }
            Err(wrong) => return Err(refused(wrong.told(&request, &policy))),
        };
        let request = store.rollback_request(repo, &args.run).await?.unwrap_or(request);
        if request.state == RequestState::Ready
            && let Some(pull) = store.judged(repo, request.pr).await?
        {
            store.look_again(&pull).await?;
        }
        show(global, repo, &request, &by, new)?;
        Ok(Exit::Done)
    })
}

/// The policy of the branch that the pull request goes into, as GitHub has it: what lies in a folder proves no right.
async fn policy(
    store: &Store,
    client: &Github,
    repository: &Repository,
    pr: PrNumber,
    github: &GithubArgs,
) -> anyhow::Result<Policy> {
    let api_url = github.github_api_url.trim_end_matches('/');
    let broken = |error: JobError| match error {
        JobError::Github(error) => failed(error),
        other => Failure::with_causes(Exit::Unreachable, "the policy of the base branch could not be read", &other),
    };
    let bot = Bot::looking(store.clone(), client.clone(), api_url, &data_dir_or(None)?).map_err(broken)?;
    bot.policy_for_commands(repository, pr).await.map_err(broken)?.map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        refused((
            format!("the policy of the base branch cannot be read, so nothing is confirmed\n{}", lines.join("\n")),
            String::new(),
        ))
    })
}

fn refused((message, what_to_do): (String, String)) -> anyhow::Error {
    let message = if what_to_do.is_empty() { message } else { format!("{message}; {what_to_do}") };
    Failure { exit: Exit::Blocked, message }.into()
}

fn show(global: &Global, repo: &RepoName, request: &RollbackRequest, by: &Login, new: bool) -> anyhow::Result<()> {
    if global.format == Format::Json {
        return print::json(&json!({
            "run": request.id, "repository": repo, "pull": request.pr, "environment": request.environment,
            "migration": request.migration, "asked_by": request.asked_by, "confirmed_by": by,
            "state": request.state.as_str(), "new": new,
        }));
    }
    let next = match request.state {
        RequestState::Done => "It was carried out; the pull request tells how it went.",
        _ => "The server undoes it now; the pull request tells how it went.",
    };
    print::prose(&format!(
        "The rollback of {} in {}, asked for by {} on {}, is confirmed by {by}.\n{next}\n",
        request.migration, request.environment, request.asked_by, request.pr
    ))
}
