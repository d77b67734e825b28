//! `godwit status`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::running;
use super::targets::{Gathered, Place};
use super::{Exit, Format, Global, print, table_facts};
use crate::ids::{EnvironmentName, Risk};
use crate::plan::{MigrationState, TargetStatus};
use crate::{report, runner};

/// Arguments of `godwit status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit status staging
  godwit status staging -v        # with versions, risks and checksums
  godwit status --url sqlite:shop.db --path migrations --format json")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
}

/// What the files say of a migration.
struct FromFiles {
    version: String,
    name: String,
    checksum: String,
    risk: Option<Risk>,
}

fn from_files(gathered: &Gathered, unit: &str, id: &str) -> Option<FromFiles> {
    let migration = gathered.set.migrations.iter().find(|m| m.unit == unit && m.id.as_str() == id)?;
    Some(FromFiles {
        version: migration.version.as_str().to_owned(),
        name: migration.name.clone(),
        checksum: migration.checksum.to_string(),
        risk: gathered.risks.get(&migration.reference()).copied().or(migration.declared_risk()),
    })
}

/// Adds to each migration what its files say [S1-39].
fn told_more(gathered: &Gathered, targets: &mut Value) {
    let lists = targets.as_array_mut().into_iter().flatten().filter_map(|t| t["migrations"].as_array_mut());
    for entry in lists.flatten() {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let Some(files) = from_files(gathered, &text("unit"), &text("id")) else { continue };
        entry["version"] = json!(files.version);
        entry["name"] = json!(files.name);
        entry["checksum"] = json!(files.checksum);
        entry["risk"] = json!(files.risk);
    }
}

/// The same for people: each migration with its version, risk, time and checksum [S1-39] [S2-22].
fn details(gathered: &Gathered, found: &[TargetStatus]) -> String {
    let mut out = String::new();
    for target in found {
        for m in &target.migrations {
            let files = from_files(gathered, &m.unit, m.id.as_str());
            let took = m.duration_ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
            let dash = || "-".to_owned();
            let (version, risk, sum) = files.map_or((dash(), dash(), dash()), |f| {
                let sum: String = f.checksum.chars().take("sha256:".len() + 12).collect();
                (f.version, f.risk.map_or(dash(), |r| r.to_string()), sum)
            });
            let _ = writeln!(out, "  {}/{}  version {version}  risk {risk}  took {took}  {sum}", target.target, m.id);
        }
    }
    out
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut gathered = args.place.or_word(args.word)?.gather(global)?;
    running::block_on(async {
        let store = match gathered.environment {
            Some(_) => Some(global.open_store().await?),
            None => global.store_to_look_into().await,
        };
        let released = gathered.released(global).await?;
        let mut found = runner::status(store.as_ref(), &gathered.set, &gathered.targets, &released)
            .await
            .map_err(running::failed)?;
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
        if global.verbose > 0 || global.format == Format::Json {
            table_facts::reckon_status(&mut gathered, &found).await?;
        }
        let lock = match (&gathered.environment, &store) {
            (Some(environment), Some(store)) => store.environment_lock(None, environment).await?,
            (Some(_) | None, _) => None,
        };
        match global.format {
            Format::Json => {
                let mut targets = serde_json::to_value(&found)?;
                told_more(&gathered, &mut targets);
                print::json(&json!({ "environment": gathered.environment, "lock": lock, "targets": targets }))?;
            }
            Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
                let lock = lock
                    .as_ref()
                    .map(|l| format!("by {} since {}: {}", l.by, l.at.format("%Y-%m-%d %H:%M UTC"), l.reason));
                print::prose(&report::run::status(&found, lock.as_deref()))?;
                if global.verbose > 0 {
                    print::prose(&details(&gathered, &found))?;
                }
            }
        }
        let stuck = found.iter().flat_map(|t| &t.migrations).any(|m| m.state == MigrationState::NeedsHuman);
        let older = found.iter().any(|t| !t.older.is_empty());
        Ok(if stuck || older { Exit::NeedsHuman } else { Exit::Done })
    })
}
