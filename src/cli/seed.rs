//! `godwit seed`: an environment's own data [S1-42] [S1-43] [S3-34]; never in production.

use std::path::Path;

use chrono::Utc;
use serde_json::json;

use super::by_hand::{blocked, is_production, not_frozen, refused};
use super::exit::Failure;
use super::running;
use super::targets::{self, Place};
use super::{Exit, Format, Global, hooks, print};
use crate::approval::Policy;
use crate::config::Environment;
use crate::ids::{Engine, EnvironmentName, TargetName};
use crate::runner::Target;
use crate::runner::data::{SeedFile, seed};
use crate::store::AuditEntry;

/// Arguments of `godwit seed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  godwit seed
  godwit seed --env testing
  godwit seed development --target shop-pg

The data is in `seeds/ENVIRONMENT.sql`, in the files of `seeds/ENVIRONMENT/` in the order of their names, and in the same
places below each service's folder; a folder `seeds/ENVIRONMENT/TARGET/` is for that database alone. `seed.files` and
`seed.command` of `policies/environments.yml` say otherwise. The ending tells the kind of database:
  .sql     PostgreSQL, SQLite: one transaction a file; write `INSERT … ON CONFLICT DO NOTHING`
  .json    MongoDB: `{ \"customers\": [ { \"_id\": 1, … } ] }`, each document put in place of the one with its `_id`
  .redis   Redis: a command a line, as `redis-cli` takes them; `#` begins a comment
  .ndjson  Elasticsearch: the lines of `_bulk`, each with `_index` and `_id`
A file may run again and again, and should say the same each time.")]
pub struct Args {
    /// The environment, as with `--env`
    #[arg(value_name = "ENVIRONMENT", conflicts_with = "url")]
    word: Option<EnvironmentName>,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
///
/// # Errors
/// Where nothing says what to seed, in production, and where the data does not fit.
pub fn run(global: &Global, args: Args) -> anyhow::Result<Exit> {
    if args.place.url.is_some() {
        return Err(Failure::usage("seed data belongs to an environment: name one instead of `--url`"));
    }
    let place = args.place.or_word(args.word)?;
    let policy = place.policy(global)?;
    let settings = place.settings(global, &policy)?;
    let environment = &settings.name;
    if is_production(&policy, environment) {
        return Err(blocked(format!("`{environment}` is never seeded; give it its data with a migration")));
    }
    let Data { scripts, passed_over } = data(&global.repo, settings)?;
    for file in passed_over.iter().filter(|_| !global.quiet) {
        print::talk(&format!("note: `{file}` is passed over: {}", forms()));
    }
    if scripts.is_empty() && settings.seed.command.is_none() {
        return Err(Failure::usage(format!(
            "there is no seed data for `{environment}`: write `seeds/{environment}.sql`, or name files or a command as `seed` in \
             `policies/environments.yml`"
        )));
    }
    let databases = place.databases(global)?;
    let work = whose(&databases.targets, settings, scripts)?;
    let actor = running::actor();
    let keys = targets::keys_of(Some(settings));
    let done = running::block_on(async {
        let store = global.open_store().await?;
        not_frozen(&store, environment).await?;
        let mut done = Vec::new();
        for (target, scripts) in &work {
            let ended = seed(target, &actor, scripts, &keys).await.map_err(running::failed)?;
            let (count, wrong) = ended.map_err(refused)?;
            let mut entry =
                AuditEntry::new(Utc::now(), &actor.by, "seed", if wrong.is_some() { "failed" } else { "ok" });
            entry.environment = Some(environment.clone());
            entry.target = Some(target.name.clone());
            entry.details.insert("files".to_owned(), count.to_string());
            store.append_audit(entry).await?;
            if let Some(wrong) = wrong {
                let left = match target.engine {
                    Engine::Postgresql | Engine::Sqlite => "this file was taken back",
                    Engine::Mongodb => "this file was taken back, if the server has transactions",
                    Engine::Redis | Engine::Elasticsearch => "what stands before it in this file may stay",
                };
                let before = crate::report::count(count, "file");
                let message = format!("{wrong}\n  {left}; {before} before it stay; correct it and seed again");
                return Err(Failure { exit: Exit::Failed, message }.into());
            }
            done.extend(scripts.iter().map(|(file, _)| (target.name.clone(), file.clone())));
        }
        Ok(done)
    })?;
    if let Some(line) = &settings.seed.command {
        hooks::start(global, line, environment).map_err(|message| Failure { exit: Exit::Failed, message })?;
    }
    show(global, settings, &done, &passed_over)?;
    Ok(Exit::Done)
}

fn show(
    global: &Global,
    settings: &Environment,
    done: &[(TargetName, String)],
    passed_over: &[String],
) -> anyhow::Result<()> {
    let environment = &settings.name;
    if global.format == Format::Json {
        let files: Vec<_> = done.iter().map(|(target, file)| json!({ "target": target, "file": file })).collect();
        return print::json(&json!({
            "environment": environment, "files": files, "passed_over": passed_over, "command": settings.seed.command,
        }));
    }
    let mut text: String = done.iter().map(|(target, file)| format!("seeded  {target}  {file}\n")).collect();
    text.push_str(&format!("{environment} has its data\n"));
    print::prose(&text)
}

/// What is found where an environment's data is.
#[derive(Default)]
struct Data {
    /// The scripts, in the order in which they run.
    scripts: Vec<SeedFile>,
    /// Files beside them that are none.
    passed_over: Vec<String>,
}

/// The data of an environment.
fn data(repo: &Path, settings: &Environment) -> anyhow::Result<Data> {
    let name = settings.name.as_str();
    let mut found = Data::default();
    if settings.seed.files.is_empty() {
        // The services' own data comes behind what all of them share.
        let mut roots = vec![String::new()];
        let mut services: Vec<String> = std::fs::read_dir(repo.join("services"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| format!("services/{}/", entry.file_name().to_string_lossy()))
            .collect();
        services.sort();
        roots.extend(services);
        for root in roots {
            for ending in ENDINGS {
                take(repo, &format!("{root}seeds/{name}.{ending}"), &mut found)?;
            }
            take(repo, &format!("{root}seeds/{name}"), &mut found)?;
        }
        return Ok(found);
    }
    for file in &settings.seed.files {
        let before = found.scripts.len();
        take(repo, file, &mut found)?;
        if found.scripts.len() == before {
            let forms = forms();
            return Err(Failure::usage(format!("`{name}.seed.files` names `{file}`, where no seed data is: {forms}")));
        }
    }
    Ok(found)
}

/// Reads a file, or the files of a folder and of the folders in it; what is not there is nothing.
fn take(repo: &Path, path: &str, found: &mut Data) -> anyhow::Result<()> {
    let place = repo.join(path);
    let cannot = |e: std::io::Error| Failure::usage(format!("cannot read `{path}`: {e}"));
    match place.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&place).map_err(cannot)? {
                names.push(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            for name in names {
                let below = format!("{path}/{name}");
                if kinds(&name).is_some() || repo.join(&below).is_dir() {
                    take(repo, &below, found)?;
                } else if !is_for_people(&name) {
                    found.passed_over.push(below);
                }
            }
        }
        Ok(meta) if meta.is_file() => {
            if kinds(path).is_none() {
                return Err(Failure::usage(format!("`{path}` is no seed data: {}", forms())));
            }
            found.scripts.push((path.to_owned(), std::fs::read_to_string(&place).map_err(cannot)?));
        }
        Ok(_) => {
            return Err(Failure::usage(format!("`{path}` is neither a file nor a folder; links are never followed")));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(cannot(e)),
    }
    Ok(())
}

/// Whether nobody takes a file for seed data: one that a tool hides, or that says what the others are.
fn is_for_people(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    name.starts_with('.') || name.eq_ignore_ascii_case("readme") || ["md", "txt"].contains(&ending)
}

/// The endings of seed data.
const ENDINGS: [&str; 4] = ["sql", "json", "redis", "ndjson"];

/// The kinds of database that a file is for, by its ending.
fn kinds(file: &str) -> Option<&'static [Engine]> {
    match file.rsplit_once('.')?.1 {
        "sql" => Some(&[Engine::Postgresql, Engine::Sqlite]),
        "json" => Some(&[Engine::Mongodb]),
        "redis" => Some(&[Engine::Redis]),
        "ndjson" => Some(&[Engine::Elasticsearch]),
        _ => None,
    }
}

/// The endings, in words.
fn forms() -> &'static str {
    "write `.sql`, `.json` for MongoDB, `.redis` or `.ndjson` for Elasticsearch"
}

