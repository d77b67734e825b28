//! `godwit release`: lets a contract migration run.

use chrono::Utc;
use serde_json::json;

use super::exit::Failure;
use super::running;
use super::targets::Place;
use super::{Exit, Format, Global, print};
use crate::ids::EnvironmentName;
use crate::migration::Phase;
use crate::plan::planner;
use crate::store::AuditEntry;
use crate::store::releases::Release;

/// Arguments of `godwit release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit release 0007_drop_old_name --env production --reason \"version 4 is everywhere\"")]
pub struct Args {
    /// The migration: its id, or `unit/id`
    #[arg(value_name = "MIGRATION")]
    migration: String,
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    /// Why; recorded in the audit log
    #[arg(long, value_name = "REASON")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let reason = args.reason.trim();
    if reason.is_empty() {
        return Err(Failure::usage("a reason is needed; it is recorded"));
    }
    let gathered = args.place.or_word(args.word)?.gather(global)?;
    let Some(migration) = gathered.set.find(&args.migration) else {
        let refusal = planner::unknown(&gathered.set, &args.migration);
        return Err(Failure::usage(format!("{}; {}", refusal.message, refusal.what_to_do)));
    };
    if migration.directives.phase != Some(Phase::Contract) {
        return Err(Failure::usage(format!(
            "`{}` is not held: only a migration with `phase=contract` needs a release",
            migration.reference()
        )));
    }
    let place = gathered.release_place();
    let actor = running::actor();
    running::block_on(async {
        let store = global.open_store().await?;
        let release = Release {
            repo: None,
            place: place.clone(),
            by: actor.by.clone(),
            reason: reason.to_owned(),
            at: Utc::now(),
        };
        let new = store.release(migration, &release).await?;
        let mut entry = AuditEntry::new(release.at, &actor.by, "release", if new { "ok" } else { "released-before" });
        entry.environment.clone_from(&gathered.environment);
        entry.basis = Some(reason.to_owned());
        entry.details.insert("migration".to_owned(), migration.reference());
        entry.details.insert("checksum".to_owned(), migration.checksum.to_string());
        store.append_audit(entry).await?;
        match global.format {
            Format::Json => {
                anstream::println!(
                    "{}",
                    json!({ "migration": migration.reference(), "place": place, "by": actor.by, "new": new })
                );
            }
            Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
                let apply = match &gathered.environment {
                    Some(environment) => format!("godwit apply {environment}"),
                    None => "godwit apply --url … --path …".to_owned(),
                };
                print::prose(&format!("{} may run in {place}: `{apply}` brings it\n", migration.reference()))?;
            }
        }
        Ok(Exit::Done)
    })
}
