//! `godwit rehearse`: forward, back, forward again on a scratch database.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use serde_json::json;

use super::exit::Failure;
use super::running;
use super::targets::{self, Place};
use super::{Exit, Format, Global, print};
use crate::ids::{Engine, EnvironmentName};
use crate::migration::{Migration, MigrationSet};
use crate::plan::planner::belongs;
use crate::plan::rehearsal::Rehearsed;
use crate::report;
use crate::runner::rehearse::{Plans, Rehearsal, rehearse};

/// Arguments of `godwit rehearse`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit rehearse migrations --url postgres://postgres@localhost/postgres
  godwit rehearse migrations/sqlite --url sqlite:
  godwit rehearse migrations --url postgres://localhost/postgres --only 0004_orders
  godwit test development                          # on a scratch database beside development's
  godwit test --version 1.1.0 --back-to 1.0.0      # what lies between the two
  godwit rehearse migrations/elasticsearch --url elasticsearch+http://localhost:9200

A scratch database is made on the server, and taken away at the end. On Elasticsearch every name gets a prefix of its
own, and indices that the migrations presume are copied with up to 1,000 documents. On Redis the place itself is used: it
must be empty.")]
pub struct Args {
    /// The migrations, as `--path`; or an environment, on whose server the scratch database is made
    #[arg(value_name = "PATH|ENVIRONMENT", conflicts_with = "path")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Try only these migrations; those before them are applied without being tried
    #[arg(long, value_name = "MIGRATION")]
    only: Vec<String>,
    /// Try what comes after `--back-to`, up to this version
    #[arg(long = "version", value_name = "VERSION", conflicts_with = "only")]
    up_to: Option<String>,
    /// What is up to this version is applied without being tried
    #[arg(long, value_name = "VERSION", requires = "up_to")]
    back_to: Option<String>,
    /// Bound on one migration
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Runs the command: exit 1 when something is wrong.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    let mut place = args.place;
    if let Some(folder) = args.folder {
        let word = folder.to_str().and_then(|w| EnvironmentName::new(w).ok()).filter(|_| !folder.exists());
        match word {
            Some(word) if !place.is_said() => place.environment = Some(word),
            Some(_) | None => place.path = Some(folder),
        }
    }
    let (url, set) = match place.url.clone() {
        Some(url) => {
            let engine = targets::engine_of(&url)?;
            // SQLite's scratch database is a file of its own wherever the URL points.
            place.url = Some(if engine == Engine::Sqlite { "sqlite:scratch.db".to_owned() } else { url.clone() });
            (url, place.gather(global)?.set)
        }
        None if place.path.is_some() => return Err(nowhere()),
        None => beside(global, &place)?,
    };
    let mut only = Vec::new();
    for name in &args.only {
        match set.find(name) {
            Some(migration) => only.push(migration.reference()),
            None => return Err(Failure::usage(format!("`{name}` is no migration of this folder, or several"))),
        }
    }
    if let Some(up_to) = &args.up_to {
        only = between(&set, args.back_to.as_deref(), up_to)?;
    }
    let tried = on_scratch(&url, &set, &only, args.timeout.map(Duration::from_secs), Plans::Left)?;
    conclude(global, &tried)
}

fn nowhere() -> anyhow::Error {
    Failure::usage("say where a scratch database may be made: `--url URL` of a server nobody relies on")
}

/// The server of an environment's database, and the migrations that the database takes [S2-108]. Never production's.
fn beside(global: &Global, place: &Place) -> anyhow::Result<(String, MigrationSet)> {
    let gathered = place.gather(global).map_err(|error| if place.is_said() { error } else { nowhere() })?;
    if let (Some(policy), Some(environment)) = (&gathered.policy, &gathered.environment)
        && super::by_hand::is_production(policy, environment)
    {
        return Err(Failure::usage(format!(
            "nothing is tried on the servers of `{environment}`; give another with `--url`"
        )));
    }
    let [target] = gathered.targets.as_slice() else {
        let names: Vec<&str> = gathered.targets.iter().map(|t| t.name.as_str()).collect();
        return Err(Failure::usage(format!("say beside which database with `--target`: {}", names.join(", "))));
    };
    let mut set = gathered.set.for_environment(gathered.environment.as_ref()).0.into_owned();
    set.migrations.retain(|m| belongs(m, &target.name, target.engine));
    Ok((secrecy::ExposeSecret::expose_secret(&target.url).to_owned(), set))
}

/// The migrations behind one version and up to another, in every folder that has the latter [S4-49].
fn between(set: &MigrationSet, back_to: Option<&str>, up_to: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let units: BTreeSet<&str> = set.migrations.iter().map(|m| m.unit.as_str()).collect();
    for unit in units {
        let own: Vec<&Migration> = set.migrations.iter().filter(|m| m.unit == unit).collect();
        let place = |version: &str| own.iter().position(|m| m.answers_to(version));
        let Some(last) = place(up_to) else { continue };
        let first = match back_to {
            None => 0,
            Some(version) => match place(version) {
                Some(at) => at + 1,
                None => return Err(Failure::usage(format!("`{unit}` has no version `{version}`"))),
            },
        };
        found.extend(own.iter().take(last + 1).skip(first).map(|m| m.reference()));
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("nothing lies between these versions, up to `{up_to}`")));
    }
    Ok(found)
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
    plans: Plans,
) -> anyhow::Result<Vec<Rehearsed>> {
    running::block_on(tried_on(url, set, only, timeout, plans))
}

/// The same, within work that goes on.
///
/// # Errors
/// As [`on_scratch`].
pub(super) async fn tried_on(
    url: &str,
    set: &MigrationSet,
    only: &[String],
    timeout: Option<Duration>,
    plans: Plans,
) -> anyhow::Result<Vec<Rehearsed>> {
    let engine = targets::engine_of(url)?;
    if engine != Engine::Sqlite {
        targets::check_url(engine, url)?;
    }
    let folder = std::env::temp_dir().join(format!("godwit-rehearsal-{}", ulid::Ulid::generate()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let actor = running::actor();
    let server = SecretString::from(url.to_owned());
    let rehearsal = Rehearsal { set, engine, server: &server, folder: &folder, only, timeout, plans };
    let tried = rehearse(&rehearsal, &actor).await.map_err(running::failed);
    let _ = std::fs::remove_dir_all(&folder);
    let tried = tried?;
    if !tried.roles.is_empty() {
        print::talk(&format!("warning: {}", report::rehearsal::roles_left(&tried.roles)));
    }
    Ok(tried.migrations)
}

fn conclude(global: &Global, tried: &[Rehearsed]) -> anyhow::Result<Exit> {
    match global.format {
        Format::Json => print::json(&json!({ "migrations": tried }))?,
        Format::Text | Format::Sarif | Format::Github | Format::Markdown => {
            print::prose(&report::rehearsal::rehearsal(tried))?;
        }
    }
    let sound = tried.iter().all(Rehearsed::is_sound);
    Ok(if sound { Exit::Done } else { Exit::Failed })
}
