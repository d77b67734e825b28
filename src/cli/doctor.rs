//! `godwit doctor`: what is wrong with a connection, or with the App's set-up.

use serde_json::json;

use super::running;
use super::targets::{self, Place, place_of};
use super::{Exit, Format, Global, print};
use crate::approval::Policy;
use crate::config::Environment;
use crate::ids::EnvironmentName;
use crate::plan::diagnosis::{Diagnosis, Health};
use crate::{report, runner};

/// Arguments of `godwit doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit doctor                 # every environment, the policy, and the App where its variables are set
  godwit doctor staging
  godwit doctor --url postgres://godwit@db/shop")]
pub struct Args {
    /// The environment, as with `--env`; without one everything is looked at
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    #[cfg(feature = "bot")]
    #[command(flatten)]
    app: super::doctor_app::AppArgs,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let place = args.place.or_word(args.word)?;
    let found = running::block_on(async {
        if place.url.is_some() {
            let databases = place.databases(global)?;
            let mut found = Vec::new();
            for target in &databases.targets {
                found.extend(runner::examine(target).await);
            }
            return Ok(found);
        }
        let policy = place.policy(global)?;
        let mut found = Vec::new();
        if let Some(name) = &place.environment {
            // An environment that is not there is a slip of the pen, told with those that are.
            of_environment(place.named(&policy, name)?, &place, &mut found).await;
            return Ok(found);
        }
        of_policy(&policy, &mut found);
        for environment in &policy.environments.0 {
            of_environment(environment, &place, &mut found).await;
        }
        #[cfg(feature = "bot")]
        found.extend(super::doctor_app::examine(&args.app, &policy).await?);
        Ok(found)
    })?;
    match global.format {
        Format::Json => print::json(&json!({ "checks": found, "healthy": exit(&found) == Exit::Done }))?,
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            print::prose(&report::doctor::text(&found))?
        }
    }
    Ok(exit(&found))
}

/// What weighs most: nobody can say more about what does not answer.
fn exit(found: &[Diagnosis]) -> Exit {
    match found.iter().map(|d| d.health).max() {
        Some(Health::Unreachable) => Exit::Unreachable,
        Some(Health::Wrong) => Exit::Failed,
        Some(Health::Warning | Health::Good) | None => Exit::Done,
    }
}

/// Cells that are missing, roles nobody holds, and the like.
fn of_policy(policy: &Policy, found: &mut Vec<Diagnosis>) {
    use crate::approval::check::{Level, check};
    let findings = check(policy);
    if findings.is_empty() {
        found.push(Diagnosis::good("policy", "files", format!("{} files, nothing to mend", policy.files.len())));
    }
    for finding in findings {
        let health = match finding.level {
            Level::Error => Health::Wrong,
            Level::Warning => Health::Warning,
        };
        found.push(Diagnosis::of("policy", "files", health, finding.what.to_string(), "see `godwit policy check`"));
    }
}

async fn of_environment(environment: &Environment, place: &Place, found: &mut Vec<Diagnosis>) {
    for target in environment.targets.iter().filter(|t| place.wants(t)) {
        let about = format!("{}/{}", environment.name, target.name);
        let names = target.connection.variables();
        if !names.is_empty() {
            found.push(of_variables(&about, &names));
        }
        match place_of(environment, target) {
            Ok(target) => found.extend(runner::examine(&target).await),
            // Which variable is missing was said.
            Err(_) if found.last().is_some_and(|d| d.about == about && d.health == Health::Wrong) => {}
            Err(error) => {
                let what = "correct it in `policies/environments.yml`";
                found.push(Diagnosis::of(&about, "address", Health::Wrong, format!("{error:#}"), what));
            }
        }
    }
}

/// Which of the variables are set, and which are not; never their values.
fn of_variables(about: &str, names: &[&str]) -> Diagnosis {
    let file = targets::dot_env();
    let is_set = |name: &&&str| {
        let value = std::env::var(**name).ok().or_else(|| file.get(**name).cloned());
        value.is_some_and(|v| !v.is_empty())
    };
    let (set, missing): (Vec<&&str>, Vec<&&str>) = names.iter().partition(is_set);
    let list = |names: &[&&str]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if missing.is_empty() {
        return Diagnosis::good(about, "variables", format!("{} set", list(&set)));
    }
    let also = if set.is_empty() { String::new() } else { format!("; {} set", list(&set)) };
    let message = format!("{} not set{also}", list(&missing));
    Diagnosis::of(about, "variables", Health::Wrong, message, "set them here, and for the server, or in `.env`")
}
