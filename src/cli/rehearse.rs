//! `godwit rehearse`: forward, back, forward again on a scratch database.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use serde_json::json;

use super::exit::Failure;
use super::targets::{self, Place};
use super::{Exit, Format, Global, print};
use crate::ids::Engine;
use crate::migration::MigrationSet;
use crate::plan::rehearsal::Rehearsed;
use crate::report;
use crate::runner::rehearse::{Rehearsal, rehearse};

/// Arguments of `godwit rehearse`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit rehearse migrations --url postgres://postgres@localhost/postgres
  godwit rehearse migrations/sqlite --url sqlite:
  godwit rehearse migrations --url postgres://localhost/postgres --only 0004_orders
  godwit rehearse migrations/elasticsearch --url elasticsearch+http://localhost:9200

A scratch database is made on the server, and taken away at the end. On Elasticsearch every name gets a prefix of its
own, and indices that the migrations presume are copied with up to 1,000 documents. On Redis the place itself is used: it
must be empty.")]
pub struct Args {
    /// The migrations; as `--path`
    #[arg(value_name = "PATH", conflicts_with = "path")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Try only these migrations; those before them are applied without being tried
    #[arg(long, value_name = "MIGRATION")]
    only: Vec<String>,
    /// Bound on one migration
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Runs the command: exit 1 when something is wrong.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut place = args.place;
    if let Some(folder) = args.folder {
        place.path = Some(folder);
    }
    let Some(url) = place.url.clone() else {
        return Err(Failure::usage(
            "say where a scratch database may be made: `--url URL` of a server nobody relies on",
        ));
    };
    let engine = targets::engine_of(&url)?;
    // SQLite's scratch database is a file of its own wherever the URL points.
    place.url = Some(if engine == Engine::Sqlite { "sqlite:scratch.db".to_owned() } else { url.clone() });
    let gathered = place.gather(global)?;
    let mut only = Vec::new();
    for name in &args.only {
        match gathered.set.find(name) {
            Some(migration) => only.push(migration.reference()),
            None => return Err(Failure::usage(format!("`{name}` is no migration of this folder, or several"))),
        }
    }
    let tried = on_scratch(&url, &gathered.set, &only, args.timeout.map(Duration::from_secs))?;
    conclude(global, &tried)
}

/// Tries the migrations of `set` that are named in `only` as `unit/id` (none named: all) on a scratch database of the
/// server at `url`; also what `godwit ci` does.
///
/// # Errors
/// A URL that cannot be read, a server that cannot be reached, a place that is not empty.
pub(super) fn on_scratch(
    url: &str,
    set: &MigrationSet,
    only: &[String],
    timeout: Option<Duration>,
) -> anyhow::Result<Vec<Rehearsed>> {
    let engine = targets::engine_of(url)?;
    if engine != Engine::Sqlite {
        targets::check_url(engine, url)?;
    }
    let folder = std::env::temp_dir().join(format!("godwit-rehearsal-{}", ulid::Ulid::generate()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let actor = targets::actor();
    let server = SecretString::from(url.to_owned());
    let rehearsal = Rehearsal { set, engine, server: &server, folder: &folder, only, timeout };
    let tried = targets::block_on(async { rehearse(&rehearsal, &actor).await.map_err(targets::failed) });
    let _ = std::fs::remove_dir_all(&folder);
    tried
}

fn conclude(global: &Global, tried: &[Rehearsed]) -> anyhow::Result<Exit> {
    match global.format {
        Format::Json => print::json(&json!({ "migrations": tried }))?,
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            print::text(&report::rehearsal::rehearsal(tried))?;
        }
    }
    let sound = tried.iter().all(Rehearsed::is_sound);
    Ok(if sound { Exit::Done } else { Exit::Failed })
}
