//! `godwit status`.

use serde_json::json;

use super::targets::{self, Place};
use super::{Exit, Format, Global, print};
use crate::ids::EnvironmentName;
use crate::plan::MigrationState;
use crate::{report, runner};

/// Arguments of `godwit status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit status staging
  godwit status --url sqlite:shop.db --path migrations --format json")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    targets::block_on(async {
        let mut found = runner::status(&gathered.set, &gathered.targets, &gathered.released(global).await?)
            .await
            .map_err(targets::failed)?;
        if let Some(service) = &gathered.service {
            let of_it = |unit: &str, id: &str| {
                gathered
                    .set
                    .migrations
                    .iter()
                    .any(|m| m.unit == unit && m.id.as_str() == id && m.service.as_ref() == Some(service))
            };
            found.iter_mut().for_each(|t| t.migrations.retain(|m| of_it(&m.unit, m.id.as_str())));
        }
        let lock = match &gathered.environment {
            Some(environment) => global.open_store().await?.environment_lock(None, environment).await?,
            None => None,
        };
        match global.format {
            Format::Json => {
                let value = json!({ "environment": gathered.environment, "lock": lock, "targets": found });
                print::json(&value)?;
            }
            Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
                let lock = lock
                    .as_ref()
                    .map(|l| format!("by {} since {}: {}", l.by, l.at.format("%Y-%m-%d %H:%M UTC"), l.reason));
                print::text(&report::run::status(&found, lock.as_deref()))?;
            }
        }
        let stuck = found.iter().flat_map(|t| &t.migrations).any(|m| m.state == MigrationState::NeedsHuman);
        Ok(if stuck { Exit::NeedsHuman } else { Exit::Done })
    })
}
