//! `godwit init-tracking`: the tables that a database needs before its first run, that of the folder's own tool included
//! [S1-37] [S1-41]. Again is the same.

use std::collections::BTreeSet;

use serde_json::json;

use super::by_hand::{not_frozen, refused};
use super::running;
use super::targets::Place;
use super::{Exit, Format, Global, print};
use crate::drivers::OwnTables;
use crate::ids::EnvironmentName;
use crate::plan::MigrationState;
use crate::runner;
use crate::runner::reset::track;

/// Arguments of `godwit init-tracking`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit init-tracking --service user-service
  godwit init-tracking --url postgres://localhost/service_db --path services/user-service/migrations

`godwit apply` does the same by itself. What another tool's table says is applied counts as applied, and that table is kept
from then on.")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
    /// Make only the table of the folder's own tool, and none of Godwit's; the first run makes those
    #[arg(long)]
    basic: bool,
}

/// Runs the command.
///
/// # Errors
/// Usage errors; a database that is busy or cannot be reached.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut gathered = args.place.or_word(args.word)?.gather(global)?;
    if let Some(service) = gathered.service.clone() {
        gathered.set.migrations.retain(|m| m.service.as_ref() == Some(&service));
    }
    let actor = running::actor();
    let own_tables = if args.basic { OwnTables::Leave } else { OwnTables::Make };
    let told = running::block_on(async {
        if let Some(environment) = &gathered.environment {
            not_frozen(&global.open_store().await?, environment).await?;
        }
        let mut told = Vec::new();
        for target in &gathered.targets {
            let made = track(&gathered.set, target, &actor, own_tables).await.map_err(running::failed)?;
            let tables = made.map_err(refused)?;
            let found = runner::status(None, &gathered.set, std::slice::from_ref(target), &BTreeSet::new())
                .await
                .map_err(running::failed)?;
            let applied =
                found.iter().flat_map(|t| &t.migrations).filter(|m| m.state == MigrationState::Applied).count();
            let adopted = found.iter().flat_map(|t| &t.migrations).filter(|m| m.is_adopted()).count();
            told.push((target.name.clone(), tables, applied, adopted));
        }
        Ok(told)
    })?;
    if global.format == Format::Json {
        let all: Vec<_> = told
            .iter()
            .map(|(target, tables, applied, _)| json!({ "target": target, "tables": tables, "applied": applied }))
            .collect();
        print::json(&json!({ "environment": gathered.environment, "targets": all }))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for (target, tables, applied, adopted) in &told {
        let own = if args.basic { "" } else { "godwit_history, godwit_fence" };
        let names: Vec<&str> =
            [own].into_iter().filter(|n| !n.is_empty()).chain(tables.iter().map(String::as_str)).collect();
        text.push_str(&format!(
            "{target}: {} there; {} applied{}\n",
            if names.is_empty() {
                "no table of another tool is to be".to_owned()
            } else {
                format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
            },
            crate::report::count(applied - adopted, "migration"),
            if *adopted == 0 { String::new() } else { format!(", {adopted} adopted") }
        ));
    }
    print::prose(&text)?;
    Ok(Exit::Done)
}