/// Which database gets which files: that whose name is a folder of the path, else the only one of its kind. What is for
/// databases of the environment that are not meant this time is left out.
fn whose<'t>(
    targets: &'t [Target],
    settings: &Environment,
    files: Vec<SeedFile>,
) -> anyhow::Result<Vec<(&'t Target, Vec<SeedFile>)>> {
    let mut work: Vec<(&Target, Vec<SeedFile>)> = Vec::new();
    for script in files {
        let kinds = kinds(&script.0).unwrap_or_default();
        let takers: Vec<&Target> = targets.iter().filter(|t| kinds.contains(&t.engine)).collect();
        let folders: Vec<&str> = script.0.split('/').collect();
        let is_folder = |name: &TargetName| folders[..folders.len() - 1].contains(&name.as_str());
        let named = takers.iter().find(|t| is_folder(&t.name));
        let meant = |name: &TargetName| targets.iter().any(|t| t.name == *name);
        let mut others = settings.targets.iter().filter(|t| kinds.contains(&t.engine) && !meant(&t.name));
        let target = match (named, takers.as_slice()) {
            (Some(target), _) => *target,
            (None, _) if others.clone().any(|t| is_folder(&t.name)) => continue,
            (None, [only]) => *only,
            (None, []) if others.next().is_some() => continue,
            (None, []) => {
                let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
                return Err(Failure::usage(format!(
                    "`{}` is for {}, and none of these databases is that",
                    script.0,
                    kinds.join(" or ")
                )));
            }
            (None, _) => {
                let names: Vec<&str> = takers.iter().map(|t| t.name.as_str()).collect();
                return Err(Failure::usage(format!(
                    "`{}` could be for any of {}; name one with `--target`, or put the file into a folder of that name",
                    script.0,
                    names.join(", ")
                )));
            }
        };
        match work.iter_mut().find(|(t, _)| t.name == target.name) {
            Some((_, list)) => list.push(script),
            None => work.push((target, vec![script])),
        }
    }
    Ok(work)
}

/// Looks at what an environment's seed would be, for `reset-data`.
pub(super) fn is_there(global: &Global, policy: &Policy, environment: &EnvironmentName) -> bool {
    policy.environments.get(environment).is_some_and(|settings| {
        settings.seed.command.is_some() || data(&global.repo, settings).is_ok_and(|found| !found.scripts.is_empty())
    })
}
